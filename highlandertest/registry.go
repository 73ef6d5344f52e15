package highlandertest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// A nodeRegistry is the cluster's registry in memory as one process of a node reaches it.
type nodeRegistry struct {
	object.Registry
	cluster *Cluster
	process *process

	mu   sync.Mutex
	last []object.Member // that were seen
}

// Join notes who the process is.
func (r *nodeRegistry) Join(ctx context.Context, m object.Member) (object.Session, error) {
	r.process.joins(m.Incarnation)
	r.cluster.tellRegistry()
	return r.Registry.Join(ctx, m)
}

// Owner waits while the registry cannot be reached, until ctx ends.
func (r *nodeRegistry) Owner(ctx context.Context, key object.Key) (object.Member, bool, error) {
	n := r.cluster.network
	reach, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(r.process.life, stop)()
	if err := n.await(reach, func() bool { return n.holds(r.process.place, Registry) }); err != nil || r.process.isKilled() {
		return object.Member{}, false, fmt.Errorf("look up the owner of %v: %w: the registry did not answer: %w", key, object.ErrUnavailable, context.Cause(reach))
	}
	return r.Registry.Owner(ctx, key)
}

// Members are those of the moment before the registry was out of reach.
func (r *nodeRegistry) Members(ctx context.Context) ([]object.Member, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cluster.network.isHeld(r.process.place, Registry) {
		return r.last, nil
	}
	members, err := r.Registry.Members(ctx)
	if err == nil {
		r.last = members
	}
	return members, err
}

// Suspect is said by who can reach the registry.
func (r *nodeRegistry) Suspect(m object.Member, how object.Suspicion) {
	if !r.cluster.network.isHeld(r.process.place, Registry) {
		r.Registry.Suspect(m, how)
	}
}

func (n *network) isHeld(from, to int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.holds(from, to)
}

// A process is what runs at a node's place: a node, from its opening to its end.
type process struct {
	place int
	life  context.Context // ends when it is killed
	kill  context.CancelFunc

	mu          sync.Mutex
	incarnation uuid.UUID     // none: it has not joined the registry
	frozen      chan struct{} // closed when it goes on; nil: it runs
}

func (p *process) isKilled() bool { return p.life.Err() != nil }

func (p *process) joins(id uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.incarnation = id
}

func (p *process) who() uuid.UUID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.incarnation
}

// freeze stops the process's clock, thaw has it go on.
func (p *process) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
}

func (p *process) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

func (p *process) isFrozen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.frozen != nil
}

// clock is the process's: who asks it waits while the process is frozen.
func (p *process) clock(shown object.Clock) object.Clock {
	return func() time.Duration {
		for {
			p.mu.Lock()
			frozen := p.frozen
			p.mu.Unlock()
			if frozen == nil {
				return shown()
			}
			<-frozen
		}
	}
}
