package highlandertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

// A Cost is how many requests objects have made of the store. Requests that failed count; those that never left their node do not.
type Cost struct {
	GETs    int // of states: one when an object wakes
	PUTs    int
	DELETEs int // of what is left of deleted objects
	LISTs   int // pages of ids
}

// A Request is one that a node makes of the store for an object.
type Request struct {
	Node   int        // who makes it
	Method string     // "GET", "PUT", "DELETE" or "LIST"
	Key    object.Key // the object; of a LIST there is none
}

// A Fault is what becomes of a request to the store. The zero Fault is none.
type Fault struct {
	kind  faultKind
	after time.Duration
}

type faultKind int

const (
	noFault faultKind = iota
	loseAnswer
	loseRequest
	refuse
	landLate
	slow
)

// LoseAnswer has the request take effect, and its sender gets an error which does not tell that.
func LoseAnswer() Fault { return Fault{kind: loseAnswer} }

// LoseRequest has the request never arrive. Its sender gets an error which does not tell that.
func LoseRequest() Fault { return Fault{kind: loseRequest} }

// Refuse has the store refuse the request: its sender knows that it had no effect.
func Refuse() Fault { return Fault{kind: refuse} }

// LandLate has the sender of a PUT or a DELETE get an error that says nothing, at once. The request arrives so much later, unless the test has ended:
// it takes effect if its condition still holds then. Other requests are lost.
func LandLate(after time.Duration) Fault { return Fault{kind: landLate, after: after} }

// Slow has the request arrive so much later; its sender waits.
func Slow(by time.Duration) Fault { return Fault{kind: slow, after: by} }

// A StoreFaults decides what becomes of requests that nodes make of the store for objects. What nodes ask for otherwise, as when they are opened, does not
// concern it. It may be used concurrently.
type StoreFaults struct {
	t    testing.TB
	mu   sync.Mutex
	next []Fault // of the PUTs to come
	rule func(Request) Fault
	cost Cost
}

// Next has the fault befall the next n PUTs, whichever nodes make them, after those that Next was called for before.
func (s *StoreFaults) Next(n int, f Fault) {
	s.t.Helper()
	if n < 0 {
		s.t.Fatalf("highlandertest: Store().Next(%d, …): a fault befalls 0 or more PUTs", n)
	}
	if f.after < 0 {
		s.t.Fatalf("highlandertest: Store().Next(%d, …): %v", n, f.inThePast())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.next = append(s.next, f)
	}
}

// When has rule say what becomes of each request that [StoreFaults.Next] does not apply to, in place of the rule before. Nil: nothing befalls them any more. It is called
// for one request at a time and must return at once. A fault of its that makes no sense fails the test.
func (s *StoreFaults) When(rule func(Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rule = rule
}

// sent counts a request and says what becomes of it.
func (s *StoreFaults) sent(r Request) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	*map[string]*int{"GET": &s.cost.GETs, "PUT": &s.cost.PUTs, "DELETE": &s.cost.DELETEs, "LIST": &s.cost.LISTs}[r.Method]++
	if r.Method == "PUT" && len(s.next) > 0 {
		f := s.next[0]
		s.next = s.next[1:]
		return f
	}
	if s.rule == nil {
		return Fault{}
	}
	f := s.rule(r)
	if f.after < 0 {
		s.t.Errorf("highlandertest: Store().When: %v", f.inThePast()) // a node asks, which cannot end the test
	}
	return f
}

// inThePast is what is wrong with a fault whose delay is negative.
func (f Fault) inThePast() error {
	return fmt.Errorf("a request cannot arrive %v later: give Slow and LandLate 0 or more", f.after)
}

// requestTimeout is how long a node waits for the store, as package persist does for S3.
const requestTimeout = 5 * time.Second

var (
	errNoAnswer = errors.New("highlandertest: the store did not answer")
	errKilled   = errors.New("highlandertest: the node was killed")
)

// A nodeStore is the cluster's store as one process of a node reaches it.
type nodeStore struct {
	cluster *Cluster
	process *process
}

// do has a request made over the network.
func (s nodeStore) do(ctx context.Context, method, name string, request func(ctx context.Context) error) error {
	if err := s.pass(ctx, s.process.place, Store); err != nil {
		return fmt.Errorf("%s %s: %w", method, name, err)
	}
	var f Fault
	key, err := persist.ParseBlobName(name)
	if err == nil || method == "LIST" {
		f = s.cluster.faults.sent(Request{Node: s.process.place, Method: method, Key: key})
	}
	switch f.kind {
	case loseRequest:
		return fmt.Errorf("%s %s: %w", method, name, errNoAnswer)
	case refuse:
		return fmt.Errorf("%s %s: %w: the test says so", method, name, object.ErrRefused)
	case landLate:
		if method == "PUT" || method == "DELETE" {
			s.cluster.later(f.after, func() { _ = request(context.WithoutCancel(ctx)) }) // nobody waits for what becomes of it
		}
		return fmt.Errorf("%s %s: %w", method, name, errNoAnswer)
	case slow:
		if err := s.wait(ctx, f.after); err != nil {
			return fmt.Errorf("%s %s: %w", method, name, err)
		}
	}
	err = request(ctx)
	if lost := s.pass(ctx, Store, s.process.place); lost != nil || f.kind == loseAnswer {
		return fmt.Errorf("%s %s: %w", method, name, errNoAnswer)
	}
	return err
}

// pass waits until something gets from one place to the other, or as long as the node would.
func (s nodeStore) pass(ctx context.Context, from, to int) error {
	n := s.cluster.network
	if err := n.await(s.process.life, func() bool { return n.frozen[s.process.place] }); err != nil { // none of its time limits runs out meanwhile
		return errKilled
	}
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, errNoAnswer)
	defer cancel()
	defer context.AfterFunc(s.process.life, cancel)()
	err := n.await(ctx, func() bool { return n.holds(from, to) })
	if s.process.isKilled() {
		return errKilled
	}
	return err
}

func (s nodeStore) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.process.life.Done():
		return errKilled
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s nodeStore) Get(ctx context.Context, name string) (body []byte, tag object.Tag, err error) {
	err = s.do(ctx, "GET", name, func(ctx context.Context) (err error) {
		body, tag, err = s.cluster.store.Get(ctx, name)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return body, tag, nil
}

func (s nodeStore) Put(ctx context.Context, name string, body []byte, c object.Condition) (tag object.Tag, err error) {
	body = bytes.Clone(body) // it may land when its sender has used the buffer again
	var got object.Tag
	err = s.do(ctx, "PUT", name, func(ctx context.Context) (err error) {
		got, err = s.cluster.store.Put(ctx, name, body, c)
		return err
	})
	if err != nil {
		return "", err
	}
	return got, nil
}

func (s nodeStore) Delete(ctx context.Context, name string, c object.Condition) error {
	return s.do(ctx, "DELETE", name, func(ctx context.Context) error { return s.cluster.store.Delete(ctx, name, c) })
}

func (s nodeStore) List(ctx context.Context, prefix, after string, limit int) (entries []object.Entry, err error) {
	err = s.do(ctx, "LIST", prefix, func(ctx context.Context) (err error) {
		entries, err = s.cluster.store.List(ctx, prefix, after, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}
