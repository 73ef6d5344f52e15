package highlander

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

// A fakeRoot is a root's data, as ZooKeeper keeps it.
type fakeRoot struct {
	mu      sync.Mutex
	data    []byte
	version int
	waits   []time.Duration // that were asked for
}

func (f *fakeRoot) place(name string) *place {
	return &place{
		name: "root " + name,
		load: func(context.Context) ([]byte, string, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.data, strconv.Itoa(f.version), nil
		},
		save: func(_ context.Context, data []byte, tag string) error { return f.save(data, tag) },
	}
}

func (f *fakeRoot) save(data []byte, tag string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if tag != strconv.Itoa(f.version) {
		return errors.New("another version")
	}
	f.data, f.version = data, f.version+1
	return nil
}

func (f *fakeRoot) wait(_ context.Context, data []byte, tag string, longest time.Duration) error {
	f.waits = append(f.waits, longest)
	return f.save(data, tag)
}

var zkWant = ours(registryZooKeeper, 2*time.Second)

func mustMeet(t *testing.T, root *place, store place, want identity) identity {
	t.Helper()
	i, err := meet(t.Context(), root, store, want)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func refused(t *testing.T, err error, mentions ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("it was let in")
	}
	for _, m := range mentions {
		if !strings.Contains(err.Error(), m) {
			t.Errorf("%q does not mention %q", err, m)
		}
	}
}

func TestNodesThatFoundAClusterAtOnceAgree(t *testing.T) {
	root, store := new(fakeRoot), inStore("s", persist.NewMemory())
	var nodes sync.WaitGroup
	ids := make([]identity, 8)
	for n := range ids {
		nodes.Go(func() {
			var err error
			if ids[n], err = meet(t.Context(), root.place("r"), store, zkWant); err != nil {
				t.Error(err)
			}
		})
	}
	nodes.Wait()
	for _, i := range ids {
		if i != ids[0] || i.Generation != 1 {
			t.Errorf("%v and %v", i, ids[0])
		}
	}
	if err := changed(t.Context(), root.place("r"), store, ids[0]); err != nil {
		t.Error(err)
	}
}

// A node may die between any two writes of the founding; the next one goes on from there.
func TestAFoundingThatWasCutShortGoesOn(t *testing.T) {
	for writes := range 4 {
		root, store := new(fakeRoot), inStore("s", persist.NewMemory())
		left := writes
		die := func(p place) place {
			save := p.save
			p.save = func(ctx context.Context, data []byte, tag string) error {
				if left--; left < 0 {
					return errors.New("dead")
				}
				return save(ctx, data, tag)
			}
			return p
		}
		dying := die(*root.place("r"))
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := meet(ctx, &dying, die(store), zkWant)
		cancel()
		if (err == nil) != (writes == 3) {
			t.Fatalf("after %d writes: %v", writes, err)
		}
		mustMeet(t, root.place("r"), store, zkWant)
	}
}

func TestOneRootGoesWithOneStore(t *testing.T) {
	newRoot := func() *place { return new(fakeRoot).place("r2") }
	newStore := func() place { return inStore("s2", persist.NewMemory()) }
	root, store := new(fakeRoot).place("r1"), inStore("s1", persist.NewMemory())
	cluster := mustMeet(t, root, store, zkWant).Cluster.String()

	_, err := meet(t.Context(), newRoot(), store, zkWant)
	refused(t, err, "r2", "s1", cluster, "AdoptStore")
	_, err = meet(t.Context(), root, newStore(), zkWant)
	refused(t, err, "r1", "s2", cluster)
	otherRoot, otherStore := newRoot(), newStore()
	other := mustMeet(t, otherRoot, otherStore, zkWant).Cluster.String()
	_, err = meet(t.Context(), otherRoot, store, zkWant)
	refused(t, err, "r2", "s1", cluster, other)
	_, err = meet(t.Context(), nil, store, ours(registryProcess, time.Second))
	refused(t, err, "s1", "registry zookeeper", "registry process")
	want := zkWant
	want.Buckets++
	_, err = meet(t.Context(), root, store, want)
	refused(t, err, strconv.Itoa(want.Buckets))
	process := newStore()
	mustMeet(t, nil, process, ours(registryProcess, time.Second))
	mustMeet(t, nil, process, ours(registryProcess, time.Second))
	_, err = meet(t.Context(), newRoot(), process, zkWant)
	refused(t, err, "s2")
}

