package object_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/object"
)

// A Note is the state of the examples' objects.
type Note struct {
	Text  string
	Likes int
	Seen  []string
}

// Like is an update: it changes the copy of the state that it is given.
var Like = object.Update("Like", func(ctx context.Context, n *Note, _ object.None) (int, error) {
	n.Likes++
	n.Seen = append(n.Seen, object.From(ctx).Caller.ID)
	return n.Likes, nil
})

// Words is a read: it looks at the committed state.
var Words = object.Read("Words", func(_ context.Context, n *Note, _ object.None) (int, error) {
	return len(n.Text), nil
})

// Notes describes the notes: their name in keys, their default, their methods.
var Notes = &object.Type[Note]{
	Name:    "note",
	Default: func() Note { return Note{Text: "empty"} },
	Methods: []object.Method[Note]{Like, Words},
	Idle:    time.Minute,
}

// openNode opens a node that keeps everything in memory.
func openNode() *highlander.Node {
	node, err := highlander.Open(context.Background(), highlander.Config{Name: "example", Env: "the application's things"}, Notes)
	if err != nil {
		panic(err)
	}
	return node
}

func ExampleType() {
	node := openNode()
	defer node.Close()
	ctx := context.Background()

	notes := Notes.On(node)
	note, err := notes.Get(ctx, "n1")
	fmt.Println(note.Text, err)

	err = notes.Put(ctx, "n1", Note{Text: "hello"})
	note, _ = notes.Get(ctx, "n1")
	fmt.Println(note.Text, err)
	// Output:
	// empty <nil>
	// hello <nil>
}

func ExampleUpdate() {
	node := openNode()
	defer node.Close()

	ctx := object.WithCaller(context.Background(), object.Caller{ID: "bob"})
	likes, err := Like.Call(ctx, Notes.On(node).Ref("n1"), object.None{})
	fmt.Println(likes, err)

	note, _ := Notes.On(node).Get(ctx, "n1")
	fmt.Println(note.Likes, note.Seen)
	// Output:
	// 1 <nil>
	// 1 [bob]
}

func ExampleRead() {
	node := openNode()
	defer node.Close()

	n, err := Words.Call(context.Background(), Notes.On(node).Ref("n1"), object.None{})
	fmt.Println(n, err)
	// Output: 5 <nil>
}

func ExampleCollection_PutIf() {
	node := openNode()
	defer node.Close()
	ctx, notes := context.Background(), Notes.On(node)

	note, version, _ := notes.GetVersion(ctx, "n1")
	note.Text = "edited"
	fmt.Println(version, notes.PutIf(ctx, "n1", version, note))

	err := notes.PutIf(ctx, "n1", version, note) // the version is 1 by now
	fmt.Println(errors.Is(err, object.ErrVersion))
	// Output:
	// 0 <nil>
	// true
}

func ExampleCollection_View() {
	node := openNode()
	defer node.Close()

	note, err := Notes.On(node).View(context.Background(), "n1") // shared: look, do not touch
	fmt.Println(note.Text, err)
	// Output: empty <nil>
}

func ExampleFrom() {
	whose := object.Update("Whose", func(ctx context.Context, n *Note, _ object.None) (string, error) {
		i := object.From(ctx)
		return fmt.Sprintf("%v on %s for %s (%s)", i.Key, i.Node, i.Caller.ID, i.Caller.Attributes["role"]), nil
	})
	notes := &object.Type[Note]{Name: "note", Methods: []object.Method[Note]{whose}}
	node, _ := highlander.Open(context.Background(), highlander.Config{Name: "example"}, notes)
	defer node.Close()

	ctx := object.WithCaller(context.Background(), object.Caller{ID: "bob", Attributes: map[string]string{"role": "editor"}})
	fmt.Println(whose.Call(ctx, notes.On(node).Ref("n1"), object.None{}))
	// Output: note/n1 on example for bob (editor) <nil>
}

