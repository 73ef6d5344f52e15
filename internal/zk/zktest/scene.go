package zktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/internal/zk"
)

// A scene is one check at work.
type scene struct {
	T
	Harness
	ctx      context.Context
	cancel   context.CancelFunc
	root     string // that the check works under
	sessions []*session
	undo     []func() error
}

// newScene gives a check its session-independent parts. It ends by its own patience, so that what never answers is a failure.
func newScene(t T, h Harness, name string) *scene {
	s := &scene{T: t, Harness: h, root: "/" + name + "-" + uuid.NewString()[:8]}
	s.ctx, s.cancel = context.WithTimeout(context.Background(), 40*h.Timeout()+30*time.Second)
	return s
}

// end leaves the ensemble as it was found.
func (s *scene) end() {
	for _, undo := range slices.Backward(s.undo) {
		if err := undo(); err != nil {
			s.Errorf("clean up: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.patience())
	defer cancel()
	for _, o := range s.sessions {
		o.Close(ctx) // it may be over
	}
	s.cancel()
}

// patience is how long a condition is waited for before the check fails. Nothing is concluded from it otherwise, so it is generous.
func (s *scene) patience() time.Duration { return 3*s.Timeout() + 15*time.Second }

// a while is how long what must not happen is waited for.
func (s *scene) aWhile() time.Duration { return s.Timeout() / 20 }

// soon waits until cond holds.
func (s *scene) soon(what string, cond func() bool) {
	s.Helper()
	for end := time.Now().Add(s.patience()); !cond(); time.Sleep(s.Timeout() / 500) {
		if time.Now().After(end) {
			s.Fatalf("%s: not so after %v", what, s.patience())
		}
	}
}

// must ends the check when an action that all else rests on fails.
func (s *scene) must(what string, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

// is complains when err is not the one wanted.
func (s *scene) is(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// A session records its events, and works with paths under the check's root.
type session struct {
	zk.Session
	s *scene

	mu     sync.Mutex
	events []zk.Event
}

// open opens a session at one of the servers given, and makes the check's root if there is none.
func (s *scene) open(servers ...int) *session {
	s.Helper()
	ensemble, err := s.Ensemble(servers...)
	s.must("ensemble", err)
	o := &session{s: s}
	o.Session, err = ensemble.Open(s.ctx, s.Timeout(), o.record)
	s.must("open a session", err)
	s.sessions = append(s.sessions, o)
	if _, err := o.Create(s.ctx, s.root, nil, zk.Persistent); err != nil && !errors.Is(err, zk.ErrNodeExists) {
		s.Fatalf("make the check's root: %v", err)
	}
	return o
}

func (o *session) record(e zk.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, e)
}

// count counts the events so far of a type, and of a path if it is not empty.
func (o *session) count(t zk.EventType, path string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.events {
		if e.Type == t && (path == "" || e.Path == path) {
			n++
		}
	}
	return n
}

// history is all events so far.
func (o *session) history() []zk.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.events)
}

// hears waits until the session has had n events of a type, and of a path if it is not empty.
func (o *session) hears(n int, t zk.EventType, path string) {
	o.s.Helper()
	o.s.soon(fmt.Sprintf("%d events %q of %q", n, t, path), func() bool { return o.count(t, path) >= n })
}

// make makes a node that must not be there.
func (o *session) make(path string, mode zk.Mode) (created string) {
	o.s.Helper()
	created, err := o.Create(o.s.ctx, path, nil, mode)
	o.s.must("create "+path, err)
	return created
}

// remove deletes a node that must be there.
func (o *session) remove(path string) {
	o.s.Helper()
	o.s.must("delete "+path, o.Delete(o.s.ctx, path, zk.AnyVersion))
}

// watch lists a node's children, sorted, and watches them.
func (o *session) watch(path string) []string {
	o.s.Helper()
	return o.children(path, true)
}

// list lists a node's children, sorted, as the server of the session knows them.
func (o *session) list(path string) []string {
	o.s.Helper()
	return o.children(path, false)
}

func (o *session) children(path string, watch bool) []string {
	o.s.Helper()
	names, err := o.Children(o.s.ctx, path, watch)
	o.s.must("list "+path, err)
	return slices.Sorted(slices.Values(names))
}

// sync makes what was committed before visible to the session.
func (o *session) sync() {
	o.s.Helper()
	o.s.must("sync", o.Sync(o.s.ctx, o.s.root))
}

// exists says whether there is a node, after a sync.
func (o *session) exists(path string) bool {
	o.s.Helper()
	o.sync()
	_, _, err := o.Get(o.s.ctx, path)
	if errors.Is(err, zk.ErrNoNode) {
		return false
	}
	o.s.must("get "+path, err)
	return true
}

// version is that of a node, after a sync.
func (o *session) version(path string) int32 {
	o.s.Helper()
	o.sync()
	_, version, err := o.Get(o.s.ctx, path)
	o.s.must("get "+path, err)
	return version
}

// needs returns what the harness can do beyond the ordinary, or skips the check.
func needs[C any](s *scene) C {
	s.Helper()
	c, ok := s.Harness.(C)
	if !ok {
		s.Skipf("the harness is no %T", (*C)(nil))
	}
	return c
}