func TestWhatIsNoIdentityIsRefused(t *testing.T) {
	store := persist.NewMemory()
	if _, err := store.Put(t.Context(), identityBlob, []byte("hello"), object.Condition{}); err != nil {
		t.Fatal(err)
	}
	_, err := meet(t.Context(), new(fakeRoot).place("r"), inStore("s", store), zkWant)
	refused(t, err, "another program")
}

func TestAStoreIsAdoptedByANewRoot(t *testing.T) {
	former, store := new(fakeRoot), inStore("s", persist.NewMemory())
	want := zkWant
	want.MaxLeaseMS = 9000
	before := mustMeet(t, former.place("r1"), store, want)
	if i := mustMeet(t, former.place("r1"), store, zkWant); i.MaxLeaseMS != 9000 {
		t.Errorf("the longest lease is forgotten: %v", i.MaxLeaseMS)
	}
	next := new(fakeRoot)
	if err := adopt(t.Context(), *next.place("r2"), store, next.wait, time.Second); err != nil {
		t.Fatal(err)
	}
	after := mustMeet(t, next.place("r2"), store, zkWant)
	if after.Cluster != before.Cluster || after.Generation != 2 {
		t.Errorf("%v after %v", after, before)
	}
	if len(next.waits) != 1 || next.waits[0] != 9*time.Second {
		t.Errorf("nobody waits for the leases of the former root: %v", next.waits)
	}
	refused(t, changed(t.Context(), former.place("r1"), store, before), "generation 2")
	_, err := meet(t.Context(), former.place("r1"), store, zkWant)
	refused(t, err, "generation 1", "generation 2")

	other := new(fakeRoot)
	mustMeet(t, other.place("r3"), inStore("s3", persist.NewMemory()), zkWant)
	refused(t, adopt(t.Context(), *other.place("r3"), store, other.wait, time.Second), "r3", "cannot adopt")
	refused(t, adopt(t.Context(), *next.place("r2"), inStore("s4", persist.NewMemory()), next.wait, time.Second), "s4", "empty")
}

func TestNodesLookAgain(t *testing.T) {
	root, memory := new(fakeRoot), persist.NewMemory()
	store := inStore("s", memory)
	i := mustMeet(t, root.place("r"), store, zkWant)
	root.data = nil // wiped
	refused(t, changed(t.Context(), root.place("r"), store, i), "r does not belong")
	root.data, _ = json.Marshal(i)
	if err := memory.Delete(t.Context(), identityBlob, object.Condition{}); err != nil {
		t.Fatal(err)
	}
	refused(t, changed(t.Context(), root.place("r"), store, i), "s does not belong")
	broken := root.place("r")
	broken.load = func(context.Context) ([]byte, string, error) { return nil, "", errors.New("no answer") }
	if err := changed(t.Context(), broken, store, i); !errors.Is(err, object.ErrUnavailable) {
		t.Errorf("what cannot be read has not changed: %v", err)
	}
}

// What no node on ZooKeeper could use is not adopted, nor does an error say to: the root would be spoilt, and the nodes that use the store would stop.
func TestAStoreOfAProcessIsNotAdopted(t *testing.T) {
	root, store := new(fakeRoot), inStore("s", persist.NewMemory())
	before := mustMeet(t, nil, store, ours(registryProcess, time.Second))
	_, err := meet(t.Context(), root.place("r"), store, zkWant)
	refused(t, err, "s", "registry process")
	if strings.Contains(err.Error(), "AdoptStore") {
		t.Error(err)
	}
	refused(t, adopt(t.Context(), *root.place("r"), store, root.wait, time.Second), "s", "registry process")
	if root.data != nil {
		t.Errorf("the root holds %s", root.data)
	}
	if err := changed(t.Context(), nil, store, before); err != nil {
		t.Error(err)
	}
}
