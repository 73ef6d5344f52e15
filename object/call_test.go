package object_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/highlander-go/highlander/object"
)

// An album has a state with references, and methods that hand them in and out.
type album struct {
	Titles []string
	Tags   map[string][]string
	Cover  *string
	When   time.Time
}

var (
	setTitles = object.Update("SetTitles", func(_ context.Context, a *album, titles []string) ([]string, error) {
		a.Titles = titles
		return a.Titles, nil
	})
	titles = object.Read("Titles", func(_ context.Context, a *album, _ object.None) ([]string, error) { return a.Titles, nil })
	about  = object.Read("About", func(ctx context.Context, _ *album, _ object.None) (string, error) {
		i := object.From(ctx)
		return fmt.Sprint(i.Key, " for ", i.Caller.ID, i.Caller.Attributes, " at ", i.Now().UTC().Format(time.DateOnly)), nil
	})
	aboutUpdate = object.Update("AboutUpdate", func(ctx context.Context, _ *album, _ object.None) (string, error) {
		i := object.From(ctx)
		return fmt.Sprint(i.Key, " for ", i.Caller.ID, i.Caller.Attributes, " at ", i.Now().UTC().Format(time.DateOnly)), nil
	})
	errOutOfPrint = errors.New("out of print")
	fail          = object.Update("Fail", func(_ context.Context, _ *album, _ object.None) (int, error) { return 7, errOutOfPrint })
	failRead      = object.Read("FailRead", func(_ context.Context, _ *album, _ object.None) (int, error) { return 7, errOutOfPrint })
	boom          = object.Update("Boom", func(_ context.Context, a *album, _ object.None) (int, error) {
		a.Titles = nil
		panic("boom")
	})
	boomRead = object.Read("BoomRead", func(_ context.Context, _ *album, _ object.None) (int, error) { panic("boom") })
	exit     = object.Update("Exit", func(_ context.Context, a *album, _ object.None) (int, error) {
		runtime.Goexit()
		return 0, nil
	})
	albums = &object.Type[album]{
		Name:    "album",
		Default: func() album { return album{Titles: []string{"untitled"}} },
		Methods: []object.Method[album]{setTitles, titles, about, aboutUpdate, fail, failRead, boom, boomRead, exit},
	}
)

// Local and remote calls behave the same.
func TestCallsAtTheOwnerAndFromAnotherNodeBehaveTheSame(t *testing.T) {
	for name, remote := range map[string]bool{"local": false, "remote": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				owner := w.node("owner")
				n := owner
				if remote {
					n = w.node("other")
				}
				ctx := object.WithCaller(w.Context(), object.Caller{ID: "bob", Attributes: map[string]string{"role": "editor"}})
				all, ref := albums.On(n), albums.On(n).Ref("a/b c")
				if _, err := albums.On(owner).Get(ctx, "a/b c"); err != nil { // wakes it at the owner
					t.Fatal(err)
				}

				arg := []string{"one", "two"}
				got, err := setTitles.Call(ctx, ref, arg)
				if err != nil || !slices.Equal(got, arg) {
					t.Fatal(got, err)
				}
				arg[0], got[1] = "changed by the caller", "changed by the caller"
				read, err := titles.Call(ctx, ref, object.None{})
				if err != nil || !slices.Equal(read, []string{"one", "two"}) {
					t.Fatalf("%v, %v: the state shares memory with its callers", read, err)
				}
				read[0] = "changed by the caller"
				state, version, err := all.GetVersion(ctx, "a/b c")
				if err != nil || version != 1 || !slices.Equal(state.Titles, []string{"one", "two"}) {
					t.Fatal(state, version, err)
				}
				state.Titles[0] = "changed by the caller"
				if view, err := all.View(ctx, "a/b c"); err != nil || view.Titles[0] != "one" {
					t.Fatal(view, err)
				}

				want := `album/"a/b c" for bobmap[role:editor] at 2000-01-01`
				for _, m := range []interface {
					Call(context.Context, object.Ref[album], object.None) (string, error)
				}{about, aboutUpdate} {
					if got, err := m.Call(ctx, ref, object.None{}); got != want || err != nil {
						t.Errorf("From: %q, %v; want %q", got, err, want)
					}
				}
				if v, err := fail.Call(ctx, ref, object.None{}); v != 0 || !errors.Is(err, errOutOfPrint) {
					t.Error(v, err)
				}
				if v, err := failRead.Call(ctx, ref, object.None{}); v != 0 || !errors.Is(err, errOutOfPrint) {
					t.Error(v, err)
				}
				for _, m := range []interface {
					Call(context.Context, object.Ref[album], object.None) (int, error)
				}{boom, boomRead, exit} {
					if _, err := m.Call(ctx, ref, object.None{}); !errors.Is(err, object.ErrPanic) {
						t.Errorf("a method that panics: %v", err)
					}
				}
				if state, err := all.Get(ctx, "a/b c"); err != nil || len(state.Titles) != 2 {
					t.Errorf("after panics: %v, %v", state, err)
				}

				if err := all.PutIf(ctx, "a/b c", 9, album{}); !errors.Is(err, object.ErrVersion) {
					t.Error(err)
				}
				cover := "c"
				put := album{Titles: []string{"x"}, Tags: map[string][]string{"k": {"v"}}, Cover: &cover, When: time.Unix(5, 0).UTC()}
				if err := all.PutIf(ctx, "a/b c", 1, put); err != nil {
					t.Error(err)
				}
				put.Titles[0], put.Tags["k"][0], cover = "changed", "changed", "changed"
				if s, err := all.Get(ctx, "a/b c"); err != nil || s.Titles[0] != "x" || s.Tags["k"][0] != "v" || *s.Cover != "c" || !s.When.Equal(put.When) {
					t.Error(s, err)
				}
				if err := all.Put(ctx, "a/b c", album{}); err != nil {
					t.Error(err)
				}
				if m, ok, err := n.host.Owner(ctx, object.Key{Type: "album", ID: "a/b c"}); !ok || err != nil || m.Incarnation != owner.id {
					t.Errorf("owner %v, %v, %v", m, ok, err)
				}
			}, albums)
		})
	}
}

