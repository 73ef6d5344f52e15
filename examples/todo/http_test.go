package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/examples/todo/todo"
	"github.com/highlander-go/highlander/object"
)

func TestRoutes(t *testing.T) {
	base := serveTest(t)
	type fields = map[string]any
	tests := []struct {
		method, path, body string
		status             int
		answer             any // of a 200: all of it; of an error: its code
	}{
		{"GET", "/todos/a", "", 200, fields{"title": "", "completed": false, "color": "blue"}},
		{"PUT", "/todos/a", `{"title":"milk","completed":false,"color":"red"}`, 200, fields{"title": "milk", "completed": false, "color": "red"}},
		{"POST", "/todos/a/complete", "", 200, fields{"title": "milk", "completed": true, "color": "red"}},
		{"GET", "/todos/a", "", 200, fields{"title": "milk", "completed": true, "color": "red"}},
		{"GET", "/todos/a?x=%zz", "", 200, fields{"title": "milk", "completed": true, "color": "red"}},
		{"PUT", "/todos/a", `{"title":"tea"}`, 200, fields{"title": "tea", "completed": false, "color": "blue"}},
		{"PUT", "/todos/a", ` {"color":""} `, 200, fields{"title": "", "completed": false, "color": ""}},
		{"GET", "/todos/a", "", 200, fields{"title": "", "completed": false, "color": ""}},
		{"POST", "/todos/b/complete", "", 200, fields{"title": "", "completed": true, "color": "blue"}},

		{"GET", "/counters/a", "", 200, fields{"value": 0.0}},
		{"POST", "/counters/a/add", `{"delta":5}`, 200, fields{"value": 5.0}},
		{"POST", "/counters/a/add", `{"delta":-7}`, 200, fields{"value": -2.0}},
		{"POST", "/counters/a/add", `{"delta":0}`, 200, fields{"value": -2.0}},
		{"GET", "/counters/a", "", 200, fields{"value": -2.0}},

		{"GET", "/healthz", "", 200, fields{"status": "up"}},
		{"GET", "/readyz", "", 200, fields{"status": "ready"}},
		{"GET", "/where/todo/unheard", "", 200, fields{"live": false}},
		{"GET", "/where/nosuch/a", "", 404, "unknown_type"},
		{"GET", "/where/TODO/a", "", 404, "unknown_type"},
		{"GET", "/where//a", "", 404, "unknown_type"},
		{"GET", "/where/todo/", "", 400, "bad_id"},

		{"GET", "/", "", 404, "not_found"},
		{"GET", "/todos", "", 404, "not_found"},
		{"GET", "/todos/a/b", "", 404, "not_found"},
		{"GET", "/todos/a/", "", 404, "not_found"},
		{"GET", "//todos/a", "", 404, "not_found"},
		{"POST", "/todos/a/complete/", "", 404, "not_found"},
		{"GET", "/Todos/a", "", 404, "not_found"},
		{"GET", "/healthz/", "", 404, "not_found"},
		{"DELETE", "/todos/a", "", 405, "method_not_allowed"},
		{"POST", "/todos/a", "{}", 405, "method_not_allowed"},
		{"GET", "/todos/a/complete", "", 405, "method_not_allowed"},
		{"PUT", "/counters/a", `{"value":1}`, 405, "method_not_allowed"},
		{"GET", "/counters/a/add", "", 405, "method_not_allowed"},
		{"POST", "/where/todo/a", "", 405, "method_not_allowed"},
		{"POST", "/healthz", "", 405, "method_not_allowed"},
		{"PUT", "/readyz", "", 405, "method_not_allowed"},

		{"GET", "/todos/", "", 400, "bad_id"},
		{"POST", "/todos//complete", "", 400, "bad_id"},
		{"GET", "/todos/%ff", "", 400, "bad_id"},
		{"GET", "/todos/" + strings.Repeat("x", 257), "", 400, "bad_id"},
		{"GET", "/todos/" + strings.Repeat("%C3%BC", 129), "", 400, "bad_id"},
		{"PUT", "/todos/", "{}", 400, "bad_id"},
		{"POST", "/counters//add", `{"delta":1}`, 400, "bad_id"},
		{"POST", "/counters/%C3/add", `{"delta":1}`, 400, "bad_id"},

		{"PUT", "/todos/a", "", 400, "bad_body"},
		{"PUT", "/todos/a", "null", 400, "bad_body"},
		{"PUT", "/todos/a", "[]", 400, "bad_body"},
		{"PUT", "/todos/a", `"title"`, 400, "bad_body"},
		{"PUT", "/todos/a", `{"title":"x"`, 400, "bad_body"},
		{"PUT", "/todos/a", `{"title":"x"} x`, 400, "bad_body"},
		{"PUT", "/todos/a", `{"title":"x"}{}`, 400, "bad_body"},
		{"PUT", "/todos/a", `{"title":1}`, 400, "bad_body"},
		{"PUT", "/todos/a", `{"title":null}`, 400, "bad_body"},
		{"PUT", "/todos/a", `{"completed":"yes"}`, 400, "bad_body"},
		{"PUT", "/todos/a", `{"nosuch":1}`, 400, "bad_body"},
		{"PUT", "/todos/a", "{\"title\":\"\xff\"}", 400, "bad_body"},
		{"POST", "/counters/a/add", "", 400, "bad_body"},
		{"POST", "/counters/a/add", "{}", 400, "bad_body"},
		{"POST", "/counters/a/add", `{"delta":null}`, 400, "bad_body"},
		{"POST", "/counters/a/add", `{"delta":"1"}`, 400, "bad_body"},
		{"POST", "/counters/a/add", `{"delta":1.5}`, 400, "bad_body"},
		{"POST", "/counters/a/add", `{"delta":9223372036854775808}`, 400, "bad_body"},
		{"POST", "/counters/a/add", `{"delta":1,"x":2}`, 400, "bad_body"},
		{"PUT", "/todos/a", `{"title":"` + strings.Repeat("x", object.DefaultMaxState) + `"}`, 413, "too_large"},
		{"PUT", "/todos/a", `{"title":"` + strings.Repeat("x", maxBody) + `"}`, 413, "too_large"},

		// nothing of all that has changed anything
		{"GET", "/todos/a", "", 200, fields{"title": "", "completed": false, "color": ""}},
		{"GET", "/counters/a", "", 200, fields{"value": -2.0}},
	}
	for _, test := range tests {
		name := fmt.Sprintf("%s %.40s %.40q", test.method, test.path, test.body)
		status, header, body := call(t, test.method, base+test.path, test.body)
		var answer map[string]any
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Errorf("%s: the answer %q is not JSON: %v", name, body, err)
			continue
		}
		if status != test.status {
			t.Errorf("%s: status %d, want %d: %s", name, status, test.status, body)
		}
		if header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: Content-Type %q", name, header.Get("Content-Type"))
		}
		if code, ok := test.answer.(string); ok {
			if answer["code"] != code || answer["error"] == "" || len(answer) != 2 {
				t.Errorf("%s: answer %s, want a code %s and an error", name, body, code)
			}
		} else if fmt.Sprint(answer) != fmt.Sprint(test.answer) {
			t.Errorf("%s: answer %v, want %v", name, answer, test.answer)
		}
	}
}

