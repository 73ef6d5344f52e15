package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/examples/todo/todo"
	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
	"github.com/highlander-go/highlander/transport"
)

const never = "6e657665-7220-4d61-8465-2e2e2e2e2e2e" // the id of a list that nobody has made

// listTests are requests, in this order, by ann, who has made LIST, and by others.
var listTests = []struct {
	user, method, path, body string
	status                   int
	answer                   string // of a success: all of it, but for completed_at; of an error: its code
}{
	{"ann", "GET", "/users/ann", "", 200, `{"id":"ann","name":"","email":"","known_lists":["LIST"]}`},
	{"ann", "PUT", "/users/ann", `{"name":"Ann","email":"ann@example.com"}`, 200, `{"id":"ann","name":"Ann","email":"ann@example.com","known_lists":["LIST"]}`},
	{"ann", "GET", "/users/ann", "", 200, `{"id":"ann","name":"Ann","email":"ann@example.com","known_lists":["LIST"]}`},
	{"ann", "GET", "/lists/LIST", "", 200, `{"id":"LIST","title":"groceries","todos":[],"allowed_users":["ann"]}`},
	{"ann", "POST", "/lists/LIST/todos", `{"title":"milk"}`, 201, `{"number":1,"title":"milk","completed":false,"color":"blue"}`},
	{"ann", "POST", "/lists/LIST/todos", `{"title":"tea","color":"green"}`, 201, `{"number":2,"title":"tea","completed":false,"color":"green"}`},
	{"ann", "POST", "/lists/LIST/todos/2/complete", "", 200, `{"number":2,"title":"tea","completed":true,"color":"green"}`},
	{"ann", "POST", "/lists/LIST/todos/2/complete", "", 200, `{"number":2,"title":"tea","completed":true,"color":"green"}`},

	{"bob", "GET", "/lists/LIST", "", 403, "forbidden"},
	{"bob", "POST", "/lists/LIST/todos", `{"title":"gin"}`, 403, "forbidden"},
	{"bob", "POST", "/lists/LIST/todos/1/complete", "", 403, "forbidden"},
	{"bob", "POST", "/lists/LIST/todos/9/complete", "", 403, "forbidden"},
	{"bob", "POST", "/lists/LIST/todos/x/complete", "", 403, "forbidden"},
	{"bob", "POST", "/lists/LIST/share", `{"user":"bob"}`, 403, "forbidden"},
	{"bob", "GET", "/users/ann", "", 403, "forbidden"},
	{"bob", "PUT", "/users/ann", `{"name":"Bob"}`, 403, "forbidden"},
	{"bob", "GET", "/users/bob", "", 200, `{"id":"bob","name":"","email":"","known_lists":[]}`},

	{"ann", "POST", "/lists/LIST/share", `{"user":"bob"}`, 200, `{"id":"LIST","user":"bob"}`},
	{"ann", "POST", "/lists/LIST/share", `{"user":"bob"}`, 200, `{"id":"LIST","user":"bob"}`},
	{"bob", "GET", "/users/bob", "", 200, `{"id":"bob","name":"","email":"","known_lists":["LIST"]}`},
	{"bob", "POST", "/lists/LIST/todos/1/complete", "", 200, `{"number":1,"title":"milk","completed":true,"color":"blue"}`},
	{"bob", "POST", "/lists/LIST/todos", `{"title":"gin","color":""}`, 201, `{"number":3,"title":"gin","completed":false,"color":""}`},

	{"", "GET", "/users/ann", "", 401, "unauthorized"},
	{"", "PUT", "/users/ann", "{}", 401, "unauthorized"},
	{"", "POST", "/lists", `{"title":"x"}`, 401, "unauthorized"},
	{"", "POST", "/lists", "", 401, "unauthorized"},
	{"", "GET", "/lists/LIST", "", 401, "unauthorized"},
	{"", "GET", "/lists/" + never, "", 401, "unauthorized"},
	{"", "POST", "/lists/LIST/todos", `{"title":"x"}`, 401, "unauthorized"},
	{"", "POST", "/lists/LIST/todos/1/complete", "", 401, "unauthorized"},
	{"", "POST", "/lists/LIST/share", `{"user":"eve"}`, 401, "unauthorized"},

	{"ann", "GET", "/lists/" + never, "", 404, "not_found"},
	{"eve", "GET", "/lists/" + never, "", 404, "not_found"},
	{"ann", "POST", "/lists/" + never + "/todos", `{"title":"x"}`, 404, "not_found"},
	{"ann", "POST", "/lists/" + never + "/todos/1/complete", "", 404, "not_found"},
	{"ann", "POST", "/lists/" + never + "/share", `{"user":"eve"}`, 404, "not_found"},
	{"eve", "GET", "/users/eve", "", 200, `{"id":"eve","name":"","email":"","known_lists":[]}`},
	{"ann", "POST", "/lists/LIST/todos/0/complete", "", 404, "not_found"},
	{"ann", "POST", "/lists/LIST/todos/4/complete", "", 404, "not_found"},
	{"ann", "POST", "/lists/LIST/todos/-1/complete", "", 404, "not_found"},
	{"ann", "POST", "/lists/LIST/todos/x/complete", "", 404, "not_found"},
	{"ann", "POST", "/lists/LIST/todos/01/complete", "", 404, "not_found"},
	{"ann", "POST", "/lists/LIST/todos/99999999999999999999/complete", "", 404, "not_found"},
	{"ann", "GET", "/lists/LIST/nosuch", "", 404, "not_found"},

	{"ann", "POST", "/lists", "", 400, "bad_body"},
	{"ann", "POST", "/lists", `{"title":1}`, 400, "bad_body"},
	{"ann", "POST", "/lists", `{"title":null}`, 400, "bad_body"},
	{"ann", "POST", "/lists", `{"name":"x"}`, 400, "bad_body"},
	{"ann", "PUT", "/users/ann", "", 400, "bad_body"},
	{"ann", "PUT", "/users/ann", `{"known_lists":[]}`, 400, "bad_body"},
	{"ann", "POST", "/lists/LIST/todos", "", 400, "bad_body"},
	{"ann", "POST", "/lists/LIST/todos", "{}", 400, "bad_body"},
	{"ann", "POST", "/lists/LIST/todos", `{"title":"x","completed":true}`, 400, "bad_body"},
	{"ann", "POST", "/lists/LIST/share", "{}", 400, "bad_body"},
	{"ann", "POST", "/lists/LIST/share", `{"user":""}`, 400, "bad_body"},
	{"ann", "POST", "/lists/LIST/share", `{"user":"` + strings.Repeat("x", 257) + `"}`, 400, "bad_body"},
	{"ann", "GET", "/lists/", "", 400, "bad_id"},
	{strings.Repeat("x", 257), "POST", "/lists", "{}", 400, "bad_id"},
	{"\xff", "POST", "/lists", "{}", 400, "bad_id"},
	{"\xff", "GET", "/lists/LIST", "", 400, "bad_id"},
	{"ann", "POST", "/lists/LIST/todos", `{"title":"` + strings.Repeat("x", object.DefaultMaxState) + `"}`, 413, "too_large"},

	{"ann", "GET", "/lists", "", 405, "method_not_allowed"},
	{"ann", "PUT", "/lists/LIST", "{}", 405, "method_not_allowed"},
	{"ann", "DELETE", "/users/ann", "", 405, "method_not_allowed"},

	// nothing of all that was refused has changed anything
	{"ann", "GET", "/users/ann", "", 200, `{"id":"ann","name":"Ann","email":"ann@example.com","known_lists":["LIST"]}`},
	{"bob", "GET", "/lists/LIST", "", 200, `{"id":"LIST","title":"groceries","todos":[` +
		`{"number":1,"title":"milk","completed":true,"color":"blue"},` +
		`{"number":2,"title":"tea","completed":true,"color":"green"},` +
		`{"number":3,"title":"gin","completed":false,"color":""}],"allowed_users":["ann","bob"]}`},
}

