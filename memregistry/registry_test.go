package memregistry_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
)

var k = object.Key{Type: "list", ID: "k"}

func open(t *testing.T, o memregistry.Options) *memregistry.Registry {
	t.Helper()
	r := memregistry.New(o)
	t.Cleanup(func() { r.Close() })
	return r
}

func join(t *testing.T, r object.Registry, name string) object.Session {
	t.Helper()
	s, err := r.Join(t.Context(), object.Member{Incarnation: uuid.New(), Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func claim(t *testing.T, s object.Session, key object.Key) object.Claim {
	t.Helper()
	c, err := s.Claim(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// at returns a context that ends after d.
func at(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, o := range []memregistry.Options{
		{Lease: -time.Second},
		{Lease: time.Microsecond},
		{Lease: time.Second, SessionTimeout: time.Second},
		{SessionTimeout: memregistry.DefaultLease},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New takes %+v", o)
				}
			}()
			memregistry.New(o)
		}()
	}
}

func TestSameSessionJoinsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memregistry.Options{})
		a := join(t, r, "a")
		if _, err := r.Join(t.Context(), a.Member()); err == nil {
			t.Error("a joins twice")
		}
		r.Expire(a.Member().Incarnation)
		if _, err := r.Join(t.Context(), a.Member()); err == nil {
			t.Error("a joins while others wait for its lost session")
		}
		if err := a.Retire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Join(t.Context(), a.Member()); err != nil {
			t.Errorf("a joins after it has retired: %v", err)
		}
	})
}

func TestDisconnectedCallsWaitForTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memregistry.Options{})
		a := join(t, r, "a")
		held := claim(t, a, k)
		cut := a.Member().Incarnation
		r.Disconnect(cut)
		calls := map[string]func(context.Context) error{
			"claim": func(ctx context.Context) error {
				_, err := a.Claim(ctx, object.Key{Type: "list", ID: "other"})
				return err
			},
			"release": held.Release,
			"join": func(ctx context.Context) error {
				_, err := r.Join(ctx, object.Member{Incarnation: cut, Session: 2, Name: "a"})
				return err
			},
		}
		for name, call := range calls {
			err := call(at(t, time.Second))
			if !errors.Is(err, object.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s while cut off: %v", name, err)
			}
		}
		var waiting sync.WaitGroup
		for name, call := range calls {
			waiting.Go(func() {
				if err := call(at(t, time.Minute)); err != nil {
					t.Errorf("%s, cut off at first: %v", name, err)
				}
			})
		}
		synctest.Wait()
		r.Reconnect(cut)
		waiting.Wait()
		if m, ok, _ := r.Owner(t.Context(), k); ok {
			t.Errorf("%s owns what was released", m.Name)
		}
	})
}

func TestWhatIsGivenUpWhileCutOffTakesEffectOnReconnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memregistry.Options{})
		a, b, c := join(t, r, "a"), join(t, r, "b"), join(t, r, "c")
		released := claim(t, a, k)
		left := object.Key{Type: "list", ID: "left"}
		claim(t, b, left)
		r.Disconnect(a.Member().Incarnation)
		r.Disconnect(b.Member().Incarnation)
		if released.Release(at(t, time.Second)) == nil || b.Retire(at(t, time.Second)) == nil {
			t.Fatal("a release or a retirement gets through")
		}
		if b.Lease().Valid() {
			t.Error("the lease of a session that retires is valid")
		}
		for _, key := range []object.Key{k, left} {
			if _, err := c.Claim(t.Context(), key); err == nil {
				t.Errorf("%v is free before the registry can know", key)
			}
		}
		r.Reconnect(a.Member().Incarnation)
		r.Reconnect(b.Member().Incarnation)
		for _, key := range []object.Key{k, left} {
			if at := claim(t, c, key).ServeAt(); at != 0 {
				t.Errorf("the next owner of %v waits until %v", key, at)
			}
		}
	})
}

