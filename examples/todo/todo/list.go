package todo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/highlander-go/highlander/object"
)

// A ListID names a list.
type ListID string

// A List is a list of todos that its allowed users share. Nobody is allowed until it is created, and somebody always is after that.
//
//highlander:object id=ListID
type List struct {
	Title        string `default:"Untitled"`
	Todos        []Todo
	AllowedUsers []string // ids, the creator's first
}

// What a list's methods fail with. Nothing has changed then.
var (
	ErrNotFound  = errors.New("todo: no such list")              // it was never created
	ErrExists    = errors.New("todo: the list exists")           // it was created before
	ErrForbidden = errors.New("todo: forbidden")                 // the caller is not among those who may
	ErrNoTodo    = errors.New("todo: the list has no such todo") // of that number
)

// Create makes the list, with the caller as the first allowed user. An empty title leaves it at the default.
func (l *List) Create(ctx context.Context, title string) error {
	caller := object.From(ctx).Caller.ID
	switch {
	case l.exists():
		return ErrExists
	case caller == "":
		return fmt.Errorf("%w: the call has no caller", ErrForbidden)
	}
	if title != "" {
		l.Title = title
	}
	l.AllowedUsers = []string{caller}
	return nil
}

// InsertTodo adds t at the list's end and returns its number: the first todo is 1.
func (l *List) InsertTodo(ctx context.Context, t Todo) (number int, err error) {
	if err := l.admit(ctx); err != nil {
		return 0, err
	}
	l.Todos = append(l.Todos, t)
	return len(l.Todos), nil
}

// Complete marks the todo of that number as done and returns it. One that is done stays as it is.
func (l *List) Complete(ctx context.Context, number int) (Todo, error) {
	if err := l.admit(ctx); err != nil {
		return Todo{}, err
	}
	if number < 1 || number > len(l.Todos) {
		return Todo{}, fmt.Errorf("%w: number %d of %d", ErrNoTodo, number, len(l.Todos))
	}
	return l.Todos[number-1].Complete(ctx)
}

// Share allows one more user. Nothing changes if it is allowed already.
func (l *List) Share(ctx context.Context, user string) error {
	if err := l.admit(ctx); err != nil {
		return err
	}
	if !slices.Contains(l.AllowedUsers, user) {
		l.AllowedUsers = append(l.AllowedUsers, user)
	}
	return nil
}

// Contents returns the whole list.
func (l List) Contents(ctx context.Context) (List, error) {
	if err := l.admit(ctx); err != nil {
		return List{}, err
	}
	return l, nil
}

// Open returns the todos that are not completed.
func (l List) Open(ctx context.Context) (open []Todo, err error) {
	if err := l.admit(ctx); err != nil {
		return nil, err
	}
	for _, t := range l.Todos {
		if !t.Completed {
			open = append(open, t)
		}
	}
	return open, nil
}

// Count returns how many todos there are, and how many of them are not completed.
func (l List) Count(ctx context.Context) (all, open int, err error) {
	if err := l.admit(ctx); err != nil {
		return 0, 0, err
	}
	for _, t := range l.Todos {
		if !t.Completed {
			open++
		}
	}
	return len(l.Todos), open, nil
}

// admit returns nil if the caller may do something with the list.
func (l *List) admit(ctx context.Context) error {
	switch {
	case !l.exists():
		return ErrNotFound
	case !slices.Contains(l.AllowedUsers, object.From(ctx).Caller.ID):
		return ErrForbidden
	}
	return nil
}

func (l *List) exists() bool { return len(l.AllowedUsers) > 0 }
