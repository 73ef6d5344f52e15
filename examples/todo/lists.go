package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/examples/todo/todo"
	"github.com/highlander-go/highlander/object"
)

// byUser has requests served that say who makes them, on behalf of that user. This service believes them: a real one would check.
func byUser(serve func(context.Context, *request) (any, error)) func(context.Context, *request) (any, error) {
	return func(ctx context.Context, r *request) (any, error) {
		if r.user == "" {
			return nil, fmt.Errorf("%w: send your id in the header X-User", errNoUser)
		}
		if err := checkUser(r.user); err != nil {
			return nil, fmt.Errorf("X-User: %w", err)
		}
		return serve(object.WithCaller(ctx, object.Caller{ID: r.user}), r)
	}
}

// checkUser returns an error if no user can have the id.
func checkUser(id string) error { return object.Key{Type: "user", ID: id}.Validate() }

type userJSON struct {
	ID         string        `json:"id"`
	Name       string        `json:"name"`
	Email      string        `json:"email"`
	KnownLists []todo.ListID `json:"known_lists"`
}

func newUserJSON(id string, u todo.User) userJSON {
	return userJSON{id, u.Name, u.Email, append([]todo.ListID{}, u.KnownLists...)} // [] if there are none
}

func (s *service) getUser(ctx context.Context, r *request) (any, error) {
	u, err := s.users.Ref(r.names[0]).Profile(ctx)
	return newUserJSON(r.names[0], u), err
}

// putUser writes name and email. The lists that the user knows stay.
func (s *service) putUser(ctx context.Context, r *request) (any, error) {
	var body struct {
		Name  string `json:"name"`
		Email string `json:"email"`
	}
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	u, err := s.users.Ref(r.names[0]).Update(ctx, body.Name, body.Email)
	return newUserJSON(r.names[0], u), err
}

// createList makes a list and tells its creator's user of it. When that fails the list is there, but nobody knows its id: with an Idempotency-Key the
// request can be made again, and goes on where it stopped.
func (s *service) createList(ctx context.Context, r *request) (any, error) {
	var body struct {
		Title string `json:"title"`
	}
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	id := todo.ListID(uuid.NewString())
	if r.key != "" {
		id = todo.ListID(uuid.NewSHA1(listIDs, []byte(r.key)).String())
	}
	if err := s.lists.Ref(id).Create(ctx, body.Title); err != nil {
		return nil, err
	}
	return map[string]any{"id": id}, s.users.Ref(r.user).Learn(ctx, id)
}

// listIDs is the name space of the ids of lists that are made with an Idempotency-Key.
var listIDs = uuid.MustParse("8c0a3c1e-5d56-4c0c-9d2b-0b6d7a3f2f61")

type listJSON struct {
	ID           string         `json:"id"`
	Title        string         `json:"title"`
	Todos        []listTodoJSON `json:"todos"`
	AllowedUsers []string       `json:"allowed_users"`
}

type listTodoJSON struct {
	Number int `json:"number"`
	todoJSON
	CompletedAt time.Time `json:"completed_at,omitzero"`
}

func newListTodoJSON(number int, t todo.Todo) listTodoJSON {
	return listTodoJSON{number, newTodoJSON(t), t.CompletedAt}
}

func (s *service) getList(ctx context.Context, r *request) (any, error) {
	l, err := s.lists.Ref(todo.ListID(r.names[0])).Contents(ctx)
	answer := listJSON{ID: r.names[0], Title: l.Title, Todos: []listTodoJSON{}, AllowedUsers: l.AllowedUsers}
	for i, t := range l.Todos {
		answer.Todos = append(answer.Todos, newListTodoJSON(i+1, t))
	}
	return answer, err
}

func (s *service) insertTodo(ctx context.Context, r *request) (any, error) {
	t := todo.NewTodo("")
	body := struct {
		Title string `json:"title"`
		Color string `json:"color"`
	}{Color: t.Color}
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	if body.Title == "" {
		return nil, fmt.Errorf(`%w: it has no title: send {"title":"buy milk"}`, errBadBody)
	}
	t.Title, t.Color = body.Title, body.Color
	number, err := s.lists.Ref(todo.ListID(r.names[0])).InsertTodo(ctx, t)
	return newListTodoJSON(number, t), err
}

func (s *service) completeListTodo(ctx context.Context, r *request) (any, error) {
	number, err := strconv.Atoi(r.names[1])
	if err != nil || strconv.Itoa(number) != r.names[1] {
		number = 0 // no todo has it
	}
	t, err := s.lists.Ref(todo.ListID(r.names[0])).Complete(ctx, number)
	return newListTodoJSON(number, t), err
}

// shareList allows another user, and then tells that user's object of the list. A request that failed in between can be made again.
func (s *service) shareList(ctx context.Context, r *request) (any, error) {
	var body struct {
		User string `json:"user"`
	}
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	if err := checkUser(body.User); err != nil {
		return nil, fmt.Errorf("%w: the user: %v", errBadBody, err)
	}
	id := todo.ListID(r.names[0])
	if err := s.lists.Ref(id).Share(ctx, body.User); err != nil {
		return nil, err
	}
	return map[string]any{"id": id, "user": body.User}, s.users.Ref(body.User).Learn(ctx, id)
}