func TestUsersShareLists(t *testing.T) {
	base := serveTest(t)
	testLists(t, createList(t, base, "ann", `{"title":"groceries"}`), base)
}

// Whichever node a request reaches, what is wrong with it is answered as by the one that has the list.
func TestUsersShareListsOfAnotherNode(t *testing.T) {
	registry := memregistry.New(memregistry.Options{})
	t.Cleanup(func() { registry.Close() })
	store := persist.NewMemory()
	here, there := serveMember(t, "here", registry, store), serveMember(t, "there", registry, store)
	list := createList(t, there, "ann", `{"title":"groceries"}`)
	for _, path := range []string{"/lists/" + never, "/users/bob", "/users/eve"} { // these live where they were first called, too
		callAs(t, "eve", "GET", there+path, "")
	}
	testLists(t, list, here)
	for _, object := range []string{"list/" + list, "list/" + never, "user/ann", "user/bob", "user/eve"} {
		if o := where(t, here, object); o.Node != "there" {
			t.Errorf("%s lives at %q: this test has called nobody but the node itself", object, o.Node)
		}
	}
}

// testLists makes the requests of listTests.
func testLists(t *testing.T, list, base string) {
	t.Helper()
	for _, test := range listTests {
		name := fmt.Sprintf("%.40q: %s %.60s %.40q", test.user, test.method, test.path, test.body)
		status, header, body := callAs(t, test.user, test.method, base+strings.ReplaceAll(test.path, "LIST", list), test.body)
		if status != test.status || header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: status %d, want %d: %s %s", name, status, test.status, header, body)
		}
		if test.status >= 400 {
			var answer map[string]string
			if err := json.Unmarshal(body, &answer); err != nil || answer["code"] != test.answer || answer["error"] == "" || len(answer) != 2 {
				t.Errorf("%s: answer %s, want a code %s and an error", name, body, test.answer)
			}
			continue
		}
		if got, want := withoutTimes(t, body), strings.ReplaceAll(test.answer, "LIST", list); got != want {
			t.Errorf("%s: answer %s, want %s", name, got, want)
		}
	}
}