func ExampleEnv() {
	type mailer struct{ from string }
	send := object.Update("Send", func(ctx context.Context, n *Note, to string) (string, error) {
		m, err := object.Env[*mailer](ctx)
		if err != nil {
			return "", err
		}
		return m.from + " to " + to, nil
	})
	notes := &object.Type[Note]{Name: "note", Methods: []object.Method[Note]{send}}
	node, _ := highlander.Open(context.Background(), highlander.Config{Env: &mailer{from: "app"}}, notes)
	defer node.Close()

	fmt.Println(send.Call(context.Background(), notes.On(node).Ref("n1"), "bob"))
	// Output: app to bob <nil>
}

func ExampleHost_Owner() {
	node := openNode()
	defer node.Close()
	ctx := context.Background()
	key := object.Key{Type: "note", ID: "n1"}

	_, live, _ := node.Host().Owner(ctx, key)
	fmt.Println(live) // looking does not wake it

	Notes.On(node).Get(ctx, key.ID)
	owner, live, _ := node.Host().Owner(ctx, key)
	fmt.Println(live, owner.Name)
	// Output:
	// false
	// true example
}

func ExampleCollection_Delete() {
	node := openNode()
	defer node.Close()
	ctx := context.Background()
	notes := Notes.On(node)

	notes.Put(ctx, "n1", Note{Text: "hello"})
	_, before, _ := notes.GetVersion(ctx, "n1")
	err := notes.Delete(ctx, "n1")
	note, _ := notes.Get(ctx, "n1")
	fmt.Println(note.Text, err)

	err = notes.PutIf(ctx, "n1", before, Note{Text: "from before"}) // does not bring it back
	fmt.Println(errors.Is(err, object.ErrVersion))
	// Output:
	// empty <nil>
	// true
}

func ExampleCollection_IDs() {
	node := openNode()
	defer node.Close()
	ctx := context.Background()
	notes := Notes.On(node)

	notes.Put(ctx, "bob/1", Note{Text: "one"})
	notes.Put(ctx, "bob/2", Note{Text: "two"})
	notes.Put(ctx, "eve/1", Note{Text: "three"})
	notes.Delete(ctx, "bob/2")
	for id, err := range notes.IDs(ctx, "bob/") {
		fmt.Println(id, err)
	}
	// Output: bob/1 <nil>
}

func ExampleEach() {
	node := openNode()
	defer node.Close()
	ctx := object.WithCaller(context.Background(), object.Caller{ID: "bob"})
	notes := Notes.On(node)

	// Up to 16 at once; the first error ends it.
	err := object.Each(ctx, []string{"n1", "n2", "n3"}, 16, func(ctx context.Context, id string) error {
		_, err := Like.Call(ctx, notes.Ref(id), object.None{})
		return err
	})
	note, _ := notes.Get(ctx, "n3")
	fmt.Println(note.Likes, err)
	// Output: 1 <nil>
}

// A Chapter's updates call other chapters.
type Chapter struct{ Visits int }

// Visit visits the first of the chapters, which visits the next.
var Visit *object.UpdateMethod[Chapter, []string, object.None]

// Chapters are what the example of a call cycle calls.
var Chapters = &object.Type[Chapter]{Name: "chapter"}

func ExampleErrCycle() {
	Visit = object.Update("Visit", func(ctx context.Context, c *Chapter, next []string) (object.None, error) {
		c.Visits++
		if len(next) == 0 {
			return object.None{}, nil
		}
		return Visit.Call(ctx, Chapters.On(object.From(ctx)).Ref(next[0]), next[1:])
	})
	Chapters.Methods = []object.Method[Chapter]{Visit}
	node, err := highlander.Open(context.Background(), highlander.Config{}, Chapters)
	if err != nil {
		panic(err)
	}
	defer node.Close()

	one := Chapters.On(node).Ref("one")
	_, err = Visit.Call(context.Background(), one, []string{"two", "three"})
	fmt.Println(err)
	_, err = Visit.Call(context.Background(), one, []string{"two", "one"}) // waits for an update that waits for it
	fmt.Println(errors.Is(err, object.ErrCycle), err)
	// Output:
	// <nil>
	// true call cycle: chapter/one -> chapter/two -> chapter/one: let one of them be a read, or make the call after the update has returned
}

