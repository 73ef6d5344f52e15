package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander/examples/todo/todo"
	"github.com/highlander-go/highlander/highlandertest"
)

// keyed makes a request with an Idempotency-Key, "" for none.
func keyed(s *service, user, key, method, path, body string) (status int, answer string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("X-User", user)
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestIdempotencyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := highlandertest.Start(t, 2, todo.Objects)
		a, b := newService(c.Node(0)), newService(c.Node(1))
		status, made := keyed(a, "ann", "k", "POST", "/lists", `{"title":"x"}`)
		if status != 201 {
			t.Fatal(status, made)
		}
		path := "/lists/" + made[len(`{"id":"`):len(made)-len("\"}\n")]
		for _, call := range []struct {
			s                             *service
			user, key, method, path, body string
			status                        int
			answer                        string // a part of it
		}{
			{b, "ann", "k", "POST", "/lists", `{"title":"x"}`, 201, strings.TrimSpace(made)},
			{b, "ann", "k", "POST", "/lists", `{"title":"y"}`, 422, `"key_reused"`},
			{b, "ann", "t", "POST", path + "/todos", `{"title":"milk"}`, 201, `"number":1`},
			{a, "ann", "t", "POST", path + "/todos", `{"title":"milk"}`, 201, `"number":1`},
			{a, "ann", "t", "POST", path + "/todos", `{"title":"tea"}`, 422, `"key_reused"`},
			{a, "ann", "u", "POST", path + "/todos", `{"title":"tea"}`, 201, `"number":2`},
			{a, "", "n", "POST", "/counters/c/add", `{"delta":1}`, 200, `"value":1`},
			{b, "", "n", "POST", "/counters/c/add", `{"delta":1}`, 200, `"value":1`},
			{b, "bob", "n", "POST", "/counters/c/add", `{"delta":1}`, 200, `"value":2`}, // another user's key
			{b, "", "n", "GET", "/counters/c", "", 200, `"value":2`},
			{b, "bob", "f", "POST", path + "/todos", `{"title":"gin"}`, 403, `"forbidden"`},
			{a, "bob", "f", "POST", path + "/todos", `{"title":"gin"}`, 403, `"forbidden"`},
		} {
			if status, answer := keyed(call.s, call.user, call.key, call.method, call.path, call.body); status != call.status || !strings.Contains(answer, call.answer) {
				t.Errorf("%s %s with key %q: %d %s; want %d and %s", call.method, call.path, call.key, status, answer, call.status, call.answer)
			}
		}
		time.Sleep(5 * time.Hour)
		if status, answer := keyed(a, "ann", "k", "POST", "/lists", `{"title":"x"}`); status != 409 {
			t.Errorf("long after that: %d %s", status, answer)
		}
	})
}

// A list is made in two steps, by two objects. Whichever node is killed in whichever moment of it, the request that is made again with its key makes one list, which
// its creator knows once.
func TestListsAreMadeOnceWhoeverIsKilledBetween(t *testing.T) {
	rounds := 500
	if testing.Short() {
		rounds = 50
	}
	synctest.Test(t, func(t *testing.T) {
		c := highlandertest.Start(t, 3, todo.Objects)
		c.Store().When(func(highlandertest.Request) highlandertest.Fault { return highlandertest.Slow(10 * time.Millisecond) })
		interrupted := 0
		for i := range rounds {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			user, key := fmt.Sprint("user", i), fmt.Sprint("key", i)
			first := rng.IntN(c.Len())
			victim := first
			if i%3 == 2 {
				victim = rng.IntN(c.Len())
			}
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				keyed(newService(c.Node(first)), user, key, "POST", "/lists", `{"title":"x"}`)
			}()
			time.Sleep(time.Duration(rng.IntN(50)) * time.Millisecond) // it takes four requests to the store
			select {
			case <-answered:
			default:
				interrupted++
			}
			c.Kill(victim)
			<-answered
			another := (victim + 1) % c.Len()
			var made struct{ ID string }
			for attempt := 0; ; attempt++ {
				status, answer := keyed(newService(c.Node(another)), user, key, "POST", "/lists", `{"title":"x"}`)
				if status == 201 {
					if err := json.Unmarshal([]byte(answer), &made); err != nil {
						t.Fatal(err)
					}
					break
				} else if attempt > 10 {
					t.Fatalf("round %d: %d %s", i, status, answer)
				}
			}
			u, err := todo.Users(c.Node(another)).Get(t.Context(), user)
			if err != nil || !slices.Equal(u.KnownLists, []todo.ListID{todo.ListID(made.ID)}) {
				t.Errorf("round %d: %s knows %v, %v; was told %s", i, user, u.KnownLists, err, made.ID)
			}
			c.Restart(victim)
		}
		lists := 0
		for _, err := range todo.Lists(c.Node(0)).IDs(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			lists++
		}
		if lists != rounds {
			t.Errorf("%d lists were made in %d rounds", lists, rounds)
		}
		if interrupted < rounds/2 {
			t.Errorf("%d of %d requests were interrupted: the run says little", interrupted, rounds)
		}
		t.Logf("%d of %d requests were interrupted", interrupted, rounds)
	})
}
