package zktest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/zkmodel"
)

// A flaw is one way in which an ensemble can be wrong: the parts of a sound one that it replaces.
type flaw struct {
	name     string
	caughtBy []string // the checks that must complain

	open     func(*ensemble, context.Context, time.Duration, func(zk.Event)) (zk.Session, error)
	events   func(*session, zk.Event)
	create   func(*session, context.Context, string, []byte, zk.Mode) (string, error)
	children func(*session, context.Context, string, bool) ([]string, error)
	get      func(*session, context.Context, string) ([]byte, int32, error)
	set      func(*session, context.Context, string, []byte, int32) error
	remove   func(*session, context.Context, string, int32) error
	multi    func(*session, context.Context, []zk.Op) error
	sync     func(*session, context.Context, string) error
	end      func(*session, context.Context) error

	disconnect func(*world, zk.Session) error
	isolate    func(*world, zk.Session)
	expire     func(*world, zk.Session) error
	kill       func(*world)
	pause      func(*world)
	collect    func(*world) error
}

var flaws = []flaw{
	// Sessions.
	{
		name:     "session is open before it says so",
		caughtBy: []string{"OpenGivesASession"},
		open: func(e *ensemble, ctx context.Context, timeout time.Duration, events func(zk.Event)) (zk.Session, error) {
			return e.Ensemble.Open(ctx, timeout, func(event zk.Event) { e.world.later(func() { events(event) }) })
		},
	},
	{
		name:     "shorter timeout is granted than asked for",
		caughtBy: []string{"OpenGivesASession"},
		open: func(e *ensemble, ctx context.Context, timeout time.Duration, events func(zk.Event)) (zk.Session, error) {
			return e.Ensemble.Open(ctx, timeout-time.Second, events)
		},
	},
	{
		name:     "open does not heed its context",
		caughtBy: []string{"OpenEndsWithItsContext"},
		open: func(e *ensemble, ctx context.Context, timeout time.Duration, events func(zk.Event)) (zk.Session, error) {
			return e.Ensemble.Open(context.WithoutCancel(ctx), timeout, events)
		},
	},
	{
		name:     "close leaves the session to its timeout",
		caughtBy: []string{"CloseDeletesEphemeralsAtOnce", "ClosedSessionIsOver"},
		end:      func(*session, context.Context) error { return nil },
	},
	{
		name:     "ephemeral nodes go one by one",
		caughtBy: []string{"CloseDeletesEphemeralsAtOnce", "ExpiryDeletesEphemeralsAtOnce"},
		end: func(s *session, ctx context.Context) error {
			s.world.deleteEphemerals(s)
			return s.Session.Close(ctx)
		},
		expire: func(w *world, s zk.Session) error {
			w.deleteEphemerals(s.(*session))
			return w.model.Expire(s.ID())
		},
	},
	{
		name:     "ephemeral nodes are persistent",
		caughtBy: []string{"EphemeralNodesHaveNoChildren", "CloseDeletesEphemeralsAtOnce", "ExpiryDeletesEphemeralsAtOnce"},
		create: func(s *session, ctx context.Context, path string, data []byte, mode zk.Mode) (string, error) {
			if mode == zk.Ephemeral {
				mode = zk.Persistent
			}
			return s.Session.Create(ctx, path, data, mode)
		},
	},
	{
		name:     "ephemeral nodes belong to their path",
		caughtBy: []string{"AnybodyMayDeleteEphemerals"},
		end: func(s *session, ctx context.Context) error {
			s.world.deleteEphemerals(s)
			return s.Session.Close(ctx)
		},
	},
	{
		name:     "ephemeral nodes may be deleted by their session only",
		caughtBy: []string{"AnybodyMayDeleteEphemerals"},
		remove: func(s *session, ctx context.Context, path string, version int32) error {
			if owner := s.world.ownerOf(path); owner != nil && owner != s {
				return errors.New("not yours")
			}
			return s.Session.Delete(ctx, path, version)
		},
	},
	{
		name:     "session that is over looks disconnected",
		caughtBy: []string{"ClosedSessionIsOver", "ExpiryIsToldAndLast", "SilenceEndsTheConnectionThenTheSession"},
		create: func(s *session, ctx context.Context, path string, data []byte, mode zk.Mode) (string, error) {
			created, err := s.Session.Create(ctx, path, data, mode)
			return created, hidden(err)
		},
		get: func(s *session, ctx context.Context, path string) ([]byte, int32, error) {
			data, version, err := s.Session.Get(ctx, path)
			return data, version, hidden(err)
		},
	},
	{
		name:     "connection goes on with a new session after expiry",
		caughtBy: []string{"ExpiryIsToldAndLast"},
		get: func(s *session, ctx context.Context, path string) ([]byte, int32, error) {
			data, version, err := s.Session.Get(ctx, path)
			if errors.Is(err, zk.ErrSessionOver) {
				c, _ := s.world.Ensemble()
				if s.Session, err = c.(*ensemble).Ensemble.Open(ctx, s.Timeout(), s.tell); err != nil {
					return nil, 0, err
				}
				return s.Session.Get(ctx, path)
			}
			return data, version, err
		},
	},
	{
		name:     "expiry is not told",
		caughtBy: []string{"ExpiryIsToldAndLast", "ExpiryDeletesEphemeralsAtOnce", "SilenceEndsTheConnectionThenTheSession"},
		events:   without(zk.Expired),
	},
	{
		name:     "expiry is told after the first request has failed of it",
		caughtBy: []string{"ExpiryIsToldAndLast"},
		events: func(s *session, e zk.Event) {
			if e.Type == zk.Expired {
				s.world.later(func() { s.tell(e) })
			} else {
				s.tell(e)
			}
		},
	},
	{
		name:     "client guesses that it has expired",
		caughtBy: []string{"SilenceEndsTheConnectionThenTheSession"},
		events: func(s *session, e zk.Event) {
			s.tell(e)
			if e.Type == zk.Disconnected {
				s.tell(zk.Event{Type: zk.Expired})
			}
		},
	},
	{
		name:     "events come after close",
		caughtBy: []string{"ClosedSessionIsOver"},
		end: func(s *session, ctx context.Context) error {
			s.tell(zk.Event{Type: zk.Disconnected})
			err := s.Session.Close(ctx)
			s.tell(zk.Event{Type: zk.Expired})
			s.world.later(func() { s.tell(zk.Event{Type: zk.Disconnected}) })
			return err
		},
	},

	// Nodes.
	{
		name:     "versions are not looked at",
		caughtBy: []string{"NodesHaveVersions"},
		set: func(s *session, ctx context.Context, path string, data []byte, _ int32) error {
			return s.Session.Set(ctx, path, data, zk.AnyVersion)
		},
	},
	{
		name:     "versions are not looked at in deletions",
		caughtBy: []string{"NodesHaveVersions", "DeleteSparesWhatHasChildren"},
		remove: func(s *session, ctx context.Context, path string, _ int32) error {
			return s.Session.Delete(ctx, path, zk.AnyVersion)
		},
	},
	{
		name:     "parents are made with their children",
		caughtBy: []string{"CreateNeedsAParentAndAFreeName"},
		create: func(s *session, ctx context.Context, p string, data []byte, mode zk.Mode) (string, error) {
			created, err := s.Session.Create(ctx, p, data, mode)
			if errors.Is(err, zk.ErrNoNode) {
				s.Session.Create(ctx, path.Dir(p), nil, zk.Persistent)
				return s.Session.Create(ctx, p, data, mode)
			}
			return created, err
		},
	},
	{
		name:     "creation overwrites",
		caughtBy: []string{"CreateNeedsAParentAndAFreeName", "AnybodyMayDeleteEphemerals"},
		create: func(s *session, ctx context.Context, path string, data []byte, mode zk.Mode) (string, error) {
			created, err := s.Session.Create(ctx, path, data, mode)
			if errors.Is(err, zk.ErrNodeExists) {
				return path, s.Session.Set(ctx, path, data, zk.AnyVersion)
			}
			return created, err
		},
	},
	{
		name:     "paths are cleaned",
		caughtBy: []string{"OddPathsAreRefused"},
		create: func(s *session, ctx context.Context, p string, data []byte, mode zk.Mode) (string, error) {
			return s.Session.Create(ctx, path.Clean("/"+p), data, mode)
		},
	},
	{
		name:     "children are listed with all below them",
		caughtBy: []string{"ChildrenAreListed"},
		children: func(s *session, ctx context.Context, path string, watch bool) ([]string, error) {
			names, err := s.Session.Children(ctx, path, watch)
			for _, name := range names {
				if below, _ := s.Session.Children(ctx, path+"/"+name, false); len(below) > 0 {
					names = append(names, name+"/"+below[0])
				}
			}
			return names, err
		},
	},
	{
		name:     "children go with their parent",
		caughtBy: []string{"DeleteSparesWhatHasChildren"},
		remove: func(s *session, ctx context.Context, path string, version int32) error {
			names, _ := s.Session.Children(ctx, path, false)
			for _, name := range names {
				s.Session.Delete(ctx, path+"/"+name, zk.AnyVersion)
			}
			return s.Session.Delete(ctx, path, version)
		},
	},
	{
		name:     "sequence counts the children that there are",
		caughtBy: []string{"SequenceCountsCreations"},
		create: func(s *session, ctx context.Context, p string, data []byte, mode zk.Mode) (string, error) {
			if mode == zk.EphemeralSequential {
				names, _ := s.Session.Children(ctx, path.Dir(p), false)
				p, mode = fmt.Sprintf("%s%010d", p, len(names)), zk.Ephemeral
			}
			return s.Session.Create(ctx, p, data, mode)
		},
	},
	{
		name:     "sequence never begins anew",
		caughtBy: []string{"SequenceCountsCreations", "SequenceBeginsAnewWithItsParent", "ContainerMadeAnewCountsFromZero"},
		create: func(s *session, ctx context.Context, path string, data []byte, mode zk.Mode) (string, error) {
			if mode == zk.EphemeralSequential {
				n, _ := s.note("sequence", nil).(int)
				s.note("sequence", n+1)
				path, mode = fmt.Sprintf("%s%010d", path, n), zk.Ephemeral
			}
			return s.Session.Create(ctx, path, data, mode)
		},
	},
	{
		name:     "parts of a multi are carried out one by one",
		caughtBy: []string{"MultiIsAllOrNothing"},
		multi: func(s *session, ctx context.Context, ops []zk.Op) error {
			for _, op := range ops {
				if err := s.Session.Multi(ctx, op); err != nil {
					return err
				}
			}
			return nil
		},
	},
	{
		name:     "error of a multi is that of its last part",
		caughtBy: []string{"MultiIsAllOrNothing"},
		multi: func(s *session, ctx context.Context, ops []zk.Op) error {
			err := s.Session.Multi(ctx, ops...)
			if err != nil {
				if last := s.Session.Multi(ctx, ops[len(ops)-1]); last != nil {
					return last
				}
			}
			return err
		},
	},
	{
		name:     "parts of a multi do not see each other",
		caughtBy: []string{"MultiSeesItsOwnParts"},
		multi: func(s *session, ctx context.Context, ops []zk.Op) error {
			for _, op := range ops {
				if _, _, err := s.Session.Get(ctx, op.Path); err != nil && op.Kind != zk.OpCreate {
					return err
				}
			}
			return s.Session.Multi(ctx, ops...)
		},
	},
	{
		name:     "data is shared with the caller",
		caughtBy: []string{"DataIsCopied"},
		set: func(s *session, ctx context.Context, path string, data []byte, version int32) error {
			s.note("data "+path, data)
			return s.Session.Set(ctx, path, data, version)
		},
		get: func(s *session, ctx context.Context, path string) ([]byte, int32, error) {
			data, version, err := s.Session.Get(ctx, path)
			if shared, ok := s.note("data "+path, nil).([]byte); ok {
				data = shared
			}
			return data, version, err
		},
	},
	{
		name:     "containers stay",
		caughtBy: []string{"ContainerGoesAfterItsLastChild", "ContainerMadeAnewCountsFromZero"},
		collect:  func(*world) error { return nil },
	},
	{
		name:     "containers that were never used are collected",
		caughtBy: []string{"ContainerGoesAfterItsLastChild"},
		create: func(s *session, ctx context.Context, path string, data []byte, mode zk.Mode) (string, error) {
			created, err := s.Session.Create(ctx, path, data, mode)
			if err == nil && mode == zk.Container {
				s.Session.Multi(ctx, zk.CreateOp(path+"/x", nil, zk.Persistent), zk.DeleteOp(path+"/x", zk.AnyVersion))
			}
			return created, err
		},
	},

	// Watches.
	{name: "watches never fire", caughtBy: []string{"WatchFiresOnce", "WatchHearsOfTheNodesEnd", "WatchesSurviveADisconnect"}, events: without(zk.ChildrenChanged)},
	{
		name:     "watches fire twice",
		caughtBy: []string{"WatchFiresOnce", "WatchesSurviveADisconnect"},
		events: func(s *session, e zk.Event) {
			s.tell(e)
			if e.Type == zk.ChildrenChanged {
				s.tell(e)
			}
		},
	},
	{
		name:     "watches fire for changed data",
		caughtBy: []string{"WatchIsOfTheListAlone"},
		set: func(s *session, ctx context.Context, path string, data []byte, version int32) error {
			err := s.Session.Set(ctx, path, data, version)
			s.world.tellAll(zk.Event{Type: zk.ChildrenChanged, Path: path})
			return err
		},
	},
	{
		name:     "end of a watched node is not told",
		caughtBy: []string{"WatchHearsOfTheNodesEnd"},
		events: func(s *session, e zk.Event) {
			s.world.mu.Lock()
			gone := s.world.gone[e.Path]
			s.world.mu.Unlock()
			if !gone {
				s.tell(e)
			}
		},
		remove: func(s *session, ctx context.Context, path string, version int32) error {
			s.world.mu.Lock()
			s.world.gone[path] = true
			s.world.mu.Unlock()
			return s.Session.Delete(ctx, path, version)
		},
	},
	{
		name:     "watch waits for a node to be made",
		caughtBy: []string{"WatchOfNothingIsNone"},
		children: func(s *session, ctx context.Context, p string, watch bool) ([]string, error) {
			names, err := s.Session.Children(ctx, p, watch)
			if errors.Is(err, zk.ErrNoNode) && watch {
				s.Session.Children(ctx, path.Dir(p), true)
			}
			return names, err
		},
	},
	{
		name:     "events come late",
		caughtBy: []string{"EventComesBeforeItsSight", "EventComesBeforeOnesOwnAnswer"},
		events: func(s *session, e zk.Event) {
			if e.Type == zk.ChildrenChanged {
				s.world.later(func() { s.tell(e) })
			} else {
				s.tell(e)
			}
		},
	},
	{
		name:     "watches end with their connection",
		caughtBy: []string{"WatchesSurviveADisconnect", "SessionMovesFromServerToServer"},
		events: func(s *session, e zk.Event) {
			if e.Type == zk.Disconnected {
				s.note("disconnected", true)
			}
			if e.Type != zk.ChildrenChanged || s.note("disconnected", nil) == nil {
				s.tell(e)
			}
		},
	},

	// Order.
	{name: "sync does nothing", caughtBy: []string{"SyncCatchesUp"}, sync: func(*session, context.Context, string) error { return nil }},
	{
		name:     "reads go to any server",
		caughtBy: []string{"ReadsFollowOnesOwnWrites", "ReadsNeverGoBack"},
		get: func(s *session, ctx context.Context, path string) ([]byte, int32, error) {
			elsewhere, ok := s.note("elsewhere", nil).(zk.Session)
			if n, _ := s.note("reads", nil).(int); n%2 == 1 && ok {
				s.note("elsewhere", elsewhere)
				return elsewhere.Get(ctx, path)
			}
			if !ok {
				c, _ := s.world.Ensemble(1)
				elsewhere, _ = c.(*ensemble).Ensemble.Open(ctx, s.Timeout(), nil)
				s.world.model.Delay(zkmodel.Server(0), zkmodel.Server(1), 50*time.Millisecond)
			}
			s.note("elsewhere", elsewhere)
			s.note("reads", 1)
			return s.Session.Get(ctx, path)
		},
	},
	{
		name:     "request that was given up is sent later",
		caughtBy: []string{"RequestsGivenUpKeepTheirPlace"},
		set: func(s *session, ctx context.Context, path string, data []byte, version int32) error {
			err := s.Session.Set(ctx, path, data, version)
			if errors.Is(err, context.Canceled) {
				s.world.later(func() { s.Session.Set(context.WithoutCancel(ctx), path, data, version) })
			}
			return err
		},
	},

	// Loss.
	{
		name:       "session ends with its connection",
		caughtBy:   []string{"DisconnectKeepsTheSession", "WatchesSurviveADisconnect", "SessionMovesFromServerToServer", "SilentServerIsLeft"},
		disconnect: func(w *world, s zk.Session) error { return w.model.Expire(s.ID()) },
		kill:       (*world).expireAll,
		pause:      (*world).expireAll,
	},
	{
		name:     "disconnect is not told",
		caughtBy: []string{"DisconnectKeepsTheSession", "SilenceEndsTheConnectionThenTheSession", "SilentServerIsLeft"},
		events:   without(zk.Disconnected),
	},
	{
		name:     "request that was lost is said to have failed",
		caughtBy: []string{"RequestsInFlightAreUnknown"},
		create: func(s *session, ctx context.Context, path string, data []byte, mode zk.Mode) (string, error) {
			created, err := s.Session.Create(ctx, path, data, mode)
			if errors.Is(err, zk.ErrConnectionLost) {
				err = zk.ErrNoNode
			}
			return created, err
		},
	},
	{
		name:     "request that was lost is said to be done",
		caughtBy: []string{"RequestsInFlightAreUnknown"},
		create: func(s *session, ctx context.Context, path string, data []byte, mode zk.Mode) (string, error) {
			created, err := s.Session.Create(ctx, path, data, mode)
			if errors.Is(err, zk.ErrConnectionLost) {
				err = nil
			}
			return created, err
		},
	},
	{
		name:     "request that was lost is sent again",
		caughtBy: []string{"RequestsInFlightAreUnknown"},
		create: func(s *session, ctx context.Context, path string, data []byte, mode zk.Mode) (string, error) {
			created, err := s.Session.Create(ctx, path, data, mode)
			for errors.Is(err, zk.ErrConnectionLost) {
				created, err = s.Session.Create(ctx, path, data, mode)
			}
			return created, err
		},
	},
	{
		name:     "any silence breaks the connection",
		caughtBy: []string{"ShortSilenceDelaysOnly"},
		isolate:  func(w *world, s zk.Session) { w.model.Disconnect(s.ID()) },
	},
	{
		name:     "acknowledged writes touch the session",
		caughtBy: []string{"AcknowledgedWriteIsNoTouch"},
		set: func(s *session, ctx context.Context, path string, data []byte, version int32) error {
			err := s.Session.Set(ctx, path, data, version)
			time.Sleep(time.Second) // for the leader's next ping
			return err
		},
	},
}

// hidden makes the end of a session look like that of a connection.
func hidden(err error) error {
	if errors.Is(err, zk.ErrSessionOver) {
		return zk.ErrConnectionLost
	}
	return err
}

// without leaves out events of a type.
func without(t zk.EventType) func(*session, zk.Event) {
	return func(s *session, e zk.Event) {
		if e.Type != t {
			s.tell(e)
		}
	}
}

// later does something in a moment.
func (w *world) later(do func()) {
	w.stopped.Go(func() {
		time.Sleep(40 * time.Millisecond)
		do()
	})
}

func (w *world) tellAll(e zk.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sessions {
		s.tell(e)
	}
}

// ownerOf is the session that made an ephemeral node last.
func (w *world) ownerOf(path string) *session {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.owners[path]
}

// deleteEphemerals deletes the nodes that s has made, whoever has them now, one by one.
func (w *world) deleteEphemerals(s *session) {
	w.mu.Lock()
	paths := slices.Sorted(maps.Keys(s.made))
	w.mu.Unlock()
	for _, p := range paths {
		s.Session.Delete(context.Background(), p, zk.AnyVersion)
	}
}
