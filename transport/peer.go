package transport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// How long after a failure the next attempt to connect begins: it doubles with each failure in a row, and up to half is taken off at random.
const (
	firstBackoff = 10 * time.Millisecond
	mostBackoff  = 250 * time.Millisecond
)

type peerKey struct {
	address     string
	incarnation uuid.UUID
}

// A peer is an incarnation of a node that this one calls.
type peer struct {
	peerKey
	client atomic.Pointer[client] // nil: not connected; set with mu held

	mu       sync.Mutex
	gone     bool     // no longer in the endpoint's table
	attempt  *attempt // to connect; nil: nobody tries
	failures int      // in a row
	failure  error    // the last one
	next     time.Time
}

// An attempt to connect is shared by all who wait for it.
type attempt struct {
	done   chan struct{} // closed when the fields below are set
	client *client
	err    error
}

// connect returns a link to the member, dialled if need be.
func (e *Endpoint) connect(ctx context.Context, to object.Member) (*client, error) {
	for {
		p := e.peer(peerKey{to.Address, to.Incarnation})
		if l := p.client.Load(); l != nil {
			if l.usable(*e.incarnation.Load()) {
				return l, nil
			}
			p.drop(l)
		}
		a, err := e.attempt(p)
		if err != nil {
			return nil, err
		}
		if a == nil {
			continue
		}
		select {
		case <-a.done:
			return a.client, a.err
		case <-ctx.Done():
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.failure != nil {
				return nil, fmt.Errorf("%w; before that, connecting failed: %w", ended(ctx), p.failure)
			}
			return nil, fmt.Errorf("it was not connected in time: %w", ended(ctx))
		}
	}
}

// usable tells whether the link takes calls of the incarnation. If it is of another, it takes none any more.
func (l *client) usable(self uuid.UUID) bool {
	if l.self != self {
		l.leave()
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err == nil && !l.leaving
}

// drop forgets a link that takes no more calls.
func (p *peer) drop(l *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client.CompareAndSwap(l, nil)
}

// peer returns the entry of the table, new if need be. Entries without a use are thrown out then.
func (e *Endpoint) peer(key peerKey) *peer {
	e.mu.RLock()
	p := e.peers[key]
	e.mu.RUnlock()
	if p != nil {
		return p
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if p = e.peers[key]; p != nil {
		return p
	}
	for k, q := range e.peers {
		q.mu.Lock()
		if q.gone = q.client.Load() == nil && q.attempt == nil && time.Since(q.next) > mostBackoff; q.gone {
			delete(e.peers, k)
		}
		q.mu.Unlock()
	}
	p = &peer{peerKey: key}
	e.peers[key] = p
	return p
}

// attempt returns the attempt that is under way, begun if need be; nil if the caller must look again.
func (e *Endpoint) attempt(p *peer) (*attempt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone || p.client.Load() != nil {
		return nil, nil
	}
	if p.attempt == nil {
		a := &attempt{done: make(chan struct{})}
		if !e.spawn(func() { e.keep(p, a) }) {
			return nil, errClosed
		}
		p.attempt = a
	}
	return p.attempt, nil
}

// keep connects to the peer and keeps the link until it ends.
func (e *Endpoint) keep(p *peer, a *attempt) {
	l, err := e.dial(p)
	p.mu.Lock()
	p.attempt, a.client, a.err = nil, l, err
	if err == nil {
		p.client.Store(l)
	} else {
		p.failed(err)
	}
	p.mu.Unlock()
	close(a.done)
	if err != nil {
		return
	}
	idle := uint32(min(e.config.IdleTimeout/e.config.tick(), 1<<30)) + 1
	err = l.run(e.config.tick(), e.over.Done(), func() { l.leaveIfIdle(idle) }, l.receive)
	p.drop(l)
	p.mu.Lock()
	if l.heeded || errors.Is(err, errLeft) {
		p.failures, p.failure, p.next = 0, nil, time.Now()
	} else {
		p.failed(err)
	}
	p.mu.Unlock()
	l.finish()
	if !errors.Is(err, errLeft) && !errors.Is(err, errClosed) {
		e.config.Log.Warn("a connection to a node was lost", "address", p.address, "incarnation", p.incarnation, "error", err)
	}
}

// failed has the next attempt wait. mu is held.
func (p *peer) failed(err error) {
	wait := min(firstBackoff<<min(p.failures, 10), mostBackoff)
	p.failures++
	p.failure = err
	p.next = time.Now().Add(wait - rand.N(wait/2))
}

// dial makes a link to the peer, once the last failure is long enough ago.
func (e *Endpoint) dial(p *peer) (*client, error) {
	p.mu.Lock()
	wait := time.Until(p.next)
	p.mu.Unlock()
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-e.over.Done():
			return nil, errClosed
		}
	}
	deadline := time.Now().Add(e.config.HandshakeTimeout)
	ctx, cancel := context.WithDeadline(e.over, deadline)
	defer cancel()
	nc, err := e.config.Dial(ctx, p.address)
	if err != nil {
		return nil, e.orClosed(fmt.Errorf("it could not be reached: %w", err))
	}
	own := e.hello()
	own.peer = p.incarnation
	theirs, err := shakeHands(e.over, nc, deadline, greet, own)
	if err != nil {
		nc.Close()
		return nil, e.orClosed(err)
	}
	theirs.inFlight = min(theirs.inFlight, own.inFlight)
	return &client{link: newLink(nc, theirs, e.config.MaxFrame, e.running.Go), self: own.self, pending: make(map[uint64]pending)}, nil
}

// orClosed returns errClosed once Close was called: that is then the cause of all else.
func (e *Endpoint) orClosed(err error) error {
	if e.over.Err() != nil {
		return errClosed
	}
	return err
}

// hello is what this node says of itself.
func (e *Endpoint) hello() hello {
	return hello{version: version, self: *e.incarnation.Load(), frame: e.config.MaxFrame, inFlight: e.config.MaxInFlight, cluster: e.config.Cluster}
}
