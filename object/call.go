package object

import (
	"context"
	"encoding/binary"
)

// A Node is what objects are called through: a *highlander.Node, or a *[Host].
type Node interface {
	Host() *Host
}

// A Collection is the objects of one type whose state is an S, as seen through a node. It is a value; making one does no I/O.
// It may be used concurrently. Ids are of a string type: objgen gives each type of object one of its own, if it is asked to.
//
// Every call honours its context: give it a deadline. Without one a call of an object whose owner cannot be reached gives up
// after 30 s; one that has reached its owner waits as long as that takes.
type Collection[S any, ID ~string] struct{ typed *typed[S] }

// On returns the type's objects as seen through the node. When the node was opened without the type, their
// calls fail with [ErrUnknownType].
func (t *Type[S]) On(n Node) Collection[S, string] { return On[string](t, n) }

// On is [Type.On] for ids of the type ID.
func On[ID ~string, S any](t *Type[S], n Node) Collection[S, ID] {
	if h := n.Host(); h != nil && h.types[t.Name] != nil {
		if typed, same := h.types[t.Name].def.typed.(*typed[S]); same { // else the node has another type of that name
			return Collection[S, ID]{typed}
		}
	}
	return Collection[S, ID]{&typed[S]{name: t.Name}}
}

// Get returns a copy of the committed state: the defaults if the object was never written.
func (c Collection[S, ID]) Get(ctx context.Context, id ID) (S, error) {
	s, _, err := c.GetVersion(ctx, id)
	return s, err
}

// GetVersion is [Collection.Get] and the state's version, 0 if it was never written. Each write raises the
// version by one, a deletion too; updates that were made together share a write. An update that has failed is written, too, if it was called with an
// id of [WithRequestID], or may have run before: that it has failed must not be forgotten.
func (c Collection[S, ID]) GetVersion(ctx context.Context, id ID) (S, uint64, error) {
	snap, err := c.snapshot(ctx, id)
	if err != nil {
		return *new(S), 0, err
	}
	return c.typed.codec.copy(*snap.state.(*S)), snap.version, nil
}

// View returns the committed state itself, shared with all who read it: nothing in it may be changed,
// neither now nor later. It costs no copy.
func (c Collection[S, ID]) View(ctx context.Context, id ID) (*S, error) {
	snap, err := c.snapshot(ctx, id)
	if err != nil {
		return nil, err
	}
	return snap.state.(*S), nil
}

func (c Collection[S, ID]) snapshot(ctx context.Context, id ID) (*snapshot, error) {
	if snap := c.typed.table.resident(string(id)); snap != nil {
		return snap, nil
	}
	key := c.typed.key(string(id))
	snap, reply, err := c.typed.table.read(ctx, key, getName, noArgs)
	if err != nil || snap != nil {
		return snap, err
	}
	version, n := binary.Uvarint(reply)
	if n <= 0 {
		return nil, unavailable(key, errBadReply)
	}
	var state placed[S]
	if err := c.typed.placed.decode(reply[n:], &state); err != nil {
		if newer := newerIn(err); newer != nil {
			err = newer
		}
		return nil, unavailable(key, err)
	}
	return &snapshot{state: &state.state, version: version}, nil
}

func noArgs() ([]byte, error) { return nil, nil }

// Put makes state the object's state, whatever it was. Fields that only another version of the program knows keep their values.
func (c Collection[S, ID]) Put(ctx context.Context, id ID, state S) error {
	return c.put(ctx, id, state, PutMode{Creates: true})
}

// PutIf is [Collection.Put] if the object's version is still version, as [Collection.GetVersion] gave it (0:
// there is no record). Otherwise nothing changes, and the error matches [ErrVersion].
func (c Collection[S, ID]) PutIf(ctx context.Context, id ID, version uint64, state S) error {
	return c.put(ctx, id, state, PutMode{Creates: true, Conditional: true, Version: version})
}

// Delete makes the object as if it had never been written: it has the defaults again. A tombstone with the next version stays for the object's idle
// time at least, so that a PutIf of an earlier version, or a write that comes late, does not bring it back. Deleting what does not exist is no error.
func (c Collection[S, ID]) Delete(ctx context.Context, id ID) error {
	t := c.typed
	return run(ctx, t, string(id), &updateCall[S, None, None]{op: op{deletes: true}, method: t.remove, clone: t.codec.Clone})
}