func TestWrongMethodNamesTheRightOnes(t *testing.T) {
	base := serveTest(t)
	for path, want := range map[string]string{
		"/todos/a":          "GET, HEAD, PUT",
		"/todos/a/complete": "POST",
		"/counters/a":       "GET, HEAD",
		"/healthz":          "GET, HEAD",
	} {
		status, header, _ := call(t, "PATCH", base+path, "")
		if got := header.Get("Allow"); status != 405 || got != want {
			t.Errorf("PATCH %s: status %d, Allow %q, want 405 and %q", path, status, got, want)
		}
	}
}

func TestHeadIsGetWithoutBody(t *testing.T) {
	status, header, body := call(t, "HEAD", serveTest(t)+"/todos/a", "")
	if status != 200 || len(body) != 0 || header.Get("Content-Type") != "application/json" {
		t.Errorf("status %d, body %q, header %v", status, body, header)
	}
}

func TestAnswersAreExactlyAsDocumented(t *testing.T) {
	base := serveTest(t)
	for path, want := range map[string]string{
		"/todos/a":      `{"title":"","completed":false,"color":"blue"}`,
		"/counters/a":   `{"value":0}`,
		"/where/todo/x": `{"live":false}`,
	} {
		if _, _, body := call(t, "GET", base+path, ""); strings.TrimSpace(string(body)) != want {
			t.Errorf("GET %s: %s, want %s", path, body, want)
		}
	}
}

// awkwardIDs are ids that something between the client and the disk might take for something else.
var awkwardIDs = []string{
	"a", "A", "a/b", "a//b", "a%2Fb", "/", "//", "/a", "a/", "..", ".", "...", "../a", "../../../etc/passwd", "%", "%%", "%2e", "%zz",
	"ü", "u\u0308", "Ü", "ß", "complete", "a/complete", "add", "a/add", " ", "  ", "a ", "\t", "\n", "\x00", "\x7f", "+", "a+b", "a b",
	"?", "a?b", "#", "a#b", "&", ";", ":", "*", "\\", "a\\b", "\"", "'", "<b>", "$(x)", ".lock", ".tmp", "con", "nul.txt", "-", "--help", "~",
	"😀", "\u202e", "\ufeff", "日本語", "{}", "null", "0", "todo", "counter", "check", "@", "_", "index.html", "favicon.ico",
	strings.Repeat("x", 256), strings.Repeat("X", 256), strings.Repeat("%", 256), strings.Repeat("ü", 128), strings.Repeat("/", 256), strings.Repeat(".", 256),
	strings.Repeat("x", 255) + "y", strings.Repeat("\x00", 256),
}

