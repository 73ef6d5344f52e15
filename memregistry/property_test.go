package memregistry_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
)

// Whatever happens in whatever order, there are never two sessions that may serve one key.
func TestNeverTwoOwners(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		plan := rapid.SliceOfN(anEvent, 40, 120).Draw(rt, "plan")
		var wrong string
		synctest.Test(t, func(*testing.T) { wrong = newHistory().run(plan) })
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

const (
	nodes = 3
	keys  = 2
)

// An event is something that happens to a node.
type event struct {
	what string
	node int
	key  int
	time time.Duration
}

func (e event) String() string {
	return fmt.Sprintf("%s node %d key %d %v", e.what, e.node, e.key, e.time)
}

var anEvent = rapid.Custom(func(t *rapid.T) event {
	return event{
		what: rapid.SampledFrom([]string{
			"claim", "claim", "claim", "claim", "release", "expire", "disconnect", "disconnect", "reconnect",
			"retire", "join", "slow", "sleep", "sleep", "sleep", "suspend",
		}).Draw(t, "what"),
		node: rapid.IntRange(0, nodes-1).Draw(t, "node"),
		key:  rapid.IntRange(0, keys-1).Draw(t, "key"),
		time: time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms")) * time.Millisecond,
	}
})

// An owner is a session and the claims that its node believes to hold.
type owner struct {
	object.Session
	claims map[object.Key]object.Claim
}

func (o *owner) serves(key object.Key, now time.Duration) bool {
	c, ok := o.claims[key]
	return ok && now >= c.ServeAt() && o.Lease().Valid()
}

// A history is a registry, all sessions that ever joined it, and which node has which now.
type history struct {
	registry *memregistry.Registry
	clock    object.Clock
	slept    atomic.Int64 // how far the clock is ahead of the timers, which stand still while a machine is suspended
	owners   []*owner
	nodes    [nodes]*owner
}

func newHistory() *history {
	h := &history{}
	start := time.Now()
	h.clock = func() time.Duration { return time.Since(start) + time.Duration(h.slept.Load()) }
	h.registry = memregistry.New(memregistry.Options{Clock: h.clock})
	for node := range h.nodes {
		h.join(node)
	}
	return h
}

// run makes the plan come true and returns what was wrong, "" for nothing.
func (h *history) run(plan []event) (wrong string) {
	defer h.registry.Close()
	for _, e := range plan {
		if wrong := h.happen(e); wrong != "" {
			return fmt.Sprintf("%v: %s", e, wrong)
		}
		if wrong := h.check(); wrong != "" {
			return fmt.Sprintf("after %v: %s", e, wrong)
		}
	}
	return h.checkNothingStays()
}

// join gives the node a new session of a new incarnation. The one that it had before goes on by itself.
func (h *history) join(node int) {
	lease := memregistry.DefaultLease >> (node % 3)
	m := object.Member{Incarnation: uuid.New(), Name: fmt.Sprint(node)}
	s, err := h.registry.WithLease(lease).Join(context.Background(), m)
	if err != nil {
		panic(err)
	}
	h.nodes[node] = &owner{Session: s, claims: make(map[object.Key]object.Claim)}
	h.owners = append(h.owners, h.nodes[node])
}

func (h *history) happen(e event) (wrong string) {
	o, key := h.nodes[e.node], object.Key{Type: "list", ID: fmt.Sprint(e.key)}
	incarnation := o.Member().Incarnation
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	switch e.what {
	case "claim":
		if c, err := o.Claim(ctx, key); err == nil {
			o.claims[key] = c
		}
	case "release":
		if c, ok := o.claims[key]; ok {
			delete(o.claims, key)
			c.Release(ctx) // an error is as good: it is released on reconnection
		}
	case "expire":
		h.registry.Expire(incarnation)
	case "disconnect":
		h.registry.Disconnect(incarnation)
	case "reconnect":
		h.registry.Reconnect(incarnation)
	case "retire":
		clear(o.claims)
		o.Retire(ctx) // an error is as good: it is retired on reconnection
		h.join(e.node)
	case "join":
		h.join(e.node)
	case "slow":
		h.registry.Delay(incarnation, e.time/4)
	case "sleep":
		return h.sleep(e.time)
	case "suspend":
		h.slept.Add(int64(e.time))
	}
	return ""
}

// sleep lets time pass in small steps, so that a moment with two owners is not slept through.
func (h *history) sleep(d time.Duration) (wrong string) {
	const step = 20 * time.Millisecond
	for ; d > 0; d -= step {
		time.Sleep(min(d, step))
		if wrong := h.check(); wrong != "" {
			return wrong
		}
	}
	return ""
}

func (h *history) check() (wrong string) {
	now := h.clock()
	for i := range keys {
		key := object.Key{Type: "list", ID: fmt.Sprint(i)}
		var serving *owner
		for _, o := range h.owners {
			if !o.serves(key, now) {
				continue
			}
			if serving != nil {
				return fmt.Sprintf("at %v both %+v and %+v may serve %v", now, serving.Member(), o.Member(), key)
			}
			serving = o
		}
	}
	return ""
}

// checkNothingStays checks that a node finds every key free once all others have left, whatever they went through.
func (h *history) checkNothingStays() (wrong string) {
	ctx := context.Background()
	for _, o := range h.owners {
		clear(o.claims)
		h.registry.Reconnect(o.Member().Incarnation)
		if err := o.Retire(ctx); err != nil {
			return err.Error()
		}
	}
	h.join(0)
	for i := range keys {
		c, err := h.nodes[0].Claim(ctx, object.Key{Type: "list", ID: fmt.Sprint(i)})
		if err != nil {
			return fmt.Sprintf("all have retired, and yet: %v", err)
		}
		if c.ServeAt() > h.clock() {
			return "all have retired, and yet there is a wait"
		}
	}
	return ""
}
