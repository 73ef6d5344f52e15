package client

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/zkserver"
)

func TestRequestsDoWhatTheySay(t *testing.T) {
	s, events := open(t, newEnsemble(t, zkserver.Addrs(t), Options{}), 6*time.Second)
	ctx, dir := t.Context(), ""
	events.await(t, zk.Event{Type: zk.Connected}, 1)
	if s.ID() == 0 || s.Timeout() != 6*time.Second {
		t.Errorf("id %#x, timeout %v", s.ID(), s.Timeout())
	}
	dir = root(t, s)
	for i, mode := range []zk.Mode{zk.Persistent, zk.Ephemeral, zk.Container} {
		path := dir + "/" + string(rune('a'+i))
		if created, err := s.Create(ctx, path, []byte("x"), mode); created != path || err != nil {
			t.Errorf("Create in mode %d: %q, %v", mode, created, err)
		}
	}
	created, err := s.Create(ctx, dir+"/s-", nil, zk.EphemeralSequential)
	if err != nil || !strings.HasPrefix(created, dir+"/s-") || len(created) != len(dir)+3+10 {
		t.Errorf("Create of a sequential node: %q, %v", created, err)
	}
	names, err := s.Children(ctx, dir, false)
	slices.Sort(names)
	if want := []string{"a", "b", "c", created[len(dir)+1:]}; err != nil || !slices.Equal(names, want) {
		t.Errorf("Children: %q, %v, not %q", names, err, want)
	}
	if err := s.Set(ctx, dir+"/a", []byte("y"), 0); err != nil {
		t.Error(err)
	}
	if data, version, err := s.Get(ctx, dir+"/a"); string(data) != "y" || version != 1 || err != nil {
		t.Errorf("Get: %q, %d, %v", data, version, err)
	}
	if err := s.Sync(ctx, dir); err != nil {
		t.Error(err)
	}
	if err := s.Delete(ctx, dir+"/b", zk.AnyVersion); err != nil {
		t.Error(err)
	}
	if err := s.Multi(ctx, zk.CreateOp(dir+"/m", nil, zk.Ephemeral), zk.SetOp(dir+"/a", nil, 1), zk.DeleteOp(dir+"/m", 0)); err != nil {
		t.Error(err)
	}

	for what, check := range map[string]struct{ err, want error }{
		"set":          {s.Set(ctx, dir+"/none", nil, 0), zk.ErrNoNode},
		"set version":  {s.Set(ctx, dir+"/a", nil, 7), zk.ErrBadVersion},
		"delete":       {s.Delete(ctx, dir+"/none", 0), zk.ErrNoNode},
		"not empty":    {s.Delete(ctx, dir, zk.AnyVersion), zk.ErrNotEmpty},
		"multi":        {s.Multi(ctx, zk.SetOp(dir+"/a", nil, zk.AnyVersion), zk.DeleteOp(dir+"/a", 0), zk.DeleteOp(dir+"/none", 0)), zk.ErrBadVersion},
		"multi exists": {s.Multi(ctx, zk.CreateOp(dir+"/a", nil, zk.Persistent), zk.DeleteOp(dir+"/none", 0)), zk.ErrNodeExists},
	} {
		if !errors.Is(check.err, check.want) {
			t.Errorf("%s: %v, not %v", what, check.err, check.want)
		}
	}
	if _, err := s.Create(ctx, dir+"/a", nil, zk.Persistent); !errors.Is(err, zk.ErrNodeExists) {
		t.Errorf("Create of what exists: %v", err)
	}
	if _, version, _ := s.Get(ctx, dir+"/a"); version != 2 {
		t.Errorf("a multi that failed has carried out its first part")
	}
	if err := s.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := s.Set(ctx, dir+"/a", nil, 0); !errors.Is(err, zk.ErrSessionOver) {
		t.Errorf("Set after Close: %v", err)
	}
}
