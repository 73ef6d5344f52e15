package object

import (
	"context"
	"encoding/binary"
	"errors"
)

// A Node is what objects are called through: a *highlander.Node, or a *[Host].
type Node interface {
	Host() *Host
}

// A Collection is the objects of one type, as seen through a node. It is a value; making one does no I/O.
// It may be used concurrently.
//
// Every call honours its context: give it a deadline. Without one a call of an object whose owner cannot be reached gives up
// after 30 s; one that has reached its owner waits as long as that takes.
type Collection[S any] struct {
	typ   *Type[S]
	table *table // nil: the node does not know the type
	codec Codec[S]
}

// On returns the type's objects as seen through the node. When the node was opened without the type, their
// calls fail with [ErrUnknownType].
func (t *Type[S]) On(n Node) Collection[S] {
	return Collection[S]{typ: t, table: n.Host().types[t.Name], codec: t.codec()}
}

// Get returns a copy of the committed state: the defaults if the object was never written.
func (c Collection[S]) Get(ctx context.Context, id string) (S, error) {
	s, _, err := c.GetVersion(ctx, id)
	return s, err
}

// GetVersion is [Collection.Get] and the state's version, 0 if it was never written. Each write raises the
// version by one, a deletion too; updates that were made together share a write.
func (c Collection[S]) GetVersion(ctx context.Context, id string) (S, uint64, error) {
	snap, err := c.snapshot(ctx, id)
	if err != nil {
		return *new(S), 0, err
	}
	return c.codec.Clone(snap.state.(*S)), snap.version, nil
}

// View returns the committed state itself, shared with all who read it: nothing in it may be changed,
// neither now nor later. It costs no copy.
func (c Collection[S]) View(ctx context.Context, id string) (*S, error) {
	snap, err := c.snapshot(ctx, id)
	if err != nil {
		return nil, err
	}
	return snap.state.(*S), nil
}

func (c Collection[S]) snapshot(ctx context.Context, id string) (*snapshot, error) {
	if snap := c.table.resident(id); snap != nil {
		return snap, nil
	}
	snap, reply, err := c.table.read(ctx, Key{c.typ.Name, id}, getName, noArgs)
	if err != nil || snap != nil {
		return snap, err
	}
	state := c.typ.fresh()
	version, n := binary.Uvarint(reply)
	if n <= 0 {
		return nil, unavailable(Key{c.typ.Name, id}, errBadReply)
	}
	if err := c.codec.Decode(reply[n:], &state); err != nil {
		return nil, unavailable(Key{c.typ.Name, id}, err)
	}
	return &snapshot{&state, version}, nil
}

func noArgs() ([]byte, error) { return nil, nil }

// Put makes state the object's state, whatever it was.
func (c Collection[S]) Put(ctx context.Context, id string, state S) error {
	return c.put(ctx, id, state, PutMode{Creates: true})
}

// PutIf is [Collection.Put] if the object's version is still version, as [Collection.GetVersion] gave it (0:
// never written). Otherwise nothing changes, and the error matches [ErrVersion].
func (c Collection[S]) PutIf(ctx context.Context, id string, version uint64, state S) error {
	return c.put(ctx, id, state, PutMode{Creates: true, Conditional: true, Version: version})
}

// Delete makes the object as if it had never been written: it has the defaults again. A tombstone with the next version stays for the object's idle
// time at least, so that a PutIf of an earlier version, or a write that comes late, does not bring it back. Deleting what does not exist is no error.
func (c Collection[S]) Delete(ctx context.Context, id string) error {
	m := remove(c.typ)
	call := &updateCall[S, None, None]{op: op{deletes: true}, method: m, codec: c.codec}
	call.op.mutation = call
	_, err := c.table.update(ctx, Key{c.typ.Name, id}, &call.op)
	return err
}

func (c Collection[S]) put(ctx context.Context, id string, state S, mode PutMode) error {
	m := replace(c.codec)
	call := &updateCall[S, S, None]{op: op{mode: mode}, method: m, codec: c.codec, arg: m.args.copy(state)}
	call.op.mutation = call
	_, err := c.table.update(ctx, Key{c.typ.Name, id}, &call.op)
	return err
}

// replace is the update that makes its argument the state.
func replace[S any](codec Codec[S]) *UpdateMethod[S, S, None] {
	return &UpdateMethod[S, S, None]{
		name:    putName,
		run:     func(_ context.Context, s *S, state S) (None, error) { *s = state; return None{}, nil },
		args:    values[S]{Codec: codec},
		results: valuesOf[None](),
	}
}

// remove is the update that makes the state the defaults again.
func remove[S any](t *Type[S]) *UpdateMethod[S, None, None] {
	return &UpdateMethod[S, None, None]{
		name:    deleteName,
		run:     func(_ context.Context, s *S, _ None) (None, error) { *s = t.fresh(); return None{}, nil },
		args:    valuesOf[None](),
		results: valuesOf[None](),
	}
}

// Ref names one object of the collection, to call methods on.
func (c Collection[S]) Ref(id string) Ref[S] { return Ref[S]{c, id} }

// A Ref names one object. It is a value; the object need not exist.
type Ref[S any] struct {
	collection Collection[S]
	id         string
}

func (r Ref[S]) key() Key { return Key{r.collection.typ.Name, r.id} }

// None is the argument or result of methods that have none.
type None = struct{}

// An UpdateMethod changes an object of state S, given an A, and returns an R. Make one with [Update].
type UpdateMethod[S, A, R any] struct {
	name    string
	run     func(context.Context, *S, A) (R, error)
	args    values[A]
	results values[R]
}

