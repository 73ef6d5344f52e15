package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxQueued   = 256 << 10 // bytes that may wait to be written when another frame is added; so at most this and a frame wait
	chunkBytes  = 64 << 10  // in one Write; each must make progress for the peer not to be silent
	spareBytes  = 64 << 10  // larger buffers are not kept
	readerBytes = 32 << 10
	pings       = 4 // that go unanswered within Config.Silence before a peer is silent
)

// A link is one connection after its handshake. One goroutine, that of run, reads it and sees to its end. It is written
// by whoever has something to say while nobody writes, and who then also writes what others have queued meanwhile.
type link struct {
	e       *Endpoint
	nc      net.Conn
	peer    hello
	written atomic.Uint64 // bytes of the stream that the connection has taken for sure

	// These belong to the reader.
	frames   frameReader
	deadline time.Time // of Read

	mu      sync.Mutex
	changed sync.Cond // the queue was taken, writing has become false, or err was set
	err     error     // why the link has ended; nothing is queued or written any more
	queue   []byte    // frames to be written
	spare   []byte    // the next queue
	taken   uint64    // bytes of the stream before queue
	writing bool      // someone writes; the queue is seen to
}

func newLink(e *Endpoint, nc net.Conn, peer hello) *link {
	l := &link{e: e, nc: nc, peer: peer}
	l.changed.L = &l.mu
	l.frames = frameReader{r: bufio.NewReaderSize(l, readerBytes), limit: e.config.MaxFrame}
	return l
}

// run reads frames and has them handled until the link ends; it returns when nobody writes any more.
func (l *link) run(handle func(frame) error) error {
	defer context.AfterFunc(l.e.over, func() { l.end(errClosed) })()
	err := l.read(handle)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLocked(err)
	for l.writing {
		l.changed.Wait()
	}
	return l.err
}

func (l *link) read(handle func(frame) error) error {
	for {
		f, err := l.frames.next()
		switch {
		case err != nil:
			return fmt.Errorf("the connection was lost: %w", err)
		case f.kind == kindPing:
			here := l.e.here()
			l.tell(kindPong, f.id, here[:])
		case f.kind == kindPong && f.id == 0:
		default:
			if err := handle(f); err != nil {
				return err
			}
		}
	}
}

// Read reads from the connection, and meanwhile pings a peer that is quiet. It fails when the peer has answered none of the
// pings. Ticks are counted, not measured: a process that was stopped for a while does not take its peers for silent.
func (l *link) Read(b []byte) (int, error) {
	tick := l.e.config.Silence / pings
	for quiet, progress := 0, l.written.Load(); ; {
		if now := time.Now(); l.deadline.Sub(now) < tick*3/4 { // setting it each time costs more than reading the clock
			l.deadline = now.Add(tick)
			l.nc.SetReadDeadline(l.deadline)
		}
		n, err := l.nc.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		l.mu.Lock()
		writing, written := l.writing, l.written.Load()
		l.mu.Unlock()
		if quiet++; writing && written != progress { // it reads; the ping is behind what it has to read first
			quiet, progress = 0, written
		}
		if quiet > pings {
			return 0, fmt.Errorf("%w: it has answered no ping for %v", ErrSilent, l.e.config.Silence)
		}
		l.tell(kindPing, 0, nil)
	}
}

// end ends the link. Its first cause is the one that counts.
func (l *link) end(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLocked(cause)
}

func (l *link) endLocked(cause error) {
	if l.err == nil {
		l.err, l.queue, l.spare = cause, nil, nil
		l.changed.Broadcast()
		l.nc.Close()
	}
}

// waitForRoom returns when frames may be added to the queue, or the link or ctx has ended. mu is held, but released while it waits.
func (l *link) waitForRoom(ctx context.Context) {
	full := func() bool { return l.err == nil && len(l.queue) >= maxQueued && ctx.Err() == nil }
	if full() {
		defer context.AfterFunc(ctx, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.changed.Broadcast()
		})()
	}
	for full() {
		l.changed.Wait()
	}
}

// tell queues a short frame, whether there is room or not, and has it written in the background.
func (l *link) tell(kind byte, id uint64, payload []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tellLocked(kind, id, payload)
}

func (l *link) tellLocked(kind byte, id uint64, payload []byte) {
	if len(l.queue) > 2*maxQueued+l.peer.frame {
		l.endLocked(fmt.Errorf("%w: the peer asks, and does not read the answers", errMalformed))
	}
	if l.err == nil {
		l.queue = appendFrame(l.queue, kind, id, payload)
		l.flushLater()
	}
}

// claim tells whether the caller is to flush what it has queued. mu is held.
func (l *link) claim() bool {
	mine := !l.writing && l.err == nil
	l.writing = l.writing || mine
	return mine
}

// flushLater has the queue flushed in the background. mu is held, and the link has not ended.
func (l *link) flushLater() {
	if l.claim() {
		l.e.running.Go(func() {
			runtime.Gosched() // so that more can be added to what is written
			l.flush(false)
		})
	}
}

// flush writes what is queued until nothing is; what is queued while the first batch is written is left to the background if once is
// set. The caller has claimed that.
func (l *link) flush(once bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.err == nil && len(l.queue) > 0 {
		batch := l.queue
		l.queue, l.spare = l.spare, nil
		l.taken += uint64(len(batch))
		l.changed.Broadcast()
		l.mu.Unlock()
		err := l.write(batch)
		l.mu.Lock()
		if err != nil {
			l.endLocked(fmt.Errorf("it could not be written to: %w", err))
		} else if cap(batch) <= spareBytes {
			l.spare = batch[:0]
		}
		if once {
			break
		}
	}
	l.writing = false
	if l.err == nil && len(l.queue) > 0 {
		l.flushLater()
	}
	l.changed.Broadcast()
}

func (l *link) write(b []byte) error {
	for len(b) > 0 {
		n, err := l.nc.Write(b[:min(len(b), chunkBytes)])
		l.written.Add(uint64(n))
		if b = b[n:]; err != nil {
			return err
		}
	}
	return nil
}