func TestAwkwardIDsAreObjectsOfTheirOwn(t *testing.T) {
	base := serveTest(t)
	writeAwkward(t, base)
	readAwkward(t, base)
}

// writeAwkward makes an object for each awkward id, in every way that there is.
func writeAwkward(t *testing.T, base string) {
	t.Helper()
	for i, id := range awkwardIDs {
		body := fmt.Sprintf(`{"title":"todo %d"}`, i)
		if status, _, answer := call(t, "PUT", base+"/todos/"+url.PathEscape(id), body); status != 200 {
			t.Errorf("PUT %q: %d %s", id, status, answer)
		}
		if status, _, answer := call(t, "POST", base+"/todos/"+percent(id)+"/complete", ""); status != 200 {
			t.Errorf("complete %q: %d %s", id, status, answer)
		}
		if status, _, answer := call(t, "POST", base+"/counters/"+percent(id)+"/add", fmt.Sprintf(`{"delta":%d}`, i+1)); status != 200 {
			t.Errorf("add %q: %d %s", id, status, answer)
		}
	}
}

// readAwkward fails the test unless each object is as writeAwkward made it.
func readAwkward(t *testing.T, base string) {
	t.Helper()
	for i, id := range awkwardIDs {
		for _, escaped := range []string{url.PathEscape(id), percent(id)} {
			want := fmt.Sprintf(`{"title":"todo %d","completed":true,"color":"blue"}`, i)
			if _, _, got := call(t, "GET", base+"/todos/"+escaped, ""); strings.TrimSpace(string(got)) != want {
				t.Errorf("todo %q: %s, want %s", id, got, want)
			}
			want = fmt.Sprintf(`{"value":%d}`, i+1)
			if _, _, got := call(t, "GET", base+"/counters/"+escaped, ""); strings.TrimSpace(string(got)) != want {
				t.Errorf("counter %q: %s, want %s", id, got, want)
			}
			if _, _, got := call(t, "GET", base+"/where/counter/"+escaped, ""); !strings.Contains(string(got), `"live":true`) {
				t.Errorf("where %q: %s", id, got)
			}
		}
	}
}

// percent escapes every byte.
func percent(id string) string {
	var b strings.Builder
	for _, c := range []byte(id) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func TestCounterOverflowChangesNothing(t *testing.T) {
	base := serveTest(t)
	for _, test := range []struct {
		delta  int64
		status int
		value  int64
	}{
		{math.MaxInt64, 200, math.MaxInt64},
		{1, 409, math.MaxInt64},
		{math.MaxInt64, 409, math.MaxInt64},
		{0, 200, math.MaxInt64},
		{math.MinInt64, 200, -1},
		{math.MinInt64, 409, -1},
		{math.MinInt64 + 1, 200, math.MinInt64},
		{-1, 409, math.MinInt64},
		{0, 200, math.MinInt64},
		{math.MaxInt64, 200, -1},
	} {
		status, _, answer := call(t, "POST", base+"/counters/a/add", fmt.Sprintf(`{"delta":%d}`, test.delta))
		if status != test.status {
			t.Errorf("add %d: %d %s, want %d", test.delta, status, answer, test.status)
		}
		_, _, got := call(t, "GET", base+"/counters/a", "")
		if want := fmt.Sprintf(`{"value":%d}`, test.value); strings.TrimSpace(string(got)) != want {
			t.Errorf("after add %d: %s, want %s", test.delta, got, want)
		}
	}
}

func TestWhereDoesNotWake(t *testing.T) {
	base := serveTest(t)
	for range 3 {
		if _, _, got := call(t, "GET", base+"/where/counter/a", ""); !strings.Contains(string(got), `{"live":false}`) {
			t.Fatalf("where of an object that nobody has called: %s", got)
		}
	}
	call(t, "GET", base+"/counters/a", "")
	var answer struct {
		Node, Incarnation string
		Live              bool
	}
	_, _, body := call(t, "GET", base+"/where/counter/a", "")
	if err := json.Unmarshal(body, &answer); err != nil || !answer.Live || answer.Node != "test" || len(answer.Incarnation) != 36 {
		t.Errorf("where of an object that was called: %s", body)
	}
	if _, _, got := call(t, "GET", base+"/where/todo/a", ""); !strings.Contains(string(got), `{"live":false}`) {
		t.Errorf("where of another type's object with the same id: %s", got)
	}
}

func TestClosedNodeIsUpAndNotReady(t *testing.T) {
	node := highlander.OpenTest(t, todo.Objects)
	server := httptest.NewServer(newService(node))
	defer server.Close()
	node.Close()
	for _, test := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/healthz", "", 200},
		{"GET", "/readyz", "", 503},
		{"GET", "/todos/a", "", 503},
		{"PUT", "/todos/a", "{}", 503},
		{"POST", "/counters/a/add", `{"delta":1}`, 503},
	} {
		status, header, body := call(t, test.method, server.URL+test.path, test.body)
		if status != test.status {
			t.Errorf("%s %s: %d %s, want %d", test.method, test.path, status, body, test.status)
		}
		if status == 503 && (header.Get("Retry-After") == "" || !strings.Contains(string(body), `"code":"unavailable"`)) {
			t.Errorf("%s %s: Retry-After %q, %s", test.method, test.path, header.Get("Retry-After"), body)
		}
	}
}

