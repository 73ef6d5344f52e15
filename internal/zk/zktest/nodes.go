package zktest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/highlander-go/highlander/internal/zk"
)

func nodesHaveVersions(s *scene) {
	o := s.open()
	path := s.root + "/a"
	created, err := o.Create(s.ctx, path, []byte("0"), zk.Persistent)
	if err != nil || created != path {
		s.Fatalf("create %s: %q, %v", path, created, err)
	}
	is := func(data string, version int32) {
		s.Helper()
		if d, v, err := o.Get(s.ctx, path); err != nil || string(d) != data || v != version {
			s.Errorf("get: %q, version %d, %v; want %q, version %d", d, v, err, data, version)
		}
	}
	is("0", 0)
	s.is("set with the version", o.Set(s.ctx, path, []byte("1"), 0), nil)
	is("1", 1)
	s.is("set with an old version", o.Set(s.ctx, path, []byte("x"), 0), zk.ErrBadVersion)
	s.is("set with a version to come", o.Set(s.ctx, path, []byte("x"), 2), zk.ErrBadVersion)
	is("1", 1)
	s.is("set with any version", o.Set(s.ctx, path, []byte("2"), zk.AnyVersion), nil)
	is("2", 2)
	s.is("set with the same data", o.Set(s.ctx, path, []byte("2"), 2), nil)
	is("2", 3)

	s.is("delete with an old version", o.Delete(s.ctx, path, 2), zk.ErrBadVersion)
	is("2", 3)
	s.is("delete with the version", o.Delete(s.ctx, path, 3), nil)

	_, _, err = o.Get(s.ctx, path)
	s.is("get of nothing", err, zk.ErrNoNode)
	s.is("set of nothing", o.Set(s.ctx, path, nil, zk.AnyVersion), zk.ErrNoNode)
	s.is("delete of nothing", o.Delete(s.ctx, path, zk.AnyVersion), zk.ErrNoNode)
	o.make(path, zk.Persistent)
	is("", 0)
}

func createNeedsAParentAndAFreeName(s *scene) {
	o := s.open()
	o.make(s.root+"/taken", zk.Persistent)
	for _, mode := range []zk.Mode{zk.Persistent, zk.Ephemeral, zk.Container} {
		_, err := o.Create(s.ctx, s.root+"/taken", nil, mode)
		s.is("create what is there", err, zk.ErrNodeExists)
	}
	for _, mode := range []zk.Mode{zk.Persistent, zk.Ephemeral, zk.EphemeralSequential, zk.Container} {
		_, err := o.Create(s.ctx, s.root+"/missing/child", nil, mode)
		s.is("create below nothing", err, zk.ErrNoNode)
	}
	if names := o.list(s.root); !slices.Equal(names, []string{"taken"}) {
		s.Errorf("there are %v", names)
	}
}

func ephemeralNodesHaveNoChildren(s *scene) {
	o := s.open()
	o.make(s.root+"/e", zk.Ephemeral)
	for _, mode := range []zk.Mode{zk.Persistent, zk.EphemeralSequential} {
		if created, err := o.Create(s.ctx, s.root+"/e/child", nil, mode); err == nil {
			s.Errorf("an ephemeral node has the child %s", created)
		}
	}
	if names := o.list(s.root + "/e"); len(names) > 0 {
		s.Errorf("an ephemeral node has children %v", names)
	}
}

func oddPathsAreRefused(s *scene) {
	o := s.open()
	for _, path := range []string{"", "a", s.root + "/", s.root + "//a", s.root + "/./a", s.root + "/../a",
		s.root + "/a\x00", s.root + "/a\x1f", s.root + "/\xff", s.root + "/\u0080", s.root + "/\ue000", s.root + "/\ufffd", s.root + "/😀"} {
		if created, err := o.Create(s.ctx, path, nil, zk.Persistent); err == nil {
			s.Errorf("path %q was made as %q", path, created)
		}
		if names, err := o.Children(s.ctx, path, false); err == nil {
			s.Errorf("path %q has children %v", path, names)
		}
		if err := o.Delete(s.ctx, path, zk.AnyVersion); err == nil {
			s.Errorf("path %q was deleted", path)
		}
	}
	if names := o.list(s.root); len(names) > 0 {
		s.Errorf("there are %v", names)
	}
	for _, name := range []string{"ä€\u0301", "a b", "%2F", "-", "a.b", "...", "A", "a"} {
		if created := o.make(s.root+"/"+name, zk.Persistent); created != s.root+"/"+name {
			s.Errorf("%q was made as %q", name, created)
		}
	}
}

func childrenAreListed(s *scene) {
	o := s.open()
	_, err := o.Children(s.ctx, s.root+"/missing", false)
	s.is("children of nothing", err, zk.ErrNoNode)
	if names := o.list(s.root); len(names) > 0 {
		s.Errorf("a new node has children %v", names)
	}
	var want []string
	for i := range 20 {
		name := fmt.Sprint("n", 10+i)
		o.make(s.root+"/"+name, zk.Persistent)
		o.make(s.root+"/"+name+"/deep", zk.Persistent)
		want = append(want, name)
	}
	if names := o.list(s.root); !slices.Equal(names, want) {
		s.Errorf("children %v, want %v", names, want)
	}
	o.remove(s.root + "/n10/deep")
	o.remove(s.root + "/n10")
	if names := o.list(s.root); !slices.Equal(names, want[1:]) {
		s.Errorf("children %v, want %v", names, want[1:])
	}
}

