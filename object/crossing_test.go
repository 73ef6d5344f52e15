package object_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/object"
)

var errForbidden = errors.New("forbidden")

type quotaError struct{ Limit int }

func (e *quotaError) Error() string { return fmt.Sprint("more than ", e.Limit) }

// testErrors are those that the nodes of these tests are opened with.
var testErrors = object.Set{Errors: []object.CrossingError{
	{Name: "test.errForbidden", Value: &errForbidden},
	{
		Name: "test.quotaError",
		Append: func(b []byte, err error) ([]byte, bool) {
			var e *quotaError
			if !errors.As(err, &e) {
				return b, false
			}
			return codec.AppendInt(b, e.Limit), true
		},
		Read: func(r *codec.Reader) error {
			e := new(quotaError)
			codec.ReadInt(r, &e.Limit)
			return e
		},
	},
}}

// refuser is a type whose methods fail as they are told.
func refuser() (*object.Type[counter], *object.UpdateMethod[counter, int, int], *object.ReadMethod[counter, int, int]) {
	fail := func(how int) error {
		switch how {
		case 0:
			return fmt.Errorf("list 7: %w", errForbidden)
		case 1:
			return fmt.Errorf("list 7: %w", &quotaError{12})
		case 2:
			return errors.Join(errForbidden, &quotaError{13})
		}
		return errors.New("unheard of")
	}
	update := object.Update("Fail", func(_ context.Context, c *counter, how int) (int, error) { return 0, fail(how) })
	read := object.Read("FailRead", func(_ context.Context, c *counter, how int) (int, error) { return 0, fail(how) })
	return &object.Type[counter]{Name: "refuser", Methods: []object.Method[counter]{update, read}}, update, read
}

