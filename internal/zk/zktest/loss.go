package zktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
)

func disconnectKeepsTheSession(s *scene) {
	h := needs[Disconnecter](s)
	o := s.open()
	id := o.ID()
	o.make(s.root+"/e", zk.Ephemeral)
	for round := range 5 {
		s.must("disconnect", h.Disconnect(o.Session))
		o.hears(round+1, zk.Disconnected, "")
		o.hears(round+2, zk.Connected, "")
		if o.ID() != id {
			s.Errorf("session %#x turned into %#x", id, o.ID())
		}
	}
	var types []zk.EventType
	for _, e := range o.history() {
		types = append(types, e.Type)
	}
	want := append(slices.Repeat([]zk.EventType{zk.Connected, zk.Disconnected}, 5), zk.Connected)
	if !slices.Equal(types, want) {
		s.Errorf("events %v, want %v", types, want)
	}
	if !s.open().exists(s.root + "/e") {
		s.Errorf("an ephemeral node is gone though its session is not")
	}
}

func watchesSurviveADisconnect(s *scene) {
	h := needs[Disconnecter](s)
	o, other := s.open(), s.open()
	for round := range 5 {
		// A change on either side of the connection's end, and while there is none.
		paths := make([]string, 6)
		for i := range paths {
			paths[i] = fmt.Sprintf("%s/%d-%d", s.root, round, i)
			other.make(paths[i], zk.Persistent)
		}
		o.sync()
		for _, p := range paths {
			o.watch(p)
		}
		other.make(paths[0]+"/a", zk.Persistent)
		disconnected := make(chan error, 1)
		go func() { disconnected <- h.Disconnect(o.Session) }()
		other.make(paths[1]+"/a", zk.Persistent)
		s.must("disconnect", <-disconnected)
		other.make(paths[2]+"/a", zk.Persistent)
		other.remove(paths[3])
		o.hears(round+2, zk.Connected, "")
		other.make(paths[4]+"/a", zk.Persistent)
		for _, p := range paths[:5] {
			o.hears(1, zk.ChildrenChanged, p)
		}
		o.sync()
		for _, p := range paths[:5] {
			if n := o.count(zk.ChildrenChanged, p); n != 1 {
				s.Errorf("%d events of one watch", n)
			}
		}
	}
}

// requestsInFlightAreUnknown: what was acknowledged is there, what was refused is not, of the rest each may be.
func requestsInFlightAreUnknown(s *scene) {
	h := needs[Disconnecter](s)
	o := s.open()
	var mu sync.Mutex
	acknowledged, unknown := make(map[string]bool), make(map[string]bool)
	var writers sync.WaitGroup
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("%d-%d", w, i)
				_, err := o.Create(s.ctx, s.root+"/"+name, nil, zk.Ephemeral)
				mu.Lock()
				switch {
				case err == nil:
					acknowledged[name] = true
				case errors.Is(err, zk.ErrConnectionLost):
					unknown[name] = true
				default:
					s.Errorf("create at a disconnect: %v", err)
				}
				mu.Unlock()
				time.Sleep(time.Millisecond)
			}
		})
	}
	for round := range 10 {
		mu.Lock()
		before := len(acknowledged)
		mu.Unlock()
		s.soon("writes go on", func() bool { mu.Lock(); defer mu.Unlock(); return len(acknowledged) > before+3 })
		s.must("disconnect", h.Disconnect(o.Session))
		o.hears(round+2, zk.Connected, "")
	}
	stop()
	writers.Wait()
	o.sync()
	names := o.list(s.root)
	for _, name := range names {
		if !acknowledged[name] && !unknown[name] {
			s.Errorf("%s is there, and its creation did not say so", name)
		}
		delete(acknowledged, name)
	}
	if len(acknowledged) > 0 {
		s.Errorf("%d nodes whose creation was acknowledged are not there", len(acknowledged))
	}
}

