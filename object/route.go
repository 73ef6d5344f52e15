package object

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A Placement says at which node an object wakes that nobody owns. Nodes of one cluster may differ in it.
type Placement int

const (
	// Rendezvous spreads objects evenly over the nodes that can serve them. All nodes choose the same one, as long as
	// they see the same members; when a node comes or goes, only objects wake elsewhere that were to wake there.
	Rendezvous Placement = iota

	// PreferLocal takes the node that is called, if it can serve the object.
	PreferLocal
)

const (
	routePatience = 30 * time.Second // after which a call without a deadline gives up: longer than a failover takes
	shortestPause = 10 * time.Millisecond
	longestPause  = 100 * time.Millisecond
	firstAsk      = 10 // pauses while an owner is out of reach, before others are asked again who owns the object
	maxHops       = 4  // from owner to owner without a pause
)

// A way is that of one call to its object's owner. It goes in rounds, in each of which a member is called once at most: the
// owner, as far as it is known; else the member that placement names, which claims the object or says who owns it; else the next one.
// Between rounds it pauses.
type way struct {
	table *table
	ctx   context.Context
	r     *Request
	read  bool

	args    func() ([]byte, error) // encodes the argument
	encoded bool

	hash   uint64
	owner  *Member // nil: not known
	told   bool    // another node, or the registry, has named the owner in this call: as yet there is no use in asking again
	cached bool    // the owner is in the cache

	// of this round
	tried     []uuid.UUID
	triedHere bool
	hops      int
	hopeful   bool // some time later it may go well

	last   error              // why the last member did not run the call
	first  time.Time          // when the first attempt began
	doubt  context.CancelFunc // it is not known whether it has run, and it is tried again until ctx ends; nil: it surely has not
	began  time.Time
	pauses int
	ask    int // how many pauses until the next question who owns the object
}

// route has a call run at the object's owner: with here if that is this node, and the reply is nil then. refused is why it has
// not run here, if that was tried already. first is when the first attempt of an update began, zero for a read.
func (t *table) route(ctx context.Context, here func(context.Context) error, refused error, args func() ([]byte, error), r *Request, first time.Time) (reply []byte, err error) {
	if err := r.Key.Validate(); err != nil {
		return nil, err
	}
	w := way{table: t, ctx: ctx, r: r, read: first.IsZero(), first: first, args: args, hash: hashOf(r.Key), ask: firstAsk}
	defer func() {
		if w.doubt != nil {
			w.doubt()
		}
	}()
	if r.mayHaveRun() {
		w.inDoubt()
	}
	if t.host.config.Transport == nil {
		return nil, w.alone(here, refused)
	}
	if w.owner = t.host.owners.get(r.Key, w.hash); w.owner != nil {
		w.cached = true
	}
	if refused != nil {
		if final := w.judge(nil, refused); final != nil {
			return nil, final
		}
	}
	for {
		if w.isOver() {
			return nil, w.ended(nil)
		}
		to, ok := w.next()
		if !ok {
			if err := w.pause(); err != nil {
				return nil, w.ended(err)
			}
			continue
		}
		if to == nil {
			err = here(w.ctx)
		} else {
			reply, err = w.call(to)
		}
		if err == nil {
			return reply, nil
		}
		if final := w.judge(to, err); final != nil {
			return nil, final
		}
	}
}

// alone is the route of a node that has no transport.
func (w *way) alone(here func(context.Context) error, err error) error {
	if !w.table.served {
		return unavailable(w.r.Key, fmt.Errorf("this node does not serve the type, and has no transport to call others"))
	}
	for {
		if err == nil {
			if w.isOver() {
				return w.ended(nil)
			}
			err = here(w.ctx)
		}
		refused := isRefusal(w.r.Key, err)
		if refused {
			err = bare(w.r.Key, err)
		}
		if !w.uncertain(err) {
			return err
		}
		if w.last = err; refused && errors.Is(err, ErrClosed) {
			return w.ended(err)
		}
		if err := w.pause(); err != nil {
			return w.ended(err)
		}
		err = nil
	}
}

// mayHaveRun tells whether err says that nobody knows whether an update has run, or will.
func mayHaveRun(err error) bool { return errors.Is(err, ErrUnknownOutcome) && !isFinal(err) }

// uncertain tells whether the update must be tried again after err, as an attempt may have run: it runs once.
func (w *way) uncertain(err error) bool {
	if w.read || err == nil || isFinal(err) || w.r.ID.Caller == uuid.Nil {
		return false
	}
	if w.doubt == nil {
		if !errors.Is(err, ErrUnknownOutcome) {
			return false
		}
		w.inDoubt()
	}
	w.hopeful = true
	return true
}