func TestErrorsCrossNodes(t *testing.T) {
	typ, update, read := refuser()
	inWorld(t, func(w *world) {
		w.onCall = overTheWire
		w.types = append(w.types, testErrors, object.Set{})
		a, b := w.node("a"), w.node("b")
		if _, err := typ.On(a).Get(w.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		w.types = []object.Definition{typ}
		stranger := w.node("stranger") // was not opened with the errors
		for how := range 4 {
			for _, n := range []*node{a, b, stranger} {
				_, err1 := update.Call(w.Context(), typ.On(n).Ref("x"), how)
				_, err2 := read.Call(w.Context(), typ.On(n).Ref("x"), how)
				for _, err := range []error{err1, err2} {
					var quota *quotaError
					var remote *object.RemoteError
					found := errors.As(err, &quota)
					known := n != stranger
					if errors.Is(err, errForbidden) != (known && how%2 == 0) || found != (known && (how == 1 || how == 2)) || found && quota.Limit != 11+how ||
						errors.As(err, &remote) != (n != a) || errors.Is(err, object.ErrUnavailable) {
						t.Errorf("%d through %s: %v, %#v", how, n.id, err, err)
					}
					if how < 2 && !strings.HasPrefix(err.Error(), "list 7: ") {
						t.Errorf("%d: the message is lost: %v", how, err)
					}
				}
			}
		}
	}, typ)
}

// An error of an object that a method has called crosses a node that does not know it.
func TestErrorsCrossNodesThatDoNotKnowThem(t *testing.T) {
	typ, update, _ := refuser()
	var on object.Node
	outer := object.Update("Outer", func(ctx context.Context, c *counter, how int) (int, error) {
		_, err := update.Call(ctx, typ.On(on).Ref("x"), how)
		return 0, fmt.Errorf("outer: %w", err)
	})
	outers := &object.Type[counter]{Name: "outer", Methods: []object.Method[counter]{outer}}
	inWorld(t, func(w *world) {
		w.onCall = overTheWire
		w.types = []object.Definition{typ, outers, testErrors}
		inner, caller := w.node("inner"), w.node("caller")
		typ.On(inner).Get(w.Context(), "x")
		w.types = []object.Definition{typ, outers}
		middle := w.node("middle")
		on = middle
		outers.On(middle).Get(w.Context(), "o")
		_, err := outer.Call(w.Context(), outers.On(caller).Ref("o"), 2)
		var quota *quotaError
		if !errors.Is(err, errForbidden) || !errors.As(err, &quota) || quota.Limit != 13 {
			t.Error(err)
		}
	})
}

// An oddError panics in the method of that name.
type oddError struct{ method string }

func (e *oddError) panics(method string) {
	if e.method == method {
		panic(method)
	}
}

func (e *oddError) Error() string      { e.panics("Error"); return "odd" }
func (e *oddError) Is(error) bool      { e.panics("Is"); return false }
func (e *oddError) As(target any) bool { e.panics("As"); return false }

// What a method of an error does must not end the node that sends it, nor the one that reads it. Which errors surround it is still found.
func TestErrorsThatPanicCrossNodes(t *testing.T) {
	fail := object.Update("Fail", func(_ context.Context, c *counter, how string) (int, error) {
		var err error = &oddError{how}
		switch how {
		case "nil":
			err = (*oddError)(nil)
		case "nil quota": // its Append panics
			err = (*quotaError)(nil)
		}
		return 0, errors.Join(errForbidden, object.ErrTooLarge, err)
	})
	typ := &object.Type[counter]{Name: "odd", Methods: []object.Method[counter]{fail}}
	bad := object.Set{Errors: []object.CrossingError{{
		Name:   "test.badError",
		Append: func(b []byte, err error) ([]byte, bool) { return append(b, 0xc0), true },
		Read:   func(r *codec.Reader) error { panic("never") },
	}}}
	inWorld(t, func(w *world) {
		w.onCall = func(_ object.Member, _ *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
			reply, err := deliver()
			if err != nil {
				err = object.NewRemoteError(err)
			}
			return reply, err
		}
		w.types = append(w.types, bad, testErrors)
		owner, caller := w.node("owner"), w.node("caller")
		typ.On(owner).Get(w.Context(), "x")
		for _, how := range []string{"nil", "nil quota", "Error", "Is", "As", ""} {
			_, err := fail.Call(w.Context(), typ.On(caller).Ref("x"), how)
			if !errors.Is(err, errForbidden) || !errors.Is(err, object.ErrTooLarge) {
				t.Errorf("%s: %v", how, err)
			}
		}
	}, typ)
}

func TestSetsAreChecked(t *testing.T) {
	twice := object.Set{Errors: []object.CrossingError{testErrors.Errors[0], testErrors.Errors[0]}}
	both := object.Set{Errors: []object.CrossingError{{Name: "x"}}}
	for name, d := range map[string]object.Definition{
		"used twice":           twice,
		`"" of an error`:       object.Set{Errors: []object.CrossingError{{Value: &errForbidden}}},
		"either a Value":       both,
		`no type of that name`: object.Set{Types: []object.Definition{counters}}.With("cuonter", object.Options{MaxState: 1}),
		"must not be negative": object.Set{Types: []object.Definition{counters}}.With("counter", object.Options{MaxState: -1}),
		"defined twice":        object.Set{Types: []object.Definition{counters, counters}},
		"run go generate":      &object.Type[counter]{Name: "c", Check: func() error { return errors.New("run go generate") }},
	} {
		if _, err := object.NewHost(object.HostConfig{}, d); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %s", err, name)
		}
	}
}

// Options hold for the node that was opened with them.
func TestOptionsOfASet(t *testing.T) {
	set := object.Set{Types: []object.Definition{albums, counters}}
	one := set.With("album", object.Options{})
	small := one.With("album", object.Options{MaxState: 50}).With("counter", object.Options{MaxQueue: 7})
	for _, c := range []struct {
		set  object.Set
		want error
	}{{set, nil}, {one, nil}, {small, object.ErrTooLarge}, {set.With("counter", object.Options{}), nil}} {
		inWorld(t, func(w *world) {
			w.onCall = overTheWire
			w.types = []object.Definition{c.set}
			err := albums.On(w.node("n")).Put(w.Context(), "a", album{Titles: []string{strings.Repeat("x", 100)}})
			if !errors.Is(err, c.want) {
				t.Error(err)
			}
		})
	}
}
