package object

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Transport carries calls to the nodes that own the objects. Package transport has one.
type Transport interface {
	// Call has r handled by the member: the reply is what [Host.Handle] returned there. An error that is not
	// one of the other host's must match [ErrUnavailable] if the call surely did not run there, and
	// [ErrUnknownOutcome] if it may have.
	Call(ctx context.Context, to Member, r *Request) (reply []byte, err error)
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
// error is a [*NotOwnerError] that says who does.
func (h *Host) Handle(ctx context.Context, r *Request) (reply []byte, err error) {
	t := h.types[r.Key.Type]
	if t == nil {
		return nil, unknownType(h, r.Key.Type)
	}
	m := t.def.methods[r.Method]
	if m == nil {
		return nil, fmt.Errorf("%v: %w %q: does its node run another version of the program?", r.Key, ErrUnknownMethod, r.Method)
	}
	ctx = context.WithValue(WithCaller(ctx, r.Caller), updateKey{}, r.Path)
	if m.read != nil {
		snap, err := t.view(ctx, r.Key.ID)
		if err != nil {
			return nil, err
		}
		return m.read(&methodContext{ctx, t, r.Key.ID}, snap, r.Args)
	}
	o, err := m.update(r.Args)
	if err != nil {
		return nil, unavailable(r.Key, fmt.Errorf("the argument of %s cannot be read: %w", r.Method, err))
	}
	o.mode = r.Mode
	ctx, leave, err := enter(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := t.local(ctx, r.Key.ID, o); err != nil {
		return nil, err
	}
	return o.reply()
}

// forward sends a call to the object's owner. again says that it surely did not run there and may find
// another owner.
func (t *table) forward(ctx context.Context, owner Member, r *Request) (reply []byte, again bool, err error) {
	if t.host.config.Transport == nil {
		return nil, false, unavailable(r.Key, fmt.Errorf("it is owned by node %s and there is no transport", owner.Name))
	}
	r.Caller, r.Path = From(ctx).Caller, updatePath(ctx)
	reply, err = t.host.config.Transport.Call(ctx, owner, r)
	var moved *NotOwnerError
	if !errors.As(err, &moved) && !errors.Is(err, ErrClosed) {
		return reply, false, err
	}
	if err := sleep(ctx, jitter(20*time.Millisecond)); err != nil {
		return nil, false, unavailable(r.Key, fmt.Errorf("its owner is changing: %w", err))
	}
	return nil, true, nil
}

// read returns the object's committed state if it is owned here, else the reply of its owner to the read.
func (t *table) read(ctx context.Context, name, id, method string, args []byte) (*snapshot, []byte, error) {
	if t == nil {
		return nil, nil, fmt.Errorf("%w %q: give its definition to Open", ErrUnknownType, name)
	}
	for {
		snap, err := t.view(ctx, id)
		var elsewhere *NotOwnerError
		if !errors.As(err, &elsewhere) {
			return snap, nil, err
		}
		reply, again, err := t.forward(ctx, elsewhere.Owner, &Request{Key: Key{t.def.name, id}, Method: method, Args: args})
		if !again {
			return nil, reply, err
		}
	}
}

// update has o run where the object is owned. The reply is nil if that is here: o has the result then.
func (t *table) update(ctx context.Context, name, id string, o *op) ([]byte, error) {
	if t == nil {
		return nil, fmt.Errorf("%w %q: give its definition to Open", ErrUnknownType, name)
	}
	ctx, leave, err := enter(ctx, Key{t.def.name, id})
	if err != nil {
		return nil, err
	}
	defer leave()
	for {
		err := t.local(ctx, id, o)
		if err == nil {
			return nil, nil
		}
		var elsewhere *NotOwnerError
		if !errors.As(err, &elsewhere) {
			return nil, err
		}
		method, args, err := o.request()
		if err != nil {
			return nil, err
		}
		reply, again, err := t.forward(ctx, elsewhere.Owner, &Request{Key: Key{t.def.name, id}, Method: method, Args: args, Mode: o.mode})
		if !again {
			return reply, err
		}
	}
}