func (c Collection[S, ID]) put(ctx context.Context, id ID, state S, mode PutMode) error {
	t := c.typed
	return run(ctx, t, string(id), &updateCall[S, placed[S], None]{op: op{mode: mode}, method: t.replace, clone: t.codec.Clone,
		arg: t.placed.copy(placed[S]{state: state})})
}

// run has c run at the object's owner.
func run[S, A any](ctx context.Context, t *typed[S], id string, c *updateCall[S, A, None]) error {
	c.op.mutation = c
	_, err := t.table.update(ctx, t.key(id), &c.op)
	return err
}

// Ref names one object of the collection, to call methods on.
func (c Collection[S, ID]) Ref(id ID) Ref[S] { return Ref[S]{c.typed, string(id)} }

// A Ref names one object. It is a value; the object need not exist.
type Ref[S any] struct {
	typed *typed[S]
	id    string
}

func (r Ref[S]) key() Key { return r.typed.key(r.id) }

// None is the argument or result of methods that have none.
type None = struct{}

// An UpdateMethod changes an object of state S, given an A, and returns an R. objgen writes them; by hand [Update] makes one. It is not
// to be changed once it is in use.
type UpdateMethod[S, A, R any] struct {
	Name    string
	Run     func(ctx context.Context, s *S, args A) (R, error)
	Args    Codec[A]
	Results Codec[R]
}

// Update makes an update method. run gets a copy of the state to change: the change is durable before the
// caller has its answer. If run returns an error or panics nothing changes. Updates of one object run one at a
// time.
//
// run may be run more than once for one call, each time on a fresh copy of the then newest state with a
// fresh copy of the argument, and only the last run counts: what it does besides changing the state must bear that.
func Update[S, A, R any](name string, run func(ctx context.Context, s *S, arg A) (R, error)) *UpdateMethod[S, A, R] {
	return &UpdateMethod[S, A, R]{name, run, reflected[A](), reflected[R]()}
}

// Call runs the method at the object's owner. Argument and result are copied where they hold references.
func (m *UpdateMethod[S, A, R]) Call(ctx context.Context, r Ref[S], arg A) (R, error) {
	c := &updateCall[S, A, R]{method: m, clone: r.typed.codec.Clone, arg: m.Args.copy(arg)}
	c.op.mutation = c
	reply, err := r.typed.table.update(ctx, r.key(), &c.op)
	if err != nil {
		return *new(R), err
	}
	if reply == nil {
		return m.Results.copy(c.result), nil
	}
	var result R
	if err := m.Results.decode(reply, &result); err != nil {
		return *new(R), unknown(r.key(), err) // the update is durable, but what it returned is lost
	}
	return result, nil
}

func (m *UpdateMethod[S, A, R]) method(clone func(S) S) *method {
	return &method{name: m.Name, update: func(args []byte) (*op, error) {
		c := &updateCall[S, A, R]{op: op{deletes: m.Name == deleteName}, method: m, clone: clone}
		c.op.mutation = c
		return &c.op, m.Args.decode(args, &c.arg)
	}}
}

// A mutation is one call of an update.
type mutation interface {
	name() string
	apply(ctx context.Context, base any) (next any, err error) // does not change base
	args() ([]byte, error)                                     // for another node
	reply(b []byte) ([]byte, error)                            // appends the result, for another node
	again() *op                                                // of the same call, for another attempt: this one may still be run
}

type updateCall[S, A, R any] struct {
	op     op
	method *UpdateMethod[S, A, R]
	clone  func(S) S // nil: assigning an S copies it
	arg    A
	result R
}

func (c *updateCall[S, A, R]) apply(ctx context.Context, base any) (any, error) {
	s := *base.(*S)
	if c.clone != nil {
		s = c.clone(s)
	}
	var err error
	c.result, err = c.method.Run(ctx, &s, c.method.Args.copy(c.arg))
	return &s, err
}

func (c *updateCall[S, A, R]) name() string { return c.method.Name }

func (c *updateCall[S, A, R]) args() ([]byte, error) { return c.method.Args.encode(nil, &c.arg) }

func (c *updateCall[S, A, R]) reply(b []byte) ([]byte, error) {
	return c.method.Results.encode(b, &c.result)
}

func (c *updateCall[S, A, R]) again() *op {
	n := &updateCall[S, A, R]{method: c.method, clone: c.clone, arg: c.arg,
		op: op{Numbered: c.op.Numbered, began: c.op.began, mode: c.op.mode, deletes: c.op.deletes, sent: c.op.sent}}
	n.op.mutation = n
	return &n.op
}