// inDoubt begins the time in which the update is tried again.
func (w *way) inDoubt() {
	w.ctx, w.doubt = context.WithTimeoutCause(w.ctx, retryFor, errRetried)
	w.r.Again = true
}

// isOver tells whether an update that may have run must not be sent again.
func (w *way) isOver() bool {
	return w.doubt != nil && (w.ctx.Err() != nil || tooOld(w.first))
}

var errRetried = fmt.Errorf("it was tried again for %v: %w", retryFor, context.DeadlineExceeded)

// ended is what the caller is told when no more attempts are made.
func (w *way) ended(err error) error {
	switch {
	case w.doubt == nil:
		return err
	case w.ctx.Err() != nil:
		over := unknown(w.r.Key, ended(w.ctx))
		if w.last == nil || w.last.Error() == over.Error() { // it ended during the last attempt
			return over
		}
		return unknown(w.r.Key, fmt.Errorf("%w; the last attempt: %v", ended(w.ctx), w.last))
	case tooOld(w.first):
		return unknown(w.r.Key, errTooOld)
	default:
		return unknown(w.r.Key, fmt.Errorf("the last attempt: %v", err))
	}
}

// isRefusal tells whether err says that a call on key surely did not run where it was tried, and may be tried elsewhere.
func isRefusal(key Key, err error) bool {
	if err == nil {
		return false
	}
	var refused *NotOwnerError
	return errors.As(err, &refused) && refused.Key == key
}

// bare is what the caller is told of a refusal: it says nothing of owners, so that the caller's own caller does not take it
// for a refusal of its own.
func bare(key Key, err error) error {
	var refused *NotOwnerError
	if errors.As(err, &refused) && refused.Err == nil && refused.Owner.Incarnation != uuid.Nil {
		return unavailable(key, fmt.Errorf("this node has no transport, and it is owned by node %s (%s)", refused.Owner.Name, refused.Owner.Incarnation))
	}
	for _, matched := range []error{ErrUnavailable, ErrClosed, ErrUnknownMethod, ErrUnknownType, ErrOverloaded} {
		if errors.Is(err, matched) {
			return opaque{err}
		}
	}
	return unavailable(key, opaque{err})
}

// An opaque error matches what it hides, for errors.Is, but cannot be taken apart.
type opaque struct{ hidden error }

func (o opaque) Error() string        { return o.hidden.Error() }
func (o opaque) Is(target error) bool { return errors.Is(o.hidden, target) }

// next is the member to try now, nil if it is this node. ok is false if the round is over.
func (w *way) next() (to *Member, ok bool) {
	h := w.table.host
	switch {
	case w.owner == nil && !w.triedHere && w.table.lookup(w.r.Key.ID) != nil:
		return nil, true
	case w.owner == nil:
		return w.place()
	case slices.Contains(w.tried, w.owner.Incarnation) || w.hops > maxHops:
		w.hopeful = w.hopeful || w.hops > maxHops
		return nil, false
	case h.isSelf(*w.owner) && w.table.served && !w.triedHere:
		return nil, true
	case h.isSelf(*w.owner) || !h.peers.tries(w.owner.Incarnation):
		w.avoid(w.owner)
		if w.told {
			return nil, false
		}
		w.forget()
		return w.place()
	}
	return w.owner, true
}

// avoid passes over the member for this round.
func (w *way) avoid(m *Member) {
	w.hopeful = true
	w.tried = append(w.tried, m.Incarnation)
	if w.last == nil {
		w.last = unavailable(w.r.Key, fmt.Errorf("node %s (%s) was not reached a moment ago", m.Name, m.Address))
	}
}

