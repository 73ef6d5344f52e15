package object

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A StoreState says how a node's store does, as that node sees it.
type StoreState int

const (
	StoreUnknown StoreState = iota // the node has not used it for some seconds
	StoreAnswers                   // it has answered within the last few seconds
	StoreFails                     // it has answered nothing for 10 s, although it was asked
)

func (s StoreState) String() string {
	return [...]string{"unknown", "answers", "fails"}[s]
}

// A StoreReporter is a [Session] by which nodes tell each other how their stores do. Without one, a node whose store fails keeps what it owns.
type StoreReporter interface {
	// ReportStore says how this node's store does. It returns at once: the word travels with the next renewal.
	ReportStore(StoreState)

	// StoreReports returns what the live sessions of other incarnations last said. It may ask the registry.
	StoreReports(ctx context.Context) ([]StoreReport, error)
}

// A StoreReport is what one session has reported.
type StoreReport struct {
	Member Member
	State  StoreState
}

const (
	lookEvery    = time.Second
	failingAfter = 10 // looks that find a failure and no answer
	yieldAtOnce  = 1024

	// answersFor is for how many looks the store is said to answer after it has. When it fails for all nodes, none says so any more by the time
	// that the first one is sure of its failure: else each would let its objects go to others that cannot serve them either.
	answersFor = failingAfter / 2
)

// A storeHealth is what a host has seen of its store.
type storeHealth struct {
	answered atomic.Bool                  // since the last look
	failure  atomic.Pointer[storeFailure] // the last one; nil: it has answered since
	failing  atomic.Bool                  // no object wakes here
	probing  atomic.Bool
	trying   atomic.Bool // an object is being released, to see whether another node's store answers

	mu     sync.Mutex
	fresh  int // looks for which it is said to answer
	failed int // looks, without a break, that found a failure and no answer
}

type storeFailure struct {
	key Key // of the record that was asked for
	err error
}

// note takes in what the store has said of a record. ctx is that of the serving: what its end has cut short says nothing.
func (h *storeHealth) note(ctx context.Context, key Key, err error) {
	switch {
	case err == nil || errors.Is(err, ErrConditionFailed) || errors.Is(err, ErrNoBlob) || errors.Is(err, ErrUnreadable):
		if !h.answered.Load() { // it is written once between two looks
			h.answered.Store(true)
		}
		if h.failure.Load() != nil {
			h.failure.Store(nil)
			h.failing.Store(false)
		}
	case errors.Is(err, ErrRefused) || ctx.Err() != nil: // a refusal may be of this one record, and made here
	default:
		h.failure.Store(&storeFailure{key, err})
	}
}

// look is made every second.
func (h *storeHealth) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fresh--; h.answered.Swap(false) {
		h.fresh, h.failed = answersFor, 0
	}
	if h.failed++; h.failure.Load() == nil {
		h.failed = 0
	}
	h.failing.Store(h.failed >= failingAfter)
}

func (h *storeHealth) state() StoreState {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.failing.Load():
		return StoreFails
	case h.fresh > 0:
		return StoreAnswers
	}
	return StoreUnknown
}

// mayWake returns an error if the object had better wake elsewhere: the store fails, or a node was to have it that has its methods.
func (h *Host) mayWake(key Key) error {
	if h.handed.holds(key) {
		return unavailable(key, fmt.Errorf("node %s has just handed it over to a node of a newer version: %w", h.config.Node, ErrUnknownMethod))
	}
	failure := h.store.failure.Load()
	if failure == nil || !h.store.failing.Load() {
		return nil
	}
	// Only in words: a deadline in it was not the caller's.
	return unavailable(key, fmt.Errorf("node %s wakes no object, since its store fails: %v", h.config.Node, failure.err))
}

// attendStore watches how the store does, until the serving ends: it asks a store that has failed whether it answers again, and lets others
// have the objects when it answers them. Of several servings the first one does it for all; each says it through its own session.
func (s *serving) attendStore() {
	h := s.host
	reporter, _ := s.session.(StoreReporter)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		}
		all := h.current()
		first := len(all) > 0 && all[0] == s
		if first {
			h.store.look()
			s.probe()
		}
		state := h.store.state()
		if reporter != nil {
			reporter.ReportStore(state)
		}
		if !first {
			continue
		}
		if failing != (state == StoreFails) {
			failing = !failing
			h.config.Log.Error("whether the store fails has changed: while it does no object wakes here", "node", h.config.Node, "fails", failing)
		}
		if failing && reporter != nil {
			s.yield(reporter)
		}
	}
}

// probe asks a store that has failed once more. It does not wait for the answer.
func (s *serving) probe() {
	h := s.host
	failure := h.store.failure.Load()
	if failure == nil || !h.store.probing.CompareAndSwap(false, true) {
		return
	}
	s.workers.Go(func() {
		defer h.store.probing.Store(false)
		ctx, cancel := context.WithTimeout(s.ctx, stepTimeout)
		defer cancel()
		_, _, err := h.config.Committer.Load(ctx, failure.key)
		h.store.note(s.ctx, failure.key, err)
	})
}

// yield releases the objects that other nodes can serve, whose stores answer. If there is none, but one that has not used its store for a
// while, it releases one object that is at work, and so stuck: whoever wakes it finds out.
func (s *serving) yield(reporter StoreReporter) {
	h := s.host
	ctx, cancel := context.WithTimeout(s.ctx, stepTimeout)
	defer cancel()
	reports, err := reporter.StoreReports(ctx)
	if err != nil {
		h.config.Log.Warn("the store fails, and it is not known how those of other nodes do: nothing is released", "node", h.config.Node, "error", err)
		return
	}
	can := func(a *activation, state StoreState) bool {
		return slices.ContainsFunc(reports, func(r StoreReport) bool {
			return r.State == state && slices.ContainsFunc(r.Member.Types, func(t Served) bool { return t.Type == a.table.def.name })
		})
	}
	all := h.pick(func(a *activation) bool {
		awake, _ := a.doing()
		return awake && can(a, StoreAnswers)
	})
	if len(all) == 0 {
		all = h.pick(func(a *activation) bool {
			awake, busy := a.doing()
			return awake && busy && can(a, StoreUnknown)
		})
		if len(all) == 0 || !h.store.trying.CompareAndSwap(false, true) {
			return
		}
		s.workers.Go(func() { // it may take longer than the other store is then said to answer
			defer h.store.trying.Store(false)
			release(s.ctx, all[:1], false)
		})
		return
	}
	for some := range slices.Chunk(all, yieldAtOnce) {
		if !h.store.failing.Load() || s.ctx.Err() != nil {
			return
		}
		h.config.Log.Warn("the store fails here: objects are released for other nodes", "node", h.config.Node, "objects", len(some))
		release(s.ctx, some, false)
	}
}

// doing tells whether the object can be called, and whether it has something to do.
func (a *activation) doing() (isAwake, busy bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.phase == awake, a.work != nil
}
