package object

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// handOver gives the object up, since it is called with a method that only a newer version of the program has, if a live member has it. Callers of all
// versions find it there. What it has accepted is finished first, even if ctx ends: others wait for that.
func (t *table) handOver(ctx context.Context, a *activation, method string) bool {
	h := t.host
	members, err := h.config.Registry.Members(ctx)
	if err != nil || !slices.ContainsFunc(members, func(m Member) bool {
		s := m.serves(t.def.name)
		return s != nil && !h.isSelf(m) && m.Address != "" && slices.Contains(s.Methods, method)
	}) {
		return false
	}
	h.handed.add(a.key())
	s, released := a.serving, make(chan struct{})
	h.adding.RLock()
	if s.ended { // and the object with it
		h.adding.RUnlock()
		return true
	}
	s.workers.Go(func() { a.release(s.ctx, false); close(released) })
	h.adding.RUnlock()
	select {
	case <-released:
	case <-ctx.Done():
	}
	return true
}

// isHandedOver tells whether err says that the object will soon be at another node, which has the method.
func isHandedOver(err error) bool {
	return errors.Is(err, ErrUnknownMethod) && errors.Is(err, ErrUnavailable)
}

// handed are the objects that this node does not wake for a moment, so that the nodes get them that they were handed over to.
type handed struct {
	some atomic.Bool // so that it costs nothing while there are none
	mu   sync.Mutex
	all  map[Key]time.Time // until when
}

const handOverTime = 2 * time.Second

func (h *handed) add(key Key) {
	until := time.Now().Add(handOverTime)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = make(map[Key]time.Time)
	}
	h.all[key] = until
	h.some.Store(true)
}

func (h *handed) holds(key Key) bool {
	if !h.some.Load() {
		return false
	}
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.all, func(_ Key, until time.Time) bool { return now.After(until) })
	h.some.Store(len(h.all) > 0)
	_, held := h.all[key]
	return held
}
