package object_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/highlander-go/highlander"
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

// open opens a node that keeps everything in memory.
func open() *highlander.Node {
	node, err := highlander.Open(context.Background(), highlander.Config{Name: "example", Env: "the application's things"}, Notes)
	if err != nil {
		panic(err)
	}
	return node
}

func ExampleType() {
	node := open()
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
	node := open()
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
	node := open()
	defer node.Close()

	n, err := Words.Call(context.Background(), Notes.On(node).Ref("n1"), object.None{})
	fmt.Println(n, err)
	// Output: 5 <nil>
}

func ExampleCollection_PutIf() {
	node := open()
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
	node := open()
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
	node := open()
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
	node := open()
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
