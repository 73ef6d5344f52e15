package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/highlander-go/highlander/object"
)

// A network carries calls between processes, late, or not at all.
type network struct {
	w   *world
	cut map[[2]*machine]cut // from one machine to another, one way
}

// A cut lets nothing pass until then. A refusing one is something in between that resets connections, as if nobody was there.
type cut struct {
	until   time.Duration
	refuses bool
}

func (n *network) isCut(from, to *machine) bool {
	return n.w.now() < n.cut[[2]*machine{from, to}].until
}

func (n *network) refuses(from, to *machine) bool {
	return n.isCut(from, to) && n.cut[[2]*machine{from, to}].refuses
}

// networkOf is the network as a process sees it.
type networkOf struct{ *process }

// packet is how long one takes.
var packet = delay{2 * time.Millisecond, 300 * time.Millisecond}

// An answered is what a call has come to, and under which activation.
type answered struct {
	body    []byte
	sampled time.Duration
	by      string
}

// silence is how long a peer may be silent before calls to it are given up.
const silence = 600 * time.Millisecond

// Call implements [object.Transport].
func (n networkOf) Call(ctx context.Context, to object.Member, r *object.Request) ([]byte, error) {
	p, w := n.process, n.w
	who := w.actors.current()
	unreached := func(how object.Suspicion, sent bool, err error) error {
		return &object.UnreachableError{Member: to, How: how, Sent: sent, Err: err}
	}
	what := "call to " + to.Name
	if err := p.pass(ctx, what, delay{time.Millisecond, 100 * time.Millisecond}); err != nil {
		return nil, fmt.Errorf("%w: %w", object.ErrUnavailable, err)
	}
	copied := *r
	copied.Args = bytes.Clone(r.Args)
	id := p.name + " " + w.actors.name() + " " + what
	rng, number := w.draw(id + " sent")
	there, back, lost := rng.delay(packet), rng.delay(packet), rng.chance(w.lostPackets) && !w.calm()
	answer := newReply[answered](w)
	answer.timeout = w.after(p, id+" silence", number, silence, func() {
		answer.settle(answered{}, unreached(object.Silent, true, errTimeout))
	})
	limit := time.Minute // a call that comes from inside an update has one of its own
	if end, ok := ctx.Deadline(); ok {
		limit = time.Until(end)
	}
	w.after(nil, id+" arrives", number, there, func() {
		w.mu.Lock()
		q := w.cluster.members[to.Incarnation]
		w.mu.Unlock()
		net := w.cluster.network
		switch {
		case lost || net.isCut(p.machine, q.machine) && !net.refuses(p.machine, q.machine):
			w.count("request lost")
			if !lost {
				w.count("lost by a cut")
			}
			w.tracef("    it is lost")
		case !q.at(to.Incarnation) || net.refuses(p.machine, q.machine):
			w.tracef("    it is refused")
			w.count("request refused")
			w.after(p, id+" refused", number, back, func() {
				answer.settle(answered{}, unreached(object.Gone, false, errors.New("connection refused")))
			})
		default:
			go q.handle(id, who, limit, &copied, func(a answered, err error) {
				if rng.chance(w.lostPackets) && !w.calm() || net.isCut(q.machine, p.machine) {
					w.count("answer lost")
					return
				}
				w.after(p, id+" answer", number, back, func() { answer.settle(a, err) })
			})
		}
	})
	a, err := answer.await(ctx)
	if who != nil {
		w.mu.Lock()
		if who.afar = err; err == nil {
			who.sampled, who.by = a.sampled, a.by
		}
		w.mu.Unlock()
	}
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil, fmt.Errorf("%w: %w", object.ErrUnknownOutcome, err)
	}
	return a.body, err
}

// handle answers a call from another process.
func (p *process) handle(id string, from *actor, limit time.Duration, r *object.Request, answer func(answered, error)) {
	name := "?"
	if from != nil {
		name = from.name
	}
	who := p.w.actors.become(name + ">" + p.name)
	who.key = r.Key.ID
	ctx := p.w.deadline(p, who, limit)
	defer ctx.over(p)
	if p.pass(ctx, "handle", delay{time.Millisecond, 50 * time.Millisecond}) != nil {
		return
	}
	body, err := p.node.Handle(ctx, r)
	p.heed(r.Key.ID, err)
	p.w.mu.Lock()
	a := answered{body, who.sampled, who.by}
	p.w.mu.Unlock()
	if p.isDead() {
		return
	}
	if rng, n := p.w.draw(id + " reply"); true {
		p.w.after(p, id+" reply", n, rng.delay(delay{time.Millisecond, 50 * time.Millisecond}), func() { answer(a, err) })
	}
}