// What lives in another database comes in when an object wakes that has no record yet.
func ExampleType_init() {
	old := map[string]string{"n1": "from the old database"}
	notes := &object.Type[Note]{
		Name: "note",
		Init: func(n *Note, ctx context.Context) error {
			old, err := object.Env[map[string]string](ctx)
			n.Text = old[object.From(ctx).Key.ID]
			return err
		},
	}
	node, err := highlander.Open(context.Background(), highlander.Config{Env: old}, notes)
	if err != nil {
		panic(err)
	}
	defer node.Close()

	note, version, err := notes.On(node).GetVersion(context.Background(), "n1")
	fmt.Println(note.Text, version, err)
	// Output: from the old database 0 <nil>
}

func ExampleSet_With() {
	set := object.Set{Types: []object.Definition{Notes}} // objgen writes it: todo.Objects
	node, err := highlander.Open(context.Background(), highlander.Config{}, set.With("note", object.Options{MaxState: 100, Idle: time.Hour}))
	if err != nil {
		panic(err)
	}
	defer node.Close()

	err = Notes.On(node).Put(context.Background(), "n1", Note{Text: strings.Repeat("long ", 100)})
	fmt.Println(errors.Is(err, object.ErrTooLarge))
	// Output: true
}

// A state that an older version of the program has stored is read by the upgrade from its layout. objgen writes this out of a function with
// the comment "//highlander:upgrade 1".
func ExampleUpgrade() {
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	ctx, config := context.Background(), highlander.Config{Store: "file:" + dir}

	type cents int64 // in layout 1
	accounts := &object.Type[cents]{Name: "account", Layout: 1, Codec: object.Codec[cents]{Append: codec.AppendInt[cents], Read: codec.ReadInt[cents]}}
	node, _ := highlander.Open(ctx, config, accounts)
	accounts.On(node).Put(ctx, "bob", 1250)
	node.Close()

	type euros float64 // in layout 2
	upgraded := &object.Type[euros]{Name: "account", Layout: 2, Codec: object.Codec[euros]{Append: codec.AppendFloat64[euros], Read: codec.ReadFloat64[euros]},
		Upgrades: []object.Upgrade[euros]{{From: 1, Read: func(r *codec.Reader, e *euros) error {
			var old cents
			codec.ReadInt(r, &old)
			*e = euros(old) / 100
			return nil
		}}}}
	node, _ = highlander.Open(ctx, config, upgraded)
	defer node.Close()
	fmt.Println(upgraded.On(node).Get(ctx, "bob"))
	// Output: 12.5 <nil>
}

// A read that changes what it reads is found in tests: highlander.OpenTest sets CheckReads.
func ExampleReadMethod() {
	first := object.Read("First", func(_ context.Context, n *Note, _ object.None) (string, error) {
		slices.Sort(n.Seen) // the committed state itself: it should sort a copy
		return n.Seen[0], nil
	})
	notes := &object.Type[Note]{Name: "note", Methods: []object.Method[Note]{first}}
	node, _ := highlander.Open(context.Background(), highlander.Config{CheckReads: true}, notes)
	defer node.Close()
	ctx := context.Background()

	notes.On(node).Put(ctx, "n1", Note{Seen: []string{"eve", "bob"}})
	_, err := first.Call(ctx, notes.On(node).Ref("n1"), object.None{})
	fmt.Println(err)
	// Output: note/n1: the read method First has changed the committed state, which it shares with all readers: let it copy what it changes, or make it an update
}

// A request that comes twice, as its client has not heard the answer.
func ExampleWithRequestID() {
	node := openNode()
	defer node.Close()
	handle := func(key string) {
		ctx := object.WithRequestID(context.Background(), key)
		fmt.Println(Like.Call(ctx, Notes.On(node).Ref("n1"), object.None{}))
	}
	handle("key 1")
	handle("key 1")
	handle("key 2")
	// Output:
	// 1 <nil>
	// 1 <nil>
	// 2 <nil>
}
