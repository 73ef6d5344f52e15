package client

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/zkserver"
)

// The library keeps six events; these are many, all at once, and each has come before an answer shows what it is about.
func TestEventsComeBeforeTheAnswersThatShowThem(t *testing.T) {
	e := newEnsemble(t, zkserver.Addrs(t), Options{})
	writer, _ := open(t, e, 6*time.Second)
	dir := root(t, writer)
	reader, events := open(t, e, 6*time.Second)
	const rounds, nodes = 20, 50
	var makeAll, deleteAll []zk.Op
	for i := range nodes {
		must(t)(writer.Create(t.Context(), fmt.Sprintf("%s/%d", dir, i), nil, zk.Persistent))
		makeAll = append(makeAll, zk.CreateOp(fmt.Sprintf("%s/%d/x", dir, i), nil, zk.Persistent))
		deleteAll = append(deleteAll, zk.DeleteOp(fmt.Sprintf("%s/%d/x", dir, i), 0))
	}
	for round := range rounds {
		for i := range nodes {
			if _, err := reader.Children(t.Context(), fmt.Sprintf("%s/%d", dir, i), true); err != nil {
				t.Fatal(err)
			}
		}
		ops := makeAll
		if round%2 == 1 {
			ops = deleteAll
		}
		written := make(chan error, 1)
		go func() { written <- writer.Multi(t.Context(), ops...) }()
		last := fmt.Sprintf("%s/%d", dir, nodes-1)
		for {
			names, err := reader.Children(t.Context(), last, false)
			if err != nil {
				t.Fatal(err)
			}
			if len(names) == 1-round%2 { // the list is the new one
				break
			}
		}
		for i := range nodes {
			path := fmt.Sprintf("%s/%d", dir, i)
			if n := events.count(zk.Event{Type: zk.ChildrenChanged, Path: path}); n != round+1 {
				t.Fatalf("round %d: a list shows a change, but %d events for %s have come", round, n, path)
			}
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
}

// A watch ends with its connection, and the session says so once. The library knows of no watch, and sets none again by itself.
func TestWatchesEndWithTheirConnection(t *testing.T) {
	server := newFake(t)
	var asked, again atomic.Int32
	server.serve = func(c *fakeConn, xid, op int32, body []byte) error {
		switch {
		case op == opSetWatches:
			again.Add(1)
		case op != opChildren:
		case body[len(body)-1] == 1:
			asked.Add(1)
			fallthrough
		default:
			return c.answer(xid, 0, make([]byte, 4+68)...) // no names, a stat
		}
		return c.answer(xid, 0)
	}
	way := &network{}
	s, events := open(t, newEnsemble(t, []string{server.addr()}, Options{Dial: way.dial}), 6*time.Second)
	list := func(watch bool) {
		for range 100 {
			if _, err := s.Children(within(t, patience), "/a", watch); err != nil {
				t.Fatal(err)
			}
		}
	}
	list(false)
	list(true)
	list(false)
	if asked.Load() != 100 {
		t.Errorf("of 100 lists that are to be watched %d have asked for it", asked.Load())
	}
	for n := 1; n < 3; n++ {
		way.set(false)
		events.await(t, zk.Event{Type: zk.ChildrenChanged, Path: "/a"}, 1) // nobody knows what happens from now on
		events.await(t, zk.Event{Type: zk.Connected}, n+1)
		list(false)
	}
	if n := events.count(zk.Event{Type: zk.ChildrenChanged, Path: "/a"}); n != 1 {
		t.Errorf("%d events have come", n)
	}
	if asked.Load() != 100 || again.Load() > 0 {
		t.Errorf("watches were asked for %d times, and %d times by the library", asked.Load(), again.Load())
	}
}

// The library gives a connection up over an event that it cannot read. That ends the watches as well, before the session is over.
func TestWatchesEndWithAConnectionThatTheLibraryGivesUp(t *testing.T) {
	server, greetings := newFake(t), 0
	server.greet = func(int64) int64 {
		if greetings++; greetings > 2 {
			return 0 // expired
		}
		return 7
	}
	server.serve = func(c *fakeConn, xid, op int32, body []byte) error {
		if op == opChildren {
			return c.answer(xid, 0, make([]byte, 4+68)...)
		}
		return c.send(slices.Concat(bytes.Repeat([]byte{0xff}, 16), []byte{0, 0, 0, 4, 0, 0, 0, 3, 0x7f, 0xff, 0xff, 0xff})) // a change of a path of 2 GiB
	}
	s, events := open(t, newEnsemble(t, []string{server.addr()}, Options{}), 6*time.Second)
	want := []zk.Event{{Type: zk.Connected}}
	for _, end := range []struct {
		next  zk.Event
		times int
	}{{zk.Event{Type: zk.Connected}, 2}, {zk.Event{Type: zk.Expired}, 1}} {
		if _, err := s.Children(within(t, patience), "/a", true); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Get(within(t, patience), "/a"); !is(err, zk.ErrConnectionLost) {
			t.Error(err)
		}
		want = append(want, zk.Event{Type: zk.ChildrenChanged, Path: "/a"}, zk.Event{Type: zk.Disconnected}, end.next)
		events.await(t, end.next, end.times)
	}
	_ = s.Close(within(t, patience)) // it has expired
	if all := events.all(); !slices.Equal(all, want) {
		t.Errorf("the events %v, not %v", all, want)
	}
}

// A failed list sets no watch.
func TestListOfNoNodeSetsNoWatch(t *testing.T) {
	s, events := open(t, newEnsemble(t, zkserver.Addrs(t), Options{}), 6*time.Second)
	dir := root(t, s)
	if _, err := s.Children(t.Context(), dir+"/a", true); !is(err, zk.ErrNoNode) {
		t.Fatal(err)
	}
	must(t)(s.Create(t.Context(), dir+"/a", nil, zk.Persistent))
	if _, err := s.Children(t.Context(), dir+"/a", true); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), dir+"/a", 0); err != nil {
		t.Fatal(err)
	}
	if n := events.count(zk.Event{Type: zk.ChildrenChanged, Path: dir + "/a"}); n != 1 {
		t.Errorf("%d events for a node that was deleted under a watch", n)
	}
}

