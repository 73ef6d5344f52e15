package todo_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/examples/todo/todo"
	"github.com/highlander-go/highlander/object"
)

// as returns a context whose calls are made by a user.
func as(t *testing.T, user string) context.Context {
	return object.WithCaller(t.Context(), object.Caller{ID: user})
}

// calls are all that can be called on a list that exists.
var calls = map[string]func(context.Context, todo.ListRef) error{
	"InsertTodo": func(ctx context.Context, l todo.ListRef) error {
		_, err := l.InsertTodo(ctx, todo.NewTodo("x"))
		return err
	},
	"Complete": func(ctx context.Context, l todo.ListRef) error { _, err := l.Complete(ctx, 1); return err },
	"Share":    func(ctx context.Context, l todo.ListRef) error { return l.Share(ctx, "eve") },
	"Contents": func(ctx context.Context, l todo.ListRef) error { _, err := l.Contents(ctx); return err },
	"Open":     func(ctx context.Context, l todo.ListRef) error { _, err := l.Open(ctx); return err },
	"Count":    func(ctx context.Context, l todo.ListRef) error { _, _, err := l.Count(ctx); return err },
}

func TestListThatWasNeverCreatedIsNotFound(t *testing.T) {
	lists := todo.Lists(highlander.OpenTest(t, todo.Objects))
	for name, call := range calls {
		for _, user := range []string{"ann", ""} {
			if err := call(as(t, user), lists.Ref("groceries")); !errors.Is(err, todo.ErrNotFound) {
				t.Errorf("%s as %q: %v", name, user, err)
			}
		}
	}
	if l, version, err := lists.GetVersion(t.Context(), "groceries"); version != 0 || len(l.Todos) != 0 || err != nil {
		t.Errorf("version %d, %+v, %v", version, l, err)
	}
}

func TestListAdmitsItsAllowedUsersAlone(t *testing.T) {
	lists := todo.Lists(highlander.OpenTest(t, todo.Objects))
	list := lists.Ref("groceries")
	if err := list.Create(as(t, "ann"), "groceries"); err != nil {
		t.Fatal(err)
	}
	before, version, _ := lists.GetVersion(t.Context(), "groceries")
	for name, call := range calls {
		for _, user := range []string{"bob", "", "ANN"} {
			if err := call(as(t, user), list); !errors.Is(err, todo.ErrForbidden) {
				t.Errorf("%s as %q: %v", name, user, err)
			}
		}
	}
	if after, v, _ := lists.GetVersion(t.Context(), "groceries"); v != version || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("version %d, %v; before %d, %v", v, after, version, before)
	}
	if err := list.Share(as(t, "ann"), "bob"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"InsertTodo", "Complete", "Share", "Contents", "Open", "Count"} {
		if err := calls[name](as(t, "bob"), list); err != nil {
			t.Errorf("%s by one who is allowed: %v", name, err)
		}
	}
}

func TestListIsCreatedOnce(t *testing.T) {
	lists := todo.Lists(highlander.OpenTest(t, todo.Objects))
	if err := lists.Ref("a").Create(t.Context(), "x"); !errors.Is(err, todo.ErrForbidden) {
		t.Errorf("by nobody: %v", err)
	}
	if err := lists.Ref("a").Create(as(t, "ann"), ""); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"ann", "bob", ""} {
		if err := lists.Ref("a").Create(as(t, user), "y"); !errors.Is(err, todo.ErrExists) {
			t.Errorf("again by %q: %v", user, err)
		}
	}
	l, err := lists.Get(t.Context(), "a")
	if err != nil || l.Title != "Untitled" || !slices.Equal(l.AllowedUsers, []string{"ann"}) {
		t.Errorf("%+v, %v", l, err)
	}
}

