package highlander

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/highlander-go/highlander/internal/parts"
	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type tally struct{ N int }

var (
	bump = object.Update("Bump", func(_ context.Context, t *tally, by int) (int, error) {
		t.N += by
		return t.N, nil
	})
	tallies = &object.Type[tally]{Name: "tally", Methods: []object.Method[tally]{bump}}
)

// lose has the registry declare the session lost that the node has.
func lose(t *testing.T, n *Node) {
	t.Helper()
	if _, err := tallies.On(n).Get(t.Context(), "probe"); err != nil {
		t.Fatal(err)
	}
	m, ok, err := n.Host().Owner(t.Context(), object.Key{Type: "tally", ID: "probe"})
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	n.registry.(*memregistry.Registry).Expire(m.Incarnation)
}

func TestANodeThatLosesItsSessionComesBackByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := OpenTest(t, tallies)
		ref := tallies.On(n).Ref("a")
		for i := 1; i <= 20; i++ { // more often than the restart intensity would allow
			if v, err := bump.Call(t.Context(), ref, 1); v != i || err != nil {
				t.Fatal(v, err)
			}
			lose(t, n)
			ctx, cancel := context.WithTimeout(t.Context(), time.Microsecond)
			if _, err := tallies.On(n).Get(ctx, "a"); !errors.Is(err, object.ErrUnavailable) {
				t.Fatalf("without a session: %v", err)
			}
			cancel()
			start := time.Now()
			if s, err := tallies.On(n).Get(t.Context(), "a"); s.N != i || err != nil {
				t.Fatal(s, err)
			}
			// It has torn its own session down itself: nobody need wait for that one's lease.
			if took := time.Since(start); took >= 2*time.Second && i == 1 {
				t.Fatalf("it took %v to come back", took)
			}
		}
		if n.Err() != nil {
			t.Fatal(n.Err())
		}
	})
}

func TestDrainFinishesWhatWasAccepted(t *testing.T) {
	dir := "file:" + t.TempDir()
	n, err := Open(t.Context(), Config{Store: dir}, tallies)
	if err != nil {
		t.Fatal(err)
	}
	var (
		callers sync.WaitGroup
		mu      sync.Mutex
		acked   = make(map[string]int)
	)
	started := make(chan struct{}, 16)
	for i := range 16 {
		callers.Go(func() {
			id := fmt.Sprint(i % 4)
			for first := true; ; first = false {
				if _, err := bump.Call(t.Context(), tallies.On(n).Ref(id), 1); err != nil {
					if !errors.Is(err, object.ErrClosed) {
						t.Errorf("during a drain: %v", err)
					}
					return
				}
				mu.Lock()
				acked[id]++
				mu.Unlock()
				if first {
					started <- struct{}{}
				}
			}
		})
	}
	for range 16 {
		<-started
	}
	if err := n.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	callers.Wait()

	again, err := Open(t.Context(), Config{Store: dir}, tallies)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for id, want := range acked {
		if s, err := tallies.On(again).Get(t.Context(), id); s.N != want || err != nil {
			t.Errorf("%s is %d, %v; %d updates were acknowledged and none was in doubt", id, s.N, err, want)
		}
	}
}

