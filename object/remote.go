package object

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Transport carries calls to the nodes that own the objects. Package transport has one.
type Transport interface {
	// Call has r handled by the member: the reply is what [Host.Handle] returned there, and never nil. An error that is not
	// one of the other host's must match [ErrUnavailable] if the call surely did not run there, and
	// [ErrUnknownOutcome] if it may have. It is an [*UnreachableError] if another member might do better: not if the
	// request itself, or ctx, or this node is the reason.
	//
	// Errors of the other host's keep what they match of this package's and of package context's errors, and a [*NotOwnerError] in them
	// its Key and Owner.
	Call(ctx context.Context, to Member, r *Request) (reply []byte, err error)
}

// An UnreachableError says that a member could not be reached, or that its answer was lost. It matches [ErrUnavailable],
// or, if Sent, [ErrUnknownOutcome].
type UnreachableError struct {
	Member Member
	How    Suspicion // 0: it is alive, but takes no calls. If it takes none any more Err matches [ErrClosed].
	Sent   bool      // the call may have run, or may yet
	Err    error     // why
}

func (e *UnreachableError) Error() string {
	if e.Sent {
		return fmt.Sprintf("%v: node %s (%s) may have run the call: %v", ErrUnknownOutcome, e.Member.Name, e.Member.Address, e.Err)
	}
	return fmt.Sprintf("%v: node %s (%s) was not reached, the call did not run there: %v", ErrUnavailable, e.Member.Name, e.Member.Address, e.Err)
}

// Is tells that the error matches [ErrUnavailable] or [ErrUnknownOutcome], never both.
func (e *UnreachableError) Is(target error) bool {
	return target == ErrUnavailable && !e.Sent || target == ErrUnknownOutcome && e.Sent
}

// Unwrap returns the cause, unless it says more than is known.
func (e *UnreachableError) Unwrap() error {
	if e.Sent && (errors.Is(e.Err, ErrUnavailable) || errors.Is(e.Err, ErrClosed)) {
		return nil
	}
	return e.Err
}

// A Request is a call on its way to another node.
type Request struct {
	Numbered
	Key    Key
	Method string
	Args   []byte
	Caller Caller
	Path   []Key // the updates that wait for this call, the outermost first
	Mode   PutMode
}

// A PutMode is what Put and PutIf ask beyond running an update.
type PutMode struct {
	Creates     bool // write a record even if the state equals the defaults
	Conditional bool // fail unless the object's version is Version
	Version     uint64
}

// Handle answers a call that came from another node. If this node does not own the object and cannot claim it, the call has not run, and
// the error is a [*NotOwnerError] that says who owns it, or why this node cannot. If that matches [ErrClosed] the node is on its
// way out. A call is not handed on to another node. It may go on when Handle has returned, as ctx ended: r.Args must not be changed even then.
func (h *Host) Handle(ctx context.Context, r *Request) (reply []byte, err error) {
	reply, err = h.handle(ctx, r)
	switch crossing := h.cross(plain(err)); {
	case err == nil:
		return reply, nil
	case isFinal(err):
		return nil, &finalError{crossing}
	default:
		return nil, crossing
	}
}

func (h *Host) handle(ctx context.Context, r *Request) (reply []byte, err error) {
	t := h.types[r.Key.Type]
	if t == nil {
		return nil, h.elsewhere(ctx, r.Key, unknownType(h.config.Node, r.Key.Type))
	}
	m := t.def.methods[r.Method]
	if m == nil {
		err := fmt.Errorf("%v: %w %q at node %s: does it run another version of the program?", r.Key, ErrUnknownMethod, r.Method, h.config.Node)
		if a := t.lookup(r.Key.ID); a == nil {
			return nil, h.elsewhere(ctx, r.Key, err)
		} else if !t.handOver(ctx, a, r.Method) {
			return nil, err
		}
		return nil, &NotOwnerError{Key: r.Key, Err: unavailable(r.Key, fmt.Errorf("%w; it is handed over to a node that has the method", err))}
	}
	if !t.served {
		return nil, h.elsewhere(ctx, r.Key, fmt.Errorf("%w: node %s does not serve objects of type %s", ErrUnavailable, h.config.Node, r.Key.Type))
	}
	ctx = context.WithValue(WithCaller(ctx, r.Caller), updateKey{}, r.Path)
	ctx, leave, err := enter(ctx, r.Key, m.read != nil)
	if err != nil {
		return nil, err
	}
	defer leave()
	defer func() { // a codec may panic over bytes that it does not expect
		if p := recover(); p != nil {
			err = (&methodContext{ctx, t, r.Key.ID}).panicked(r.Method, p)
		}
	}()
	if m.read != nil {
		snap, err := t.view(ctx, r.Key.ID, fromAfar)
		if err != nil {
			return nil, err
		}
		return m.read(ctx, t, r.Key.ID, snap, r.Args)
	}
	o, err := m.update(r.Args)
	if err != nil {
		return nil, unavailable(r.Key, fmt.Errorf("the argument of %s cannot be read: %w", r.Method, err))
	}
	o.mode, o.Numbered, o.began, o.from = r.Mode, r.Numbered, time.Now(), fromAfar
	if err := t.local(ctx, r.Key.ID, o); err != nil {
		return nil, err
	}
	return t.reply(r.Key, o)
}

