package zkmodel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/highlander-go/highlander/internal/zk"
)

// What zktest says of all ensembles, the model is held to there. Here is what the model can do besides: the harsh things that real servers do at bad moments only.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const timeout = 6 * time.Second

// A world is a model in a bubble.
type world struct {
	*testing.T
	*Model
}

func run(t *testing.T, c Config, test func(w world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		test(world{t, m})
	})
}

// A client is a session of a host of its own.
type client struct {
	*Session
	w      world
	mu     sync.Mutex
	events []zk.Event
}

func (w world) open(host Host, servers ...int) *client {
	w.Helper()
	c, err := w.Client(host, servers...)
	if err != nil {
		w.Fatal(err)
	}
	o := &client{w: w}
	s, err := c.Open(w.Context(), timeout, func(e zk.Event) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.events = append(o.events, e)
	})
	if err != nil {
		w.Fatal(err)
	}
	o.Session = s.(*Session)
	return o
}

func (c *client) make(path string, mode zk.Mode) {
	c.w.Helper()
	if _, err := c.Create(c.w.Context(), path, nil, mode); err != nil {
		c.w.Fatalf("create %s: %v", path, err)
	}
}

// version is that of a node as the session's server knows it, -1 if there is none.
func (c *client) version(path string) int32 {
	c.w.Helper()
	_, v, err := c.Get(c.w.Context(), path)
	if errors.Is(err, zk.ErrNoNode) {
		return -1
	}
	if err != nil {
		c.w.Fatalf("get %s: %v", path, err)
	}
	return v
}

func (c *client) heard(t zk.EventType) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if e.Type == t {
			n++
		}
	}
	return n
}

// briefly is a context that ends soon.
func (w world) briefly() context.Context {
	ctx, cancel := context.WithTimeout(w.Context(), 100*time.Millisecond)
	w.Cleanup(cancel)
	return ctx
}

