package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// ErrSilent is the cause of a connection's end when its peer has left pings unanswered for [Config.Silence]. It may be gone, cut off,
// or merely slow.
var ErrSilent = errors.New("the peer is silent")

var (
	errClosed   = fmt.Errorf("this node's transport is closed: %w", object.ErrClosed)
	errDraining = fmt.Errorf("the node takes no more calls: %w", object.ErrClosed)
)

const (
	// redialAfter is how long after a failure to connect calls fail at once in the same way.
	redialAfter = 100 * time.Millisecond

	// maxInline is how many bytes of requests may be unanswered while callers write them. A socket takes that much at
	// once even if its peer reads nothing: no caller is held up by a peer longer than its context lets it wait.
	maxInline = 16 << 10
)

// Call has r handled by the member, as [object.Transport] says. It may be called concurrently; r and what it refers to
// must not change until it returns. The reply is not nil when err is.
func (e *Endpoint) Call(ctx context.Context, to object.Member, r *object.Request) (reply []byte, err error) {
	c := e.calls.Get().(*call)
	if err := e.exchange(ctx, to, r, c); err != nil {
		return nil, err // c is lost: it may still be waited for
	}
	kind, payload := c.kind, c.payload
	*c = call{done: c.done}
	e.calls.Put(c)
	switch kind {
	case kindReply:
		return payload, nil
	case kindFailure:
		failure, err := readFailure(payload)
		if err != nil {
			return nil, failed(to, true, err)
		}
		return nil, failure
	}
	return nil, refused(to, payload)
}

// Ping returns nil if the member's incarnation answers at its address before ctx ends, whether it takes calls or not. If ctx reaches
// its deadline first, the member is silent. Errors are as those of [Endpoint.Call] for calls that did not run.
func (e *Endpoint) Ping(ctx context.Context, m object.Member) error {
	c := &call{done: make(chan struct{}, 1)}
	err := e.exchange(ctx, m, nil, c)
	var unreachable *object.UnreachableError
	switch {
	case err == nil && uuid.UUID(c.payload) == m.Incarnation:
		return nil
	case err == nil:
		return refused(m, c.payload)
	case errors.As(err, &unreachable):
		unreachable.Sent = false // it asks for nothing that could have an effect
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &object.UnreachableError{Member: m, How: object.Silent, Err: fmt.Errorf("it has not answered a ping in time: %w", ctx.Err())}
	case ctx.Err() != nil:
		return notMade(m, ctx.Err())
	}
	return notMade(m, errClosed)
}

// failed is the error of a call that got no answer: the connection was not had, or was lost.
func failed(to object.Member, sent bool, err error) error {
	switch closed := errors.Is(err, errClosed); {
	case closed && sent: // it must not match ErrClosed, which says that the call had no effect
		return fmt.Errorf("%w, read the object before trying again: the call to node %s (%s) was cut off: %v", object.ErrUnknownOutcome, to.Name, to.Address, err)
	case closed:
		return notMade(to, err)
	}
	return &object.UnreachableError{Member: to, How: suspicion(err), Sent: sent, Err: err}
}

// notMade is the error of a call that was not made for a reason that does not lie with the member.
func notMade(to object.Member, err error) error {
	return fmt.Errorf("%w, the call was not made to node %s (%s): %w", object.ErrUnavailable, to.Name, to.Address, err)
}

// refused is the error of a call that the incarnation at the member's address did not take.
func refused(to object.Member, here []byte) error {
	if id := uuid.UUID(here); id != to.Incarnation {
		return &object.UnreachableError{Member: to, How: object.Gone,
			Err: fmt.Errorf("incarnation %s is gone, %s answers at its address: ask the registry again", to.Incarnation, id)}
	}
	return failed(to, false, errDraining)
}

// suspicion tells what the failure to connect, or the loss of a connection, says of the member: 0 if it may well be alive.
func suspicion(err error) object.Suspicion {
	var resolving *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &resolving):
		if resolving.IsNotFound {
			return object.Silent
		}
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return object.Gone
	case errors.Is(err, ErrSilent), errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, syscall.EHOSTUNREACH),
		errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTDOWN):
		return object.Silent
	}
	return 0
}

// A call waits for the answer to its request.
type call struct {
	id        uint64
	size      int           // of its frame
	end       uint64        // of its frame, in the link's stream
	abandoned bool          // its caller no longer waits; its handler may still run
	done      chan struct{} // capacity 1: told that the fields below are set

	kind    byte // of the frame that has answered
	payload []byte
	err     error // why the link has ended without an answer
	sent    bool  // the link has ended after the request was written in full
}

