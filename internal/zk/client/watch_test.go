package client

import (
	"encoding/binary"
	"fmt"
	"strings"
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

// The library keeps a channel for each watch that it asks for, until the watched list changes: so it asks for one at a time.
func TestWatchIsAskedForOnce(t *testing.T) {
	server := newFake(t)
	var asked atomic.Int32
	server.serve = func(c *fakeConn, xid, op int32, body []byte) error {
		switch {
		case op != opChildren:
			return c.answer(xid, 0)
		case body[len(body)-1] == 1:
			asked.Add(1)
		}
		return c.answer(xid, 0, make([]byte, 4+68)...) // no names, a stat
	}
	way := &network{}
	s, events := open(t, newEnsemble(t, []string{server.addr()}, Options{Dial: way.dial}), 6*time.Second)
	list := func() {
		for range 100 {
			if _, err := s.Children(within(t, patience), "/a", true); err != nil {
				t.Fatal(err)
			}
		}
	}
	list()
	if asked.Load() != 1 {
		t.Errorf("of 100 lists %d have asked for a watch", asked.Load())
	}
	way.set(false)
	events.await(t, zk.Event{Type: zk.ChildrenChanged, Path: "/a"}, 1) // nobody knows what happens from now on
	events.await(t, zk.Event{Type: zk.Connected}, 2)
	list()
	if asked.Load() != 2 {
		t.Errorf("on two connections %d lists have asked for a watch", asked.Load())
	}
	if n := events.count(zk.Event{Type: zk.ChildrenChanged, Path: "/a"}); n != 1 {
		t.Errorf("%d events have come", n)
	}
}

// A change comes between a list and the watch that it relies on: the watch is gone, so the list is made again, with another one.
func TestListWhoseWatchFiresMeanwhileIsMadeAgain(t *testing.T) {
	server := newFake(t)
	var lists, asked atomic.Int32
	server.serve = func(c *fakeConn, xid, op int32, body []byte) error {
		if op != opChildren {
			return c.answer(xid, 0)
		}
		if body[len(body)-1] == 1 {
			asked.Add(1)
		}
		if lists.Add(1) == 2 {
			if _, err := c.Write(changed("/a")); err != nil {
				return err
			}
		}
		return c.answer(xid, 0, make([]byte, 4+68)...)
	}
	s, _ := open(t, newEnsemble(t, []string{server.addr()}, Options{}), 6*time.Second)
	for range 2 {
		if _, err := s.Children(within(t, patience), "/a", true); err != nil {
			t.Fatal(err)
		}
	}
	if lists.Load() != 3 || asked.Load() != 2 {
		t.Errorf("%d lists were made, %d of them with a watch", lists.Load(), asked.Load())
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

// changed must be what a server sends.
func TestForgedEventIsWellFormed(t *testing.T) {
	frame := changed("/a/b")
	if n := binary.BigEndian.Uint32(frame); int(n) != len(frame)-4 {
		t.Errorf("the frame says %d bytes and has %d", n, len(frame)-4)
	}
	if path := firstString(frame[4+answerHeader+8:]); path != "/a/b" || !strings.HasSuffix(string(frame), path) {
		t.Errorf("path %q", path)
	}
}
