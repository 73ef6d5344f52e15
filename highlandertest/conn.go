package highlandertest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxInStream is how many bytes may be on their way in one direction of a connection before who writes has to wait.
const maxInStream = 256 << 10

// A stream is one direction of a connection. What is below the line is guarded by the network's mutex.
type stream struct {
	from, to int // places

	bytes   []byte        // written and not yet read
	end     error         // what the reader gets after them; nil: more may come
	unread  bool          // the reader is closed
	changed chan struct{} // closed by the next change
}

func newStream(from, to int) *stream {
	return &stream{from: from, to: to, changed: make(chan struct{})}
}

func (s *stream) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// A conn is one end of a connection in memory. Bytes that cannot pass wait, in order, as TCP sends them again and again.
type conn struct {
	network *network
	in, out *stream
	address address // of the other end

	closed              bool
	readUntil, writeFor time.Time
}

type address string

func (address) Network() string  { return "memory" }
func (a address) String() string { return string(a) }

// connect returns both ends of a new connection. The network's mutex is held.
func (n *network) connect(from, to int, name string) (near, far *conn) {
	out, in := newStream(from, to), newStream(to, from)
	near = &conn{network: n, in: in, out: out, address: address(name)}
	far = &conn{network: n, in: out, out: in, address: "a node that has dialled"}
	n.conns[near], n.conns[far] = true, true
	return near, far
}

// await releases the network's mutex until the stream changes, or the deadline is over: then it returns an error. The deadline is none if it is zero.
func (c *conn) await(s *stream, deadline time.Time) error {
	changed := s.changed
	c.network.mu.Unlock()
	defer c.network.mu.Lock()
	var over <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-changed:
		return nil
	case <-over:
		return os.ErrDeadlineExceeded
	}
}

func (c *conn) Read(b []byte) (int, error) {
	n := c.network
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch passes := !n.holds(c.in.from, c.in.to); {
		case c.closed:
			return 0, net.ErrClosed
		case passes && len(c.in.bytes) > 0:
			read := copy(b, c.in.bytes)
			c.in.bytes = append(c.in.bytes[:0], c.in.bytes[read:]...)
			c.in.wake()
			return read, nil
		case passes && c.in.end != nil:
			return 0, c.in.end
		}
		if err := c.await(c.in, c.readUntil); err != nil {
			return 0, err
		}
	}
}

func (c *conn) Write(b []byte) (written int, err error) {
	n := c.network
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch {
		case c.closed:
			return written, net.ErrClosed
		case c.out.unread && !n.holds(c.out.to, c.out.from):
			return written, syscall.EPIPE
		}
		fits := min(len(b), maxInStream-len(c.out.bytes))
		c.out.bytes = append(c.out.bytes, b[:fits]...)
		written, b = written+fits, b[fits:]
		if fits > 0 {
			c.out.wake()
		}
		if len(b) == 0 {
			return written, nil
		}
		if err := c.await(c.out, c.writeFor); err != nil {
			return written, err
		}
	}
}

// Close ends the connection. The other end reads what was written before.
func (c *conn) Close() error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	c.close(io.EOF)
	return nil
}

// close is Close; end is what the other end reads at last. The network's mutex is held.
func (c *conn) close(end error) {
	if c.closed {
		return
	}
	c.closed, c.out.end, c.in.unread = true, end, true
	delete(c.network.conns, c)
	c.in.wake()
	c.out.wake()
}

func (c *conn) LocalAddr() net.Addr  { return address("this node") }
func (c *conn) RemoteAddr() net.Addr { return c.address }

func (c *conn) SetDeadline(t time.Time) error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	c.readUntil, c.writeFor = t, t
	c.in.wake()
	c.out.wake()
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	c.readUntil = t
	c.in.wake()
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	c.writeFor = t
	c.out.wake()
	return nil
}

// pump carries bytes between a connection of the network and a real one, until either ends.
func pump(c *conn, real net.Conn) {
	var ways sync.WaitGroup
	for _, way := range []struct{ to, from net.Conn }{{c, real}, {real, c}} {
		ways.Go(func() {
			_, _ = io.Copy(way.to, way.from) // however it ends, it is over
			c.Close()
			real.Close()
		})
	}
	ways.Wait()
}
