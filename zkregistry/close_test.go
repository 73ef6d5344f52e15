package zkregistry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/internal/zk/zkmodel"
	"github.com/highlander-go/highlander/object"
)

// opening matches the return of the node's next session.
func opening(n *modelNode) func(zkmodel.Point) bool {
	return func(p zkmodel.Point) bool { return p.Answer && p.Op == "open" && p.Client == n.host }
}

// A session that is being made while the registry is closed does not outlive it: nobody would end it.
func TestCloseEndsASessionThatIsBeingMade(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(Options{})
		trap := w.gate.hold(opening(n))
		joined, closed := make(chan error), make(chan error)
		go func() {
			_, err := n.Registry.Join(t.Context(), object.Member{Incarnation: uuid.New(), Name: "a", Address: "a:1"})
			joined <- err
		}()
		<-trap.caught
		go func() { closed <- n.Close() }()
		synctest.Wait()
		close(trap.release)
		if err := <-joined; !errors.Is(err, object.ErrUnavailable) || !errors.Is(err, object.ErrClosed) {
			t.Error(err)
		}
		<-closed
		time.Sleep(time.Minute)
		if names := w.children("/todo/live"); len(names) > 0 {
			t.Errorf("live for ever: %v", names)
		}
	})
}

// Nor does its member, if that is made before Join is given up: others would wait for it.
func TestAJoinThatIsGivenUpLeavesNothing(t *testing.T) {
	for name, how := range map[string]struct{ closes, slowly bool }{
		"by its caller":                      {},
		"by Close":                           {closes: true},
		"though closing the session is slow": {slowly: true}, // it does not take of the time in which the pair is removed
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				n := w.node(Options{})
				of := func(op string) func(zkmodel.Point) bool {
					return func(p zkmodel.Point) bool { return !p.Answer && p.Op == op && p.Client == n.host }
				}
				w.gate.lose(zkmodel.LoseAnswer, of("multi"))
				trap := w.gate.hold(of("multi")) // as it tries again
				if how.slowly {
					closing := w.gate.hold(of("close"))
					defer time.Sleep(2 * time.Second) // until that has returned
					time.AfterFunc(closeTimeout+time.Second, func() { close(closing.release) })
				}
				ctx, giveUp := context.WithCancel(t.Context())
				joined, closed := make(chan error), make(chan error, 1)
				go func() {
					_, err := n.Registry.Join(ctx, object.Member{Incarnation: uuid.New(), Name: "a", Address: "a:1"})
					joined <- err
				}()
				<-trap.caught
				if how.closes {
					go func() { closed <- n.Close() }()
					defer func() { w.must(<-closed) }()
				}
				giveUp()
				synctest.Wait()
				close(trap.release)
				if err := <-joined; !errors.Is(err, object.ErrUnavailable) {
					t.Error(err)
				}
				if names := append(w.children("/todo/members"), w.children("/todo/live")...); len(names) > 0 {
					t.Errorf("left over: %v", names)
				}
			})
		})
	}
}

// So does a connection of the registry's own, which any call may be making.
func TestCloseEndsAConnectionThatIsBeingMade(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(Options{})
		synctest.Wait() // it is up to date, and looks again when something happens
		n.mu.Lock()
		base := n.base
		n.base = nil // as when it has expired, and nobody else has noticed
		n.mu.Unlock()
		defer base.Close(t.Context())
		trap := w.gate.hold(opening(n))
		asked, closed := make(chan error), make(chan error)
		go func() {
			_, _, err := n.Owner(t.Context(), object.Key{Type: "list", ID: "k"})
			asked <- err
		}()
		<-trap.caught
		go func() { closed <- n.Close() }()
		synctest.Wait()
		close(trap.release)
		<-asked // with or without an answer
		<-closed
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.base != nil {
			t.Error("there is a connection after Close")
		}
	})
}

func TestAClosedRegistryMakesNoConnection(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(Options{})
		w.must(n.Close())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := n.Owner(ctx, object.Key{Type: "list", ID: "k"}); !errors.Is(err, object.ErrClosed) {
			t.Error(err)
		}
		w.must(n.Close())
	})
}
