package zkmodel

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
)

// A state says what a server is at.
type state int

const (
	down state = iota
	looking
	following
	leading
)

// A server is one of the ensemble.
type server struct {
	m      *Model
	id     int
	host   Host
	state  state
	paused bool

	tree    *tree
	applied int     // entries of the log
	conns   []*conn // in the order of their making

	// As a follower (Learner):
	toLeader   *link
	fromLeader *link
	heard      time.Time      // of the leader, or when it became a follower
	touched    map[int64]bool // sessions heard of since the leader's last ping (LearnerSessionTracker)

	// As the leader:
	acked   time.Time // on a follower: when the leader last heard of it
	quorum  time.Time // when a majority last followed
	stalled []func()  // writes that wait for a majority
}

// A conn is the connection of a session to a server, and the server's end of it (ServerCnxn). The client's end is s.conn.
type conn struct {
	client  *Session
	server  *server
	up      *link
	down    *link
	session int64 // 0 before the session is made
	open    bool  // the server's end
	pending []*request
	watches map[string]bool
}

// An entry of the log is a transaction, or a write that was refused, which takes its place in the order too.
type entry struct {
	changes []change
	closes  int64    // session that it ends
	request *request // nil if no client asked for it
	answer  answer   // to the request
}

func (s *server) serving() bool { return s.state == following || s.state == leading }

// leads says whether s is the leader that a majority has chosen.
func (s *server) leads() bool { return s.m.leader == s }

// deposed says whether s takes itself for the leader although a majority has chosen another.
func (s *server) deposed() bool { return s.state == leading && !s.leads() }

func (s *server) zxid() int64 { return int64(s.applied) }

// connected handles the first message of a connection (ZooKeeperServer.processConnectRequest).
func (s *server) connected(c *conn, session, seen int64, timeout time.Duration) {
	if !s.serving() || seen > s.zxid() {
		// A client never goes back in time: it must try another server.
		s.shut(c)
		return
	}
	if session == 0 {
		r := &request{op: opOpen, conn: c, timeout: timeout}
		c.pending = append(c.pending, r)
		s.forward(r)
		return
	}
	for _, old := range slices.Clone(s.conns) {
		if old != c && old.session == session {
			s.shut(old) // one server has one connection of a session
		}
	}
	if s.deposed() {
		s.revalidated(c, session, true) // as far as it knows
		return
	}
	s.toTheLeader(func(leader *server) {
		valid := leader.m.revalidate(session, s)
		leader.tell(s, func() { s.revalidated(c, session, valid) })
	})
}

func (s *server) revalidated(c *conn, session int64, valid bool) {
	if !c.open {
		return
	}
	if !valid {
		c.down.send(func() { c.client.refused(c) })
		s.shut(c)
		return
	}
	c.session = session
	c.down.send(func() { c.client.established(c, session, 0) })
}

// received handles a request.
func (s *server) received(c *conn, r *request) {
	if !c.open {
		return
	}
	s.touch(c.session)
	c.pending = append(c.pending, r)
	if r.ordered() {
		s.forward(r)
	}
	s.flush(c)
}

// touch says that a session lives. A follower keeps it to itself until the leader's next ping.
func (s *server) touch(session int64) {
	if s.leads() {
		s.m.touch(session)
	} else {
		s.touched[session] = true
	}
}

// forward brings a write or a sync to the leader.
func (s *server) forward(r *request) {
	if s.deposed() {
		// It cannot commit, but thinks that it is in sync with itself.
		r.ready = r.op == opSync
		return
	}
	s.toTheLeader(func(leader *server) { leader.m.process(r, s) })
}

// toTheLeader has f done at the leader.
func (s *server) toTheLeader(f func(leader *server)) {
	leader := s.m.leader
	switch {
	case s.leads():
		f(s)
	case s.toLeader != nil:
		s.toLeader.send(func() {
			if leader.leads() {
				f(leader)
			}
		})
	}
}

// tell has f done at a follower, or at the leader itself, after all that was committed before.
func (s *server) tell(f *server, do func()) {
	if f == s {
		do()
	} else if f.fromLeader != nil {
		f.fromLeader.send(do)
	}
}

// apply makes a committed entry visible at this server (FinalRequestProcessor). done says that the changes are in the tree already.
func (s *server) apply(e *entry, done bool) {
	s.applied++
	for _, c := range e.changes {
		if !done {
			s.tree.do(c)
		}
		if c.kind != zk.OpSet {
			s.fire(c)
		}
	}
	if r := e.request; r != nil && r.conn.server == s {
		r.ready, r.answer = true, e.answer
		s.flush(r.conn)
	}
	if e.closes != 0 {
		for _, c := range slices.Clone(s.conns) {
			if c.session == e.closes {
				s.shut(c)
			}
		}
	}
}

// fire sends the event of a node made or deleted to those who watch its parent's list, and of a node deleted to those who
// watch its own. A watch fires once.
func (s *server) fire(c change) {
	for _, conn := range s.conns {
		conn.fire(parentOf(c.path))
		if c.kind == zk.OpDelete {
			conn.fire(c.path)
		}
	}
}

func (c *conn) fire(path string) {
	if c.watches[path] {
		delete(c.watches, path)
		c.down.send(func() { c.client.changed(c, path) })
	}
}

// flush answers what can be answered of a connection's requests, in order: a read waits for the writes of its session that came before
// it (CommitProcessor).
func (s *server) flush(c *conn) {
	for c.open && len(c.pending) > 0 {
		r := c.pending[0]
		if r.ordered() && !r.ready {
			return
		}
		c.pending = c.pending[1:]
		if !r.ordered() {
			r.answer = s.read(c, r)
		}
		if r.op == opOpen {
			c.session = r.answer.session
		}
		if r.answer.zxid == 0 {
			r.answer.zxid = s.zxid()
		}
		switch {
		case r.answer.err == errSessionMoved:
			s.shut(c)
		case r.fate == LoseAnswer:
			c.reset()
		default:
			a := r.answer
			c.down.send(func() { c.client.answered(c, r, a) })
			if r.answer.err == zk.ErrSessionOver {
				s.shut(c)
			}
		}
	}
}

// read answers from what this server has applied.
func (s *server) read(c *conn, r *request) (a answer) {
	if r.op == opPing {
		return a
	}
	if s.leads() && s.m.sessions[c.session] == nil {
		a.err = zk.ErrSessionOver // only the leader looks; a follower answers until it has applied the end of the session
		return a
	}
	n := s.tree.nodes[r.path]
	if n == nil {
		a.err = zk.ErrNoNode
		return a
	}
	if r.op == opGet {
		a.data, a.version = bytes.Clone(n.data), n.version
		return a
	}
	a.names = slices.Sorted(maps.Keys(n.children))
	if r.watch {
		c.watches[r.path] = true
	}
	return a
}

// shut closes the server's end of a connection: what was sent before arrives before the end does.
func (s *server) shut(c *conn) {
	s.closed(c)
	c.down.send(func() { c.client.lost(c) })
}

// closed forgets a connection. Its writes are on their way all the same.
func (s *server) closed(c *conn) {
	c.open, c.pending = false, nil
	c.up.reset()
	s.conns = slices.DeleteFunc(s.conns, func(o *conn) bool { return o == c })
}

// reset breaks a connection for both ends at once.
func (c *conn) reset() {
	c.server.closed(c)
	c.down.reset()
	c.client.lost(c)
}

// shutAll closes all connections, as a server does that has lost its leader or is killed.
func (s *server) shutAll() {
	for _, c := range slices.Clone(s.conns) {
		s.shut(c)
	}
	clear(s.touched)
}