func TestErrorsHaveTheirAnswers(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		code   string
		retry  string
	}{
		{fmt.Errorf("x: %w: %w", object.ErrUnavailable, object.ErrUnknownOutcome), 504, "unknown_outcome", ""},
		{fmt.Errorf("x: %w: %w", object.ErrUnknownOutcome, context.DeadlineExceeded), 504, "unknown_outcome", ""},
		{fmt.Errorf("x: %w", object.ErrUnavailable), 503, "unavailable", "1"},
		{fmt.Errorf("x: %w", object.ErrOverloaded), 503, "unavailable", "1"},
		{fmt.Errorf("x: %w", object.ErrClosed), 503, "unavailable", "1"},
		{fmt.Errorf("x: %w", object.ErrTooLarge), 413, "too_large", ""},
		{fmt.Errorf("x: %w", object.ErrPanic), 500, "internal", ""},
		{errors.New("x"), 500, "internal", ""},
	} {
		w := httptest.NewRecorder()
		respondError(w, test.err)
		if w.Code != test.status || w.Header().Get("Retry-After") != test.retry || !strings.Contains(w.Body.String(), `"code":"`+test.code+`"`) {
			t.Errorf("%v: %d, Retry-After %q, %s", test.err, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
}

func TestFlags(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	c, err := parse([]string{"-name", "a"}, env("HIGHLANDER_NAME", "b", "HIGHLANDER_STORE", "file:x", "HIGHLANDER_IDLE", "1s"), io.Discard)
	if err != nil || c.node.Name != "a" || c.node.Store != "file:x" || c.idle.String() != "1s" || c.http != "127.0.0.1:8080" {
		t.Errorf("a flag, then the environment, then the default should count: %+v, %v", c, err)
	}
	for _, test := range []struct {
		args   []string
		env    []string
		status int
		says   string
	}{
		{[]string{"-nosuch"}, nil, 2, "-nosuch"},
		{[]string{"left", "over"}, nil, 2, `"left"`},
		{[]string{"-idle", "soon"}, nil, 2, `"soon"`},
		{[]string{"-idle", "0"}, nil, 2, "-idle 0"},
		{nil, []string{"HIGHLANDER_IDLE", "soon"}, 2, "HIGHLANDER_IDLE"},
		{[]string{"-help"}, nil, 0, "HIGHLANDER_LISTEN"},
		{[]string{"-store", "ftp://x"}, nil, 1, "ftp"},
		{[]string{"-store", "mem:", "-registry", "zk://z1:2181/todo"}, nil, 1, "zk"},
		{nil, []string{"HIGHLANDER_STORE", "ftp://x"}, 1, "ftp"},
		{[]string{"-store", "mem:", "-http", "127.0.0.1:99999"}, nil, 1, "-http 127.0.0.1:99999"},
	} {
		var stderr strings.Builder
		if status := run(test.args, env(test.env...), &stderr); status != test.status || !strings.Contains(stderr.String(), test.says) {
			t.Errorf("%v %v: status %d, %s; want %d and %q", test.args, test.env, status, stderr.String(), test.status, test.says)
		}
	}
}

// serveTest serves a node in memory and returns the URL.
func serveTest(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(newService(highlander.OpenTest(t, todo.Objects)))
	t.Cleanup(server.Close)
	return server.URL
}

// call makes a request on a connection of its own and returns the answer.
func call(t *testing.T, method, url, body string) (status int, header http.Header, answer []byte) {
	t.Helper()
	return callAs(t, "", method, url, body)
}

// callAs makes it on behalf of a user; "" is nobody.
func callAs(t *testing.T, user, method, url, body string) (status int, header http.Header, answer []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	if user != "" {
		r.Header.Set("X-User", user)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, answer
}