func TestADrainThatIsNotInTimeSaysWhatIsLeft(t *testing.T) {
	slow := object.Update("Slow", func(ctx context.Context, _ *tally, _ object.None) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	slows := &object.Type[tally]{Name: "slow", Methods: []object.Method[tally]{slow}}
	synctest.Test(t, func(t *testing.T) {
		n := OpenTest(t, slows)
		call := make(chan error)
		go func() {
			_, err := slow.Call(context.Background(), slows.On(n).Ref("a"), object.None{})
			call <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		drained := make(chan error)
		go func() { drained <- n.Drain(ctx) }()
		if err := <-call; !errors.Is(err, object.ErrUnavailable) {
			t.Error(err)
		}
		if err := <-drained; err != nil && !strings.Contains(err.Error(), "1 objects") {
			t.Error(err)
		}
	})
}

func TestCloseEndsCallsAndMayBeCalledAgain(t *testing.T) {
	n, err := Open(t.Context(), Config{}, tallies)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Ready(); err != nil {
		t.Error(err)
	}
	var closers sync.WaitGroup
	for range 8 {
		closers.Go(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	closers.Wait()
	if _, err := tallies.On(n).Get(t.Context(), "a"); !errors.Is(err, object.ErrClosed) {
		t.Error(err)
	}
	if err := n.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if n.Ready() == nil {
		t.Error("a closed node is ready")
	}
	<-n.Done()
	if n.Err() != nil {
		t.Error(n.Err())
	}
}

func TestTwoNodesOfOneProcessShareNothing(t *testing.T) {
	a, b := OpenTest(t, tallies), OpenTest(t, tallies)
	if _, err := bump.Call(t.Context(), tallies.On(a).Ref("x"), 5); err != nil {
		t.Fatal(err)
	}
	if s, err := tallies.On(b).Get(t.Context(), "x"); s.N != 0 || err != nil {
		t.Fatal(s, err)
	}
}

func TestIdleObjectsOfATestNodeAreReleasedInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := OpenTest(t, tallies)
		key := object.Key{Type: "tally", ID: "a"}
		if _, err := bump.Call(t.Context(), tallies.On(n).Ref(key.ID), 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * object.DefaultIdle)
		synctest.Wait()
		if _, live, err := n.Host().Owner(t.Context(), key); live || err != nil {
			t.Fatal(live, err)
		}
		if s, err := tallies.On(n).Get(t.Context(), key.ID); s.N != 1 || err != nil {
			t.Fatal(s, err)
		}
	})
}

func TestOpenSaysWhatToChange(t *testing.T) {
	taken := t.TempDir()
	n, err := Open(t.Context(), Config{Store: "file:" + taken}, tallies)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for name, c := range map[string]struct {
		config Config
		types  []object.Definition
		want   string
	}{
		"an unknown registry":           {Config{Registry: "etcd://e1/todo"}, nil, "zk://"},
		"a registry without a root":     {Config{Registry: "zk://z1:2181", Listen: "127.0.0.1:0"}, nil, "no root"},
		"a node nobody can call":        {Config{Registry: "zk://z1:2181/todo"}, nil, "Config.Listen is empty"},
		"two session timeouts":          {Config{Registry: "zk://z1/todo?session_timeout=9s", SessionTimeout: 8 * time.Second, ClientOnly: true}, nil, "set one of them"},
		"a state directory without use": {Config{StateDir: "state"}, nil, "StateDir"},
		"a disconnect without use":      {Config{StopOnDisconnect: true}, nil, "StopOnDisconnect"},
		"a store that cannot be meant":  {Config{Store: "s3://bucket?shoe=44"}, nil, `parameter "shoe" is not known`},
		"a store without a scheme":      {Config{Store: "data"}, nil, "no scheme"},
		"a store that is in use":        {Config{Store: "file:" + taken}, nil, taken},
		"a short lease":                 {Config{Lease: time.Millisecond}, nil, "10 ms or more"},
		"a short session":               {Config{Lease: 2 * time.Second, SessionTimeout: time.Second}, nil, "longer than Config.Lease"},
		"a type twice":                  {Config{}, []object.Definition{tallies, tallies}, "defined twice"},
	} {
		n, err := Open(t.Context(), c.config, c.types...)
		if err == nil {
			n.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want it to say %q", name, err, c.want)
		}
	}
}

// What is wrong is said once, and of what the config says, not of what follows from it.
func TestOpenSaysAllThatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"a lease": {Config{Lease: -1}, "highlander: Config.Lease is -1ns: make it 10 ms or more; 2 s is a good start"},
		"two things": {Config{Lease: -1, StateDir: "state"}, "highlander: Config.StateDir is for nodes on ZooKeeper: leave it out\n" +
			"highlander: Config.Lease is -1ns: make it 10 ms or more; 2 s is a good start"},
	} {
		if _, err := Open(t.Context(), c.config); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v; want it to say %q", name, err, c.want)
		}
	}
}

// An unreachable is a store that nobody can reach.
type unreachable struct{ persist.Store }

func (unreachable) Get(context.Context, string) ([]byte, object.Tag, error) {
	return nil, "", errors.New("the network is down")
}