// Update makes an update method. run gets a copy of the state to change: the change is durable before the
// caller has its answer. If run returns an error or panics nothing changes. Updates of one object run one at a
// time.
//
// run may be run more than once for one call, each time on a fresh copy of the then newest state with a
// fresh copy of the argument, and only the last run counts: what it does besides changing the state must bear that.
func Update[S, A, R any](name string, run func(ctx context.Context, s *S, arg A) (R, error)) *UpdateMethod[S, A, R] {
	return &UpdateMethod[S, A, R]{name, run, valuesOf[A](), valuesOf[R]()}
}

// Call runs the method at the object's owner. Argument and result are copied where they hold references.
func (m *UpdateMethod[S, A, R]) Call(ctx context.Context, r Ref[S], arg A) (R, error) {
	c := &updateCall[S, A, R]{method: m, codec: r.collection.codec, arg: m.args.copy(arg)}
	c.op.mutation = c
	reply, err := r.collection.table.update(ctx, r.key(), &c.op)
	if err != nil {
		return *new(R), err
	}
	if reply == nil {
		return m.results.copy(c.result), nil
	}
	if err := m.results.Decode(reply, &c.result); err != nil {
		return *new(R), unknown(r.key(), err) // the update is durable, but what it returned is lost
	}
	return c.result, nil
}

func (m *UpdateMethod[S, A, R]) method(codec Codec[S]) *method {
	return &method{name: m.name, update: func(args []byte) (*op, error) {
		c := &updateCall[S, A, R]{op: op{deletes: m.name == deleteName}, method: m, codec: codec}
		c.op.mutation = c
		return &c.op, m.args.Decode(args, &c.arg)
	}}
}

// A mutation is one call of an update.
type mutation interface {
	name() string
	apply(ctx context.Context, base any) (next any, err error) // does not change base
	args() ([]byte, error)                                     // for another node
	reply() ([]byte, error)                                    // the result, for another node; never nil
}

type updateCall[S, A, R any] struct {
	op     op
	method *UpdateMethod[S, A, R]
	codec  Codec[S]
	arg    A
	result R
}

func (c *updateCall[S, A, R]) apply(ctx context.Context, base any) (any, error) {
	s := c.codec.Clone(base.(*S))
	var err error
	c.result, err = c.method.run(ctx, &s, c.method.args.copy(c.arg))
	return &s, err
}

func (c *updateCall[S, A, R]) name() string { return c.method.name }

func (c *updateCall[S, A, R]) args() ([]byte, error) { return c.method.args.Append(nil, &c.arg) }

func (c *updateCall[S, A, R]) reply() ([]byte, error) {
	return c.method.results.Append([]byte{}, &c.result)
}

// A ReadMethod answers a question about an object of state S. Make one with [Read].
type ReadMethod[S, A, R any] struct {
	name    string
	run     func(context.Context, *S, A) (R, error)
	args    values[A]
	results values[R]
}

// Read makes a read method. run is given the committed state itself, which others read at the same time: it
// must not change anything in it. Reads neither wait for updates nor for each other.
func Read[S, A, R any](name string, run func(ctx context.Context, s *S, arg A) (R, error)) *ReadMethod[S, A, R] {
	return &ReadMethod[S, A, R]{name, run, valuesOf[A](), valuesOf[R]()}
}

// Call runs the method at the object's owner. Argument and result are copied where they hold references.
func (m *ReadMethod[S, A, R]) Call(ctx context.Context, r Ref[S], arg A) (R, error) {
	t, id := r.collection.table, r.id
	snap := t.resident(id)
	if snap == nil {
		var result R
		var err error
		if snap, result, err = m.away(ctx, r, arg); snap == nil {
			return result, err
		}
	}
	result, err := m.on(&methodContext{ctx, t, id}, snap, m.args.copy(arg))
	if err != nil {
		return *new(R), err
	}
	return m.results.copy(result), nil
}

// away finds the object: it returns the state to read if it is owned here, else its owner's result.
func (m *ReadMethod[S, A, R]) away(ctx context.Context, r Ref[S], arg A) (snap *snapshot, result R, err error) {
	snap, reply, err := r.collection.table.read(ctx, r.key(), m.name, func() ([]byte, error) { return m.args.Append(nil, &arg) })
	if err != nil || snap != nil {
		return snap, result, err
	}
	if err := m.results.Decode(reply, &result); err != nil {
		return nil, *new(R), unavailable(r.key(), err)
	}
	return nil, result, nil
}

func (m *ReadMethod[S, A, R]) on(ctx *methodContext, snap *snapshot, arg A) (result R, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = ctx.panicked(m.name, p)
		}
	}()
	return m.run(ctx, snap.state.(*S), arg)
}

func (m *ReadMethod[S, A, R]) method(Codec[S]) *method {
	return &method{name: m.name, read: func(ctx *methodContext, snap *snapshot, args []byte) ([]byte, error) {
		var arg A
		if err := m.args.Decode(args, &arg); err != nil {
			return nil, err
		}
		result, err := m.on(ctx, snap, arg)
		if err != nil {
			return nil, err
		}
		return m.results.Append([]byte{}, &result)
	}}
}

// The names by which other nodes call what every type has. No Go method has such a name.
const (
	getName    = "get state"
	putName    = "put state"
	deleteName = "delete state"
)

// builtIn tells whether every type has a method of that name.
func builtIn(name string) bool { return name == getName || name == putName || name == deleteName }

var errBadReply = errors.New("the owner's reply cannot be read: do both nodes run the same version?")

func getMethod[S any](codec Codec[S]) *method {
	return &method{name: getName, read: func(_ *methodContext, snap *snapshot, _ []byte) ([]byte, error) {
		return codec.Append(binary.AppendUvarint([]byte{}, snap.version), snap.state.(*S))
	}}
}
