package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/highlander-go/highlander/examples/todo/todo"
	"github.com/highlander-go/highlander/object"
)

const (
	callTimeout = 10 * time.Second                // of one request's calls
	maxBody     = object.DefaultMaxState + 64<<10 // bytes: a state that is too large is refused by its type
)

// A service answers HTTP requests with the node's objects.
type service struct {
	node     node
	todos    todo.TodoCollection
	counters todo.CounterCollection
	users    todo.UserCollection
	lists    todo.ListCollection
	routes   []route
}

// A node is a *highlander.Node, or what stands for one in tests.
type node interface {
	object.Node
	Ready() error
}

// A route says who answers requests of a method on a path, and with which status if all goes well. "*" in the path stands for one segment.
type route struct {
	method string
	path   string
	status int
	serve  func(ctx context.Context, r *request) (answer any, err error)
}

// A request is what a route's function is given.
type request struct {
	names []string // what the path's "*" stood for, unescaped
	user  string   // who makes it, "" if it does not say
	key   string   // by which it is known if it comes again, "" if it has none
	body  io.Reader
}

func newService(n node) *service {
	s := &service{node: n, todos: todo.Todos(n), counters: todo.Counters(n), users: todo.Users(n), lists: todo.Lists(n)}
	s.routes = []route{
		{"GET", "/todos/*", 200, s.getTodo},
		{"PUT", "/todos/*", 200, s.putTodo},
		{"POST", "/todos/*/complete", 200, s.completeTodo},
		{"GET", "/counters/*", 200, s.getCounter},
		{"POST", "/counters/*/add", 200, s.addToCounter},
		{"GET", "/users/*", 200, byUser(s.getUser)},
		{"PUT", "/users/*", 200, byUser(s.putUser)},
		{"POST", "/lists", 201, byUser(s.createList)},
		{"GET", "/lists/*", 200, byUser(s.getList)},
		{"POST", "/lists/*/todos", 201, byUser(s.insertTodo)},
		{"POST", "/lists/*/todos/*/complete", 200, byUser(s.completeListTodo)},
		{"POST", "/lists/*/share", 200, byUser(s.shareList)},
		{"GET", "/where/*/*", 200, s.where},
		{"GET", "/healthz", 200, s.healthz},
		{"GET", "/readyz", 200, s.readyz},
	}
	return s
}

// A todoJSON is a todo as clients see it, and as they write it.
type todoJSON struct {
	Title     string `json:"title"`
	Completed bool   `json:"completed"`
	Color     string `json:"color"`
}

func newTodoJSON(t todo.Todo) todoJSON { return todoJSON{t.Title, t.Completed, t.Color} }

func (s *service) getTodo(ctx context.Context, r *request) (any, error) {
	t, err := s.todos.Get(ctx, r.names[0])
	return newTodoJSON(t), err
}

// putTodo writes the whole state. What the body leaves out gets its default.
func (s *service) putTodo(ctx context.Context, r *request) (any, error) {
	body := newTodoJSON(todo.NewTodo(""))
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	return body, s.todos.Put(ctx, r.names[0], todo.Todo{Title: body.Title, Completed: body.Completed, Color: body.Color})
}

func (s *service) completeTodo(ctx context.Context, r *request) (any, error) {
	t, err := s.todos.Ref(r.names[0]).Complete(ctx)
	return newTodoJSON(t), err
}

func (s *service) getCounter(ctx context.Context, r *request) (any, error) {
	c, err := s.counters.Get(ctx, r.names[0])
	return counterJSON{c.Value}, err
}

type counterJSON struct {
	Value int64 `json:"value"`
}

func (s *service) addToCounter(ctx context.Context, r *request) (any, error) {
	var body struct {
		Delta *int64 `json:"delta"`
	}
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	if body.Delta == nil {
		return nil, fmt.Errorf(`%w: it has no delta: send {"delta":1}`, errBadBody)
	}
	value, err := s.counters.Ref(r.names[0]).Add(ctx, *body.Delta)
	return counterJSON{value}, err
}

// where tells which node owns an object, without waking it.
func (s *service) where(ctx context.Context, r *request) (any, error) {
	owner, live, err := s.node.Host().Owner(ctx, object.Key{Type: r.names[0], ID: r.names[1]})
	if err != nil || !live {
		return map[string]any{"live": false}, err
	}
	return map[string]any{"node": owner.Name, "incarnation": owner.Incarnation, "live": true}, nil
}

func (s *service) healthz(context.Context, *request) (any, error) {
	return map[string]string{"status": "up"}, nil
}

func (s *service) readyz(context.Context, *request) (any, error) {
	return map[string]string{"status": "ready"}, s.node.Ready()
}

