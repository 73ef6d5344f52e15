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

// Handle answers a call that came from another node. If this node does not own the object and cannot claim it, the
// error is a [*NotOwnerError] that says who does, or a zero owner if that is not known.
func (h *Host) Handle(ctx context.Context, r *Request) (reply []byte, err error) {
	t := h.types[r.Key.Type]
	if t == nil {
		return nil, unknownType(h.config.Node, r.Key.Type)
	}
	m := t.def.methods[r.Method]
	if m == nil {
		return nil, fmt.Errorf("%v: %w %q: does its node run another version of the program?", r.Key, ErrUnknownMethod, r.Method)
	}
	ctx = context.WithValue(WithCaller(ctx, r.Caller), updateKey{}, r.Path)
	ctx, leave, err := enter(ctx, r.Key, m.read != nil)
	if err != nil {
		return nil, err
	}
	defer leave()
	updated := false
	defer func() { // a codec may panic over bytes that it does not expect, or over a result
		if p := recover(); p != nil {
			err = (&methodContext{ctx, t, r.Key.ID}).panicked(r.Method, p)
			if updated {
				err = unknown(r.Key, err)
			}
		}
	}()
	if m.read != nil {
		snap, err := t.view(ctx, r.Key.ID)
		if err != nil {
			return nil, notHere(r.Key, err)
		}
		return m.read(&methodContext{ctx, t, r.Key.ID}, snap, r.Args)
	}
	o, err := m.update(r.Args)
	if err != nil {
		return nil, unavailable(r.Key, fmt.Errorf("the argument of %s cannot be read: %w", r.Method, err))
	}
	o.mode = r.Mode
	if err := t.local(ctx, r.Key.ID, o); err != nil && o.run == nil {
		return nil, notHere(r.Key, err)
	} else if err != nil {
		return nil, err
	}
	updated = true
	if reply, err = o.reply(); err != nil {
		return nil, unknown(r.Key, fmt.Errorf("it was updated, but what it returned cannot be encoded: %w", err))
	}
	return reply, nil
}

// notHere has the caller look for the object elsewhere if err, which no method has returned, says that this node is on its way out.
func notHere(key Key, err error) error {
	if errors.Is(err, ErrClosed) {
		return &NotOwnerError{Key: key}
	}
	return err
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
	here := func() (err error) {
		snap, err = t.view(ctx, key.ID)
		return err
	}
	if err = here(); err != nil {
		reply, err = t.forward(ctx, err, here, &Request{Key: key, Method: method}, args)
	}
	return snap, reply, err
}

// update has o run where the object is owned. The reply is nil if that is here: o has the result then.
func (t *table) update(ctx context.Context, key Key, o *op) (reply []byte, err error) {
	if t == nil {
		return nil, unknownType("", key.Type)
	}
	ctx, leave, err := enter(ctx, key, false)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err = t.local(ctx, key.ID, o); err == nil {
		return nil, nil
	}
	here := func() error { return t.local(ctx, key.ID, o) }
	return t.forward(ctx, err, here, &Request{Key: key, Method: o.name(), Mode: o.mode}, o.args)
}

// forward sends a call to the owner that refused names, and tries here again when that owner does not have the object
// any more. The reply is nil if it succeeded here. Other errors than a refusal are handed back.
func (t *table) forward(ctx context.Context, refused error, here func() error, r *Request, args func() ([]byte, error)) (reply []byte, err error) {
	for attempt := 0; ; attempt++ {
		var elsewhere *NotOwnerError
		if !errors.As(refused, &elsewhere) {
			return nil, refused
		}
		if t.host.config.Transport == nil {
			return nil, unavailable(r.Key, fmt.Errorf("there is no transport: %w", refused))
		}
		if r.Args, err = args(); err != nil {
			return nil, fmt.Errorf("%v: the argument of %s cannot be encoded: %w", r.Key, r.Method, err)
		}
		r.Caller, r.Path = From(ctx).Caller, updatePath(ctx)
		reply, err = t.host.config.Transport.Call(ctx, elsewhere.Owner, r)
		if !errors.As(err, &elsewhere) {
			return reply, err
		}
		if err := sleep(ctx, t.host.jitter(20*time.Millisecond, r.Key, attempt)); err != nil {
			return nil, unavailable(r.Key, fmt.Errorf("its owner is changing: %w", err))
		}
		if refused = here(); refused == nil {
			return nil, nil
		}
	}
}
