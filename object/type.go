package object

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/highlander-go/highlander/codec"
)

// Defaults of a [Type].
const (
	DefaultIdle     = 10 * time.Minute
	DefaultMaxState = 4 << 20
	DefaultMaxQueue = 1024
)

// A Type describes a type of object whose state is an S. It is a value like any other: nothing is
// registered anywhere. Do not change it once a node was opened with it.
//
// objgen writes types out of plain structs. A Type that is written by hand needs no Codec: its state is stored as msgpack by reflection, a struct as the map
// of its exported fields. Fields may be added, then they have their default in what was stored before; what is stored of a field that is not
// there any more is dropped.
type Type[S any] struct {
	// Name names the type in keys, and so in the store, for ever.
	Name string

	// Default makes the state of an object that was never written. Nil: the zero S.
	Default func() S

	// Init runs when an object wakes of which the store has no record, on its default state: it may read the application's old database. What it
	// makes of the state is written with the object's first update. When it fails, so does the call, with its error, and the next call tries again.
	// It has 10 s. A deleted object stays deleted: it has the defaults again, and its tombstone is never purged.
	Init func(s *S, ctx context.Context) error

	// Methods are what can be called on an object besides reading and writing its whole state.
	Methods []Method[S]

	// Idle is how long an object stays in memory when nobody calls it. 0: [DefaultIdle]. Negative: until
	// the node is drained. Objects may be let go sooner when memory is short.
	Idle time.Duration

	// MaxState is the limit of the encoded state, in bytes. 0: [DefaultMaxState]. An update that would
	// exceed it fails with [ErrTooLarge], unless it makes a state smaller that is too large already.
	MaxState int

	// MaxQueue is how many updates of one object may wait to be run; one more fails with [ErrOverloaded].
	// 0: [DefaultMaxQueue].
	MaxQueue int

	// Layout is the number of the states that this program writes: it is raised with each change that is not additive. An object is written
	// in a layout only while every live member that serves the type can read that; until then the members serve it that write the older one. A state of a
	// higher layout is not served, nor is one of a lower layout without an upgrade.
	Layout uint32

	// Upgrades read states of lower layouts.
	Upgrades []Upgrade[S]

	// Codec copies and encodes states. The zero Codec: by reflection.
	Codec Codec[S]

	// Check, if set, is asked when a node is opened with the type; what it returns is why it cannot be.
	Check func() error
}

// An Upgrade reads a state of the layout From as one of the type's own layout. s is a default.
type Upgrade[S any] struct {
	From uint32
	Read func(r *codec.Reader, s *S) error
}

// A Definition says what a node is opened with: a *[Type], whatever its state, or a [Set].
type Definition interface {
	define(*definitions) error
}

// definitions are what a node was opened with.
type definitions struct {
	types  []*definition
	errors []CrossingError
}

// A Method is an *[UpdateMethod] or a *[ReadMethod] of objects whose state is an S.
type Method[S any] interface {
	method(clone func(S) S) *method
}

// A definition is a Type without its type parameter: states are *S.
type definition struct {
	name     string
	layout   uint32
	idle     time.Duration
	maxState int
	maxQueue int
	fresh    func() any
	init     func(ctx context.Context, state any) error // nil: there is none
	encode   func(dst []byte, state any) ([]byte, error)
	decode   func(layout uint32, src []byte) (any, error)
	shape    func() codec.Shape // nil: nothing is carried
	methods  map[string]*method
	typed    interface{ in(*table) } // a *typed[S]
}

// A method is what can be called from another node.
type method struct {
	name   string
	update func(args []byte) (*op, error) // nil if it is a read
	read   func(ctx context.Context, t *table, id string, snap *snapshot, args []byte) (result []byte, err error)
}

// A typed is a type as one node has it, for those who know its S.
type typed[S any] struct {
	name    string
	table   *table // nil: the node was opened without the type
	codec   Codec[S]
	placed  Codec[placed[S]]
	replace *UpdateMethod[S, placed[S], None]
	remove  *UpdateMethod[S, None, None]
}

func (t *typed[S]) in(table *table) { t.table = table }

func (t *typed[S]) key(id string) Key { return Key{t.name, id} }

// A placed state is one on its way between nodes: it is encoded with its layout, which the other node may not know.
type placed[S any] struct {
	state S
	whole []byte // the state as it is encoded, which may have more or less than this program knows: a part of what was read. nil: of no use
}

func (t *Type[S]) typed() *typed[S] {
	c := t.Codec
	if c.Append == nil {
		c = reflected[S]()
	}
	p := Codec[placed[S]]{
		Append: func(b []byte, v placed[S]) []byte {
			b = codec.AppendUint(codec.AppendArray(b, 2), t.Layout)
			if v.whole != nil {
				return append(b, v.whole...)
			}
			return c.append(b, v.state)
		},
		Read: func(r *codec.Reader, v *placed[S]) {
			layout := uint32(0)
			for i := range r.Fields() {
				switch i {
				case 0:
					codec.ReadUint(r, &layout)
				case 1:
					v.state, v.whole = t.fresh(), r.Raw()
					if err := t.decode(&c, layout, v.whole, &v.state); err != nil {
						r.Fail(err)
					}
					if layout != t.Layout {
						v.whole = nil // its upgrade says what of it remains
					}
				default:
					r.Skip()
				}
			}
		},
	}
	if c.Clone != nil {
		p.Clone = func(v placed[S]) placed[S] { return placed[S]{c.Clone(v.state), v.whole} }
	}
	return &typed[S]{
		name:   t.Name,
		codec:  c,
		placed: p,
		replace: &UpdateMethod[S, placed[S], None]{
			Name: putName,
			Run:  func(_ context.Context, s *S, put placed[S]) (None, error) { return None{}, t.put(&c, s, put) },
			Args: p,
		},
		remove: &UpdateMethod[S, None, None]{
			Name: deleteName,
			Run:  func(_ context.Context, s *S, _ None) (None, error) { *s = t.fresh(); return None{}, nil },
		},
	}
}