func TestACallFollowsItsObjectToAnotherOwner(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		w.mustAdd(a, 1, 1)
		w.mustAdd(b, 1, 2) // at a
		go a.host.Drain(w.Context())
		w.mustAdd(b, 1, 3)
		w.mustGet(b, 3)
	})
}

func TestBadCallsAreRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		ctx := w.Context()
		for id, want := range map[string]error{
			"":                        object.ErrBadID,
			strings.Repeat("x", 257):  object.ErrBadID,
			"\xff":                    object.ErrBadID,
			strings.Repeat("ü", 128):  nil,
			"../../etc/passwd\x00 \n": nil,
		} {
			if _, err := counters.On(n).Get(ctx, id); !errors.Is(err, want) {
				t.Errorf("get %q: %v, want %v", id, err, want)
			}
			if _, err := add.Call(ctx, counters.On(n).Ref(id), 1); !errors.Is(err, want) {
				t.Errorf("add to %q: %v, want %v", id, err, want)
			}
			if err := counters.On(n).Put(ctx, id, counter{}); !errors.Is(err, want) {
				t.Errorf("put %q: %v, want %v", id, err, want)
			}
			if _, _, err := n.host.Owner(ctx, object.Key{Type: "counter", ID: id}); !errors.Is(err, want) {
				t.Errorf("owner of %q: %v, want %v", id, err, want)
			}
		}
		if _, err := albums.On(n).Get(ctx, "a"); !errors.Is(err, object.ErrUnknownType) || err.Error() != `unknown type "album": the node was opened without it: give its definition to Open` {
			t.Error(err)
		}
		if err := albums.On(n).Put(ctx, "a", album{}); !errors.Is(err, object.ErrUnknownType) {
			t.Error(err)
		}
		if _, err := titles.Call(ctx, albums.On(n).Ref("a"), object.None{}); !errors.Is(err, object.ErrUnknownType) {
			t.Error(err)
		}
		if _, _, err := n.host.Owner(ctx, object.Key{Type: "album", ID: "a"}); !errors.Is(err, object.ErrUnknownType) {
			t.Error(err)
		}
		for _, r := range []*object.Request{
			{Key: object.Key{Type: "album", ID: "a"}, Method: "Titles"},
			{Key: object.Key{Type: "counter", ID: "a"}, Method: "Multiply"},
			{Key: object.Key{Type: "counter", ID: "a"}, Method: "Add", Args: []byte{0xc1}},
			{Key: object.Key{Type: "counter", ID: "a"}, Method: "put state"},
			{Key: object.Key{Type: "counter", ID: "a"}, Method: "put state", Args: []byte{1, 0xff}},
			{Key: object.Key{Type: "counter", ID: ""}, Method: "get state"},
		} {
			if reply, err := n.host.Handle(ctx, r); err == nil {
				t.Errorf("%v was answered %x", r, reply)
			}
		}
		if w.store.count() != 4 {
			t.Errorf("%d puts; the two good ids make 2 each", w.store.count())
		}
	})
}

