package memregistry_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
)

func owned(t *testing.T, r *memregistry.Registry) bool {
	t.Helper()
	_, ok, err := r.Owner(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// To the registry a killed session is one that it hears nothing of; to itself it has ended.
func TestAKilledSessionIsLostWhenItTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memregistry.Options{})
		a, b := join(t, r, "a"), join(t, r, "b")
		held := claim(t, a, k)
		r.Kill(a.Member().Incarnation)
		if a.Lease().Valid() || a.Lease().Err() == nil {
			t.Error("its lease holds")
		}
		ctx := at(t, time.Hour) // which none of these waits for
		_, claimed := a.Claim(ctx, object.Key{Type: "list", ID: "other"})
		_, joined := r.Join(ctx, object.Member{Incarnation: a.Member().Incarnation, Session: 2})
		for _, err := range []error{claimed, joined, held.Release(ctx), a.Retire(ctx)} {
			if !errors.Is(err, object.ErrUnavailable) {
				t.Errorf("a dead node's call: %v", err)
			}
		}
		r.Reconnect(a.Member().Incarnation)
		if time.Sleep(5 * time.Second); !owned(t, r) {
			t.Error("the registry has noticed before the session timeout")
		}
		if time.Sleep(time.Second); owned(t, r) {
			t.Error("the session lives on")
		}
		start := time.Now()
		if at := claim(t, b, k).ServeAt() - b.Lease().Clock()(); at < object.TakeoverWait(memregistry.DefaultLease)-time.Since(start) {
			t.Errorf("who claims the object waits %v", at)
		}
	})
}

// Those who wait for a registry that is out of reach wait no longer when they are killed.
func TestKillEndsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memregistry.Options{})
		a := join(t, r, "a")
		r.Disconnect(a.Member().Incarnation)
		done := make(chan error, 1)
		go func() { _, err := a.Claim(t.Context(), k); done <- err }()
		synctest.Wait()
		r.Kill(a.Member().Incarnation)
		if err := <-done; !errors.Is(err, object.ErrUnavailable) || owned(t, r) {
			t.Error(err, owned(t, r))
		}
	})
}

// Who is cut off and suspected is lost at once, and who claims its objects waits for its lease; who is connected is left alone.
func TestSuspectsThatAreCutOffAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memregistry.Options{})
		a, b := join(t, r, "a"), join(t, r, "b")
		claim(t, a, k)
		r.Suspect(a.Member(), object.Gone)
		r.Suspect(object.Member{Incarnation: uuid.New()}, object.Gone)
		if !owned(t, r) || !a.Lease().Valid() {
			t.Error("a connected session is lost")
		}
		r.Disconnect(a.Member().Incarnation)
		if time.Sleep(time.Second); !owned(t, r) {
			t.Error("it is lost although nobody suspects it")
		}
		r.Suspect(a.Member(), object.Silent)
		if owned(t, r) {
			t.Error("it is not lost")
		}
		if wait := claim(t, b, k).ServeAt() - b.Lease().Clock()(); wait != object.TakeoverWait(memregistry.DefaultLease) {
			t.Errorf("who claims the object waits %v", wait)
		}
		r.Reconnect(a.Member().Incarnation)
		if a.Lease().Err() == nil {
			t.Error("it does not learn of its loss")
		}
	})
}

// A lease goes by the clock of its node, and so do its renewals: one that is late is taken for as old as it is.
func TestLeasesGoByTheClockOfTheirNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := open(t, memregistry.Options{})
		stopped := make(chan struct{})
		var asked atomic.Int32
		n := r.WithClock(time.Second, func() time.Duration {
			if asked.Add(1) > 1 { // Join is the first who asks
				<-stopped
			}
			return time.Since(start)
		})
		a := join(t, n, "a")
		done := make(chan bool, 1)
		go func() { done <- a.Lease().Valid() }()
		if time.Sleep(time.Minute); len(done) > 0 {
			t.Error("who asks a clock that stands has an answer")
		}
		close(stopped)
		<-done
		if time.Sleep(time.Second); !a.Lease().Valid() {
			t.Error("it is not renewed when its clock goes on")
		}
	})
}
