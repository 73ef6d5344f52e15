package transport

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxQueued is how many bytes may wait to be written when another frame is added; so at most this and a frame wait.
	maxQueued = 256 << 10

	// maxInline is how many bytes of requests may be unanswered while callers write them. A socket takes that much at
	// once even if its peer reads nothing: no caller is held up by a peer longer than its context lets it wait.
	maxInline = 16 << 10

	chunkBytes  = 256 << 10 // in one Write; each must make progress for the peer not to be silent
	spareBytes  = 64 << 10  // larger buffers are not kept
	readerBytes = 32 << 10
	quietTicks  = 3 // of a link without a sign of life until it is ended
)

// A link is one connection after its handshake. One goroutine, that of run, reads it and sees to its end. It is written
// by whoever has something to say while nobody writes, and who then also writes what others have queued meanwhile.
type link struct {
	nc     net.Conn
	frames frameReader
	peer   hello
	spawn  func(func()) // starts goroutines that the endpoint waits for; called while run runs

	tick  atomic.Uint32 // counts thirds of Config.Silence
	heard atomic.Uint32 // the tick in which the peer was heard last
	wrote atomic.Uint32 // the tick in which a Write began

	mu         sync.Mutex
	err        error         // why the link has ended; nothing is queued or written any more
	queue      []byte        // frames to be written
	spare      []byte        // the next queue
	taken      uint64        // bytes of the stream before queue: written, being written, or lost
	written    uint64        // bytes of the stream that the connection has taken for sure
	writing    bool          // someone is in flush
	unanswered int           // bytes of requests that wait for their answer
	idle       chan struct{} // closed when nobody is in flush any more, if not nil
	room       chan struct{} // closed when the queue was taken, if not nil
}

func newLink(nc net.Conn, peer hello, limit int, spawn func(func())) *link {
	l := &link{nc: nc, peer: peer, spawn: spawn}
	l.frames = frameReader{r: bufio.NewReaderSize(hearing{l}, readerBytes), limit: limit}
	return l
}

// Hearing reads from the link's connection and notes when it hears something.
type hearing struct{ l *link }

func (r hearing) Read(b []byte) (int, error) {
	n, err := r.l.nc.Read(b)
	if tick := r.l.tick.Load(); n > 0 && r.l.heard.Load() != tick {
		r.l.heard.Store(tick)
	}
	return n, err
}

// run reads frames and has them handled until the link ends; it returns when nobody writes any more. Between
// frames it calls every once in a tick.
func (l *link) run(tick time.Duration, over <-chan struct{}, every func(), handle func(frame) error) error {
	stop := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() { l.keepAlive(tick, stop, over, every) })
	err := l.read(handle)
	l.end(err)
	close(stop)
	ticking.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writing {
		l.idle = make(chan struct{})
		l.mu.Unlock()
		<-l.idle
		l.mu.Lock()
	}
	return l.err
}

func (l *link) read(handle func(frame) error) error {
	for {
		f, err := l.frames.next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("the peer closed the connection: %w", err)
		} else if err != nil {
			return err
		}
		switch f.kind {
		case kindVoid, kindPong:
		case kindPing:
			l.tell(kindPong, 0)
		default:
			if err := handle(f); err != nil {
				return err
			}
		}
	}
}

// keepAlive pings a peer that is quiet, and ends the link when over is closed, or when the peer stays quiet or does not read.
func (l *link) keepAlive(tick time.Duration, stop, over <-chan struct{}, every func()) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-over:
			l.end(errClosed)
			return
		case <-t.C:
		}
		now := l.tick.Add(1)
		quiet, unread := now-l.heard.Load(), now-l.wrote.Load()
		l.mu.Lock()
		writing := l.writing
		l.mu.Unlock()
		switch {
		case writing && unread >= quietTicks:
			l.end(fmt.Errorf("%w: it has not read for %v", ErrSilent, quietTicks*tick))
		case !writing && quiet >= quietTicks: // one that still reads may have to before it is read from
			l.end(fmt.Errorf("%w: nothing was heard of it for %v", ErrSilent, quietTicks*tick))
		case quiet > 0:
			l.tell(kindPing, 0)
		}
		every()
	}
}

// end ends the link. Its first cause is the one that counts.
func (l *link) end(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLocked(cause)
}

func (l *link) endLocked(cause error) {
	if l.err != nil {
		return
	}
	l.err, l.queue, l.spare = cause, nil, nil
	l.makeRoom()
	l.nc.Close()
}

// tell queues a frame without payload, and has it written in the background.
func (l *link) tell(kind byte, id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil || len(l.queue) >= maxQueued && (kind == kindPing || kind == kindPong) { // what is queued is a sign of life too
		return
	}
	l.queue = appendFrame(l.queue, kind, id, nil)
	if l.claimWriting() {
		l.spawn(func() { l.flush(nil) })
	}
}

// claimWriting tells whether the caller must flush. mu is held.
func (l *link) claimWriting() bool {
	mine := !l.writing
	if mine {
		l.writing = true
		l.wrote.Store(l.tick.Load())
	}
	return mine
}

// flush writes what is queued until nothing is. The caller has claimed that; own is its call, if it makes one. It
// goes on in the background when the peer could hold up the caller, or the call has ended.
func (l *link) flush(own *call) {
	l.mu.Lock()
	for l.err == nil && len(l.queue) > 0 {
		if own != nil && (l.unanswered > maxInline || own.over()) {
			l.spawn(func() { l.flush(nil) })
			l.mu.Unlock()
			return
		}
		batch := l.queue
		l.queue, l.spare = l.spare, nil
		l.taken += uint64(len(batch))
		l.makeRoom()
		l.mu.Unlock()
		n, err := l.write(batch)
		l.mu.Lock()
		l.written += uint64(n)
		if err != nil {
			l.endLocked(fmt.Errorf("it could not be written to: %w", err))
		} else if cap(batch) <= spareBytes {
			l.spare = batch[:0]
		}
	}
	l.writing = false
	if l.idle != nil {
		close(l.idle)
	}
	l.mu.Unlock()
}

func (l *link) write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		l.wrote.Store(l.tick.Load())
		m, err = l.nc.Write(b[n:min(n+chunkBytes, len(b))])
		n += m
	}
	return n, err
}

// waitForRoom returns when frames may be added to the queue, or the link has ended, or done is closed. mu is held, but
// released while it waits.
func (l *link) waitForRoom(done <-chan struct{}) (waited bool) {
	if l.err != nil || len(l.queue) < maxQueued {
		return false
	}
	if l.room == nil {
		l.room = make(chan struct{})
	}
	room := l.room
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-room:
	case <-done:
	}
	return true
}

func (l *link) makeRoom() {
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
}