func TestBadDefinitionsAreRefused(t *testing.T) {
	type state struct{ F func() }
	for name, definitions := range map[string][]object.Definition{
		"a name with a slash":          {&object.Type[counter]{Name: "a/b"}},
		"no name":                      {&object.Type[counter]{}},
		"a long name":                  {&object.Type[counter]{Name: strings.Repeat("a", 65)}},
		"one name twice":               {counters, counters},
		"one method twice":             {&object.Type[counter]{Name: "c", Methods: []object.Method[counter]{add, add}}},
		"a negative limit":             {&object.Type[counter]{Name: "c", MaxState: -1}},
		"a state that is not encoded":  {&object.Type[state]{Name: "c"}},
		"a method without a name":      {&object.Type[counter]{Name: "c", Methods: []object.Method[counter]{object.Update("", func(context.Context, *counter, int) (int, error) { return 0, nil })}}},
		"a method of a reserved names": {&object.Type[counter]{Name: "c", Methods: []object.Method[counter]{object.Update("get state", func(context.Context, *counter, int) (int, error) { return 0, nil })}}},
	} {
		if _, err := object.NewHost(object.HostConfig{}, definitions...); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// visit adds 1 to its counter and then to the one that the first of the ids names, and so on.
func visit(on func() object.Node) *object.Type[counter] {
	t := &object.Type[counter]{Name: "visited"}
	var v *object.UpdateMethod[counter, []string, int]
	v = object.Update("Visit", func(ctx context.Context, c *counter, ids []string) (int, error) {
		c.Value++
		if len(ids) == 0 {
			return 1, nil
		}
		n, err := v.Call(ctx, t.On(on()).Ref(ids[0]), ids[1:])
		return n + 1, err
	})
	t.Methods = []object.Method[counter]{v}
	visitMethods[t] = v
	return t
}

var visitMethods = map[*object.Type[counter]]*object.UpdateMethod[counter, []string, int]{}

func TestACallThatComesBackToItselfFailsAtOnceAndNamesTheCycle(t *testing.T) {
	for name, two := range map[string]bool{"on one node": false, "across nodes": true} {
		t.Run(name, func(t *testing.T) {
			var on object.Node
			visited := visit(func() object.Node { return on })
			v := visitMethods[visited]
			inWorld(t, func(w *world) {
				a := w.node("a")
				on = a
				if two {
					b := w.node("b")
					visited.On(b).Get(w.Context(), "y") // y lives at b
				}
				at := w.clock()
				_, err := v.Call(w.Context(), visited.On(a).Ref("x"), []string{"y", "z", "x"})
				if !errors.Is(err, object.ErrCycle) || !strings.Contains(err.Error(), "visited/x -> visited/y -> visited/z -> visited/x") {
					t.Fatal(err)
				}
				if w.clock() != at {
					t.Fatalf("it took %v", w.clock()-at)
				}
				if n, err := v.Call(w.Context(), visited.On(a).Ref("x"), []string{"y", "z"}); n != 3 || err != nil {
					t.Fatal(n, err)
				}
			}, visited)
		})
	}
}

func TestTwoChainsThatWaitForEachOtherEndByDeadlineAndNameBoth(t *testing.T) {
	var on object.Node
	visited := visit(func() object.Node { return on })
	v := visitMethods[visited]
	cross := object.Update("Cross", func(ctx context.Context, c *counter, other string) (int, error) {
		time.Sleep(time.Second) // both are running by then
		return v.Call(ctx, visited.On(on).Ref(other), nil)
	})
	visited.Methods = append(visited.Methods, cross)
	inWorld(t, func(w *world) {
		n := w.node("n")
		on = n
		call := func(id, other string) *result {
			return background(func() (int64, error) {
				_, err := cross.Call(context.Background(), visited.On(n).Ref(id), other)
				return 0, err
			})
		}
		a, b := call("x", "y"), call("y", "x")
		_, err1 := a.wait()
		_, err2 := b.wait()
		err := err1
		if err == nil {
			err = err2 // whose deadline came second may have gone on
		}
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "visited/x") || !strings.Contains(err.Error(), "visited/y") {
			t.Fatal(err1, err2)
		}
	}, visited)
}

func TestEnvIsWhatTheNodeWasOpenedWith(t *testing.T) {
	ask := object.Update("Ask", func(ctx context.Context, _ *counter, _ object.None) (string, error) {
		s, err := object.Env[fmt.Stringer](ctx)
		if err != nil {
			return "", err
		}
		return s.String(), nil
	})
	asked := &object.Type[counter]{Name: "asked", Methods: []object.Method[counter]{ask}}
	inWorld(t, func(w *world) {
		w.env = 5 * time.Second
		n := w.node("n")
		if got, err := ask.Call(w.Context(), asked.On(n).Ref("a"), object.None{}); got != "5s" || err != nil {
			t.Error(got, err)
		}
		w.env = "no stringer"
		n = w.node("m")
		if _, err := ask.Call(w.Context(), asked.On(n).Ref("b"), object.None{}); err == nil || !strings.Contains(err.Error(), "Config.Env") {
			t.Error(err)
		}
		if _, err := object.Env[string](w.Context()); err == nil {
			t.Error("Env outside of a method was answered")
		}
	}, asked)
}

// The context of an update ends with its caller's, and with the object's session.
func TestAnUpdatesContextEndsWithItsCaller(t *testing.T) {
	inWorld(t, func(w *world) {
		w.env = make(chan struct{})
		n := w.node("n")
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		r := background(func() (int64, error) { return block.Call(ctx, counters.On(n).Ref("a"), object.None{}) })
		r.wait()
		synctest.Wait()
		w.mustAdd(n, 1, 1) // the object goes on
	})
}

// Contents of any shape are copied whole and share nothing.
func TestReflectedStatesAreCopiedAndStored(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		all := albums.On(n)
		rapid.Check(rapidT{w.T}, func(t *rapid.T) {
			id := rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "id")
			s := album{
				Titles: rapid.SliceOf(rapid.String()).Draw(t, "titles"),
				Tags:   rapid.MapOf(rapid.String(), rapid.SliceOfN(rapid.String(), 1, 3)).Draw(t, "tags"),
			}
			if rapid.Bool().Draw(t, "cover") {
				c := rapid.String().Draw(t, "cover")
				s.Cover = &c
			}
			if err := all.Put(w.Context(), id, s); err != nil {
				t.Fatal(err)
			}
			got, err := all.Get(w.Context(), id)
			if err != nil || !slices.Equal(got.Titles, s.Titles) || !maps.EqualFunc(got.Tags, s.Tags, slices.Equal) {
				t.Fatal(got, err)
			}
			for k := range got.Tags {
				got.Tags[k][0] += "changed"
			}
			if got.Cover != nil {
				*got.Cover += "changed"
			}
			again, err := all.Get(w.Context(), id)
			if err != nil || !maps.EqualFunc(again.Tags, s.Tags, slices.Equal) || (s.Cover != nil && *again.Cover != *s.Cover) {
				t.Fatal(again, err)
			}
		})
	}, albums)
}

// rapidT is a *testing.T of a synctest bubble for rapid.
type rapidT struct{ *testing.T }

// Outside of methods there is no node to call through.
func TestACallThroughNoNodeFails(t *testing.T) {
	if _, err := counters.On(object.From(t.Context())).Get(t.Context(), "x"); !errors.Is(err, object.ErrUnknownType) {
		t.Error(err)
	}
	if err := counters.On(object.From(t.Context())).Put(t.Context(), "x", counter{}); !errors.Is(err, object.ErrUnknownType) {
		t.Error(err)
	}
	if _, err := add.Call(t.Context(), counters.On(object.From(t.Context())).Ref("x"), 1); !errors.Is(err, object.ErrUnknownType) {
		t.Error(err)
	}
}
