// Package todo is users, and lists of todos that they share. Each user, list, todo and counter is a durable object: who holds one by its id
// calls its methods through [Users], [Lists], [Todos] and [Counters], wherever it lives. Permissions go by the caller of the call's context,
// object.WithCaller.
package todo

import (
	"context"
	"time"

	"github.com/highlander-go/highlander/object"
)

//go:generate go tool objgen

// A Todo is one thing to do: an object of its own, which everybody may change, or part of a [List].
//
//highlander:object
type Todo struct {
	Title       string
	Color       string `default:"blue"`
	Completed   bool
	CompletedAt time.Time // zero while it is not completed, and if it was written as completed
}

// NewTodo returns a todo with the defaults: the one that an object is before anybody has written it, but for the title.
func NewTodo(title string) Todo { return Todo{Title: title, Color: "blue"} }

// Complete marks the todo as done and returns it. One that is done stays as it is.
func (t *Todo) Complete(ctx context.Context) (Todo, error) {
	if !t.Completed {
		t.Completed, t.CompletedAt = true, object.From(ctx).Now().UTC()
	}
	return *t, nil
}