// place is the member at which the object is to wake.
func (w *way) place() (to *Member, ok bool) {
	t, h := w.table, w.table.host
	members, err := h.config.Registry.Members(w.ctx)
	if err != nil {
		w.last = unavailable(w.r.Key, fmt.Errorf("the members are not known: %w", err))
	}
	var best struct {
		member *Member
		layout uint32
		weight uint64
	}
	mayBeHere := t.served && !w.triedHere
	open := h.closing.Load() != isClosed // else there will be no session any more
	if mayBeHere && !h.canClaim() {
		mayBeHere, w.hopeful = false, w.hopeful || open
		if w.last == nil {
			w.last = fmt.Errorf("%v: node %s: %w", w.r.Key, h.config.Node, ErrNoLease)
		}
	}
	if mayBeHere && h.config.Placement == PreferLocal {
		return nil, true
	}
	for i := range members {
		m := &members[i]
		served := w.servedBy(m)
		if served == nil || slices.Contains(w.tried, m.Incarnation) {
			continue
		}
		if h.isSelf(*m) {
			if !mayBeHere {
				continue
			}
		} else if h.peers.get(m.Incarnation).leaving {
			w.hopeful = true
			continue
		} else if m.Address == "" {
			continue
		}
		weight := weightOf(w.hash, m.Incarnation)
		if best.member == nil || served.Layout < best.layout || served.Layout == best.layout && (weight > best.weight ||
			weight == best.weight && bytes.Compare(m.Incarnation[:], best.member.Incarnation[:]) > 0) {
			best.member, best.layout, best.weight = m, served.Layout, weight
		}
	}
	switch {
	case best.member != nil && h.isSelf(*best.member):
		return nil, true
	case best.member != nil && h.peers.tries(best.member.Incarnation):
		return best.member, true
	case best.member != nil:
		w.avoid(best.member)
		return w.place()
	case mayBeHere: // and is not listed, as yet
		return nil, true
	case len(w.tried) == 0 && !w.triedHere:
		w.hopeful = w.hopeful || open
		if w.last == nil {
			w.last = unavailable(w.r.Key, fmt.Errorf("no live node that can be reached serves %s of objects of type %s", w.r.Method, w.r.Key.Type))
		}
	}
	return nil, false
}

// servedBy is what the member says of the call's type, nil if it cannot serve the call.
func (w *way) servedBy(m *Member) *Served {
	s := m.serves(w.r.Key.Type)
	if s == nil || builtIn(w.r.Method) || len(s.Methods) == 0 || slices.Contains(s.Methods, w.r.Method) {
		return s
	}
	return nil
}

// weightOf is the member's weight for the key with that hash: of those that can serve it, the one of the highest weight does.
func weightOf(key uint64, incarnation uuid.UUID) uint64 {
	return mix(mix(key^binary.LittleEndian.Uint64(incarnation[:8])) ^ binary.LittleEndian.Uint64(incarnation[8:]))
}

// call has the member run the call.
func (w *way) call(to *Member) (reply []byte, err error) {
	h, r := w.table.host, w.r
	if !w.encoded {
		if r.Args, err = w.args(); err != nil {
			return nil, fmt.Errorf("%v: the argument of %s cannot be encoded: %w", r.Key, r.Method, err)
		}
		r.Caller, r.Path, w.encoded = From(w.ctx).Caller, updatePath(w.ctx), true
		if r.ID.Caller == h.flights.caller {
			r.Below = h.flights.below()
		}
	}
	if reply, err = h.config.Transport.Call(w.ctx, *to, r); err != nil {
		h.arrived(err)
		return nil, err
	}
	h.peers.reached(to.Incarnation)
	if !w.cached || w.owner != to {
		w.learn(to)
	}
	return reply, nil
}

// learn notes who owns the object.
func (w *way) learn(m *Member) {
	h := w.table.host
	if w.owner != m {
		owner := *m
		w.owner = &owner
	}
	if w.cached = !h.isSelf(*m); w.cached {
		h.owners.put(w.r.Key, w.hash, w.owner)
	}
}

// forget forgets the owner, who has proved not to be, or cannot be reached.
func (w *way) forget() {
	if w.cached {
		w.table.host.owners.drop(w.r.Key, w.hash, w.owner.Incarnation)
	}
	w.owner, w.cached, w.told = nil, false, false
}

// judge says what follows from an attempt that failed, at the member, nil for this node: an error that ends the call, or nil to go on.
func (w *way) judge(at *Member, err error) error {
	h := w.table.host
	if lost := (*UnreachableError)(nil); at != nil && errors.As(err, &lost) && lost.Member.Incarnation == at.Incarnation {
		return w.unreached(lost)
	}
	if at != nil {
		h.peers.reached(at.Incarnation)
	}
	var refused *NotOwnerError
	switch {
	case !errors.As(err, &refused) || refused.Key != w.r.Key:
		remote := (*RemoteError)(nil)
		closed := errors.Is(err, ErrClosed) && !errors.As(err, &remote) // this node's transport is, if that was asked
		if !w.uncertain(err) {
			if closed && at != nil && h.closing.Load() == isClosed {
				return &closedError{h.config.Node} // the transport's error names the node that it was to call
			}
			return err // the method's, or for another reason no other node's business
		}
		if closed {
			return w.ended(err)
		}
		w.last = opaque{err}
		if at != nil {
			w.exclude(at.Incarnation)
		} else {
			w.triedHere = true
		}
		return nil
	case refused.Owner.Incarnation != uuid.Nil && !errors.Is(err, ErrUnavailable):
		w.redirect(at, refused.Owner)
		return nil
	case refused.Owner.Incarnation != uuid.Nil && w.isListed(refused.Owner): // its lease has lapsed: others would claim the object in vain
		if w.doubt == nil {
			return opaque{err}
		}
	}
	w.last = bare(w.r.Key, err)
	w.hopeful = w.hopeful || w.doubt != nil
	closed := errors.Is(err, ErrClosed)
	w.hopeful = w.hopeful || closed || errors.Is(err, ErrNoLease) || isHandedOver(err)
	switch {
	case at != nil:
		if closed {
			h.peers.left(at.Incarnation)
		}
		w.exclude(at.Incarnation)
		return nil
	case closed:
		return w.ended(w.last)
	}
	w.triedHere = true
	if w.owner != nil && h.isSelf(*w.owner) {
		w.forget()
	}
	return nil
}