func (w world) wants(what string, got, want any) {
	w.Helper()
	if got != want {
		w.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (w world) is(what string, err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func TestFollowersLag(t *testing.T) {
	run(t, Config{Lag: 500 * time.Millisecond}, func(w world) {
		writer, reader := w.open("writer", 0), w.open("reader", 1)
		writer.make("/a", zk.Persistent)
		w.wants("before the follower knows", reader.version("/a"), int32(-1))
		w.is("sync", reader.Sync(w.Context(), "/"), nil)
		w.wants("after a sync", reader.version("/a"), int32(0))
		w.Delay(Server(0), Server(1), 3*time.Second)
		w.is("set", writer.Set(w.Context(), "/a", nil, 0), nil)
		time.Sleep(time.Second)
		w.wants("while the follower lags", reader.version("/a"), int32(0))
		w.is("sync", reader.Sync(w.Context(), "/"), nil)
		w.wants("when it has caught up", reader.version("/a"), int32(1))
	})
}

func TestAServerThatLagsBehindASessionRefusesIt(t *testing.T) {
	run(t, Config{}, func(w world) {
		o := w.open("o", 0, 1)
		w.Delay(Server(0), Server(1), 3*time.Second)
		o.make("/a", zk.Persistent)
		w.Delay(Server(0), Server(1), 0)
		w.CutBoth(o.Host(), Server(0))
		w.Disconnect(o.ID())
		time.Sleep(2500 * time.Millisecond) // it has tried both
		w.wants("connected to", w.ServerOf(o.ID()), -1)
		time.Sleep(4500 * time.Millisecond)
		w.wants("connected to", w.ServerOf(o.ID()), 1)
		w.wants("version", o.version("/a"), int32(0))
	})
}

func TestANewLeaderHasAllThatWasCommitted(t *testing.T) {
	run(t, Config{}, func(w world) {
		o := w.open("o", 0)
		w.Delay(Server(0), Server(2), time.Hour) // it has the proposals, not the commits
		w.Delay(Server(0), Server(1), time.Hour)
		o.make("/a", zk.Persistent)
		if err := w.Elect(2); err != nil {
			w.Fatal(err)
		}
		w.wants("version", w.open("observer", 2).version("/a"), int32(0))
	})
}

func TestARequestIsCarriedOutAfterItsCallerGaveUp(t *testing.T) {
	run(t, Config{}, func(w world) {
		o, observer := w.open("o", 1), w.open("observer", 0)
		w.Cut(Server(1), Server(0))
		_, err := o.Create(w.briefly(), "/late", nil, zk.Ephemeral)
		w.is("create", err, context.DeadlineExceeded)
		w.wants("before it arrives", observer.version("/late"), int32(-1))
		w.Heal(Server(1), Server(0))
		time.Sleep(time.Millisecond)
		w.wants("when it has arrived", observer.version("/late"), int32(0))
	})
}

func TestARequestIsCarriedOutAfterItsConnectionWasLost(t *testing.T) {
	run(t, Config{}, func(w world) {
		o, observer := w.open("o", 1), w.open("observer", 0)
		w.Cut(Server(1), Server(0))
		lost := make(chan error, 1)
		go func() { _, err := o.Create(w.Context(), "/late", nil, zk.Persistent); lost <- err }()
		synctest.Wait()
		w.Disconnect(o.ID())
		w.is("create", <-lost, zk.ErrConnectionLost)
		w.wants("before it arrives", observer.version("/late"), int32(-1))
		w.Heal(Server(1), Server(0))
		time.Sleep(time.Second)
		w.wants("when it has arrived", observer.version("/late"), int32(0))
		// It has come back to the same server, where its requests stay in order.
		w.wants("own read", o.version("/late"), int32(0))
	})
}

func TestARequestIsRefusedWhenItsSessionHasMoved(t *testing.T) {
	run(t, Config{}, func(w world) {
		o, observer := w.open("o", 1, 2), w.open("observer", 0)
		w.Cut(Server(1), Server(0))
		lost := make(chan error, 1)
		go func() { _, err := o.Create(w.Context(), "/late", nil, zk.Persistent); lost <- err }()
		synctest.Wait()
		w.Disconnect(o.ID())
		w.is("create", <-lost, zk.ErrConnectionLost)
		time.Sleep(time.Second)
		w.wants("moved to", w.ServerOf(o.ID()), 2)
		w.Heal(Server(1), Server(0))
		time.Sleep(time.Second)
		w.wants("when it has arrived", observer.version("/late"), int32(-1))
		w.wants("still at", w.ServerOf(o.ID()), 2)
	})
}

func TestWhatWasSentOnAConnectionGivenUpArrivesWhenTheNetworkHeals(t *testing.T) {
	run(t, Config{}, func(w world) {
		o, observer := w.open("o", 1, 2), w.open("observer", 0)
		w.CutBoth(o.Host(), Server(1))
		w.CutBoth(o.Host(), Server(2))
		_, err := o.Create(w.Context(), "/late", nil, zk.Persistent)
		w.is("create", err, zk.ErrConnectionLost)
		w.HealBoth(o.Host(), Server(1))
		time.Sleep(time.Millisecond)
		w.wants("when it has arrived", observer.version("/late"), int32(0))
		w.wants("disconnects", o.heard(zk.Disconnected), 1)
	})
}

func TestASessionLivesByPingsThatAreNotAnswered(t *testing.T) {
	run(t, Config{}, func(w world) {
		o, observer := w.open("o"), w.open("observer", 0)
		o.make("/e", zk.Ephemeral)
		for i := range 3 {
			w.Cut(Server(i), o.Host())
		}
		time.Sleep(10 * timeout)
		w.wants("disconnects", o.heard(zk.Disconnected), 1)
		w.wants("version", observer.version("/e"), int32(0))
		w.HealAll()
		time.Sleep(timeout)
		w.wants("expiries", o.heard(zk.Expired), 0)
	})
}

func TestExpiryIsAtTheEndOfATick(t *testing.T) {
	run(t, Config{}, func(w world) {
		began := time.Now()
		o, observer := w.open("o", 0), w.open("observer", 0)
		o.make("/e", zk.Ephemeral)
		time.Sleep(300 * time.Millisecond)
		_ = o.version("/e") // touches at the leader
		w.CutBoth(o.Host(), Server(0))
		for observer.version("/e") == 0 {
			time.Sleep(time.Millisecond)
		}
		w.wants("gone at the end of the tick in which 6.3 s end", time.Since(began).Round(2*time.Millisecond), 8*time.Second)
	})
}

func TestANewLeaderGivesEverySessionItsFullTime(t *testing.T) {
	run(t, Config{}, func(w world) {
		o, observer := w.open("o", 1), w.open("observer", 2)
		o.make("/e", zk.Ephemeral)
		w.CutBoth(o.Host(), Server(1))
		time.Sleep(5 * time.Second)
		if err := w.Elect(2); err != nil {
			w.Fatal(err)
		}
		time.Sleep(timeout)
		w.wants("a timeout after the election", observer.version("/e"), int32(0))
		time.Sleep(2 * time.Second)
		w.wants("another tick later", observer.version("/e"), int32(-1))
	})
}

func TestALeaderThatWasDeposedAnswersFromItsPast(t *testing.T) {
	run(t, Config{}, func(w world) {
		old, writer := w.open("old", 0), w.open("writer", 1, 2)
		writer.make("/a", zk.Persistent)
		w.CutBoth(Server(0), Server(1))
		w.CutBoth(Server(0), Server(2))
		if err := w.Elect(1); err != nil {
			w.Fatal(err)
		}
		w.is("set at the new leader", retry(func() error { return writer.Set(w.Context(), "/a", nil, 0) }), nil)
		w.is("sync at the old one", old.Sync(w.briefly(), "/"), nil)
		w.wants("version there", old.version("/a"), int32(0))
		w.is("set there", old.Set(w.briefly(), "/a", nil, zk.AnyVersion), context.DeadlineExceeded)
		time.Sleep(12 * time.Second) // SyncLimit
		w.wants("served by", w.ServerOf(old.ID()), -1)
		w.HealAll()
		time.Sleep(3 * time.Second)
		w.is("sync", retry(func() error { return old.Sync(w.Context(), "/") }), zk.ErrSessionOver) // nobody touched it at the new leader
		w.wants("the write that was given up", writer.version("/a"), int32(1))
	})
}

// retry repeats a request that was lost.
func retry(request func() error) error {
	for {
		if err := request(); !errors.Is(err, zk.ErrConnectionLost) {
			return err
		}
	}
}

func TestWritesWaitForAMajority(t *testing.T) {
	run(t, Config{}, func(w world) {
		o, reader := w.open("o", 0), w.open("reader", 0)
		w.Cut(Server(0), Server(1))
		w.Cut(Server(2), Server(0))
		_, err := o.Create(w.briefly(), "/a", nil, zk.Persistent)
		w.is("create without a majority", err, context.DeadlineExceeded)
		w.wants("children meanwhile", len(must(reader.Children(w.Context(), "/", false))), 0)
		w.HealAll()
		time.Sleep(time.Millisecond)
		w.wants("when a majority hears of it", o.version("/a"), int32(0))
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestAMajorityElectsALeaderThatHasAll(t *testing.T) {
	run(t, Config{Lag: time.Second}, func(w world) {
		o := w.open("o", 1, 2)
		o.make("/a", zk.Persistent)
		w.Cut(Server(0), Server(1)) // it will lag, and has the votes all the same
		w.is("set", retry(func() error { return o.Set(w.Context(), "/a", nil, zk.AnyVersion) }), nil)
		w.Kill(0)
		w.HealAll()
		time.Sleep(3 * time.Second)
		w.wants("leader", w.Leader() > 0, true)
		w.wants("version", o.version("/a") >= 1, true)
		w.Kill(2)
		w.Kill(1)
		time.Sleep(time.Second)
		w.wants("leader when all are dead", w.Leader(), -1)
		w.Start(0)
		time.Sleep(time.Second)
		w.wants("leader when one of three lives", w.Leader(), -1)
		w.Start(1)
		time.Sleep(3 * time.Second)
		w.wants("version", o.version("/a") >= 1, true)
		w.wants("expiries", o.heard(zk.Expired), 0)
	})
}

func TestALateEventHoldsWhatIsBehindIt(t *testing.T) {
	run(t, Config{}, func(w world) {
		o, other := w.open("o", 0), w.open("other", 0)
		must(o.Children(w.Context(), "/", true))
		w.Delay(Server(0), o.Host(), time.Second)
		other.make("/a", zk.Persistent)
		w.Delay(Server(0), o.Host(), 0)
		began := time.Now()
		w.wants("version", o.version("/a"), int32(0))
		w.wants("read took", time.Since(began), time.Second)
		w.wants("events", o.heard(zk.ChildrenChanged), 1)
	})
}

func TestWatchesEndWithTheirConnection(t *testing.T) {
	run(t, Config{}, func(w world) {
		o, other := w.open("o", 1, 2), w.open("other", 0)
		other.make("/a", zk.Persistent)
		other.make("/b", zk.Persistent)
		for _, path := range []string{"/a", "/b"} {
			must(o.Children(w.Context(), path, true))
		}
		w.Disconnect(o.ID())
		time.Sleep(time.Second)
		w.wants("connections", o.heard(zk.Connected), 2)
		w.wants("events of what may have changed meanwhile", o.heard(zk.ChildrenChanged), 2)
		must(o.Children(w.Context(), "/b", true))
		other.make("/a/x", zk.Persistent)
		other.make("/b/x", zk.Persistent)
		synctest.Wait()
		w.wants("events of what is watched again", o.heard(zk.ChildrenChanged), 3)
	})
}

func TestAWipedEnsembleRefusesThoseWhoHaveSeenMore(t *testing.T) {
	run(t, Config{}, func(w world) {
		o := w.open("o")
		o.make("/a", zk.Persistent)
		w.Wipe()
		time.Sleep(timeout)
		w.wants("connected to", w.ServerOf(o.ID()), -1)
		w.wants("expiries", o.heard(zk.Expired), 0)
		fresh := w.open("fresh")
		w.wants("version", fresh.version("/a"), int32(-1))
		for i := range 5 {
			fresh.make(fmt.Sprint("/", i), zk.Persistent)
		}
		time.Sleep(timeout)
		w.wants("expiries when it has done more", o.heard(zk.Expired), 1)
	})
}

func TestCollectionOfContainers(t *testing.T) {
	run(t, Config{Collect: time.Minute}, func(w world) {
		o := w.open("o", 0)
		for _, path := range []string{"/a", "/a/b", "/a/b/c", "/never"} {
			o.make(path, zk.Container)
		}
		w.is("delete", o.Delete(w.Context(), "/a/b/c", zk.AnyVersion), nil)
		w.CollectContainers()
		w.wants("the innermost", o.version("/a/b"), int32(-1))
		w.wants("its parent, at the same time", o.version("/a"), int32(0))
		time.Sleep(time.Minute)
		w.wants("its parent, at the next time", o.version("/a"), int32(-1))
		w.wants("one that had no child", o.version("/never"), int32(0))
	})
}

func TestFates(t *testing.T) {
	fates := map[string]Fate{"o/1 create /lost #1 enters": LoseRequest, "o/1 create /done #1 enters": LoseAnswer}
	gate := func(_ context.Context, p Point) Fate { return fates[p.String()] }
	run(t, Config{Gate: gate}, func(w world) {
		o := w.open("o")
		for _, path := range []string{"/lost", "/done"} {
			_, err := o.Create(w.Context(), path, nil, zk.Persistent)
			w.is(path, err, zk.ErrConnectionLost)
		}
		w.wants("what was lost", o.version("/lost"), int32(-1))
		w.wants("what was done", o.version("/done"), int32(0))
	})
}

func TestAnAnswerThatHasComeIsNotLostToItsContext(t *testing.T) {
	parked := make(chan struct{})
	gate := func(_ context.Context, p Point) Fate {
		if p.Answer && p.Op == opCreate {
			<-parked
		}
		return Deliver
	}
	run(t, Config{Gate: gate}, func(w world) {
		parked = make(chan struct{})
		o := w.open("o", 1)
		w.Delay(Server(1), Server(0), 200*time.Millisecond)
		answer := make(chan error)
		go func() { _, err := o.Create(w.briefly(), "/a", nil, zk.Persistent); answer <- err }()
		time.Sleep(time.Second)
		close(parked)
		w.is("create", <-answer, nil)
	})
}

// TestTheSameChoicesGiveTheSameHistory drives sessions through a scheduler that lets one call go at a time.
func TestTheSameChoicesGiveTheSameHistory(t *testing.T) {
	first := history(t)
	if len(first) < 200 {
		t.Fatalf("there are %d steps only", len(first))
	}
	for range 5 {
		again := history(t)
		for i := range min(len(first), len(again)) {
			if first[i] != again[i] {
				t.Fatalf("step %d is %q, and was %q", i, again[i], first[i])
			}
		}
		if len(again) != len(first) {
			t.Fatalf("%d steps, and there were %d", len(again), len(first))
		}
	}
}

func history(t *testing.T) (steps []string) {
	type call struct {
		point string
		pass  chan struct{}
	}
	var mu sync.Mutex
	var calls []call
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, fmt.Sprintf(format, args...))
	}
	gate := func(_ context.Context, p Point) Fate {
		pass := make(chan struct{})
		mu.Lock()
		calls = append(calls, call{p.String(), pass})
		mu.Unlock()
		<-pass
		return Deliver
	}
	run(t, Config{Lag: 3 * time.Millisecond, Gate: gate}, func(w world) {
		var clients sync.WaitGroup
		for i := range 4 {
			clients.Go(func() {
				c := must(w.Client(Host(fmt.Sprint("c", i))))
				s, err := c.Open(w.Context(), timeout, func(e zk.Event) { note("c%d hears %v %s", i, e.Type, e.Path) })
				if err != nil {
					w.Error(err)
					return
				}
				for n := range 8 {
					path, err := s.Create(w.Context(), "/n-", nil, zk.EphemeralSequential)
					note("c%d has made %s, %v", i, path, err)
					names, err := s.Children(w.Context(), "/", true)
					note("c%d sees %v, %v", i, names, err)
					if n%3 == 2 {
						err := s.Delete(w.Context(), path, zk.AnyVersion)
						note("c%d has deleted %s, %v", i, path, err)
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { clients.Wait(); close(done) }()
		for turn := 0; ; turn++ {
			synctest.Wait()
			if turn == 40 {
				w.Disconnect(2)
				w.Kill(0)
				continue
			}
			mu.Lock()
			slices.SortFunc(calls, func(a, b call) int { return strings.Compare(a.point, b.point) })
			var next call
			if len(calls) > 0 {
				k := turn * 7 % len(calls)
				next = calls[k]
				calls = slices.Delete(calls, k, k+1)
			}
			mu.Unlock()
			switch {
			case next.pass != nil:
				note("%s", next.point)
				close(next.pass)
			default:
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
				}
			}
		}
	})
	return steps
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	if _, err := New(Config{Servers: -1}); err == nil {
		t.Error("a model has -1 servers")
	}
	run(t, Config{}, func(w world) {
		w.open("a")
		if _, err := w.Client("a"); err == nil {
			w.Error("two clients have one name")
		}
		if _, err := w.Client("b", 3); err == nil {
			w.Error("a client connects to server 3 of 0 to 2")
		}
	})
}

func TestCloseSaysWhenItDoesNotKnow(t *testing.T) {
	run(t, Config{}, func(w world) {
		o, observer := w.open("o", 1), w.open("observer", 0)
		o.make("/e", zk.Ephemeral)
		w.CutBoth(o.Host(), Server(1))
		w.is("close", o.Close(w.briefly()), context.DeadlineExceeded)
		_, err := o.Children(w.Context(), "/", false)
		w.is("children", err, zk.ErrSessionOver)
		w.wants("version", observer.version("/e"), int32(0))
		time.Sleep(2 * timeout)
		w.wants("after its timeout", observer.version("/e"), int32(-1))
	})
}
