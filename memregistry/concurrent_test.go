package memregistry_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
)

// Calls and faults of several nodes at once: for the race detector, and for what waits for ever.
func TestConcurrentUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memregistry.Options{})
		var nodes sync.WaitGroup
		for node := range 8 {
			nodes.Go(func() {
				for range 20 {
					live(t, r, fmt.Sprint(node))
				}
			})
		}
		nodes.Wait()
		last := join(t, r, "last")
		for i := range 5 {
			claim(t, last, object.Key{Type: "list", ID: fmt.Sprint(i)})
		}
	})
}

// live is a node's life, with calls from several goroutines and something that goes wrong.
func live(t *testing.T, r *memregistry.Registry, name string) {
	incarnation := uuid.New()
	s, err := r.Join(t.Context(), object.Member{Incarnation: incarnation, Name: name})
	if err != nil {
		t.Error(err)
		return
	}
	faults := []func(uuid.UUID){
		r.Expire, r.Disconnect, r.Reconnect, func(id uuid.UUID) { r.Delay(id, time.Second) }, func(uuid.UUID) {},
	}
	var work sync.WaitGroup
	for range 3 {
		work.Go(func() {
			for range 10 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				key := object.Key{Type: "list", ID: fmt.Sprint(rand.N(5))}
				if c, err := s.Claim(ctx, key); err == nil {
					r.Owner(ctx, key)
					time.Sleep(rand.N(time.Second))
					c.Release(ctx)
				}
				cancel()
			}
		})
	}
	for range 4 {
		faults[rand.N(len(faults))](incarnation)
		time.Sleep(rand.N(3 * time.Second))
	}
	r.Reconnect(incarnation)
	var retiring sync.WaitGroup
	for range 2 {
		retiring.Go(func() {
			if err := s.Retire(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	retiring.Wait()
	work.Wait()
}