// redirect follows when the member, nil for this node, has named the owner.
func (w *way) redirect(at *Member, owner Member) {
	w.hops++
	w.told = true
	w.learn(&owner)
	w.last = unavailable(w.r.Key, fmt.Errorf("node %s (%s) owns it", owner.Name, owner.Address))
	switch {
	case at == nil && w.table.host.isSelf(owner): // its claim is being released, or was left behind
		w.hopeful, w.triedHere = true, true
	case at != nil && at.Incarnation == owner.Incarnation:
		w.hopeful = true
		w.tried = append(w.tried, at.Incarnation)
	}
}

// exclude leaves the member out for the rest of the round.
func (w *way) exclude(id uuid.UUID) {
	w.tried = append(w.tried, id)
	if w.owner != nil && w.owner.Incarnation == id {
		w.forget()
	}
}

// unreached follows when a member was not reached, or its answer was lost.
func (w *way) unreached(lost *UnreachableError) error {
	h, id := w.table.host, lost.Member.Incarnation
	switch {
	case lost.How != 0:
		h.config.Registry.Suspect(lost.Member, lost.How)
		h.peers.failed(id)
	case errors.Is(lost, ErrClosed):
		h.peers.left(id)
	}
	if lost.Sent && !w.read && !w.uncertain(lost) {
		return unknown(w.r.Key, opaque{lost})
	}
	w.last = unavailable(w.r.Key, errors.New(lost.Error())) // of a read it does not matter whether it has run, nor of an update that is tried again
	w.hopeful = true
	if w.told && w.owner.Incarnation == id { // it owns the object until the registry says otherwise
		w.tried = append(w.tried, id)
	} else {
		w.exclude(id)
	}
	return nil
}

// pause waits for another round, unless there is no use in it or no time for it: then it returns why the call has failed.
func (w *way) pause() error {
	h := w.table.host
	if w.doubt == nil && h.closing.Load() == isClosed && !isNested(w.ctx) { // what a drained node still runs may call others, as long as that goes well
		return &closedError{h.config.Node}
	}
	if !w.hopeful {
		return w.last
	}
	if w.began.IsZero() {
		w.began = time.Now()
	}
	for again := true; again; {
		limit := min(shortestPause<<min(w.pauses, 10), longestPause)
		end, bounded := w.ctx.Deadline() // so that those who wait for one object do not all come back at once
		if err := sleep(w.ctx, h.jitter(limit, w.r.Key, w.pauses+int(end.UnixNano()))); err != nil {
			return unavailable(w.r.Key, fmt.Errorf("%w; before that: %w", err, opaque{w.last}))
		}
		w.pauses++
		if !bounded && time.Since(w.began) > routePatience {
			return unavailable(w.r.Key, fmt.Errorf("it was tried for %v, give calls a deadline to set how long: %w", routePatience, opaque{w.last}))
		}
		again = false
		if w.told && h.peers.get(w.owner.Incarnation).avoided() {
			switch {
			case !w.listed():
				w.forget()
			case w.pauses >= w.ask: // it may own the object no more, although it lives
				w.ask *= 2
				w.forget()
			default:
				again = true
			}
		}
	}
	w.tried, w.triedHere, w.hops, w.hopeful = w.tried[:0], false, 0, false
	return nil
}

// listed tells whether the owner is a live member, as far as is known.
func (w *way) listed() bool { return w.isListed(*w.owner) }

func (w *way) isListed(owner Member) bool {
	members, err := w.table.host.config.Registry.Members(w.ctx)
	return err != nil || slices.ContainsFunc(members, func(m Member) bool { return m.Incarnation == owner.Incarnation })
}

func (h *Host) isSelf(m Member) bool {
	self := h.self.Load()
	return self != nil && self.Incarnation == m.Incarnation
}