// reply is the answer to o, which was made.
func (t *table) reply(key Key, o *op) (reply []byte, err error) {
	if reply, err = readOutcome(key, o.outcome); err != nil {
		t.host.arrived(err)
		return nil, &finalError{err}
	}
	return reply, nil
}

// elsewhere refuses a call that this node cannot serve, and names the object's owner if there is one.
func (h *Host) elsewhere(ctx context.Context, key Key, why error) error {
	if err := key.Validate(); err != nil {
		return err
	}
	owner, ok, err := h.config.Registry.Owner(ctx, key)
	if err != nil || !ok || h.isSelf(owner) {
		return &NotOwnerError{Key: key, Err: why}
	}
	return &NotOwnerError{Key: key, Owner: owner}
}

// read returns the object's committed state if it is owned here, else the reply of its owner to the read.
func (t *table) read(ctx context.Context, key Key, method string, args func() ([]byte, error)) (snap *snapshot, reply []byte, err error) {
	if t == nil {
		return nil, nil, unknownType("", key.Type)
	}
	ctx, leave, err := enter(ctx, key, true)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	return t.routeRead(ctx, args, &Request{Key: key, Method: method})
}

func (t *table) routeRead(ctx context.Context, args func() ([]byte, error), r *Request) (snap *snapshot, reply []byte, err error) {
	here := func(ctx context.Context) (err error) {
		snap, err = t.view(ctx, r.Key.ID, fromHere)
		return err
	}
	reply, err = t.route(ctx, here, nil, args, r, time.Time{})
	return snap, reply, err
}

// update has o run where the object is owned, once. The reply is nil if that is here: o has the result then.
func (t *table) update(ctx context.Context, key Key, o *op) (reply []byte, err error) {
	if t == nil {
		return nil, unknownType("", key.Type)
	}
	ctx, leave, err := enter(ctx, key, false)
	if err != nil {
		return nil, err
	}
	defer leave()
	if scope, _ := ctx.Value(requestKey{}).(*requestScope); scope != nil {
		if err := t.part(scope, key, o); err != nil {
			return nil, err
		}
		n := o.Numbered
		reply, err = t.once(ctx, key, o)
		scope.ended(key, n, err)
	} else {
		flights, hash := &t.host.flights, hashOf(key)
		o.ID.Caller = flights.caller
		o.ID.Number, o.Floor = flights.begin(hash)
		defer flights.end(hash, o.ID.Number)
		reply, err = t.once(ctx, key, o)
	}
	if hadNoEffect(err) {
		if c, _ := ctx.Value(updateKey{}).(*updateContext); c != nil {
			c.uncall()
		}
	}
	return reply, plain(err)
}

// once has o run, which has an id.
func (t *table) once(ctx context.Context, key Key, o *op) (reply []byte, err error) {
	if o.began.IsZero() {
		o.began = time.Now()
	}
	if t.lookup(key.ID) != nil && !o.mayHaveRun() {
		if err = t.local(ctx, key.ID, o); err == nil && o.told {
			reply, err = t.reply(key, o)
		}
		if !isRefusal(key, err) && !mayHaveRun(err) {
			return reply, err
		}
	}
	return t.routeUpdate(ctx, o, err, &Request{Numbered: o.Numbered, Key: key, Method: o.name(), Mode: o.mode})
}

// part makes o a part of what the scope is of.
func (t *table) part(scope *requestScope, key Key, o *op) error {
	args, err := o.args()
	if err != nil {
		return fmt.Errorf("%v: the argument of %s cannot be encoded: %w", key, o.name(), err)
	}
	o.began = scope.began
	o.Numbered = scope.part(key, hashString(hashString(o.mode.Version, o.name()), string(args)))
	if o.ID.Caller == t.host.flights.caller {
		o.Below = t.host.flights.below()
	}
	return nil
}

func (t *table) routeUpdate(ctx context.Context, o *op, failed error, r *Request) (reply []byte, err error) {
	fresh := failed == nil
	here := func(ctx context.Context) error {
		if !fresh {
			o = o.again()
		}
		fresh, o.Again = false, r.Again
		err := t.local(ctx, r.Key.ID, o)
		if err == nil {
			reply, err = t.reply(r.Key, o)
		}
		return err
	}
	away, err := t.route(ctx, here, failed, o.args, r, o.began)
	if away != nil {
		reply = away
	}
	return reply, err
}
