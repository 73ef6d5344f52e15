package persist

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/highlander-go/highlander/object"
)

// A bentStore is one whose answers a test bends.
type bentStore struct {
	object.Store
	get func(body []byte, tag object.Tag, err error) ([]byte, object.Tag, error)
	put func(c object.Condition) (object.Condition, error)
	del func(c object.Condition) (object.Condition, error)
}

func (s bentStore) Delete(ctx context.Context, name string, c object.Condition) error {
	if s.del != nil {
		var err error
		if c, err = s.del(c); err != nil {
			return err
		}
	}
	return s.Store.Delete(ctx, name, c)
}

func (s bentStore) Get(ctx context.Context, name string) ([]byte, object.Tag, error) {
	body, tag, err := s.Store.Get(ctx, name)
	if s.get != nil {
		return s.get(body, tag, err)
	}
	return body, tag, err
}

func (s bentStore) Put(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
	if s.put != nil {
		var err error
		if c, err = s.put(c); err != nil {
			return "", err
		}
	}
	return s.Store.Put(ctx, name, body, c)
}

func TestCheckRefusesStoresThatCannotBeTrusted(t *testing.T) {
	for name, c := range map[string]struct {
		store bentStore
		want  string
	}{
		"ignores If-Match": {bentStore{put: func(c object.Condition) (object.Condition, error) {
			if _, ok := c.Match(); ok {
				return object.Condition{}, nil
			}
			return c, nil
		}}, "8 of 8 writers won"},
		"ignores If-None-Match": {bentStore{put: func(c object.Condition) (object.Condition, error) {
			if c.Absent() {
				return object.Condition{}, nil
			}
			return c, nil
		}}, "8 of 8 writers won"},
		"does not say that a blob is missing": {bentStore{get: func([]byte, object.Tag, error) ([]byte, object.Tag, error) {
			return nil, "", nil
		}}, "the store does not say of a blob that is not there"},
		"lets nobody read": {bentStore{get: func(b []byte, tag object.Tag, err error) ([]byte, object.Tag, error) {
			return b, tag, errors.New("403 forbidden")
		}}, "does not let this node read: 403 forbidden"},
		"tags change by themselves": {bentStore{get: func(b []byte, tag object.Tag, err error) ([]byte, object.Tag, error) {
			return b, tag + "x", err
		}}, "cannot be trusted"},
		"is full": {bentStore{put: func(c object.Condition) (object.Condition, error) {
			return c, fmt.Errorf("%w: no space left on device", object.ErrRefused)
		}}, "no space left"},
	} {
		c.store.Store = NewMemory()
		_, err := Check(t.Context(), c.store)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("a store that %s: %v; want it to say %q", name, err, c.want)
		}
	}
}

// A store that does not answer is not said to answer wrongly.
func TestCheckOfAStoreThatCannotBeReached(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	unreachable := bentStore{Store: NewMemory(), get: func([]byte, object.Tag, error) ([]byte, object.Tag, error) { return nil, "", ctx.Err() }}
	if _, err := Check(ctx, unreachable); !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "the store cannot be reached, or ") {
		t.Error(err)
	}
}

// The winner of a race takes its tag along, and yet its put is undone by the others.
func TestCheckRefusesAStoreThatKnowsNoTag(t *testing.T) {
	weak := bentStore{Store: NewMemory(), put: func(c object.Condition) (object.Condition, error) {
		if tag, ok := c.Match(); ok {
			return object.IfMatch("W/" + tag), nil
		}
		return c, nil
	}}
	if _, err := Check(t.Context(), weak); err == nil || !strings.Contains(err.Error(), "none of 8 writers won") {
		t.Error(err)
	}
}

func TestCheckTrustsDeletesOfGoodStores(t *testing.T) {
	for _, store := range []object.Store{NewMemory(), openTestDirectory(t, t.TempDir())} {
		if can, err := Check(t.Context(), store); err != nil || !can.ConditionalDelete {
			t.Errorf("%T: got %+v, %v", store, can, err)
		}
	}
}

func TestCheckFindsOutWhetherDeletesHonourConditions(t *testing.T) {
	memory := NewMemory()
	first := true
	for what, del := range map[string]func(object.Condition) (object.Condition, error){
		"ignores the condition":      func(object.Condition) (object.Condition, error) { return object.Condition{}, nil },
		"does not implement it":      func(c object.Condition) (object.Condition, error) { return c, errors.New("501") },
		"is forbidden":               func(c object.Condition) (object.Condition, error) { return c, object.ErrRefused },
		"says so and does not do it": func(c object.Condition) (object.Condition, error) { return object.IfMatch("none"), nil },
		"honours a tag once and then ignores it": func(c object.Condition) (object.Condition, error) {
			if !first {
				c = object.Condition{}
			}
			first = false
			return c, nil
		},
	} {
		store := oneAtATime{bentStore{Store: memory, del: del}, make(chan struct{}, 1)}
		if can, err := Check(t.Context(), store); err != nil || can.ConditionalDelete {
			t.Errorf("a store whose delete %s: got %+v, %v", what, can, err)
		}
	}
}

func TestCheckLeavesNothingInAGoodStore(t *testing.T) {
	conflict := bentStore{Store: NewMemory()}
	n := 0
	conflict.put = func(c object.Condition) (object.Condition, error) { // S3 may answer losers of a race so
		if n++; n%8 == 2 {
			return c, errors.New("409 conflict")
		}
		return c, nil
	}
	store := oneAtATime{conflict, make(chan struct{}, 1)}
	if _, err := Check(t.Context(), store); err != nil { // whether its deletes can be trusted may stay unclear
		t.Fatal(err)
	}
	if names, err := store.List(t.Context(), "", "", 1000); len(names) != 0 || err != nil {
		t.Fatal(names, err)
	}
}

// oneAtATime makes puts and deletes one at a time, so that the test's count is no race.
type oneAtATime struct {
	bentStore
	one chan struct{}
}

func (s oneAtATime) Put(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
	s.one <- struct{}{}
	defer func() { <-s.one }()
	return s.bentStore.Put(ctx, name, body, c)
}

func (s oneAtATime) Delete(ctx context.Context, name string, c object.Condition) error {
	s.one <- struct{}{}
	defer func() { <-s.one }()
	return s.bentStore.Delete(ctx, name, c)
}