// exchange sends a request, a ping if r is nil, and waits for its answer, which is then in c. Its errors are those of [Endpoint.Call].
func (e *Endpoint) exchange(ctx context.Context, to object.Member, r *object.Request, c *call) error {
	l, err := e.connect(ctx, to)
	if err == nil {
		err = l.send(ctx, to, r, c)
	}
	if err != nil {
		return err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		if l.abandon(c) {
			return fmt.Errorf("%w, read the object before trying again: node %s (%s) has not answered: %w", object.ErrUnknownOutcome, to.Name, to.Address, ctx.Err())
		}
		<-c.done // it is being answered at this moment
	}
	if c.err != nil {
		return failed(to, c.sent, c.err)
	}
	return nil
}

// A peer is an address that this node calls.
type peer struct {
	address string
	client  atomic.Pointer[client] // nil: not connected; set with mu held

	mu      sync.Mutex
	dialled chan struct{} // closed when the attempt to connect that is under way is over; nil: none is
	failure error         // why there is no connection, or was none before the last one
	until   time.Time     // the failure is told until then, and only then it is tried again
}

// peer returns the entry of the table for the address.
func (e *Endpoint) peer(address string) *peer {
	e.mu.RLock()
	p := e.peers[address]
	e.mu.RUnlock()
	if p == nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		if p = e.peers[address]; p == nil {
			p = &peer{address: address}
			e.peers[address] = p
		}
	}
	return p
}

// connect returns a link to the member's address, dialled if need be.
func (e *Endpoint) connect(ctx context.Context, to object.Member) (*client, error) {
	if to.Address == "" {
		return nil, failed(to, false, errors.New("it has no address: it takes no calls"))
	}
	p := e.peer(to.Address)
	if l := p.client.Load(); l != nil {
		return l, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client.Load() == nil && p.dialled == nil && !time.Now().Before(p.until) {
		p.dialled = make(chan struct{})
		if !e.spawn(func() { e.keep(p) }) {
			p.dialled = nil
			return nil, notMade(to, errClosed)
		}
	}
	if done := p.dialled; done != nil {
		p.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
		}
		p.mu.Lock()
	}
	if l := p.client.Load(); l != nil {
		return l, nil
	} else if ctx.Err() != nil {
		err := fmt.Errorf("it was not connected in time: %w", ctx.Err())
		if p.failure != nil {
			err = fmt.Errorf("%w; the last time: %v", err, p.failure) // this says nothing of what the error matches
		}
		return nil, notMade(to, err)
	}
	return nil, failed(to, false, p.failure)
}

// keep connects to the peer and keeps the link until it ends.
func (e *Endpoint) keep(p *peer) {
	l, err := e.dial(p.address)
	p.mu.Lock()
	close(p.dialled)
	p.dialled = nil
	if err != nil {
		p.failure, p.until = err, time.Now().Add(redialAfter)
		p.mu.Unlock()
		return
	}
	p.client.Store(l)
	p.mu.Unlock()
	err = l.run(l.receive)
	p.mu.Lock()
	p.client.Store(nil)
	p.failure = err
	p.mu.Unlock()
	l.finish()
	if !l.leaving && !errors.Is(err, errClosed) {
		e.config.Log.Warn("a connection to a node was lost", "address", p.address, "incarnation", l.peer.self, "error", err)
	}
}

// dial makes a link to the address.
func (e *Endpoint) dial(address string) (*client, error) {
	// A first packet that is lost is sent again after a second; after that a peer that lives answers soon: a frozen one's kernel
	// goes on to take connections.
	ctx, cancel := context.WithTimeout(e.over, 2*e.config.Silence)
	defer cancel()
	nc, err := e.config.Dial(ctx, "tcp", address)
	var theirs hello
	if err == nil {
		theirs, err = shakeHands(e.over, nc, time.Now().Add(e.config.Silence), e.hello(), true)
	}
	if err != nil {
		if nc != nil {
			nc.Close()
		}
		if e.over.Err() != nil { // that is then the cause of all else
			return nil, errClosed
		}
		return nil, fmt.Errorf("it could not be reached: %w", err)
	}
	return &client{link: newLink(e, nc, theirs), pending: make(map[uint64]*call)}, nil
}

