package todo_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/examples/todo/todo"
	"github.com/highlander-go/highlander/object"
)

// open opens a node that keeps everything in memory.
func open() *highlander.Node {
	node, err := highlander.Open(context.Background(), highlander.Config{}, todo.Objects)
	if err != nil {
		panic(err)
	}
	return node
}

func ExampleTodos() {
	node := open()
	defer node.Close()
	ctx := context.Background()
	todos := todo.Todos(node) // a value, no I/O

	milk, version, err := todos.GetVersion(ctx, "milk")
	fmt.Println(milk.Color, version, err) // never written: the defaults

	milk.Title = "Buy milk"
	fmt.Println(todos.PutIf(ctx, "milk", version, milk))
	fmt.Println(errors.Is(todos.PutIf(ctx, "milk", version, milk), object.ErrVersion)) // the version is no longer 0

	done, err := todos.Ref("milk").Complete(ctx)
	fmt.Println(done.Title, done.Completed, err)

	for id, err := range todos.IDs(ctx, "m") {
		fmt.Println(id, err)
	}
	todos.Delete(ctx, "milk")
	milk, err = todos.Get(ctx, "milk")
	fmt.Printf("%q %v\n", milk.Title, err)
	// Output:
	// blue 0 <nil>
	// <nil>
	// true
	// Buy milk true <nil>
	// milk <nil>
	// "" <nil>
}

func ExampleListRef_InsertTodo() {
	node := open()
	defer node.Close()
	ann := object.WithCaller(context.Background(), object.Caller{ID: "ann"})
	bob := object.WithCaller(context.Background(), object.Caller{ID: "bob"})
	shopping := todo.Lists(node).Ref("shopping")

	_, err := shopping.InsertTodo(ann, todo.NewTodo("Milk"))
	fmt.Println(errors.Is(err, todo.ErrNotFound))

	fmt.Println(shopping.Create(ann, "Shopping"))
	number, err := shopping.InsertTodo(ann, todo.NewTodo("Milk"))
	fmt.Println(number, err)

	_, err = shopping.InsertTodo(bob, todo.NewTodo("Beer"))
	fmt.Println(errors.Is(err, todo.ErrForbidden)) // whichever node owns the list

	fmt.Println(shopping.Share(ann, "bob"))
	number, err = shopping.InsertTodo(bob, todo.NewTodo("Beer"))
	fmt.Println(number, err)
	// Output:
	// true
	// <nil>
	// 1 <nil>
	// true
	// <nil>
	// 2 <nil>
}

// Options are set where the types are used.
func Example() {
	node, err := highlander.Open(context.Background(), highlander.Config{},
		todo.Objects.With("list", object.Options{Idle: time.Hour, MaxState: 1 << 20}))
	if err != nil {
		panic(err)
	}
	defer node.Close()

	list, err := todo.Lists(node).Get(context.Background(), "never made")
	fmt.Println(list.Title, err)
	// Output: Untitled <nil>
}