// It is let go and wakes again between any two calls.
func TestListKeepsItsTodos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := todo.Lists(highlander.OpenTest(t, todo.Objects)).Ref("groceries")
		ctx, began := as(t, "ann"), time.Now()
		if err := list.Create(ctx, "groceries"); err != nil {
			t.Fatal(err)
		}
		for i, title := range []string{"milk", "tea", "gin"} {
			if n, err := list.InsertTodo(ctx, todo.NewTodo(title)); n != i+1 || err != nil {
				t.Errorf("%s has number %d, %v", title, n, err)
			}
			time.Sleep(time.Hour)
		}
		for range 2 { // the second time nothing changes
			done, err := list.Complete(ctx, 2)
			if want := began.Add(3 * time.Hour); err != nil || !done.Completed || !done.CompletedAt.Equal(want) {
				t.Errorf("%+v, %v; want completed at %v", done, err, want)
			}
			time.Sleep(time.Hour)
		}
		for _, number := range []int{0, 4, -1} {
			if _, err := list.Complete(ctx, number); !errors.Is(err, todo.ErrNoTodo) {
				t.Errorf("complete number %d: %v", number, err)
			}
		}
		l, err := list.Contents(ctx)
		want := []todo.Todo{
			{Title: "milk", Color: "blue"},
			{Title: "tea", Color: "blue", Completed: true, CompletedAt: began.Add(3 * time.Hour).UTC()},
			{Title: "gin", Color: "blue"},
		}
		if err != nil || l.Title != "groceries" || !slices.Equal(l.Todos, want) {
			t.Errorf("%+v, %v; want %+v", l, err, want)
		}
		if open, err := list.Open(ctx); err != nil || !slices.Equal(open, []todo.Todo{want[0], want[2]}) {
			t.Errorf("open: %+v, %v", open, err)
		}
		if all, open, err := list.Count(ctx); all != 3 || open != 2 || err != nil {
			t.Errorf("%d todos, %d open, %v", all, open, err)
		}
	})
}

func TestSharingTwiceIsSharingOnce(t *testing.T) {
	lists := todo.Lists(highlander.OpenTest(t, todo.Objects))
	list := lists.Ref("a")
	if err := list.Create(as(t, "ann"), ""); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"bob", "bob", "ann"} {
		if err := list.Share(as(t, "ann"), user); err != nil {
			t.Error(err)
		}
	}
	l, version, err := lists.GetVersion(t.Context(), "a")
	if version != 2 || !slices.Equal(l.AllowedUsers, []string{"ann", "bob"}) || err != nil {
		t.Errorf("version %d, %v, %v", version, l.AllowedUsers, err)
	}
}

func TestWhatAReadReturnsIsTheCallers(t *testing.T) {
	list := todo.Lists(highlander.OpenTest(t, todo.Objects)).Ref("a")
	ctx := as(t, "ann")
	err := list.Create(ctx, "")
	if _, err2 := list.InsertTodo(ctx, todo.NewTodo("milk")); err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	for range 2 {
		l, err := list.Contents(ctx)
		if err != nil || l.Todos[0].Title != "milk" || l.AllowedUsers[0] != "ann" {
			t.Fatalf("%+v, %v", l, err)
		}
		l.Todos[0].Title, l.AllowedUsers[0] = "gin", "eve"
	}
}

func TestUserIsTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := todo.Users(highlander.OpenTest(t, todo.Objects))
		ann := users.Ref("ann")
		for _, list := range []todo.ListID{"a", "b", "a"} {
			if err := ann.Learn(as(t, "bob"), list); err != nil {
				t.Error(err)
			}
		}
		if _, err := ann.Update(as(t, "ann"), "Ann", "ann@example.com"); err != nil {
			t.Error(err)
		}
		for _, other := range []string{"bob", ""} {
			if _, err := ann.Update(as(t, other), "x", "x"); !errors.Is(err, todo.ErrForbidden) {
				t.Errorf("update by %q: %v", other, err)
			}
			if u, err := ann.Profile(as(t, other)); !errors.Is(err, todo.ErrForbidden) || u.Email != "" {
				t.Errorf("profile for %q: %+v, %v", other, u, err)
			}
		}
		time.Sleep(time.Hour) // it is let go, and wakes again
		u, err := ann.Profile(as(t, "ann"))
		if err != nil || u.Name != "Ann" || u.Email != "ann@example.com" || !slices.Equal(u.KnownLists, []todo.ListID{"a", "b"}) {
			t.Errorf("%+v, %v", u, err)
		}
		if _, version, _ := users.GetVersion(t.Context(), "ann"); version != 3 {
			t.Errorf("version %d, want 3: a list that is known already changes nothing", version)
		}
	})
}

func TestNewTodoHasTheDefaults(t *testing.T) {
	blank, err := todo.Todos(highlander.OpenTest(t, todo.Objects)).Get(t.Context(), "a")
	if err != nil || blank != todo.NewTodo("") {
		t.Errorf("an object that nobody has written: %+v, %v; NewTodo: %+v", blank, err, todo.NewTodo(""))
	}
}

func TestTodoIsCompletedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		milk := todo.Todos(highlander.OpenTest(t, todo.Objects)).Ref("milk")
		first, err := milk.Complete(t.Context())
		if err != nil || !first.Completed || !first.CompletedAt.Equal(time.Now()) {
			t.Errorf("%+v, %v", first, err)
		}
		time.Sleep(time.Hour)
		if again, err := milk.Complete(t.Context()); again != first || err != nil {
			t.Errorf("again: %+v, %v; first %+v", again, err, first)
		}
	})
}
