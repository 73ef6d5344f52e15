package zkmodel

import (
	"maps"
	"path"
	"slices"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
)

// A tracked session is what the leader knows of it (SessionTrackerImpl).
type tracked struct {
	timeout time.Duration
	expires time.Time // a multiple of a tick
	owner   *server   // whose requests count, nil until there is one. Those that come through another are refused
	closing bool
}

// touch puts off a session's expiry to the end of the tick that its timeout ends in (ExpiryQueue.roundToNextInterval).
func (m *Model) touch(session int64) {
	if t := m.sessions[session]; t != nil && !t.closing {
		tick := m.config.Tick
		t.expires = m.start.Add((time.Since(m.start) + t.timeout).Truncate(tick) + tick)
	}
}

// revalidate says whether a session may go on at a server, and if so that it is there now (LearnerHandler, REVALIDATE).
func (m *Model) revalidate(session int64, at *server) bool {
	t := m.sessions[session]
	if t == nil || t.closing {
		return false
	}
	m.touch(session)
	t.owner = at
	return true
}

// expire ends the sessions whose time has come. The end of one may let the ends of others through that were held up.
func (m *Model) expire() {
	for _, id := range slices.Sorted(maps.Keys(m.sessions)) {
		if t := m.sessions[id]; t != nil && !t.closing && !t.expires.After(time.Now()) {
			m.end(id)
		}
	}
}

func (m *Model) expireAndAgain() {
	if m.leader != nil && !m.leader.paused {
		m.expire()
	}
	m.after(m.config.Tick-time.Since(m.start)%m.config.Tick, m.expireAndAgain)
}

// end closes a session by no request of its own.
func (m *Model) end(session int64) {
	m.sessions[session].closing = true
	m.whenMajority(func() { m.commitClose(session, nil) })
}

// process handles what came through a server: a write, a sync, the beginning or the end of a session (PrepRequestProcessor). It does not touch
// the session.
func (m *Model) process(r *request, from *server) {
	if r.op == opSync && len(m.leader.stalled) == 0 {
		m.answerSync(r, from)
		return
	}
	m.whenMajority(func() {
		switch err := m.check(r, from); {
		case r.op == opOpen:
			m.commitOpen(r, from)
		case err != nil:
			m.commit(&entry{request: r, answer: answer{err: err}})
		case r.op == opSync:
			m.answerSync(r, from)
		case r.op == opClose:
			m.commitClose(r.conn.session, r)
		default:
			m.commitWrite(r)
		}
	})
}

// check says whether a session's request may be carried out (SessionTrackerImpl.checkSession).
func (m *Model) check(r *request, from *server) error {
	t := m.sessions[r.conn.session]
	switch {
	case r.op == opOpen:
		return nil
	case t == nil || t.closing:
		return zk.ErrSessionOver
	case t.owner == nil:
		t.owner = from // after an election the first one to come is believed
	case t.owner != from:
		return errSessionMoved
	}
	return nil
}

func (m *Model) answerSync(r *request, from *server) {
	err := m.check(r, from)
	m.leader.tell(from, func() {
		r.ready, r.answer = true, answer{err: err}
		from.flush(r.conn)
	})
}

func (m *Model) commitOpen(r *request, from *server) {
	m.last++
	tick := m.config.Tick
	timeout := min(max(r.timeout, 2*tick), 20*tick) // minSessionTimeout, maxSessionTimeout
	m.sessions[m.last] = &tracked{timeout: timeout, owner: from}
	m.touch(m.last)
	m.commit(&entry{request: r, answer: answer{session: m.last, timeout: timeout}})
}

// commitClose deletes a session's ephemeral nodes in one transaction.
func (m *Model) commitClose(session int64, r *request) {
	delete(m.sessions, session)
	changes, _ := m.leader.tree.multi(m.leader.tree.deletions(session), session)
	m.commit(&entry{request: r, changes: changes, closes: session})
}

func (m *Model) commitWrite(r *request) {
	changes, err := m.leader.tree.multi(r.ops, r.conn.session)
	e := &entry{request: r, changes: changes, answer: answer{err: err}}
	if r.op == opCreate && err == nil {
		e.answer.path = changes[0].path
	}
	m.commit(e)
}

// commit puts an entry into the log. The leader's tree shows it already.
func (m *Model) commit(e *entry) {
	m.log = append(m.log, e)
	e.answer.zxid = int64(len(m.log))
	m.leader.apply(e, true)
	for _, f := range m.servers {
		if f != m.leader && f.fromLeader != nil {
			f.fromLeader.send(func() { f.apply(e, false) })
		}
	}
}

// whenMajority carries out a write when a majority of servers can hear of it, after those that wait for that.
func (m *Model) whenMajority(do func()) {
	m.leader.stalled = append(m.leader.stalled, do)
	m.commitStalled()
}

func (m *Model) commitStalled() {
	for m.leader != nil && !m.leader.paused && m.majorityFollows() && len(m.leader.stalled) > 0 {
		first := m.leader.stalled[0]
		m.leader.stalled = m.leader.stalled[1:]
		first()
	}
}

// majorityFollows says whether proposals reach enough followers, and their acknowledgements the leader.
func (m *Model) majorityFollows() bool {
	n := 1
	for _, f := range m.servers {
		if f != m.leader && f.fromLeader != nil && m.open(f.host, m.leader.host) {
			n++
		}
	}
	return m.isMajority(n)
}

func (m *Model) isMajority(n int) bool { return n > len(m.servers)/2 }

// collect deletes the containers that are empty and once were not, each in a transaction of its own (ContainerManager).
func (m *Model) collect() {
	if m.leader == nil || m.leader.paused {
		return
	}
	for _, p := range m.leader.tree.emptied() {
		m.whenMajority(func() {
			if n := m.leader.tree.nodes[p]; n == nil || !n.container || len(n.children) > 0 {
				return
			}
			changes, _ := m.leader.tree.multi([]zk.Op{zk.DeleteOp(p, zk.AnyVersion)}, 0)
			m.commit(&entry{changes: changes})
		})
	}
}

func (m *Model) collectAndAgain() {
	m.collect()
	m.after(m.config.Collect, m.collectAndAgain)
}

func parentOf(p string) string { return path.Dir(p) }