// The loss counts from when it was due, however late somebody looks.
func TestLossIsSeenWhenItWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memregistry.Options{})
		a, b := join(t, r, "a"), join(t, r, "b")
		claim(t, a, k)
		r.Disconnect(a.Member().Incarnation) // at 0, when the join has just renewed the lease
		time.Sleep(6*time.Second - 1)
		if _, err := b.Claim(t.Context(), k); err == nil {
			t.Fatal("a is lost before its session timeout")
		}
		time.Sleep(time.Second)
		if got, want := claim(t, b, k).ServeAt(), 6*time.Second+object.TakeoverWait(2*time.Second); got != want {
			t.Errorf("b serves from %v; want %v", got, want)
		}
		time.Sleep(time.Minute)
		if got := claim(t, b, object.Key{Type: "list", ID: "later"}).ServeAt(); got != 0 {
			t.Errorf("a is not forgotten: a later claim serves from %v", got)
		}
		r.Reconnect(a.Member().Incarnation)
		if a.Lease().Err() == nil {
			t.Error("a does not learn that it was lost, though forgotten")
		}
	})
}

// A suspended machine's clock jumps while its timers stand still.
func TestLeaseIsOverAfterTheClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, slept := time.Now(), time.Duration(0)
		var mu sync.Mutex
		r := open(t, memregistry.Options{Clock: func() time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return time.Since(start) + slept
		}})
		a, b := join(t, r, "a"), join(t, r, "b")
		claim(t, a, k)
		mu.Lock()
		slept = time.Hour
		mu.Unlock()
		if a.Lease().Valid() {
			t.Error("the lease is valid an hour after its renewal")
		}
		if _, err := b.Claim(t.Context(), k); err == nil {
			t.Error("a loses what it owns, though it was not cut off")
		}
		time.Sleep(time.Second)
		if !a.Lease().Valid() {
			t.Error("the lease is not renewed after the jump")
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memregistry.New(memregistry.Options{})
		a, b, lost := join(t, r, "a"), join(t, r, "b"), join(t, r, "c")
		held := claim(t, a, k)
		r.Disconnect(b.Member().Incarnation)
		r.Disconnect(lost.Member().Incarnation)
		r.Expire(lost.Member().Incarnation)
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if _, err := b.Claim(t.Context(), k); !errors.Is(err, object.ErrUnavailable) {
				t.Errorf("a claim that waits for the connection: %v", err)
			}
		})
		synctest.Wait()
		r.Close()
		waiting.Wait()
		for _, s := range []object.Session{a, b, lost} {
			if !errors.Is(s.Lease().Err(), object.ErrClosed) || s.Lease().Valid() {
				t.Errorf("%s goes on: %v", s.Member().Name, s.Lease().Err())
			}
			if _, err := s.Claim(t.Context(), k); !errors.Is(err, object.ErrUnavailable) {
				t.Errorf("%s claims: %v", s.Member().Name, err)
			}
			if err := s.Retire(t.Context()); err != nil {
				t.Errorf("%s retires: %v", s.Member().Name, err)
			}
		}
		if err := held.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := r.Join(t.Context(), object.Member{Name: "late"}); !errors.Is(err, object.ErrClosed) {
			t.Errorf("join: %v", err)
		}
		if _, _, err := r.Owner(t.Context(), k); !errors.Is(err, object.ErrClosed) {
			t.Errorf("owner: %v", err)
		}
		r.Close()
	})
}

func TestASessionIsFullWithItsMaxClaims(t *testing.T) {
	s := join(t, open(t, memregistry.Options{MaxClaims: 2}), "a")
	claim(t, s, object.Key{Type: "list", ID: "1"})
	if s.Full() {
		t.Error("full with one claim of two")
	}
	second := claim(t, s, object.Key{Type: "list", ID: "2"})
	if !s.Full() {
		t.Error("not full with two claims")
	}
	claim(t, s, object.Key{Type: "list", ID: "3"}).Release(t.Context()) // one more is no error
	second.Release(t.Context())
	if s.Full() {
		t.Error("still full after a release")
	}
	if join(t, open(t, memregistry.Options{}), "b").Full() {
		t.Error("full without a limit")
	}
}

func TestExpireSessionEndsOneOfAnIncarnation(t *testing.T) {
	r := open(t, memregistry.Options{})
	m := object.Member{Incarnation: uuid.New(), Session: 1, Name: "a"}
	first, err := r.Join(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	m.Session = 2
	second, err := r.Join(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	r.ExpireSession(first.Member())
	if first.Lease().Err() == nil || second.Lease().Err() != nil {
		t.Errorf("first: %v, second: %v", first.Lease().Err(), second.Lease().Err())
	}
	if _, err := r.Join(t.Context(), first.Member()); err == nil {
		t.Error("a session's number was taken twice")
	}
}
