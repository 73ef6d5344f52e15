package zktest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
)

func watchFiresOnce(s *scene) {
	watcher, other := s.open(), s.open()
	for round := range 3 {
		watcher.sync()
		watcher.watch(s.root)
		watcher.watch(s.root) // still one watch
		name := fmt.Sprint(s.root, "/", round)
		other.make(name, zk.Persistent)
		watcher.hears(round+1, zk.ChildrenChanged, s.root)
		other.make(name+"-unwatched", zk.Persistent)
		other.remove(name)
		watcher.sync() // an event of these would have come before the answer
		if n := watcher.count(zk.ChildrenChanged, ""); n != round+1 {
			s.Fatalf("%d events of %d watches", n, round+1)
		}
	}
	watcher.watch(s.root)
	other.remove(s.root + "/0-unwatched")
	watcher.hears(4, zk.ChildrenChanged, s.root)

	watcher.watch(s.root)
	s.must("multi", other.Multi(s.ctx, zk.CreateOp(s.root+"/x", nil, zk.Persistent), zk.CreateOp(s.root+"/y", nil, zk.Persistent)))
	watcher.hears(5, zk.ChildrenChanged, s.root)
	watcher.sync()
	if n := watcher.count(zk.ChildrenChanged, ""); n != 5 {
		s.Errorf("%d events of 5 watches", n)
	}
}

func watchIsOfTheListAlone(s *scene) {
	watcher, other := s.open(), s.open()
	other.make(s.root+"/a", zk.Persistent)
	watcher.sync()
	watcher.watch(s.root)
	s.must("set", other.Set(s.ctx, s.root, []byte("x"), zk.AnyVersion))
	s.must("set", other.Set(s.ctx, s.root+"/a", []byte("x"), zk.AnyVersion))
	other.make(s.root+"/a/b", zk.Persistent)
	other.remove(s.root + "/a/b")
	other.Create(s.ctx, s.root+"/a", nil, zk.Persistent)                                        // is there
	other.Multi(s.ctx, zk.CreateOp(s.root+"/b", nil, zk.Persistent), zk.SetOp(s.root, nil, 77)) // fails
	watcher.list(s.root)
	watcher.sync()
	if n := watcher.count(zk.ChildrenChanged, ""); n != 0 {
		s.Errorf("%d events without a change of the list", n)
	}
}

func watchHearsOfTheNodesEnd(s *scene) {
	watcher, other := s.open(), s.open()
	other.make(s.root+"/a", zk.Persistent)
	other.make(s.root+"/e", zk.Ephemeral)
	watcher.sync()
	watcher.watch(s.root + "/a")
	watcher.watch(s.root + "/e")
	other.remove(s.root + "/a")
	watcher.hears(1, zk.ChildrenChanged, s.root+"/a")
	s.must("close", other.Close(s.ctx))
	watcher.hears(1, zk.ChildrenChanged, s.root+"/e")
}

func watchOfNothingIsNone(s *scene) {
	watcher, other := s.open(), s.open()
	_, err := watcher.Children(s.ctx, s.root+"/a", true)
	s.is("watch nothing", err, zk.ErrNoNode)
	other.make(s.root+"/a", zk.Persistent)
	other.make(s.root+"/a/b", zk.Persistent)
	watcher.sync()
	if n := watcher.count(zk.ChildrenChanged, ""); n != 0 {
		s.Errorf("%d events of a watch that was not set", n)
	}
}

// eventComesBeforeItsSight: no read shows a change before its event has come, on whatever servers the two sessions are.
func eventComesBeforeItsSight(s *scene) {
	for at := range s.Servers() {
		watcher, other := s.open(at), s.open((at+1)%s.Servers())
		watcher.sync()
		for round := range 20 {
			// While the other one writes, look again and again.
			before := watcher.watch(s.root)
			seen := watcher.count(zk.ChildrenChanged, s.root)
			name := fmt.Sprintf("%d-%d", at, round)
			done := make(chan error, 1)
			go func() {
				var err error
				if round%2 == 0 {
					_, err = other.Create(s.ctx, s.root+"/"+name, nil, zk.Ephemeral)
				} else {
					err = other.Delete(s.ctx, s.root+"/"+fmt.Sprintf("%d-%d", at, round-1), zk.AnyVersion)
				}
				done <- err
			}()
			s.soon("the change is seen", func() bool {
				changed := !slices.Equal(watcher.list(s.root), before)
				if _, _, err := watcher.Get(s.ctx, s.root+"/"+name); round%2 == 0 && err == nil {
					changed = true
				}
				if changed && watcher.count(zk.ChildrenChanged, s.root) == seen {
					s.Errorf("server %d, round %d: the change was read before its event came", at, round)
				}
				return changed
			})
			s.must("change", <-done)
		}
	}
}

func eventComesBeforeOnesOwnAnswer(s *scene) {
	o := s.open()
	for round := range 20 {
		o.watch(s.root)
		o.make(fmt.Sprint(s.root, "/", round), zk.Ephemeral)
		if n := o.count(zk.ChildrenChanged, s.root); n != round+1 {
			s.Fatalf("%d events when %d changes are acknowledged", n, round+1)
		}
	}
}

func syncCatchesUp(s *scene) {
	for at := range s.Servers() {
		writer, reader := s.open(at), s.open((at+1)%s.Servers())
		path := fmt.Sprint(s.root, "/", at)
		writer.make(path, zk.Persistent)
		for round := range 20 {
			s.must("set", writer.Set(s.ctx, path, nil, int32(round)))
			if v := reader.version(path); v != int32(round)+1 {
				s.Fatalf("server %d: version %d after a sync, want %d", (at+1)%s.Servers(), v, round+1)
			}
		}
	}
}

func readsFollowOnesOwnWrites(s *scene) {
	for at := range s.Servers() {
		o := s.open(at)
		path := fmt.Sprint(s.root, "/", at)
		o.make(path, zk.Persistent)
		for round := range 20 {
			name := fmt.Sprint(path, "/", round)
			o.make(name, zk.Ephemeral)
			if _, _, err := o.Get(s.ctx, name); err != nil || len(o.list(path)) != round+1 {
				s.Fatalf("server %d: get of a node just made: %v; list %v", at, err, o.list(path))
			}
			s.must("set", o.Set(s.ctx, path, nil, int32(round)))
			if _, v, err := o.Get(s.ctx, path); err != nil || v != int32(round)+1 {
				s.Fatalf("server %d: version %d, %v, of a node just set to %d", at, v, err, round+1)
			}
		}
	}
}

// requestsGivenUpKeepTheirPlace: what its caller gave up is carried out before what was asked for later, or never.
func requestsGivenUpKeepTheirPlace(s *scene) {
	for at := range s.Servers() {
		o := s.open(at)
		path := fmt.Sprint(s.root, "/", at)
		o.make(path, zk.Persistent)
		for round := range 30 {
			ctx, cancel := context.WithCancel(s.ctx)
			go cancel() // before, while or after it is under way
			o.Set(ctx, path, []byte("given up"), zk.AnyVersion)
			cancel()
			s.must("set", o.Set(s.ctx, path, fmt.Append(nil, round), zk.AnyVersion))
			if data, _, err := o.Get(s.ctx, path); err != nil || string(data) != fmt.Sprint(round) {
				s.Fatalf("server %d: %q, %v; want %d", at, data, err, round)
			}
		}
		time.Sleep(s.aWhile())
		if data, _, err := o.Get(s.ctx, path); err != nil || string(data) != "29" {
			s.Errorf("server %d: in the end %q, %v; want 29", at, data, err)
		}
	}
}