// While ZooKeeper cannot be reached, the log says so now and then, and why.
func TestOpenThatWaitsForZooKeeperSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 70*time.Second)
		defer cancel()
		given := parts.Parts{Store: unreachable{persist.NewMemory()}, DialRegistry: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("connection refused")
		}}
		var log bytes.Buffer // who writes it is waited for
		config := Config{Registry: "zk://127.0.0.1:2181/todo", ClientOnly: true, Log: slog.New(slog.NewTextHandler(&log, nil))}
		_, err := Open(parts.With(ctx, given), config)
		if err == nil || !strings.HasPrefix(err.Error(), "highlander: Config.Store: ") || !strings.Contains(err.Error(), "; Config.Registry: ") {
			t.Error(err)
		}
		var waiting []string
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, `level=WARN msg="still waiting for ZooKeeper" servers=[127.0.0.1:2181]`) && strings.Contains(line, "connection refused") {
				waiting = append(waiting, line)
			}
		}
		if len(waiting) != 3 { // after 5, 35 and 65 s
			t.Errorf("it has said so %d times: %s", len(waiting), log.String())
		}
	})
}

func TestOpenEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := Open(ctx, Config{}, tallies); err == nil {
		n.Close()
		t.Skip("it was open before it noticed")
	} else if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	// The context of Open bounds the opening, not the node's life.
	ctx, cancel = context.WithCancel(t.Context())
	n, err := Open(ctx, Config{}, tallies)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	cancel()
	if _, err := bump.Call(t.Context(), tallies.On(n).Ref("a"), 1); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyARootInZooKeeperAdoptsAStore(t *testing.T) {
	err := AdoptStore(t.Context(), Config{Store: "file:" + t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "only a root in ZooKeeper") {
		t.Error(err)
	}
}

// A node that is closed between two sessions has torn the lost one down: nobody need wait for it.
func TestANodeThatIsClosedBetweenTwoSessionsIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memregistry.New(memregistry.Options{})
		defer r.Close()
		store := persist.NewMemory()
		open := func() *Node {
			n, err := Open(parts.With(t.Context(), parts.Parts{Registry: r, Store: store}), Config{}, tallies)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		a := open()
		if _, err := bump.Call(t.Context(), tallies.On(a).Ref("x"), 1); err != nil {
			t.Fatal(err)
		}
		m, _, err := r.Owner(t.Context(), object.Key{Type: "tally", ID: "x"})
		if err != nil {
			t.Fatal(err)
		}
		r.Expire(m.Incarnation)
		synctest.Wait() // the session has ended, and the next one has not begun
		a.Close()
		b := open()
		defer b.Close()
		start := time.Now()
		if v, err := bump.Call(t.Context(), tallies.On(b).Ref("x"), 1); v != 2 || err != nil {
			t.Fatal(v, err)
		}
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("the next owner has waited for %v", took)
		}
	})
}

// A session that is lost as its node is closed is no reason why the node has stopped.
func TestANodeThatIsClosedAsItsSessionIsLostHasNoError(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			r := memregistry.New(memregistry.Options{})
			defer r.Close()
			n, err := Open(parts.With(t.Context(), parts.Parts{Registry: r}), Config{}, tallies)
			if err != nil {
				t.Fatal(err)
			}
			members, err := r.Members(t.Context())
			if err != nil || len(members) != 1 {
				t.Fatal(members, err)
			}
			r.Expire(members[0].Incarnation)
			n.Close()
			if err := n.Err(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A slowMember is a registry whose sessions take their time to say whose they are.
type slowMember struct{ *memregistry.Registry }

func (r slowMember) Join(ctx context.Context, m object.Member) (object.Session, error) {
	s, err := r.Registry.Join(ctx, m)
	return slowMemberSession{s}, err
}

type slowMemberSession struct{ object.Session }

func (s slowMemberSession) Member() object.Member {
	time.Sleep(time.Second)
	return s.Session.Member()
}

// What Open returns owns what it is asked for: a node that prefers itself does not send the first calls elsewhere.
func TestANodeThatWasOpenedIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memregistry.New(memregistry.Options{})
		defer r.Close()
		n, err := Open(parts.With(t.Context(), parts.Parts{Registry: slowMember{r}}), Config{}, tallies)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		if err := n.Ready(); err != nil {
			t.Error(err)
		}
	})
}
