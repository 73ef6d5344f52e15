package client

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// What is read of ZooKeeper's protocol (zookeeper.jute): frames of a length and as many bytes. A request starts with an xid and an
// opcode, an answer with an xid, a zxid and an error code. The first frame each way is the handshake instead.
const (
	answerHeader = 16
	maxHandshake = 1 << 10
	maxAnswer    = 64 << 20 // ZooKeeper has no limit for answers; what is longer is not ZooKeeper

	opPing       = 11
	opChildren   = 12 // getChildren2
	opSetAuth    = 100
	opSetWatches = 101
	opClose      = -11
)

// A conn is one connection as the library gets to see it. It
//   - gives the handshake a deadline of its own,
//   - keeps an answer that ends the session, or names another one, from the library, which would go on with a new session,
//   - learns what the library does not tell: the timeout granted, that a request has gone out, that a watch is set, that the session was closed,
//   - asks for watches that the library does not know of. It would keep a channel for each one asked for, and set it again on the next connection, but
//     some time after the first requests, and as of a zxid that these may have moved on (and that it reads while another goroutine writes it),
//   - closes itself when reading fails: the library would wait for a write under way, until that is late, too.
//
// The library reads in one goroutine and writes in one.
type conn struct {
	net.Conn
	s       *session
	reader  *bufio.Reader
	buffer  []byte
	unread  []byte // of the frame in buffer
	err     error  // of reading
	greeted bool   // the handshake is over

	mu       sync.Mutex
	watching map[int32]string // paths of requests under way that set a watch, by xid
	closing  int32            // xid of the request that closes the session, or 0
}

func newConn(s *session, inner net.Conn, deadline time.Time) (*conn, error) {
	c := &conn{Conn: inner, s: s, reader: bufio.NewReader(inner), watching: map[int32]string{}}
	return c, inner.SetDeadline(deadline)
}

// SetReadDeadline is void during the handshake, for which the library allows ten times what it allows later.
func (c *conn) SetReadDeadline(t time.Time) error {
	if !c.greeted {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline is void during the handshake.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if !c.greeted {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}

func (c *conn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 && c.err == nil {
		if c.err = c.next(); c.err != nil {
			_ = c.Close()
		}
	}
	if len(c.unread) == 0 {
		return 0, c.err
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

// next reads a frame and looks at it.
func (c *conn) next() error {
	shortest, longest := answerHeader, maxAnswer
	if !c.greeted {
		shortest, longest = 16, maxHandshake
	}
	var length [4]byte
	if _, err := io.ReadFull(c.reader, length[:]); err != nil {
		return c.s.failed(fmt.Errorf("%s: %w", c.RemoteAddr(), err))
	}
	n := int(binary.BigEndian.Uint32(length[:]))
	if n < shortest || n > longest {
		return c.s.failed(fmt.Errorf("%s sent a frame of %d bytes: is it a ZooKeeper server?", c.RemoteAddr(), n))
	}
	if cap(c.buffer) < 4+n {
		c.buffer = make([]byte, 4+n)
	}
	c.buffer = append(c.buffer[:0], length[:]...)[:4+n]
	frame := c.buffer[4:]
	if _, err := io.ReadFull(c.reader, frame); err != nil {
		return c.s.failed(fmt.Errorf("%s: %w", c.RemoteAddr(), err))
	}
	if c.greeted {
		c.answered(int32(binary.BigEndian.Uint32(frame)), int32(binary.BigEndian.Uint32(frame[12:])))
	} else {
		milliseconds, id := int32(binary.BigEndian.Uint32(frame[4:])), int64(binary.BigEndian.Uint64(frame[8:]))
		if err := c.s.admit(id, time.Duration(milliseconds)*time.Millisecond); err != nil {
			return c.s.failed(fmt.Errorf("%s: %w", c.RemoteAddr(), err))
		}
		c.greeted = true
		if err := c.SetDeadline(time.Time{}); err != nil {
			return err
		}
	}
	c.unread = c.buffer
	return nil
}

// answered notes the answer of a request, before the library sees it.
func (c *conn) answered(xid, code int32) {
	c.mu.Lock()
	path, watch := c.watching[xid]
	delete(c.watching, xid)
	closed := c.closing != 0 && xid == c.closing
	c.mu.Unlock()
	if watch && code == 0 {
		c.s.watchIsSet(path)
	}
	if closed && code == 0 {
		c.s.closed.Store(true)
	}
}

// Write gets a whole request from the library. It never fails: the library would tell so before it tells that the connection is lost. That
// comes by Read.
func (c *conn) Write(p []byte) (int, error) {
	if c.greeted {
		p = c.leaves(p)
	}
	if _, err := c.Conn.Write(p); err != nil {
		_ = c.Conn.Close()
	}
	return len(p), nil
}

// leaves notes a request and returns what is to be sent for it.
func (c *conn) leaves(p []byte) []byte {
	xid, op := int32(binary.BigEndian.Uint32(p[4:])), int32(binary.BigEndian.Uint32(p[8:]))
	switch op {
	case opPing, opSetAuth, opSetWatches:
		return p // of the library's own accord
	case opClose:
		c.mu.Lock()
		c.closing = xid
		c.mu.Unlock()
		return p
	}
	if r := c.s.requestLeaves(); op == opChildren && r != nil && r.watch { // its body: a path, and whether to watch it
		p = slices.Clone(p)
		p[len(p)-1] = 1
		c.mu.Lock()
		c.watching[xid] = string(p[16 : len(p)-1])
		c.mu.Unlock()
	}
	return p
}