// Several list and watch the same node, which changes meanwhile, over connections that are lost: whoever has listed hears of the next change.
func TestNoChangeIsMissedUnderAWatch(t *testing.T) {
	addrs, way := zkserver.Addrs(t), &network{}
	writer, _ := open(t, newEnsemble(t, addrs, Options{}), 6*time.Second)
	dir := root(t, writer)
	const changes, readers = 300, 4
	var mu sync.Mutex
	changed := make(chan struct{}) // closed at the next event
	s, err := newEnsemble(t, addrs, Options{Dial: way.dial}).Open(within(t, patience), 6*time.Second, func(e zk.Event) {
		if e.Type == zk.ChildrenChanged {
			mu.Lock()
			defer mu.Unlock()
			close(changed)
			changed = make(chan struct{})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var working sync.WaitGroup
	for range readers {
		working.Go(func() {
			for timeout := time.After(patience); ; {
				mu.Lock()
				next := changed
				mu.Unlock()
				names, err := s.Children(t.Context(), dir, true)
				if is(err, zk.ErrConnectionLost) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if len(names) == changes {
					return
				}
				select {
				case <-next:
				case <-timeout:
					t.Errorf("the list had %d names, and no event came", len(names))
					return
				}
			}
		})
	}
	for i := range changes {
		must(t)(writer.Create(t.Context(), fmt.Sprintf("%s/%d", dir, i), nil, zk.Persistent))
		if i%50 == 49 {
			way.set(false)
		}
	}
	working.Wait()
	if err := s.Close(within(t, patience)); err != nil {
		t.Error(err)
	}
}