// withoutTimes returns the answer without the times at which todos were completed: all of the last minute, and none of an open todo.
func withoutTimes(t *testing.T, body []byte) string {
	t.Helper()
	answer := strings.TrimSpace(string(body))
	for {
		before, rest, found := strings.Cut(answer, `,"completed_at":"`)
		if !found {
			return answer
		}
		text, after, _ := strings.Cut(rest, `"`)
		at, err := time.Parse(time.RFC3339Nano, text)
		if age := time.Since(at); err != nil || age < 0 || age > time.Minute || !strings.HasSuffix(text, "Z") {
			t.Errorf("completed at %q, %v: %s", text, err, body)
		}
		answer = before + after
	}
}

// createList makes a list and returns its id.
func createList(t *testing.T, base, user, body string) string {
	t.Helper()
	status, _, answer := callAs(t, user, "POST", base+"/lists", body)
	var created struct{ ID uuid.UUID }
	if err := json.Unmarshal(answer, &created); status != 201 || err != nil {
		t.Fatalf("POST /lists: %d %s", status, answer)
	}
	return created.ID.String()
}

func TestListWithoutTitleHasTheDefault(t *testing.T) {
	base := serveTest(t)
	for _, body := range []string{"{}", `{"title":""}`} {
		list := createList(t, base, "ann", body)
		want := fmt.Sprintf(`{"id":%q,"title":"Untitled","todos":[],"allowed_users":["ann"]}`, list)
		if _, _, got := callAs(t, "ann", "GET", base+"/lists/"+list, ""); strings.TrimSpace(string(got)) != want {
			t.Errorf("made with %s: %s, want %s", body, got, want)
		}
	}
}

func TestCompletedAtIsOfCompletedTodosAlone(t *testing.T) {
	base := serveTest(t)
	list := base + "/lists/" + createList(t, base, "ann", "{}")
	_, _, open := callAs(t, "ann", "POST", list+"/todos", `{"title":"milk"}`)
	_, _, done := callAs(t, "ann", "POST", list+"/todos/1/complete", "")
	_, _, again := callAs(t, "ann", "POST", list+"/todos/1/complete", "")
	if strings.Contains(string(open), "completed_at") || !strings.Contains(string(done), "completed_at") || string(again) != string(done) {
		t.Errorf("open: %sdone: %sdone again: %s", open, done, again)
	}
}

func TestListsSurviveKill(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	list := createList(t, p.url, "ann", `{"title":"groceries"}`)
	callAs(t, "ann", "PUT", p.url+"/users/ann", `{"name":"Ann"}`)
	callAs(t, "ann", "POST", p.url+"/lists/"+list+"/todos", `{"title":"milk"}`)
	callAs(t, "ann", "POST", p.url+"/lists/"+list+"/todos/1/complete", "")
	callAs(t, "ann", "POST", p.url+"/lists/"+list+"/share", `{"user":"bob"}`)
	_, _, before := callAs(t, "bob", "GET", p.url+"/lists/"+list, "")
	p.kill()

	p = start(t, dir)
	if _, _, after := callAs(t, "bob", "GET", p.url+"/lists/"+list, ""); string(after) != string(before) || !strings.Contains(string(after), "milk") {
		t.Errorf("before: %safter: %s", before, after)
	}
	if status, _, _ := callAs(t, "eve", "GET", p.url+"/lists/"+list, ""); status != 403 {
		t.Errorf("status %d, want 403", status)
	}
	for user, want := range map[string]string{
		"ann": fmt.Sprintf(`{"id":"ann","name":"Ann","email":"","known_lists":[%q]}`, list),
		"bob": fmt.Sprintf(`{"id":"bob","name":"","email":"","known_lists":[%q]}`, list),
	} {
		if _, _, got := callAs(t, user, "GET", p.url+"/users/"+user, ""); strings.TrimSpace(string(got)) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	p.stop()
}

// serveMember serves one node of several that share a registry and a store, and call each other over TCP. It returns the URL. An object
// lives where it is first called.
func serveMember(t *testing.T, name string, registry *memregistry.Registry, store persist.Store) string {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil)).With("at", name)
	var host *object.Host
	endpoint, err := transport.New(transport.Config{Cluster: "test", Log: log, Handler: func(ctx context.Context, r *object.Request) ([]byte, error) { return host.Handle(ctx, r) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endpoint.Close() })
	host, err = object.NewHost(object.HostConfig{
		Node: name, Registry: registry, Committer: persist.NewRecords(store), Transport: endpoint, Placement: object.PreferLocal, CheckReads: true, Log: log,
	}, todo.Objects)
	if err != nil {
		t.Fatal(err)
	}
	me := object.Member{Incarnation: uuid.New(), Session: 1, Name: name, Types: host.Serves()}
	endpoint.SetIncarnation(me.Incarnation)
	address, err := endpoint.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	me.Address = address.String()
	session, err := registry.Join(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() { defer close(served); _ = host.Serve(ctx, session, nil) }() // it returns why it was stopped
	t.Cleanup(func() { stop(); <-served; host.Close() })
	server := httptest.NewServer(newService(host))
	t.Cleanup(server.Close)
	return server.URL
}
