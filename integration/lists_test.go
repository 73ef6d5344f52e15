package integration

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

// A list is made in two steps, by two objects, through a node that is killed meanwhile. The same request at another node, with the same Idempotency-Key, makes one list,
// which its creator knows once.
func TestListsAreMadeOnceWhoeverIsKilledBetween(t *testing.T) {
	nodes := newPlace(t, "").start(t)
	kills := count(t, 5)
	interrupted := 0
	create := func(n *node, user, key string) (id string, err error) {
		status, said, err := request(t.Context(), user, key, http.MethodPost, n.URL()+"/lists", `{"title":"x"}`)
		if err != nil {
			return "", err
		}
		if status != http.StatusCreated {
			return "", &statusError{status, string(said)}
		}
		var made struct{ ID string }
		err = json.Unmarshal(said, &made)
		return made.ID, err
	}
	for i := 0; interrupted < kills; i++ {
		user, key := fmt.Sprint("user", i), uuid.NewString()
		victim := nodes[i%len(nodes)]
		answered := make(chan error, 1)
		go func() { _, err := create(victim, user, key); answered <- err }()
		time.Sleep(rand.N(25 * time.Millisecond)) // it takes some 20 ms
		victim.kill()
		if err := <-answered; err != nil {
			interrupted++
		}
		victim.launch()
		other := nodes[(i+1)%len(nodes)]
		var id string
		eventually(t, time.Minute, "the list is made", func() (err error) {
			id, err = create(other, user, key)
			return err
		})
		status, said, err := request(t.Context(), user, "", http.MethodGet, other.URL()+"/users/"+user, "")
		must(t, err)
		var u struct {
			Lists []string `json:"known_lists"`
		}
		must(t, json.Unmarshal(said, &u))
		if status != http.StatusOK || !slices.Equal(u.Lists, []string{id}) {
			t.Fatalf("round %d: %d %s: want one list, %s", i, status, said, id)
		}
		again, err := create(nodes[(i+2)%len(nodes)], user, key)
		if err != nil || again != id {
			t.Errorf("round %d: asked once more: %s, %v; want %s", i, again, err, id)
		}
		victim.await()
	}
	t.Logf("%d requests were interrupted by kill -9, and made again", interrupted)
}
