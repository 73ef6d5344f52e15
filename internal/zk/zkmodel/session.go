package zkmodel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
)

// A Session is a session as its client sees it.
type Session struct {
	m       *Model
	client  *Client
	asked   time.Duration
	events  func(zk.Event)
	quiet   atomic.Bool // Close was called
	opened  *request    // answered when there is a session
	id      int64       // this and the timeout do not change once opened is answered
	timeout time.Duration

	conn    *conn // nil while there is none
	ready   bool  // the connection is established
	server  int   // to try next
	tried   int   // attempts to connect since there was a connection
	heard   time.Time
	seen    int64 // the highest zxid in an answer
	queue   []*request
	sent    []*request // not yet answered
	watches map[string]bool
	over    bool
	calls   map[Point]int
}

// A request is on its way through the model. The client and the servers share it.
type request struct {
	op    string
	path  string
	ops   []zk.Op
	watch bool
	fate  Fate
	done  chan answer // of capacity 1

	timeout time.Duration // of opOpen

	conn   *conn // that it was sent on
	ready  bool  // the server has its answer
	answer answer
}

const (
	opOpen     = "open"
	opCreate   = "create"
	opChildren = "children"
	opGet      = "get"
	opSet      = "set"
	opDelete   = "delete"
	opMulti    = "multi"
	opSync     = "sync"
	opClose    = "close"
	opPing     = "ping"
)

// ordered says whether the leader has a word in it.
func (r *request) ordered() bool {
	switch r.op {
	case opChildren, opGet, opPing:
		return false
	}
	return true
}

type answer struct {
	err     error
	zxid    int64
	path    string
	names   []string
	data    []byte
	version int32

	session int64
	timeout time.Duration
}

// Open implements [zk.Ensemble].
func (c *Client) Open(ctx context.Context, timeout time.Duration, events func(zk.Event)) (zk.Session, error) {
	if timeout <= 0 {
		return nil, fmt.Errorf("zookeeper: session timeout %v: must be above 0", timeout)
	}
	m := c.m
	m.mu.Lock()
	c.opened++
	p := Point{Client: c.host, Op: opOpen, N: c.opened}
	s := &Session{
		m: m, client: c, asked: timeout, events: events, server: c.first + c.opened - 1,
		opened:  &request{op: opOpen, done: make(chan answer, 1)},
		watches: make(map[string]bool), calls: make(map[Point]int),
	}
	if len(c.servers) < len(m.servers) {
		s.server = 0
	}
	m.mu.Unlock()

	m.gate(ctx, p)
	m.do(s.connect)
	if a := s.await(ctx, s.opened, p); a.err != nil {
		m.do(func() { s.finish(nil) })
		return nil, fmt.Errorf("zookeeper: open a session: %w", a.err)
	}
	return s, nil
}

// ID implements [zk.Session].
func (s *Session) ID() int64 { return s.id }

// Timeout implements [zk.Session].
func (s *Session) Timeout() time.Duration { return s.timeout }

// Host is the client that the session belongs to.
func (s *Session) Host() Host { return s.client.host }

// Create implements [zk.Session].
func (s *Session) Create(ctx context.Context, path string, data []byte, mode zk.Mode) (string, error) {
	a := s.write(ctx, opCreate, zk.CreateOp(path, data, mode))
	return a.path, a.err
}

// Children implements [zk.Session].
func (s *Session) Children(ctx context.Context, path string, watch bool) ([]string, error) {
	a := s.read(ctx, opChildren, path, watch)
	return a.names, a.err
}

// Get implements [zk.Session].
func (s *Session) Get(ctx context.Context, path string) ([]byte, int32, error) {
	a := s.read(ctx, opGet, path, false)
	return a.data, a.version, a.err
}

// Set implements [zk.Session].
func (s *Session) Set(ctx context.Context, path string, data []byte, version int32) error {
	return s.write(ctx, opSet, zk.SetOp(path, data, version)).err
}

// Delete implements [zk.Session].
func (s *Session) Delete(ctx context.Context, path string, version int32) error {
	return s.write(ctx, opDelete, zk.DeleteOp(path, version)).err
}

// Multi implements [zk.Session].
func (s *Session) Multi(ctx context.Context, ops ...zk.Op) error {
	return s.write(ctx, opMulti, ops...).err
}

// Sync implements [zk.Session].
func (s *Session) Sync(ctx context.Context, path string) error {
	return s.read(ctx, opSync, path, false).err
}

// Close implements [zk.Session].
func (s *Session) Close(ctx context.Context) error {
	s.quiet.Store(true)
	r := &request{op: opClose, done: make(chan answer, 1)}
	err := s.call(ctx, r).err
	if err != nil && !errors.Is(err, zk.ErrSessionOver) {
		// Give it up, and wait for what is being told: no event comes after Close.
		s.m.do(func() { s.finish(err); s.answer(r, answer{err: err}) })
		select {
		case a := <-r.done:
			err = a.err
		case <-s.m.loop.stopped:
		}
	}
	if err != nil && !errors.Is(err, zk.ErrSessionOver) {
		return fmt.Errorf("zookeeper: close: the session ends by its timeout: %w", err)
	}
	return nil
}

func (s *Session) read(ctx context.Context, op, path string, watch bool) answer {
	if err := checkPath(path, false); err != nil {
		return answer{err: err}
	}
	return s.request(ctx, &request{op: op, path: path, watch: watch, done: make(chan answer, 1)})
}

func (s *Session) write(ctx context.Context, op string, ops ...zk.Op) answer {
	if err := checkOps(ops, op == opMulti); err != nil {
		return answer{err: err}
	}
	r := &request{op: op, ops: slices.Clone(ops), done: make(chan answer, 1)}
	for i := range ops {
		r.path = ops[0].Path
		r.ops[i].Data = bytes.Clone(ops[i].Data)
	}
	return s.request(ctx, r)
}

func (s *Session) request(ctx context.Context, r *request) answer {
	if s.quiet.Load() {
		return answer{err: zk.ErrSessionOver}
	}
	a := s.call(ctx, r)
	if a.err != nil {
		a.err = fmt.Errorf("zookeeper: %s %s: %w", r.op, r.path, a.err)
	}
	return a
}

// call brings a request to the servers and waits for the answer.
func (s *Session) call(ctx context.Context, r *request) answer {
	if ctx.Err() != nil {
		return answer{err: ctx.Err()}
	}
	p := Point{Client: s.client.host, Session: s.id, Op: r.op, Path: r.path}
	if s.m.config.Gate != nil {
		s.m.mu.Lock()
		s.calls[p]++
		p.N = s.calls[p]
		s.m.mu.Unlock()
		r.fate = s.m.gate(ctx, p)
	}
	s.m.do(func() { s.submit(r) })
	return s.await(ctx, r, p)
}

func (s *Session) await(ctx context.Context, r *request, p Point) (a answer) {
	answered := false
	select {
	case a = <-r.done:
		answered = true
	case <-ctx.Done():
	case <-s.m.loop.stopped:
		return answer{err: zk.ErrConnectionLost}
	}
	p.Answer = true
	s.m.gate(ctx, p)
	if answered {
		return a
	}
	select {
	case a = <-r.done:
		return a
	default:
		return answer{err: ctx.Err()}
	}
}
