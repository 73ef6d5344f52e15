package zktest_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/zkmodel"
)

// A world is a model ensemble with a flaw.
type world struct {
	flaw
	model *zkmodel.Model

	mu       sync.Mutex
	clients  int
	sessions []*session
	owners   map[string]*session // who made an ephemeral node last
	gone     map[string]bool     // of the flaw
	stopped  sync.WaitGroup      // goroutines of flaws
}

func newWorld(f flaw) *world {
	m, err := zkmodel.New(zkmodel.Config{Lag: 3 * time.Millisecond, Collect: -1})
	if err != nil {
		panic(err)
	}
	return &world{flaw: f, model: m, owners: make(map[string]*session), gone: make(map[string]bool)}
}

func (w *world) close() {
	w.model.Close()
	w.stopped.Wait()
}

func (w *world) Servers() int           { return 3 }
func (w *world) Timeout() time.Duration { return 6 * time.Second }

func (w *world) Ensemble(servers ...int) (zk.Ensemble, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clients++
	c, err := w.model.Client(zkmodel.Host(fmt.Sprint("client", w.clients)), servers...)
	return &ensemble{c, w}, err
}

type ensemble struct {
	zk.Ensemble
	*world
}

func (e *ensemble) Open(ctx context.Context, timeout time.Duration, events func(zk.Event)) (zk.Session, error) {
	s := &session{world: e.world, tell: events, made: make(map[string]bool)}
	if e.events != nil {
		events = func(event zk.Event) { e.events(s, event) }
	}
	open := e.Ensemble.Open
	if e.open != nil {
		open = func(ctx context.Context, timeout time.Duration, events func(zk.Event)) (zk.Session, error) {
			return e.open(e, ctx, timeout, events)
		}
	}
	sound, err := open(ctx, timeout, events)
	if err != nil {
		return nil, err
	}
	s.Session = sound
	e.mu.Lock()
	defer e.mu.Unlock()
	e.world.sessions = append(e.world.sessions, s)
	return s, nil
}

// A session is a sound one but for the flaw.
type session struct {
	zk.Session
	world *world
	tell  func(zk.Event)
	made  map[string]bool // ephemeral nodes, guarded by world.mu

	mu    sync.Mutex
	notes map[string]any // of the flaw
}

// note keeps something for a flaw. It returns what was there.
func (s *session) note(key string, value any) (before any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notes == nil {
		s.notes = make(map[string]any)
	}
	before = s.notes[key]
	s.notes[key] = value
	return before
}

func (s *session) Create(ctx context.Context, path string, data []byte, mode zk.Mode) (string, error) {
	create := s.Session.Create
	if s.world.create != nil {
		create = func(ctx context.Context, path string, data []byte, mode zk.Mode) (string, error) {
			return s.world.create(s, ctx, path, data, mode)
		}
	}
	created, err := create(ctx, path, data, mode)
	if err == nil && mode != zk.Persistent && mode != zk.Container {
		s.world.mu.Lock()
		defer s.world.mu.Unlock()
		s.made[created] = true
		s.world.owners[created] = s
	}
	return created, err
}

func (s *session) Children(ctx context.Context, path string, watch bool) ([]string, error) {
	if s.world.children != nil {
		return s.world.children(s, ctx, path, watch)
	}
	return s.Session.Children(ctx, path, watch)
}

func (s *session) Get(ctx context.Context, path string) ([]byte, int32, error) {
	if s.world.get != nil {
		return s.world.get(s, ctx, path)
	}
	return s.Session.Get(ctx, path)
}

func (s *session) Set(ctx context.Context, path string, data []byte, version int32) error {
	if s.world.set != nil {
		return s.world.set(s, ctx, path, data, version)
	}
	return s.Session.Set(ctx, path, data, version)
}

func (s *session) Delete(ctx context.Context, path string, version int32) error {
	if s.world.remove != nil {
		return s.world.remove(s, ctx, path, version)
	}
	return s.Session.Delete(ctx, path, version)
}

func (s *session) Multi(ctx context.Context, ops ...zk.Op) error {
	if s.world.multi != nil {
		return s.world.multi(s, ctx, ops)
	}
	return s.Session.Multi(ctx, ops...)
}

func (s *session) Sync(ctx context.Context, path string) error {
	if s.world.sync != nil {
		return s.world.sync(s, ctx, path)
	}
	return s.Session.Sync(ctx, path)
}

func (s *session) Close(ctx context.Context) error {
	if s.world.end != nil {
		return s.world.end(s, ctx)
	}
	return s.Session.Close(ctx)
}

func host(s zk.Session) zkmodel.Host {
	if f, ok := s.(*session); ok {
		s = f.Session
	}
	return s.(*zkmodel.Session).Host()
}

func (w *world) Disconnect(s zk.Session) error {
	if w.disconnect != nil {
		return w.disconnect(w, s)
	}
	w.model.Disconnect(s.ID())
	return nil
}

func (w *world) Isolate(s zk.Session) error {
	if w.isolate != nil {
		w.isolate(w, s)
	}
	for i := range w.Servers() {
		w.model.CutBoth(host(s), zkmodel.Server(i))
	}
	return nil
}

func (w *world) Rejoin(s zk.Session) error {
	for i := range w.Servers() {
		w.model.HealBoth(host(s), zkmodel.Server(i))
	}
	return nil
}

func (w *world) Expire(s zk.Session) error {
	if w.expire != nil {
		return w.expire(w, s)
	}
	return w.model.Expire(s.ID())
}

func (w *world) Kill(server int) error {
	if w.kill != nil {
		w.kill(w)
	}
	w.model.Kill(server)
	return nil
}

func (w *world) Start(server int) error { w.model.Start(server); return nil }

func (w *world) Pause(server int) error {
	if w.pause != nil {
		w.pause(w)
	}
	w.model.Pause(server)
	return nil
}

func (w *world) Resume(server int) error { w.model.Resume(server); return nil }

func (w *world) Leader() (int, error) { return w.model.Leader(), nil }

func (w *world) Collect() error {
	if w.collect != nil {
		return w.collect(w)
	}
	w.model.CollectContainers()
	return nil
}

// expireAll ends all sessions.
func (w *world) expireAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sessions {
		w.model.Expire(s.ID()) // it may be over
	}
}
