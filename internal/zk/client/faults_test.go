package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/zkserver"
)

func TestSessionEndedFromOutsideIsOver(t *testing.T) {
	addrs := zkserver.Addrs(t)
	e := newEnsemble(t, addrs, Options{})
	witness, _ := open(t, e, 6*time.Second)
	dir := root(t, witness)
	s, events := open(t, e, 3*time.Second)
	must(t)(s.Create(t.Context(), dir+"/mine", nil, zk.Ephemeral))
	if err := zkserver.EndSession(within(t, patience), addrs[0], s.ID()); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil || errors.Is(err, zk.ErrConnectionLost) { // the server need not say it before it is asked
		err = s.Set(within(t, patience), dir, nil, zk.AnyVersion)
	}
	if !errors.Is(err, zk.ErrSessionOver) {
		t.Errorf("Set in a session that was ended: %v", err)
	}
	events.await(t, zk.Event{Type: zk.Expired}, 1)
	await(t, "the session's node goes", func() bool {
		names, err := witness.Children(t.Context(), dir, false)
		return err == nil && len(names) == 0
	})
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("Close of a session that has ended: %v", err)
	}
	if all := events.all(); all[len(all)-1].Type != zk.Expired {
		t.Errorf("events after the last one: %v", all)
	}
}

// What waits for a connection while the session expires is never carried out: not under this session, and not under another one.
func TestRequestsQueuedWhileTheSessionExpiresNeverRun(t *testing.T) {
	addrs, way := zkserver.Addrs(t), &network{}
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	witness, _ := open(t, newEnsemble(t, addrs, Options{}), 6*time.Second)
	dir := root(t, witness)
	s, events := open(t, newEnsemble(t, addrs, Options{Dial: way.dial}), 60*time.Second)
	way.set(true)
	events.await(t, zk.Event{Type: zk.Disconnected}, 1)

	const queued = 50
	errs := make([]error, queued)
	var waiting sync.WaitGroup
	for i := range queued {
		waiting.Go(func() {
			path := fmt.Sprintf("%s/%d", dir, i)
			switch i % 3 {
			case 0:
				_, errs[i] = s.Create(t.Context(), path, nil, zk.Persistent)
			case 1:
				_, errs[i] = s.Create(t.Context(), path, nil, zk.Ephemeral)
			case 2:
				errs[i] = s.Multi(t.Context(), zk.CreateOp(path, nil, zk.Persistent), zk.SetOp(dir, nil, zk.AnyVersion))
			}
		})
	}
	await(t, "requests wait", func() bool { return len(s.slots) == queued })
	if err := zkserver.EndSession(within(t, patience), addrs[0], s.ID()); err != nil {
		t.Fatal(err)
	}
	way.set(false)
	waiting.Wait()
	for i, err := range errs {
		if !is(err, zk.ErrSessionOver) {
			t.Errorf("request %d: %v", i, err)
		}
	}
	if err := s.Set(t.Context(), dir, nil, zk.AnyVersion); !is(err, zk.ErrSessionOver) {
		t.Errorf("Set in a session that has expired: %v", err)
	}
	if err := s.Close(t.Context()); err != nil { // whatever it began has come to its end now
		t.Error(err)
	}
	names, err := witness.Children(t.Context(), dir, false)
	if err != nil || len(names) > 0 {
		t.Errorf("the requests have made %q, %v", names, err)
	}
	if _, version, err := witness.Get(t.Context(), dir); version != 0 || err != nil {
		t.Errorf("the requests have written version %d, %v", version, err)
	}
	if want := []zk.EventType{zk.Connected, zk.Disconnected, zk.Expired}; !slices.Equal(types(events), want) {
		t.Errorf("events %v, not %v", types(events), want)
	}
	if err := witness.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func types(j *journal) []zk.EventType {
	var types []zk.EventType
	for _, e := range j.all() {
		types = append(types, e.Type)
	}
	return types
}

// A server that answers a reconnect with another session's id: nothing may run there.
func TestSessionNeverTurnsIntoAnotherOne(t *testing.T) {
	for name, granted := range map[string]int64{"another id": 8, "none": 0} {
		t.Run(name, func(t *testing.T) {
			server := newFake(t)
			var served, met atomic.Int32
			server.greet = func(id int64) int64 {
				if met.Add(1) == 1 {
					return 7
				}
				if id != 7 {
					t.Errorf("the client comes with id %d", id)
				}
				return granted
			}
			server.serve = func(*fakeConn, int32, int32, []byte) error { served.Add(1); return errors.New("cut") }
			s, events := open(t, newEnsemble(t, []string{server.addr()}, Options{}), 6*time.Second)
			if err := s.Delete(within(t, patience), "/a", 0); !is(err, zk.ErrConnectionLost) {
				t.Errorf("Delete, cut off: %v", err)
			}
			if err := s.Delete(within(t, patience), "/a", 0); !is(err, zk.ErrSessionOver) {
				t.Errorf("Delete after the session: %v", err)
			}
			events.await(t, zk.Event{Type: zk.Expired}, 1)
			if err := s.Close(within(t, patience)); err != nil {
				t.Error(err)
			}
			if served.Load() != 1 || met.Load() != 2 || s.ID() != 7 {
				t.Errorf("%d requests were made, on %d connections, in session %d", served.Load(), met.Load(), s.ID())
			}
		})
	}
}

func TestCloseWaitsForTheServersWord(t *testing.T) {
	e := newEnsemble(t, zkserver.Addrs(t), Options{})
	witness, _ := open(t, e, 6*time.Second)
	dir := root(t, witness)
	for range 20 {
		s, events := open(t, e, 60*time.Second)
		var made sync.WaitGroup
		for i := range 10 {
			must(t)(s.Create(t.Context(), fmt.Sprintf("%s/%d", dir, i), nil, zk.Ephemeral))
			made.Go(func() { // under way as Close comes; the library reads what this one's answer writes
				_, err := s.Create(t.Context(), fmt.Sprintf("%s/c%d", dir, i), nil, zk.Container)
				if err != nil && !is(err, zk.ErrNodeExists) && !is(err, zk.ErrSessionOver) && !is(err, zk.ErrConnectionLost) {
					t.Errorf("Create as the session is closed: %v", err)
				}
			})
		}
		if err := s.Close(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		made.Wait()
		names, err := witness.Children(t.Context(), dir, false)
		if left := slices.DeleteFunc(names, func(name string) bool { return name[0] == 'c' }); err != nil || len(left) > 0 {
			t.Errorf("after Close there are %q, %v", left, err)
		}
		if want := []zk.EventType{zk.Connected}; !slices.Equal(types(events), want) {
			t.Errorf("events %v, not %v", types(events), want)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("Close again: %v", err)
		}
	}
}

func TestCloseWithoutAConnection(t *testing.T) {
	addrs, way := zkserver.Addrs(t), &network{}
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	witness, _ := open(t, newEnsemble(t, addrs, Options{}), 6*time.Second)
	dir := root(t, witness)
	e := newEnsemble(t, addrs, Options{Dial: way.dial})

	s, events := open(t, e, 60*time.Second)
	must(t)(s.Create(t.Context(), dir+"/left", nil, zk.Ephemeral))
	way.set(true)
	events.await(t, zk.Event{Type: zk.Disconnected}, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "until it expires") {
		t.Errorf("Close without a connection: %v", err)
	}
	if _, _, err := witness.Get(t.Context(), dir+"/left"); err != nil {
		t.Errorf("the session's node: %v", err)
	}

	way.set(false)
	s, events = open(t, e, 60*time.Second)
	must(t)(s.Create(t.Context(), dir+"/closed", nil, zk.Ephemeral))
	way.set(true)
	events.await(t, zk.Event{Type: zk.Disconnected}, 1)
	closed := make(chan error)
	go func() { closed <- s.Close(within(t, patience)) }()
	await(t, "requests are refused", func() bool { return isClosed(s.over) })
	way.set(false)
	if err := <-closed; err != nil {
		t.Errorf("Close as the connection comes back: %v", err)
	}
	if _, _, err := witness.Get(t.Context(), dir+"/closed"); !is(err, zk.ErrNoNode) {
		t.Errorf("the session's node after Close: %v", err)
	}
	if err := witness.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// The connection is lost as Close begins: it goes on with the next one.
func TestCloseTriesAgain(t *testing.T) {
	server := newFake(t)
	var asked atomic.Int32
	server.serve = func(c *fakeConn, xid, op int32, _ []byte) error {
		if op != opClose && asked.Add(1) <= 3 {
			return errors.New("cut")
		}
		return c.answer(xid, 0)
	}
	s, _ := open(t, newEnsemble(t, []string{server.addr()}, Options{}), 6*time.Second)
	if err := s.Close(within(t, patience)); err != nil || asked.Load() != 4 {
		t.Errorf("Close after %d requests: %v", asked.Load(), err)
	}
}

func TestPausedServerEndsNothingButTheConnection(t *testing.T) {
	ensemble := zkserver.Start(t, 1)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server := ensemble.Servers[0]
	s, events := open(t, newEnsemble(t, ensemble.Addrs(), Options{}), 3*time.Second)
	dir := root(t, s)
	server.Pause(t)
	if err := s.Set(within(t, patience), dir, nil, zk.AnyVersion); !is(err, zk.ErrConnectionLost) {
		t.Errorf("Set at a server that is paused: %v", err)
	}
	events.await(t, zk.Event{Type: zk.Disconnected}, 1)
	if err := s.Close(within(t, 50*time.Millisecond)); err == nil {
		t.Error("Close has had the word of a server that is paused")
	}
	server.Resume(t)
}

func TestSessionOutlivesServers(t *testing.T) {
	ensemble := zkserver.Start(t, 3)
	e := newEnsemble(t, ensemble.Addrs(), Options{})
	s, events := open(t, e, 10*time.Second)
	dir := root(t, s)
	must(t)(s.Create(t.Context(), dir+"/mine", nil, zk.Ephemeral))
	for _, server := range ensemble.Servers { // one at a time, the leader among them
		server.Stop()
		if err := eventually(t, func(ctx context.Context) error { return s.Set(ctx, dir, nil, zk.AnyVersion) }); err != nil {
			t.Errorf("Set after %s has stopped: %v", server.Addr(), err)
		}
		server.Restart(t)
	}
	if _, _, err := s.Get(within(t, patience), dir+"/mine"); err != nil {
		t.Errorf("the session's node after a restart of all servers: %v", err)
	}
	if n := events.count(zk.Event{Type: zk.Expired}); n > 0 {
		t.Error("the session has expired")
	}
	if events.count(zk.Event{Type: zk.Disconnected}) == 0 {
		t.Error("the session was never disconnected: the test shows nothing")
	}
}

// eventually repeats a request while its outcome is unknown because of a lost connection.
func eventually(t *testing.T, request func(context.Context) error) error {
	t.Helper()
	ctx := within(t, patience)
	for {
		if err := request(ctx); !errors.Is(err, zk.ErrConnectionLost) {
			return err
		}
	}
}

func TestGrantedTimeoutIsTheServers(t *testing.T) {
	ensemble := zkserver.Start(t, 1)
	s, _ := open(t, newEnsemble(t, ensemble.Addrs(), Options{}), 10*time.Millisecond)
	if s.Timeout() != 2*zkserver.Tick {
		t.Errorf("granted %v, not the least that servers grant, %v", s.Timeout(), 2*zkserver.Tick)
	}
}

// The library would panic over it.
func TestATimeoutOfNothingIsRefused(t *testing.T) {
	for _, timeout := range []time.Duration{0, -time.Millisecond} {
		s := newSession(newEnsemble(t, []string{"127.0.0.1:1"}, Options{}), time.Second, func(zk.Event) {})
		if err := s.admit(7, timeout); err == nil || s.ID() != 0 || s.Timeout() != time.Second {
			t.Errorf("%v: %v; the session has the id %d and the timeout %v", timeout, err, s.ID(), s.Timeout())
		}
	}
}

// A connection on which reading fails is lost at once, and not only when a write that nobody takes is late.
func TestAReadThatFailsEndsAWriteUnderWay(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	s := newSession(newEnsemble(t, []string{"127.0.0.1:1"}, Options{}), time.Second, func(zk.Event) {})
	c, err := newConn(s, near, time.Now().Add(patience))
	if err != nil {
		t.Fatal(err)
	}
	c.greeted = true
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = c.Write(make([]byte, 64)) // nobody reads it
	}()
	go func() { _, _ = far.Write(bytes.Repeat([]byte{0xff}, 4)) }() // the length of an answer, a senseless one
	if _, err := c.Read(make([]byte, 4)); err == nil {
		t.Error("that was read")
	}
	select {
	case <-written:
	case <-time.After(patience / 2):
		t.Error("the write goes on")
	}
}