// A client is a link that this node has dialled, and the calls that wait for answers on it.
type client struct {
	*link

	// guarded by the link's mu
	pending    map[uint64]*call
	unanswered int    // bytes of their requests
	last       uint64 // id used
	leaving    bool   // takes no more calls, only pings
}

// send queues a request, or a ping if r is nil, and writes it if nobody else does.
func (l *client) send(ctx context.Context, to object.Member, r *object.Request, c *call) error {
	l.mu.Lock()
	if err := l.enqueue(ctx, to, r, c); err != nil {
		l.mu.Unlock()
		return err
	}
	mine, others := false, len(l.pending) > 1
	if l.unanswered > maxInline {
		l.flushLater()
	} else {
		mine = l.claim()
	}
	l.mu.Unlock()
	if mine {
		if others {
			runtime.Gosched() // so that they can add to what is written
		}
		l.flush(true)
	}
	return nil
}

// enqueue adds the request to the queue unless the call cannot be made now. mu is held.
func (l *client) enqueue(ctx context.Context, to object.Member, r *object.Request, c *call) error {
	l.waitForRoom(ctx)
	var timeout time.Duration // 0: for ever
	deadline, ok := ctx.Deadline()
	if ok {
		timeout = time.Until(deadline)
	}
	switch n := len(l.pending); {
	case l.err != nil:
		return failed(to, false, l.err)
	case ctx.Err() != nil:
		return notMade(to, ctx.Err())
	case timeout < 0 || ok && timeout == 0:
		return notMade(to, context.DeadlineExceeded)
	case r != nil && (l.leaving || l.peer.inFlight == 0):
		return failed(to, false, errDraining)
	case r != nil && n >= min(l.peer.inFlight, l.e.config.MaxInFlight):
		return failed(to, false, fmt.Errorf("%w: %d calls are in flight on the connection, its limit; try again later", object.ErrOverloaded, n))
	}
	start := len(l.queue)
	l.last++
	if r == nil {
		c.kind = kindPing
		l.queue = openFrame(l.queue, c.kind, l.last)
	} else {
		c.kind = kindRequest
		l.queue = appendRequest(openFrame(l.queue, c.kind, l.last), to.Incarnation, r, timeout)
	}
	c.id, c.size, c.end = l.last, len(l.queue)-start, l.taken+uint64(len(l.queue))
	if c.size > l.peer.frame {
		l.queue = l.queue[:start]
		return notMade(to, fmt.Errorf("%w: the request has %d bytes, the limit is %d; send less at a time", object.ErrTooLarge, c.size, l.peer.frame))
	}
	l.queue = closeFrame(l.queue, start)
	l.pending[c.id] = c
	l.unanswered += c.size
	return nil
}

// abandon tells the peer that the call's caller no longer waits, unless it has been answered.
func (l *client) abandon(c *call) bool {
	l.mu.Lock()
	c.abandoned = l.pending[c.id] == c
	l.mu.Unlock()
	if c.abandoned {
		l.tell(kindCancel, c.id, nil)
	}
	return c.abandoned
}

// receive handles a frame of the peer's.
func (l *client) receive(f frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.pending[f.id]
	switch f.kind {
	case kindLeave:
		l.leaving = true
	case kindReply, kindFailure, kindRefused, kindPong:
		if c == nil || (c.kind == kindPing) != (f.kind == kindPong) || (f.kind == kindPong || f.kind == kindRefused) && len(f.payload) != len(uuid.UUID{}) {
			return fmt.Errorf("%w: an answer of kind %d and %d bytes to %d", errMalformed, f.kind, len(f.payload), f.id)
		}
		delete(l.pending, f.id)
		l.unanswered -= c.size
		if !c.abandoned {
			c.kind, c.payload = f.kind, f.payload
			c.done <- struct{}{}
		}
	default:
		return fmt.Errorf("%w: kind %d is not for the side that dialled", errMalformed, f.kind)
	}
	if l.leaving && len(l.pending) == 0 {
		l.tellLocked(kindLeave, 0, nil)
	}
	return nil
}

// finish tells those who still wait that the link has ended. run has returned, so it is known what was written.
func (l *client) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, c := range l.pending {
		delete(l.pending, id)
		if !c.abandoned {
			c.err, c.sent = l.err, c.end <= l.written.Load()
			c.done <- struct{}{}
		}
	}
}
