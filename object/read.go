package object

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
)

// A ReadMethod answers a question about an object of state S. objgen writes them; by hand [Read] makes one. It is not to be changed once
// it is in use.
type ReadMethod[S, A, R any] struct {
	Name    string
	Run     func(ctx context.Context, s *S, args A) (R, error)
	Args    Codec[A]
	Results Codec[R]
}

// Read makes a read method. run is given the committed state itself, which others read at the same time: it
// must not change anything in it. Reads neither wait for updates nor for each other. A read should call no updates of other objects: it is made again without further
// ado, and so would they be.
func Read[S, A, R any](name string, run func(ctx context.Context, s *S, arg A) (R, error)) *ReadMethod[S, A, R] {
	return &ReadMethod[S, A, R]{name, run, reflected[A](), reflected[R]()}
}

// Call runs the method at the object's owner. Argument and result are copied where they hold references.
func (m *ReadMethod[S, A, R]) Call(ctx context.Context, r Ref[S], arg A) (R, error) {
	t, id := r.typed.table, r.id
	snap := t.resident(id)
	if snap == nil {
		var result R
		var err error
		if snap, result, err = m.away(ctx, r, arg); snap == nil {
			return result, err
		}
	}
	result, err := m.on(ctx, t, id, snap, m.Args.copy(arg))
	if err != nil {
		return *new(R), err
	}
	return m.Results.copy(result), nil
}

// away finds the object: it returns the state to read if it is owned here, else its owner's result.
func (m *ReadMethod[S, A, R]) away(ctx context.Context, r Ref[S], arg A) (snap *snapshot, result R, err error) {
	snap, reply, err := r.typed.table.read(ctx, r.key(), m.Name, func() ([]byte, error) { return m.Args.encode(nil, &arg) })
	if err != nil || snap != nil {
		return snap, result, err
	}
	if err := m.Results.decode(reply, &result); err != nil {
		return nil, *new(R), unavailable(r.key(), err)
	}
	return nil, result, nil
}

func (m *ReadMethod[S, A, R]) on(ctx context.Context, t *table, id string, snap *snapshot, arg A) (result R, err error) {
	reading := new(Reading)
	reading.begin(ctx, t, id, snap, m.Name)
	defer reading.End(&err)
	return m.Run(reading, snap.state.(*S), arg)
}

func (m *ReadMethod[S, A, R]) method(func(S) S) *method {
	return &method{name: m.Name, read: func(ctx context.Context, t *table, id string, snap *snapshot, args []byte) ([]byte, error) {
		var arg A
		if err := m.Args.decode(args, &arg); err != nil {
			return nil, err
		}
		result, err := m.on(ctx, t, id, snap, arg)
		if err != nil {
			return nil, err
		}
		return m.Results.encode([]byte{}, &result)
	}}
}

// A Reading is the context of a read method that runs. Generated code has it on its stack, so that a read of an object in memory
// allocates nothing:
//
//	var reading object.Reading
//	if l := r.ref.Read(ctx, &reading, "Open"); l != nil {
//		defer reading.End(&err)
//		return l.Open(&reading)
//	}
//
// It must not be used after End.
type Reading struct {
	methodContext
	method string
	snap   *snapshot // what is read, if that is checked
	before []byte    // its state, encoded
}

// Read begins a read of the object, with the method of that name, and returns the committed state, which must not be changed. It returns nil, and nothing has
// begun, if the object is not awake on this node, or may not be answered from memory now: the read is to be called the general way then.
func (r Ref[S]) Read(ctx context.Context, reading *Reading, method string) *S {
	snap := r.typed.table.resident(r.id)
	if snap == nil {
		return nil
	}
	reading.begin(ctx, r.typed.table, r.id, snap, method)
	return snap.state.(*S)
}

func (r *Reading) begin(ctx context.Context, t *table, id string, snap *snapshot, method string) {
	r.methodContext = methodContext{ctx, t, id}
	r.method = method
	if t.host.config.CheckReads {
		r.snap, r.before = snap, t.def.encoded(snap.state)
	}
}

// End ends the read. It is to be deferred: a panic of the method becomes the error.
func (r *Reading) End(err *error) {
	if p := recover(); p != nil {
		*err = r.panicked(r.method, p)
	}
	if r.snap != nil && !r.table.def.same(r.before, r.table.def.encoded(r.snap.state)) {
		*err = r.damaged()
	}
}

// damaged says that the read has changed what it was to read.
func (r *Reading) damaged() error {
	err := fmt.Errorf("%v: the read method %s has changed the committed state, which it shares with all readers: let it copy what it changes, or make it an update",
		Key{r.table.def.name, r.id}, r.method)
	r.table.host.config.Log.Error("a read method has changed an object's state", "object", Key{r.table.def.name, r.id}, "method", r.method)
	return err
}

// encoded returns nil for a state that cannot be encoded: it was damaged, too.
func (d *definition) encoded(state any) []byte {
	b, err := d.encode(nil, state)
	if err != nil {
		return nil
	}
	return b
}

// same tells whether two encoded states are the same. Their bytes may differ all the same, where a type encodes itself.
func (d *definition) same(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, errX := d.decode(d.layout, a)
	y, errY := d.decode(d.layout, b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

// The names by which other nodes call what every type has. No Go method has such a name.
const (
	getName    = "get state"
	putName    = "put state"
	deleteName = "delete state"
)

// builtIn tells whether every type has a method of that name.
func builtIn(name string) bool { return name == getName || name == putName || name == deleteName }