// put makes s what was put. What an older version of the program has sent lacks what that does not know: s keeps it.
func (t *Type[S]) put(c *Codec[S], s *S, put placed[S]) error {
	if put.whole == nil || c.Shape == nil {
		*s = put.state
		return nil
	}
	before, err := c.encode(nil, s)
	if err != nil {
		return err
	}
	whole, err := codec.Complete(nil, before, put.whole, c.Shape)
	if err != nil || bytes.Equal(whole, put.whole) {
		*s = put.state
		return err
	}
	*s = t.fresh()
	return t.decode(c, t.Layout, whole, s)
}

// decode sets s, a default, to a state of the layout.
func (t *Type[S]) decode(c *Codec[S], layout uint32, src []byte, s *S) error {
	return codec.Decode(src, s, func(r *codec.Reader, s *S) { t.read(r, c, layout, s) })
}

func (t *Type[S]) read(r *codec.Reader, c *Codec[S], layout uint32, s *S) {
	switch {
	case layout == t.Layout:
		c.read(r, s)
		return
	case layout > t.Layout:
		r.Fail(&newerLayoutError{layout, t.Layout})
		return
	}
	for _, u := range t.Upgrades {
		if u.From == layout {
			if err := u.Read(r, s); err != nil {
				r.Fail(fmt.Errorf("it has layout %d, and its upgrade has failed: %w", layout, err))
			}
			return
		}
	}
	r.Fail(fmt.Errorf("it has layout %d, this program writes %d and has no upgrade from there: give the type one", layout, t.Layout))
}

func (t *Type[S]) define(all *definitions) error {
	if err := validateTypeName(t.Name); err != nil {
		return fmt.Errorf("object: %w", err)
	}
	if t.Check != nil {
		if err := t.Check(); err != nil {
			return fmt.Errorf("object: type %s: %w", t.Name, err)
		}
	}
	typed := t.typed()
	c := typed.codec
	d := &definition{
		name:     t.Name,
		layout:   t.Layout,
		idle:     DefaultIdle,
		maxState: DefaultMaxState,
		maxQueue: DefaultMaxQueue,
		fresh:    func() any { s := t.fresh(); return &s },
		encode:   func(dst []byte, state any) ([]byte, error) { return c.encode(dst, state.(*S)) },
		decode: func(layout uint32, src []byte) (any, error) {
			s := t.fresh()
			err := t.decode(&c, layout, src, &s)
			return &s, err
		},
		shape:   c.Shape,
		methods: make(map[string]*method),
		typed:   typed,
	}
	if err := d.set(Options{t.Idle, t.MaxState, t.MaxQueue}); err != nil {
		return err
	}
	if t.Init != nil {
		d.init = func(ctx context.Context, state any) error { return t.Init(state.(*S), ctx) }
	}
	if _, err := d.encode(nil, d.fresh()); err != nil {
		return fmt.Errorf("object: type %s: its default state cannot be encoded: %w", t.Name, err)
	}
	methods := []*method{typed.get(), typed.put(), typed.remove.method(c.Clone)}
	for _, m := range t.Methods {
		methods = append(methods, m.method(c.Clone))
	}
	for _, m := range methods {
		if m.name == "" || d.methods[m.name] != nil {
			return fmt.Errorf("object: type %s: method name %q is empty or used twice", t.Name, m.name)
		}
		d.methods[m.name] = m
	}
	all.types = append(all.types, d)
	return nil
}

// get is the read by which other nodes get the whole state: its version and the placed state.
func (t *typed[S]) get() *method {
	return &method{name: getName, read: func(_ context.Context, _ *table, _ string, snap *snapshot, _ []byte) ([]byte, error) {
		return t.placed.encode(binary.AppendUvarint([]byte{}, snap.version), &placed[S]{*snap.state.(*S), snap.carried})
	}}
}

// put is the update by which other nodes put the whole state.
func (t *typed[S]) put() *method {
	m := t.replace.method(t.codec.Clone)
	return &method{name: putName, update: func(args []byte) (*op, error) {
		o, err := m.update(args)
		if err == nil {
			o.sent = o.mutation.(*updateCall[S, placed[S], None]).arg.whole
		}
		return o, err
	}}
}

var errBadReply = errors.New("the owner's reply cannot be read: do both nodes run the same version?")

func (t *Type[S]) fresh() S {
	if t.Default == nil {
		var zero S
		return zero
	}
	return t.Default()
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