// readsNeverGoBack: a session that moves between servers, some of which lag, never sees an older state than it has seen.
func readsNeverGoBack(s *scene) {
	h := needs[Disconnecter](s)
	writer, reader := s.open(), s.open()
	path := s.root + "/a"
	writer.make(path, zk.Persistent)
	reader.sync()
	ctx, stop := context.WithCancel(s.ctx)
	var writing sync.WaitGroup
	writing.Go(func() {
		for ctx.Err() == nil {
			if err := writer.Set(s.ctx, path, nil, zk.AnyVersion); err != nil {
				s.Errorf("set: %v", err)
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	defer writing.Wait()
	defer stop()
	var last int32
	read := func() bool {
		_, v, err := reader.Get(s.ctx, path)
		if err != nil && !errors.Is(err, zk.ErrConnectionLost) {
			s.Fatalf("get: %v", err)
		}
		if err == nil && v < last {
			s.Errorf("version %d was read after version %d", v, last)
		}
		last = max(last, v)
		return err == nil
	}
	for round := range 6 * s.Servers() {
		before := last
		s.soon("reads go on", func() bool { return read() && last > before })
		s.must("disconnect", h.Disconnect(reader.Session))
		reader.hears(round+1, zk.Disconnected, "")
		for range 5 {
			read()
		}
	}
}

func silenceEndsTheConnectionThenTheSession(s *scene) {
	h := needs[Isolator](s)
	o, observer := s.open(), s.open()
	o.make(s.root+"/e", zk.Ephemeral)
	observer.sync()
	began := time.Now()
	s.must("isolate", h.Isolate(o.Session))
	s.undo = append(s.undo, func() error { return h.Rejoin(o.Session) })

	ctx, cancel := context.WithTimeout(s.ctx, s.aWhile())
	defer cancel()
	_, _, err := o.Get(ctx, s.root)
	s.is("a request whose context ends", err, context.DeadlineExceeded)
	_, err = o.Create(s.ctx, s.root+"/lost", nil, zk.Persistent)
	s.is("a request that is under way", err, zk.ErrConnectionLost)
	if n := o.count(zk.Disconnected, ""); n != 1 {
		s.Errorf("%d events of the connection's end when a request knows of it", n)
	}
	if !observer.exists(s.root + "/e") {
		s.Errorf("the session is over %v after the silence began; its timeout is %v", time.Since(began), o.Timeout())
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := o.Create(s.ctx, s.root+"/waited", nil, zk.Persistent)
		waiting <- err
	}()
	s.soon("the session expires", func() bool { return !observer.exists(s.root + "/e") })
	if took := time.Since(began); took < o.Timeout()/2 {
		s.Errorf("the session was over after %v; its timeout is %v", took, o.Timeout())
	}
	if n := o.count(zk.Expired, ""); n != 0 {
		s.Errorf("the client knows of the expiry, and nobody can have told it")
	}
	s.must("rejoin", h.Rejoin(o.Session))
	s.is("a request that waited for a connection", <-waiting, zk.ErrSessionOver)
	if n := o.count(zk.Expired, ""); n != 1 {
		s.Errorf("%d events of the expiry", n)
	}
	if observer.exists(s.root + "/waited") {
		s.Errorf("a session that is over has made a node")
	}
}

func shortSilenceDelaysOnly(s *scene) {
	h := needs[Isolator](s)
	o := s.open()
	for range 3 {
		o.make(s.root+"/e", zk.Ephemeral) // hears of the server now
		s.must("isolate", h.Isolate(o.Session))
		answer := make(chan error, 1)
		go func() { answer <- o.Delete(s.ctx, s.root+"/e", 0) }()
		time.Sleep(s.Timeout() / 4)
		s.must("rejoin", h.Rejoin(o.Session))
		s.is("a request during a short silence", <-answer, nil)
	}
	if n := o.count(zk.Disconnected, ""); n != 0 {
		s.Errorf("%d disconnects by short silence", n)
	}
}

func sessionMovesFromServerToServer(s *scene) {
	h := needs[Killer](s)
	o, watcher := s.open(), s.open()
	id := o.ID()
	o.make(s.root+"/e", zk.Ephemeral)
	for server := range s.Servers() {
		retry := func(what string, do func() error) {
			s.Helper()
			s.soon(what, func() bool {
				err := do()
				if err != nil && !errors.Is(err, zk.ErrConnectionLost) {
					s.Fatalf("%s with server %d down: %v", what, server, err)
				}
				return err == nil
			})
		}
		var version int32
		var changes int
		retry("watch", func() error { // what the watcher's server had not seen before must not be the change that is heard of
			changes = watcher.count(zk.ChildrenChanged, s.root)
			err := watcher.Sync(s.ctx, s.root)
			if err == nil {
				_, err = watcher.Children(s.ctx, s.root, true)
			}
			if err == nil && watcher.count(zk.ChildrenChanged, s.root) != changes {
				return zk.ErrConnectionLost // with it a watch has gone
			}
			return err
		})
		s.must("kill", h.Kill(server))
		s.undo = append(s.undo, func() error { return h.Start(server) })
		name := fmt.Sprint(s.root, "/", server)
		retry("create", func() error {
			_, err := o.Create(s.ctx, name, nil, zk.Ephemeral)
			if errors.Is(err, zk.ErrNodeExists) {
				return nil // by an attempt that did not know
			}
			return err
		})
		watcher.hears(changes+1, zk.ChildrenChanged, s.root)
		retry("set", func() error { return o.Set(s.ctx, s.root+"/e", nil, zk.AnyVersion) })
		retry("get", func() (err error) { _, version, err = o.Get(s.ctx, s.root+"/e"); return err })
		if version < int32(server)+1 {
			s.Errorf("version %d after %d writes", version, server+1)
		}
		s.must("start", h.Start(server))
		s.undo = s.undo[:len(s.undo)-1]
	}
	if o.ID() != id || o.count(zk.Expired, "") > 0 || o.count(zk.Disconnected, "") == 0 {
		s.Errorf("session %#x is %#x now; events %v", id, o.ID(), o.history())
	}
}

// silentServerIsLeft: a server that says nothing is given up in time, so that the session survives at another one.
func silentServerIsLeft(s *scene) {
	h := needs[Pauser](s)
	leader, err := h.Leader()
	s.must("leader", err)
	var sessions []*session // enough of them that some are at each server
	for i := range 3 * s.Servers() {
		o := s.open()
		o.make(fmt.Sprint(s.root, "/", i), zk.Ephemeral)
		sessions = append(sessions, o)
	}
	for server := range s.Servers() {
		if server == leader {
			continue
		}
		s.must("pause", h.Pause(server))
		s.undo = append(s.undo, func() error { return h.Resume(server) })
		var writing sync.WaitGroup
		for i, o := range sessions {
			writing.Go(func() {
				before := o.count(zk.Disconnected, "")
				set := func() error { return o.Set(s.ctx, fmt.Sprint(s.root, "/", i), nil, zk.AnyVersion) }
				err := set()
				for ; errors.Is(err, zk.ErrConnectionLost); err = set() {
					if o.count(zk.Disconnected, "") == before {
						s.Errorf("a request was lost without a disconnect")
					}
				}
				s.is("set at another server", err, nil)
			})
		}
		writing.Wait()
		s.must("resume", h.Resume(server))
		s.undo = s.undo[:len(s.undo)-1]
	}
	observer := s.open(leader)
	for i, o := range sessions {
		if n := o.count(zk.Expired, ""); n != 0 || !observer.exists(fmt.Sprint(s.root, "/", i)) {
			s.Errorf("a session did not survive; events %v", o.history())
		}
	}
}

// acknowledgedWriteIsNoTouch: a write through a follower says nothing to the leader about its session; only the answer to the leader's next ping does. So a
// session whose writes were acknowledged a moment ago can expire, and a lease of two thirds of the timeout that counted from
// such a write would outlive it. It shows when a follower that has told the leader of the session falls silent, answers one write, and falls silent again
// before the next ping. Real servers do not do so each time: a ping that the client sent during the first silence may win the race to the leader.
func acknowledgedWriteIsNoTouch(s *scene) {
	h := needs[Pauser](s)
	leader, err := h.Leader()
	s.must("leader", err)
	follower := (leader + 1) % s.Servers()
	for attempt := range 10 {
		o, observer := s.open(follower), s.open(leader)
		path := fmt.Sprint(s.root, "/", attempt)
		o.make(path, zk.Ephemeral)
		o.watch(s.root)
		time.Sleep(s.Timeout() / 5)                 // the leader knows by now
		observer.make(path+"-event", zk.Persistent) // by which the client hears of its server, and
		o.hears(1, zk.ChildrenChanged, s.root)      // the leader nothing of the client
		s.must("pause", h.Pause(follower))
		s.undo = append(s.undo, func() error { return h.Resume(follower) })
		time.Sleep(s.Timeout() * 11 / 20)
		s.must("resume", h.Resume(follower))
		sent := time.Now()
		err := o.Set(s.ctx, path, nil, 0)
		s.must("pause", h.Pause(follower))
		if err == nil {
			s.soon("the session expires", func() bool { return !observer.exists(path) })
		}
		left := s.Timeout()*2/3 - time.Since(sent)
		s.must("resume", h.Resume(follower))
		s.undo = s.undo[:len(s.undo)-1]
		if err != nil {
			s.Logf("attempt %d: the write: %v", attempt, err)
			continue
		}
		s.Logf("attempt %d: a lease of %v has %v left when its session is over", attempt, s.Timeout()*2/3, left)
		if left > 0 {
			return
		}
	}
	s.Errorf("a lease of two thirds of the timeout never outlived its session: it seems that writes touch it")
}
