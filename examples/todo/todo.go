package main

import (
	"context"

	"github.com/highlander-go/highlander/object"
)

// A Todo is one thing to do.
type Todo struct {
	Title     string `json:"title"`
	Completed bool   `json:"completed"`
	Color     string `json:"color"`
}

// newTodo is what a todo is before anybody has written it.
func newTodo() Todo { return Todo{Color: "blue"} }

// Complete marks a todo as done and returns it.
var Complete = object.Update("Complete", func(_ context.Context, t *Todo, _ object.None) (Todo, error) {
	t.Completed = true
	return *t, nil
})

// Todos are the objects of type todo.
var Todos = object.Type[Todo]{
	Name:    "todo",
	Default: newTodo,
	Methods: []object.Method[Todo]{Complete},
}