func deleteSparesWhatHasChildren(s *scene) {
	o := s.open()
	o.make(s.root+"/a", zk.Persistent)
	o.make(s.root+"/a/b", zk.Ephemeral)
	s.is("delete what has a child", o.Delete(s.ctx, s.root+"/a", zk.AnyVersion), zk.ErrNotEmpty)
	s.is("delete what has a child with another version", o.Delete(s.ctx, s.root+"/a", 7), zk.ErrBadVersion)
	if !o.exists(s.root + "/a/b") {
		s.Errorf("the child is gone")
	}
	o.remove(s.root + "/a/b")
	o.remove(s.root + "/a")
}

func sequenceCountsCreations(s *scene) {
	o := s.open()
	numbered := func(prefix string, want int) {
		s.Helper()
		if created := o.make(s.root+"/"+prefix, zk.EphemeralSequential); created != fmt.Sprintf("%s/%s%010d", s.root, prefix, want) {
			s.Errorf("%s was made as %s, want number %d", prefix, created, want)
		}
	}
	numbered("a-", 0)
	numbered("a-", 1)
	numbered("b-", 2)
	numbered("", 3)
	o.make(s.root+"/plain", zk.Persistent)
	numbered("a-", 5)
	o.remove(s.root + "/plain")
	o.remove(s.root + "/a-0000000005")
	numbered("a-", 6)
	if _, err := o.Create(s.ctx, s.root+"/a-0000000006", nil, zk.Persistent); !errors.Is(err, zk.ErrNodeExists) {
		s.Errorf("create what is there: %v", err)
	}
	s.must("set", o.Set(s.ctx, s.root, []byte("x"), zk.AnyVersion))
	numbered("a-", 7)
	o.make(s.root+"/sub", zk.Persistent)
	o.make(s.root+"/sub/x", zk.Persistent)
	numbered("a-", 9)
	err := o.Multi(s.ctx, zk.CreateOp(s.root+"/m-", nil, zk.EphemeralSequential), zk.DeleteOp(s.root+"/missing", zk.AnyVersion))
	s.is("multi", err, zk.ErrNoNode)
	numbered("a-", 10)
	s.must("multi", o.Multi(s.ctx, zk.CreateOp(s.root+"/m-", nil, zk.EphemeralSequential), zk.CreateOp(s.root+"/m-", nil, zk.EphemeralSequential)))
	numbered("a-", 13)
	for _, name := range []string{"m-0000000011", "m-0000000012"} {
		if !slices.Contains(o.list(s.root), name) {
			s.Errorf("%s is not among %v", name, o.list(s.root))
		}
	}
}

func sequenceBeginsAnewWithItsParent(s *scene) {
	o := s.open()
	for range 2 {
		o.make(s.root+"/p", zk.Persistent)
		created := o.make(s.root+"/p/a-", zk.EphemeralSequential)
		if created != s.root+"/p/a-0000000000" {
			s.Errorf("the first child is %s", created)
		}
		o.remove(created)
		o.remove(s.root + "/p")
	}
}

func multiIsAllOrNothing(s *scene) {
	o := s.open()
	a, b, missing := s.root+"/a", s.root+"/b", s.root+"/missing"
	o.make(a, zk.Persistent)
	o.make(a+"/child", zk.Persistent)
	for _, c := range []struct {
		what string
		want error
		ops  []zk.Op
	}{
		{"create what is there", zk.ErrNodeExists, []zk.Op{zk.CreateOp(a, nil, zk.Persistent)}},
		{"create below nothing", zk.ErrNoNode, []zk.Op{zk.CreateOp(missing+"/x", nil, zk.Persistent)}},
		{"delete nothing", zk.ErrNoNode, []zk.Op{zk.DeleteOp(missing, zk.AnyVersion)}},
		{"delete another version", zk.ErrBadVersion, []zk.Op{zk.DeleteOp(a, 3)}},
		{"delete a parent", zk.ErrNotEmpty, []zk.Op{zk.DeleteOp(a, zk.AnyVersion)}},
		{"set nothing", zk.ErrNoNode, []zk.Op{zk.SetOp(missing, nil, zk.AnyVersion)}},
		{"set another version", zk.ErrBadVersion, []zk.Op{zk.SetOp(a, nil, 3)}},
		{"two that fail", zk.ErrBadVersion, []zk.Op{zk.SetOp(a, nil, 3), zk.DeleteOp(missing, zk.AnyVersion)}},
		{"two that fail, the other way", zk.ErrNoNode, []zk.Op{zk.DeleteOp(missing, zk.AnyVersion), zk.SetOp(a, nil, 3)}},
	} {
		ops := append([]zk.Op{zk.CreateOp(b, nil, zk.Ephemeral), zk.SetOp(a, []byte("x"), zk.AnyVersion), zk.DeleteOp(a+"/child", zk.AnyVersion),
			zk.CreateOp(a+"/child", nil, zk.Persistent)}, c.ops...)
		s.is(c.what, o.Multi(s.ctx, ops...), c.want)
		if o.exists(b) || o.version(a) != 0 || !o.exists(a+"/child") {
			s.Errorf("%s: a part was carried out", c.what)
		}
	}
	if err := o.Multi(s.ctx, zk.CreateOp(b, nil, zk.Container)); err == nil || o.exists(b) {
		s.Errorf("a container was made in a multi, error %v", err)
	}
	s.must("a multi", o.Multi(s.ctx, zk.DeleteOp(a+"/child", 0), zk.SetOp(a, []byte("y"), 0), zk.CreateOp(b, []byte("z"), zk.Ephemeral)))
	if o.exists(a+"/child") || o.version(a) != 1 || !o.exists(b) {
		s.Errorf("a part of a multi was not carried out")
	}
}

