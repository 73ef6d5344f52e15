package object

import (
	"fmt"
	"time"

	"github.com/highlander-go/highlander/internal/reflectcodec"
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
// Without a Codec the state is stored as msgpack, a struct as the map of its exported fields: fields may be added, then
// they have their default in what was stored before; what is stored of a field that is not there any more is dropped.
type Type[S any] struct {
	// Name names the type in keys, and so in the store, for ever.
	Name string

	// Default makes the state of an object that was never written. Nil: the zero S.
	Default func() S

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

	// Layout is the number of the states that this program writes: raise it with each change that is not additive, so that older versions
	// of the program refuse what they would misread. A state of a higher layout than this is not served, and no other
	// version's state is refused: Codec or Default must bear states of lower layouts.
	Layout uint32

	// Codec copies and encodes states. Nil: by reflection.
	Codec Codec[S]
}

// A Definition is a *[Type], whatever its state.
type Definition interface {
	define() (*definition, error)
}

// A Method is an *[UpdateMethod] or a *[ReadMethod] of objects whose state is an S.
type Method[S any] interface {
	method(Codec[S]) *method
}

// A definition is a Type without its type parameter: states are *S.
type definition struct {
	name     string
	layout   uint32
	idle     time.Duration
	maxState int
	maxQueue int
	fresh    func() any
	encode   func(dst []byte, state any) ([]byte, error)
	decode   func([]byte) (any, error)
	methods  map[string]*method
}

// A method is what can be called from another node.
type method struct {
	name   string
	update func(args []byte) (*op, error)                                                // nil if it is a read
	read   func(ctx *methodContext, s *snapshot, args []byte) (result []byte, err error) // nil if it is an update
}

func (t *Type[S]) codec() Codec[S] {
	if t.Codec != nil {
		return t.Codec
	}
	return reflectcodec.New[S]()
}

func (t *Type[S]) define() (*definition, error) {
	if err := validateTypeName(t.Name); err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	if t.MaxState < 0 || t.MaxQueue < 0 {
		return nil, fmt.Errorf("object: type %s: MaxState %d and MaxQueue %d must not be negative; 0 stands for the default", t.Name, t.MaxState, t.MaxQueue)
	}
	codec := t.codec()
	d := &definition{
		name:     t.Name,
		layout:   t.Layout,
		idle:     orDefault(t.Idle, DefaultIdle),
		maxState: orDefault(t.MaxState, DefaultMaxState),
		maxQueue: orDefault(t.MaxQueue, DefaultMaxQueue),
		fresh:    func() any { s := t.fresh(); return &s },
		encode:   func(dst []byte, state any) ([]byte, error) { return codec.Append(dst, state.(*S)) },
		decode: func(src []byte) (any, error) {
			s := t.fresh()
			err := codec.Decode(src, &s)
			return &s, err
		},
		methods: map[string]*method{getName: getMethod(codec), putName: replace(codec).method(codec), deleteName: remove(t).method(codec)},
	}
	if _, err := d.encode(nil, d.fresh()); err != nil {
		return nil, fmt.Errorf("object: type %s: its default state cannot be encoded: %w", t.Name, err)
	}
	for _, typed := range t.Methods {
		m := typed.method(codec)
		if m.name == "" || d.methods[m.name] != nil {
			return nil, fmt.Errorf("object: type %s: method name %q is empty or used twice", t.Name, m.name)
		}
		d.methods[m.name] = m
	}
	return d, nil
}

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
