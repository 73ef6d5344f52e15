package transport

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

var (
	errClosed = fmt.Errorf("this node's transport is closed: %w", object.ErrClosed)
	errLeft   = errors.New("the connection was idle, or its peer takes no more calls on it")
	errStale  = errors.New("the connection takes no more calls")
)

// A client is a link that this node has dialled, and the calls that wait for answers on it.
type client struct {
	*link
	self uuid.UUID // this node's incarnation when it dialled

	// guarded by the link's mu
	pending map[uint64]pending
	last    uint64 // id used
	used    uint32 // tick of the last call
	leaving bool   // takes no more calls, and ends with the last one
	heeded  bool   // some request was answered
}

// Pending is a request that has not been answered.
type pending struct {
	call *call // nil: its caller no longer waits; its handler may still run
	size int   // of its frame
}

// A call waits for the answer to its request.
type call struct {
	ctx   context.Context
	id    uint64
	start uint64 // of its frame, in the link's stream
	end   uint64
	done  chan struct{} // capacity 1: told that the fields below are set

	kind    byte // of the frame that has answered
	payload []byte
	err     error // why the link has ended without an answer
	unsent  bool  // before the request was written in full
}

// over tells whether the call needs nothing more from its link.
func (c *call) over() bool { return len(c.done) > 0 || c.ctx.Err() != nil }

// call sends a request and waits for its answer, which is then in c. errStale: the link takes no calls, c was not sent.
// Other errors match those of [object.Transport] already.
func (l *client) call(c *call, to object.Member, r *object.Request) error {
	if err := l.send(c, to, r); err != nil {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-c.ctx.Done():
	}
	l.mu.Lock()
	p := l.pending[c.id]
	if p.call == nil || l.err != nil {
		l.mu.Unlock()
		<-c.done // it is being answered at this moment, or told of the link's end
		return nil
	}
	if c.start >= l.taken {
		l.queue[c.start-l.taken+lengthBytes] = kindVoid
		l.settle(c.id)
		l.mu.Unlock()
		return unavailable(to, r, fmt.Errorf("the request was still waiting to be sent: %w", ended(c.ctx)))
	}
	l.pending[c.id] = pending{size: p.size}
	l.mu.Unlock()
	l.tell(kindCancel, c.id)
	return unknown(to, r, ended(c.ctx))
}

// send queues a request, and writes it if nobody else does.
func (l *client) send(c *call, to object.Member, r *object.Request) error {
	l.mu.Lock()
	for l.waitForRoom(c.ctx.Done()) && c.ctx.Err() == nil {
	}
	timeout, err := l.admit(c)
	if err == nil {
		err = l.enqueue(c, r, timeout)
	}
	if err != nil {
		l.mu.Unlock()
		if err == errStale {
			return err
		}
		return unavailable(to, r, err)
	}
	mine, others := l.claimWriting(), len(l.pending) > 1
	l.mu.Unlock()
	if mine {
		if others {
			runtime.Gosched() // so that they can add to what is written
		}
		l.flush(c)
	}
	return nil
}

// admit tells how long the caller can wait, 0 for ever, and why the call cannot be made now. mu is held.
func (l *client) admit(c *call) (timeout time.Duration, err error) {
	if c.ctx.Err() != nil {
		return 0, fmt.Errorf("the connection was busy: %w", ended(c.ctx))
	}
	if deadline, ok := c.ctx.Deadline(); ok {
		if timeout = time.Until(deadline); timeout <= 0 {
			return 0, fmt.Errorf("no time was left: %w", context.DeadlineExceeded)
		}
	}
	if l.err != nil || l.leaving {
		return 0, errStale
	}
	if n := len(l.pending); n >= l.peer.inFlight {
		return 0, fmt.Errorf("%w: %d calls are in flight on the connection, its limit; try again later", object.ErrOverloaded, n)
	}
	return timeout, nil
}

// enqueue adds the request to the queue. mu is held.
func (l *client) enqueue(c *call, r *object.Request, timeout time.Duration) error {
	start := len(l.queue)
	l.last++
	l.queue = appendRequest(openFrame(l.queue, kindRequest, l.last), r, timeout)
	size := len(l.queue) - start
	if size > l.peer.frame {
		l.queue = l.queue[:start]
		return fmt.Errorf("%w: the request has %d bytes, the limit is %d; send less at a time", object.ErrTooLarge, size, l.peer.frame)
	}
	l.queue = closeFrame(l.queue, start)
	c.id, c.start, c.end = l.last, l.taken+uint64(start), l.taken+uint64(len(l.queue))
	l.pending[c.id] = pending{c, size}
	l.unanswered += size
	l.used = l.tick.Load()
	return nil
}

// settle forgets a request that is answered, or will not be. mu is held.
func (l *client) settle(id uint64) {
	l.unanswered -= l.pending[id].size
	delete(l.pending, id)
	if l.leaving && len(l.pending) == 0 {
		l.endLocked(errLeft)
	}
}

// leave has the link take no more calls, and end when those in flight are answered.
func (l *client) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaving = true
	l.makeRoom()
	if len(l.pending) == 0 {
		l.endLocked(errLeft)
	}
}

// leaveIfIdle is called at every tick.
func (l *client) leaveIfIdle(ticks uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) == 0 && l.tick.Load()-l.used >= ticks {
		l.leaving = true
		l.endLocked(errLeft)
	}
}

// receive handles a frame of the peer's.
func (l *client) receive(f frame) error {
	switch f.kind {
	case kindLeave:
		l.leave()
		return nil
	case kindReply, kindFailure, kindRefused, kindDropped:
	default:
		return fmt.Errorf("%w: kind %d is not for the side that dialled", errMalformed, f.kind)
	}
	l.mu.Lock()
	p, known := l.pending[f.id]
	if known {
		l.heeded = true
		l.settle(f.id)
	}
	l.mu.Unlock()
	if !known {
		return fmt.Errorf("%w: an answer to request %d, which is not in flight", errMalformed, f.id)
	}
	if p.call != nil {
		p.call.kind, p.call.payload = f.kind, f.payload
		p.call.done <- struct{}{}
	}
	return nil
}

// finish tells those who still wait that the link has ended. run has returned, so it is known what was written.
func (l *client) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, p := range l.pending {
		delete(l.pending, id)
		if c := p.call; c != nil {
			c.err, c.unsent = l.err, c.end > l.written
			c.done <- struct{}{}
		}
	}
}
