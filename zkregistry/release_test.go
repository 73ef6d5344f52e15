package zkregistry

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/highlander-go/highlander/internal/zk"
)

// What is released while a transaction is under way shares the next one; if that one cannot be, each is released by itself.
func TestReleasesShareATransaction(t *testing.T) {
	const n = 10
	for _, contended := range []bool{false, true} {
		inWorld(t, func(t *testing.T, w *world) {
			a := w.session("a")
			s := a.(*session)
			before := s.bytes.Load()
			trap := w.gate.hold(request(a, "multi", ""))
			made := w.gate.count(request(a, "multi", ""))
			var releasing sync.WaitGroup
			for i := range n {
				c := w.claim(a, fmt.Sprint("k", i))
				releasing.Go(func() {
					if err := c.Release(t.Context()); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
			}
			if contended {
				_, err := w.peek().Create(t.Context(), container("k5")+"/other", nil, zk.Persistent)
				w.must(err)
			}
			<-trap.caught
			close(trap.release)
			releasing.Wait()
			for i := range n {
				if names := w.children(container(fmt.Sprint("k", i))); len(names) > 0 && !(contended && i == 5 && len(names) == 1 && names[0] == "other") {
					t.Errorf("the container of k%d has %v", i, names)
				}
			}
			if made = w.gate.count(request(a, "multi", "")) - made; !contended && made != 2 {
				t.Errorf("%d transactions were made, want 2", made)
			}
			if now := s.bytes.Load(); now != before {
				t.Errorf("%d bytes of claims are left", now-before)
			}
		})
	}
}

// No transaction becomes larger than ZooKeeper takes.
func TestReleasesAreManyTransactions(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.session("a")
		trap := w.gate.hold(request(a, "multi", ""))
		made := w.gate.count(request(a, "multi", ""))
		var releasing sync.WaitGroup
		for i := range 1 + 2*maxTogether + 1 {
			c := w.claim(a, fmt.Sprint("k", i))
			releasing.Go(func() {
				if err := c.Release(t.Context()); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		<-trap.caught
		close(trap.release)
		releasing.Wait()
		if made = w.gate.count(request(a, "multi", "")) - made; made != 4 {
			t.Errorf("%d transactions were made, want 4", made)
		}
		if left := a.(*session).bytes.Load(); left != 0 {
			t.Errorf("%d bytes of claims are left", left)
		}
	})
}
