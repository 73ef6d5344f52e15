package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/highlander-go/highlander"
)

// When ZooKeeper has lost its data, an operator gives the store a new root: the objects are there again, and the former root is refused.
func TestStoreIsAdoptedByANewRoot(t *testing.T) {
	former := newPlace(t, "")
	n := former.node(t, "former")
	n.start()
	n.add("c", 5)
	n.stop()
	next := newPlace(t, "")
	next.store = former.store
	must(t, highlander.AdoptStore(within(t, time.Minute), highlander.Config{Registry: next.registry, Store: next.store}))
	n = next.node(t, "next")
	n.start()
	eventually(t, time.Minute, "the objects are served under the new root", func() error {
		value, err := n.tryValue("c")
		if err == nil && value != 5 {
			t.Fatalf("the counter is %d, want 5", value)
		}
		return err
	})
	late := former.node(t, "late")
	late.launch()
	if status := late.wait(); status != 1 || !strings.Contains(late.logged(), "generation 2") {
		t.Errorf("a node of the former root ends with status %d, and says: %s", status, late.logged())
	}
}