// multiSeesItsOwnParts: a multi that cannot succeed while its guard exists, and leaves nothing of the guard.
func multiSeesItsOwnParts(s *scene) {
	o := s.open()
	guard, path := s.root+"/guard", s.root+"/a"
	o.make(path, zk.Persistent)
	guarded := []zk.Op{zk.CreateOp(guard, nil, zk.Persistent), zk.DeleteOp(guard, zk.AnyVersion), zk.DeleteOp(path, zk.AnyVersion)}
	o.make(guard, zk.Ephemeral)
	s.is("guarded deletion", o.Multi(s.ctx, guarded...), zk.ErrNodeExists)
	if !o.exists(path) {
		s.Errorf("the guard did not help")
	}
	o.remove(guard)
	s.must("guarded deletion", o.Multi(s.ctx, guarded...))
	if o.exists(path) || o.exists(guard) {
		s.Errorf("there is something left")
	}
	s.must("parent and child", o.Multi(s.ctx, zk.CreateOp(path, nil, zk.Persistent), zk.CreateOp(path+"/b", nil, zk.Persistent), zk.SetOp(path+"/b", []byte("x"), 0)))
	if v := o.version(path + "/b"); v != 1 {
		s.Errorf("version %d, want 1", v)
	}
	s.must("child and parent", o.Multi(s.ctx, zk.DeleteOp(path+"/b", 1), zk.DeleteOp(path, 0)))
}

func dataIsCopied(s *scene) {
	o := s.open()
	path := s.root + "/a"
	data := []byte("abc")
	_, err := o.Create(s.ctx, path, data, zk.Persistent)
	s.must("create", err)
	for _, change := range []func(){
		func() {},
		func() { s.must("set", o.Set(s.ctx, path, data, zk.AnyVersion)) },
		func() { s.must("multi", o.Multi(s.ctx, zk.SetOp(path, data, zk.AnyVersion))) },
	} {
		copy(data, "abc")
		change()
		copy(data, "xxx")
		got, _, err := o.Get(s.ctx, path)
		if err != nil || string(got) != "abc" {
			s.Fatalf("get: %q, %v; want abc", got, err)
		}
		copy(got, "yyy")
		if got, _, err := o.Get(s.ctx, path); err != nil || string(got) != "abc" {
			s.Errorf("get: %q, %v; want abc", got, err)
		}
		copy(data, "abc")
	}
}

func containerGoesAfterItsLastChild(s *scene) {
	c := needs[Collector](s)
	o := s.open()
	for _, name := range []string{"unused", "used", "full", "full-again"} {
		o.make(s.root+"/"+name, zk.Container)
	}
	o.make(s.root+"/plain", zk.Persistent)
	for _, name := range []string{"full", "full-again"} { // first: servers may collect at any moment
		o.make(s.root+"/"+name+"/b", zk.Ephemeral)
	}
	for _, name := range []string{"used", "full-again", "plain"} {
		o.remove(o.make(s.root+"/"+name+"/a", zk.Ephemeral))
	}
	s.must("collect", c.Collect())
	s.soon("a container that had a child is collected", func() bool { return !o.exists(s.root + "/used") })
	// What was looked at with it has been spared.
	if names := o.list(s.root); !slices.Equal(names, []string{"full", "full-again", "plain", "unused"}) {
		s.Errorf("left are %v", names)
	}
}

func containerMadeAnewCountsFromZero(s *scene) {
	c := needs[Collector](s)
	o := s.open()
	path := s.root + "/c"
	for range 2 {
		o.make(path, zk.Container)
		for i := range 2 {
			if created := o.make(path+"/a-", zk.EphemeralSequential); created != fmt.Sprintf("%s/a-%010d", path, i) {
				s.Errorf("child %d is %s", i, created)
			}
		}
		for _, name := range o.list(path) {
			o.remove(path + "/" + name)
		}
		s.must("collect", c.Collect())
		s.soon("the container is collected", func() bool { return !o.exists(path) })
		_, err := o.Create(s.ctx, path+"/a-", nil, zk.EphemeralSequential)
		s.is("create in a container that is gone", err, zk.ErrNoNode)
	}
}
