package object

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// Owners remembers which members own objects that live elsewhere. What it says may be out of date: it is dropped when it proves
// wrong. Its zero value is ready to use.
type owners [ownerShards]ownerShard

const (
	ownerShards    = 16
	ownersPerShard = 2048 // in each of the two generations: 64k in all
)

// An ownerShard has two generations: when the young one is full it becomes the old one, whose entries are forgotten
// unless they were used meanwhile.
type ownerShard struct {
	mu         sync.RWMutex
	young, old map[Key]*Member
}

func (o *owners) shard(hash uint64) *ownerShard { return &o[hash%ownerShards] }

// get returns key's owner as far as is known, else nil. hash is the key's.
func (o *owners) get(key Key, hash uint64) *Member {
	s := o.shard(hash)
	s.mu.RLock()
	m, young := s.young[key]
	if !young {
		m = s.old[key]
	}
	s.mu.RUnlock()
	if m != nil && !young {
		o.put(key, hash, m)
	}
	return m
}

func (o *owners) put(key Key, hash uint64, m *Member) {
	s := o.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.young) >= ownersPerShard {
		s.old, s.young = s.young, nil
	}
	if s.young == nil {
		s.young = make(map[Key]*Member)
	}
	s.young[key] = m
	delete(s.old, key)
}

// drop forgets that the member owns key.
func (o *owners) drop(key Key, hash uint64, incarnation uuid.UUID) {
	s := o.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, generation := range []map[Key]*Member{s.young, s.old} {
		if m := generation[key]; m != nil && m.Incarnation == incarnation {
			delete(generation, key)
		}
	}
}

// Peers remembers what calls have shown of other nodes, by incarnation. Its zero value is ready to use.
type peers struct {
	mu sync.RWMutex
	m  map[uuid.UUID]*peer // of those that are not as they should be
}

type peer struct {
	leaving  bool      // it has said that it is on its way out
	failures int       // to reach it, in a row
	until    time.Time // not called before, if there were failures
}

const (
	maxPeers       = 1024 // one more, and all are forgotten, which costs a call to each
	firstAvoidance = 100 * time.Millisecond
	mostAvoidance  = time.Second
)

// left notes that the node is on its way out.
func (p *peers) left(id uuid.UUID) { p.change(id, func(n *peer) { n.leaving = true }) }

// failed notes that the node could not be reached.
func (p *peers) failed(id uuid.UUID) {
	p.change(id, func(n *peer) {
		n.until = time.Now().Add(min(firstAvoidance<<min(n.failures, 10), mostAvoidance))
		n.failures++
	})
}

func (p *peers) change(id uuid.UUID, f func(*peer)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.m[id]
	if n == nil {
		if p.m == nil || len(p.m) >= maxPeers {
			p.m = make(map[uuid.UUID]*peer)
		}
		n = new(peer)
		p.m[id] = n
	}
	f(n)
}

// reached notes that the node has answered.
func (p *peers) reached(id uuid.UUID) {
	if p.get(id).failures > 0 {
		p.change(id, func(n *peer) { n.failures = 0 })
	}
}

func (p *peers) get(id uuid.UUID) peer {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if n := p.m[id]; n != nil {
		return *n
	}
	return peer{}
}

// avoided tells whether the node is not to be called now, since it was not reached a moment ago.
func (n peer) avoided() bool { return n.failures > 0 && time.Now().Before(n.until) }

// tries tells whether the caller may call the node. Of those who ask after it was not reached, one is let through at a time.
func (p *peers) tries(id uuid.UUID) bool {
	if p.get(id).failures == 0 {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.m[id]
	if n == nil || !n.avoided() {
		if n != nil {
			n.until = time.Now().Add(mostAvoidance)
		}
		return true
	}
	return false
}
