package zkmodel

import (
	"maps"
	"slices"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
)

// The client's end of a session's connections: one at a time, another one when it is lost. All of it runs under m.mu.

// submit sends a request, or keeps it until there is a connection. One whose caller gives up stays: it may yet be carried out.
func (s *Session) submit(r *request) {
	switch {
	case s.over:
		s.answer(r, answer{err: zk.ErrSessionOver})
	case s.ready:
		s.send(r)
	default:
		s.queue = append(s.queue, r)
	}
}

func (s *Session) send(r *request) {
	c := s.conn
	r.conn = c
	s.sent = append(s.sent, r)
	if r.fate == LoseRequest {
		c.reset()
		return
	}
	c.up.send(func() { c.server.received(c, r) })
}

// answer ends a request. Only the first one counts: Close may be given up while its answer is on the way.
func (s *Session) answer(r *request, a answer) {
	s.m.tell(func() {
		select {
		case r.done <- a:
		default:
		}
	})
}

func (s *Session) event(e zk.Event) {
	s.m.tell(func() {
		if !s.quiet.Load() && s.events != nil {
			s.events(e)
		}
	})
}

// connect tries the next server, in each round with more patience.
func (s *Session) connect() {
	if s.over || s.conn != nil {
		return
	}
	at := s.client.servers[s.server%len(s.client.servers)]
	s.server++
	c := &conn{client: s, server: at, open: true, watches: make(map[string]bool)}
	c.up = s.m.newLink(s.client.host, at.host)
	c.down = s.m.newLink(at.host, s.client.host)
	s.conn, s.heard = c, time.Now()
	id, seen := s.id, s.seen
	c.up.send(func() {
		at.conns = append(at.conns, c)
		at.connected(c, id, seen, s.asked)
	})
	rounds := 1 + s.tried/len(s.client.servers)
	s.tried++
	s.m.after(min(s.asked, s.asked/3*time.Duration(rounds)), func() {
		if s.conn == c && !s.ready {
			s.abandon(c)
		}
	})
}

// established is the server's welcome.
func (s *Session) established(c *conn, id int64, timeout time.Duration) {
	if s.conn != c {
		return // nobody knows of this session, or it is elsewhere; the server will see
	}
	first := s.id == 0
	if first {
		s.id, s.timeout = id, timeout
		s.m.clientsOf[id] = s
	}
	s.ready, s.heard, s.tried = true, time.Now(), 0
	s.event(zk.Event{Type: zk.Connected})
	if first {
		s.answer(s.opened, answer{})
	}
	waiting := s.queue
	s.queue = nil
	for _, r := range waiting {
		s.submit(r) // one of them may break the connection
	}
	s.m.after(s.timeout/3, func() { s.ping(c) })
	s.m.after(s.timeout*2/3, func() { s.listen(c) })
}

func (s *Session) ping(c *conn) {
	if s.conn == c {
		r := &request{op: opPing, conn: c}
		c.up.send(func() { c.server.received(c, r) })
		s.m.after(s.timeout/3, func() { s.ping(c) })
	}
}

// listen gives up a server that has been silent for two thirds of the timeout, while there is time to find another.
func (s *Session) listen(c *conn) {
	if s.conn != c {
		return
	}
	if silent := time.Since(s.heard); silent < s.timeout*2/3 {
		s.m.after(s.timeout*2/3-silent, func() { s.listen(c) })
		return
	}
	s.abandon(c)
}

func (s *Session) answered(c *conn, r *request, a answer) {
	if s.conn != c {
		return
	}
	s.heard = time.Now()
	s.seen = max(s.seen, a.zxid)
	switch r.op {
	case opOpen:
		s.established(c, a.session, a.timeout)
		return
	case opPing:
		return
	}
	s.sent = s.sent[1:]
	if r.op == opChildren && r.watch && a.err == nil {
		s.watches[r.path] = true
	}
	if a.err == zk.ErrSessionOver {
		s.event(zk.Event{Type: zk.Expired})
	}
	s.answer(r, a)
	if a.err == zk.ErrSessionOver || r.op == opClose {
		s.finish(nil)
	}
}

// changed is the event of a watched list.
func (s *Session) changed(c *conn, path string) {
	if s.conn != c {
		return
	}
	s.heard = time.Now()
	if s.watches[path] {
		delete(s.watches, path)
		s.event(zk.Event{Type: zk.ChildrenChanged, Path: path})
	}
}

// refused is the server's word that the session has expired.
func (s *Session) refused(c *conn) {
	if s.conn == c {
		s.event(zk.Event{Type: zk.Expired})
		s.finish(nil)
	}
}

// abandon closes the client's end. What was sent on it may yet arrive.
func (s *Session) abandon(c *conn) {
	c.up.send(func() { c.server.closed(c) })
	s.lost(c)
}

// lost is the end of a connection. What was sent on it has no answer any more, and no watch outlives it (as in package client).
func (s *Session) lost(c *conn) {
	if s.conn != c {
		return
	}
	for _, path := range slices.Sorted(maps.Keys(s.watches)) {
		delete(s.watches, path)
		s.event(zk.Event{Type: zk.ChildrenChanged, Path: path})
	}
	if s.ready {
		s.event(zk.Event{Type: zk.Disconnected})
	}
	s.conn, s.ready = nil, false
	for _, r := range s.sent {
		if r.op == opClose { // it goes on until the servers have said that the session is over
			s.queue = append(s.queue, &request{op: opClose, done: r.done})
			continue
		}
		s.answer(r, answer{err: zk.ErrConnectionLost})
	}
	s.sent = nil
	s.m.after(s.m.config.Retry, s.connect)
}

// finish ends the session on this side. closed is what Close says.
func (s *Session) finish(closed error) {
	if s.over {
		return
	}
	s.over = true
	if c := s.conn; c != nil {
		c.up.send(func() { c.server.closed(c) })
		s.conn, s.ready = nil, false
	}
	for _, r := range s.sent {
		if r.op == opClose {
			s.answer(r, answer{err: closed})
		} else {
			s.answer(r, answer{err: zk.ErrConnectionLost})
		}
	}
	for _, r := range s.queue {
		if r.op == opClose {
			s.answer(r, answer{err: closed})
		} else {
			s.answer(r, answer{err: zk.ErrSessionOver})
		}
	}
	s.sent, s.queue = nil, nil
}
