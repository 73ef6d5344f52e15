package zktest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
)

func openGivesASession(s *scene) {
	ids := make(map[int64]bool)
	for at := range s.Servers() {
		ensemble, err := s.Ensemble(at)
		s.must("ensemble", err)
		for range 2 {
			o := &session{s: s}
			o.Session, err = ensemble.Open(s.ctx, s.Timeout(), o.record)
			s.must("open", err)
			s.sessions = append(s.sessions, o)
			if h := o.history(); len(h) != 1 || h[0].Type != zk.Connected {
				s.Errorf("events %v when a session is open, want that it is connected", h)
			}
			if o.ID() == 0 || ids[o.ID()] {
				s.Errorf("session id %#x is none, or was there before", o.ID())
			}
			ids[o.ID()] = true
			if o.Timeout() != s.Timeout() {
				s.Errorf("a timeout of %v is granted, asked was for %v", o.Timeout(), s.Timeout())
			}
		}
	}
}

func openEndsWithItsContext(s *scene) {
	ensemble, err := s.Ensemble()
	s.must("ensemble", err)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	o := &session{s: s}
	o.Session, err = ensemble.Open(ctx, s.Timeout(), o.record)
	if err == nil {
		s.sessions = append(s.sessions, o)
		s.Errorf("a session was opened though the context had ended")
	} else if !errors.Is(err, context.Canceled) {
		s.Errorf("error %v, want that the context has ended", err)
	}
}

// afterwards looks at a session's ephemeral nodes until they are gone, and complains when only some of them were.
func (s *scene) afterwards(observer *session, ephemerals int, end func()) {
	s.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		end()
	}()
	s.soon("the ephemeral nodes are gone", func() bool {
		names := observer.list(s.root + "/all")
		if len(names) != 0 && len(names) != ephemerals {
			s.Errorf("%d of %d ephemeral nodes are left: %v", len(names), ephemerals, names)
		}
		return len(names) == 0
	})
	<-done
}

// populate makes ephemeral nodes of o's below the check's node "all", and others that must stay.
func (s *scene) populate(o *session) (ephemerals int) {
	s.Helper()
	o.make(s.root+"/all", zk.Persistent)
	o.make(s.root+"/persistent", zk.Persistent)
	o.make(s.root+"/container", zk.Container)
	for i := range 30 {
		o.make(fmt.Sprint(s.root, "/all/", i), zk.Ephemeral)
		o.make(s.root+"/all/seq-", zk.EphemeralSequential)
		s.must("multi", o.Multi(s.ctx, zk.CreateOp(fmt.Sprint(s.root, "/all/m", i), nil, zk.Ephemeral)))
	}
	return 90
}

func closeDeletesEphemeralsAtOnce(s *scene) {
	for at := range s.Servers() {
		s.root += "-" + fmt.Sprint(at)
		o, observer, other := s.open(at), s.open((at+1)%s.Servers()), s.open()
		n := s.populate(o)
		other.make(s.root+"/others", zk.Ephemeral)
		observer.sync()
		s.afterwards(observer, n, func() {
			if err := o.Close(s.ctx); err != nil {
				s.Errorf("close: %v", err)
			}
		})
		for _, path := range []string{"/persistent", "/container", "/others"} {
			if !observer.exists(s.root + path) {
				s.Errorf("%s is gone with a session that it did not depend on", path)
			}
		}

		// What Close has said is so.
		again := s.open(at)
		again.make(s.root+"/all/again", zk.Ephemeral)
		s.must("close", again.Close(s.ctx))
		if observer.exists(s.root + "/all/again") {
			s.Errorf("an ephemeral node is there after its session was closed")
		}
	}
}

func (s *scene) over(o *session) {
	s.Helper()
	path := s.root + "/over"
	_, err := o.Create(s.ctx, path, nil, zk.Persistent)
	s.is("create", err, zk.ErrSessionOver)
	_, err = o.Children(s.ctx, s.root, true)
	s.is("children", err, zk.ErrSessionOver)
	_, _, err = o.Get(s.ctx, s.root)
	s.is("get", err, zk.ErrSessionOver)
	s.is("set", o.Set(s.ctx, s.root, nil, zk.AnyVersion), zk.ErrSessionOver)
	s.is("delete", o.Delete(s.ctx, s.root, zk.AnyVersion), zk.ErrSessionOver)
	s.is("multi", o.Multi(s.ctx, zk.CreateOp(path, nil, zk.Persistent)), zk.ErrSessionOver)
	s.is("sync", o.Sync(s.ctx, s.root), zk.ErrSessionOver)
	if s.open().exists(path) {
		s.Errorf("a session that is over has made a node")
	}
}

func closedSessionIsOver(s *scene) {
	o := s.open()
	o.watch(s.root)
	s.must("close", o.Close(s.ctx))
	before := o.history()
	s.over(o)
	s.open().make(s.root+"/a", zk.Persistent)
	time.Sleep(s.aWhile())
	if after := o.history(); len(after) != len(before) {
		s.Errorf("events after the session was closed: %v", after[len(before):])
	}
	s.is("close again", o.Close(s.ctx), nil)
}

func anybodyMayDeleteEphemerals(s *scene) {
	o, other := s.open(), s.open()
	path := s.root + "/e"
	o.make(path, zk.Ephemeral)
	_, err := other.Create(s.ctx, path, nil, zk.Ephemeral)
	s.is("create what another session has", err, zk.ErrNodeExists)
	s.must("set what another session has", other.Set(s.ctx, path, nil, 0))
	other.remove(path)
	other.make(path, zk.Ephemeral)
	s.must("close", o.Close(s.ctx))
	if !other.exists(path) {
		s.Errorf("a session that ended took the node of another one with it")
	}
}

func expiryIsToldAndLast(s *scene) {
	h := needs[Expirer](s)
	o := s.open()
	o.watch(s.root)
	s.must("expire", h.Expire(o.Session))
	s.soon("requests say that the session is over", func() bool {
		_, _, err := o.Get(s.ctx, s.root)
		if errors.Is(err, zk.ErrSessionOver) && o.count(zk.Expired, "") == 0 {
			s.Errorf("a request says that the session is over before its event does")
		}
		return errors.Is(err, zk.ErrSessionOver)
	})
	s.over(o)
	s.open().make(s.root+"/a", zk.Persistent)
	time.Sleep(s.aWhile())
	if h := o.history(); h[len(h)-1].Type != zk.Expired || o.count(zk.Expired, "") != 1 {
		s.Errorf("events %v, want one of the expiry at the end", h)
	}
	s.is("close after the end", o.Close(s.ctx), nil)
}

func expiryDeletesEphemeralsAtOnce(s *scene) {
	h := needs[Expirer](s)
	for at := range s.Servers() {
		s.root += "-" + fmt.Sprint(at)
		o, observer := s.open(at), s.open((at+1)%s.Servers())
		n := s.populate(o)
		observer.sync()
		s.afterwards(observer, n, func() {
			if err := h.Expire(o.Session); err != nil {
				s.Errorf("expire: %v", err)
			}
		})
		if !observer.exists(s.root + "/persistent") {
			s.Errorf("a persistent node is gone with the session that made it")
		}
		// A follower does not look whether a session that reconnects in that very moment has ended: only what the leader has a word in is sure to tell.
		s.soon("the session is told", func() bool {
			o.Sync(s.ctx, s.root)
			return o.count(zk.Expired, "") == 1
		})
	}
}