// ServeHTTP implements [http.Handler]. It does not use [http.ServeMux], which cleans paths: "..", "." and "a//b" are
// ids like any other.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, route := range s.routes {
		names, ok := match(route.path, r.URL.EscapedPath())
		if !ok {
			continue
		}
		methods := []string{route.method}
		if route.method == "GET" {
			methods = append(methods, "HEAD")
		}
		if !slices.Contains(methods, r.Method) {
			allowed = append(allowed, methods...)
			continue
		}
		ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
		defer cancel()
		q := &request{names: names, user: r.Header.Get("X-User"), body: http.MaxBytesReader(w, r.Body, maxBody)}
		if key := r.Header.Get("Idempotency-Key"); key != "" && r.Method != "GET" {
			// Users choose their keys without knowing of each other. One that is sent to another path too is another one there:
			// else the first of two objects could be changed before the second one refuses.
			q.key = strings.Join([]string{q.user, r.Method, r.URL.EscapedPath(), key}, "\n")
			ctx = object.WithRequestID(ctx, q.key)
		}
		answer, err := route.serve(ctx, q)
		if err != nil {
			respondError(w, err)
			return
		}
		respond(w, route.status, answer)
		return
	}
	if allowed == nil {
		respondError(w, fmt.Errorf("%w %s: see the README for what there is", errNoRoute, r.URL.EscapedPath()))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	respondError(w, fmt.Errorf("%w: use %s", errMethod, strings.Join(allowed, ", ")))
}

// match tells whether the path is one of the pattern's, and what the pattern's "*" stand for. The path is cut
// before it is unescaped, so that %2F is part of a name.
func match(pattern, path string) (names []string, ok bool) {
	want, segments := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(segments) {
		return nil, false
	}
	for i, segment := range segments {
		name, err := url.PathUnescape(segment)
		switch {
		case err != nil:
			return nil, false
		case want[i] == "*":
			names = append(names, name)
		case want[i] != name:
			return nil, false
		}
	}
	return names, true
}

// decode reads the body, one JSON object that has nothing but v's fields, into v.
func (r *request) decode(v any) error {
	body, err := io.ReadAll(r.body)
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return fmt.Errorf("body %w: send at most %d bytes", object.ErrTooLarge, tooLarge.Limit)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errBadBody, err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil || !utf8.Valid(body) {
		return fmt.Errorf("%w: send one JSON object, in UTF-8 and with nothing after it", errBadBody)
	}
	for name, value := range fields {
		if string(value) == "null" {
			return fmt.Errorf("%w: field %q is null: leave it out or give it a value", errBadBody, name)
		}
	}
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	if err := strict.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", errBadBody, err)
	}
	return nil
}

var (
	errBadBody = errors.New("malformed body")
	errNoUser  = errors.New("no user")
	errNoRoute = errors.New("no such route")
	errMethod  = errors.New("method not allowed")
)

// answers says how errors are answered; the first match counts. An update whose outcome is unknown may have
// been unavailable too, but only the former says that it must not simply be sent again.
var answers = []struct {
	err    error
	status int
	code   string
}{
	{object.ErrReused, http.StatusUnprocessableEntity, "key_reused"},
	{object.ErrUnknownOutcome, http.StatusGatewayTimeout, "unknown_outcome"},
	{object.ErrUnavailable, http.StatusServiceUnavailable, "unavailable"},
	{object.ErrOverloaded, http.StatusServiceUnavailable, "unavailable"},
	{object.ErrClosed, http.StatusServiceUnavailable, "unavailable"},
	{object.ErrTooLarge, http.StatusRequestEntityTooLarge, "too_large"},
	{object.ErrBadID, http.StatusBadRequest, "bad_id"},
	{object.ErrUnknownType, http.StatusNotFound, "unknown_type"},
	{todo.ErrOverflow, http.StatusConflict, "overflow"},
	{todo.ErrExists, http.StatusConflict, "exists"},
	{todo.ErrForbidden, http.StatusForbidden, "forbidden"},
	{todo.ErrNotFound, http.StatusNotFound, "not_found"},
	{todo.ErrNoTodo, http.StatusNotFound, "not_found"},
	{errNoUser, http.StatusUnauthorized, "unauthorized"},
	{errBadBody, http.StatusBadRequest, "bad_body"},
	{errNoRoute, http.StatusNotFound, "not_found"},
	{errMethod, http.StatusMethodNotAllowed, "method_not_allowed"},
}

func respondError(w http.ResponseWriter, err error) {
	status, code := http.StatusInternalServerError, "internal"
	for _, a := range answers {
		if errors.Is(err, a.err) {
			status, code = a.status, a.code
			break
		}
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	respond(w, status, map[string]string{"code": code, "error": err.Error()})
}

func respond(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(answer) // when it fails the client is gone
}
