package codectest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/object"
)

// A Case is a type of objects that objgen has made.
type Case struct {
	Type       object.Definition     // the *object.Type
	Collection func(object.Node) any // its objects
}

// Check tests the codecs of the type's states, arguments and results, and its methods by references to an object on the node.
func (c Case) Check(t testing.TB, r *rand.Rand, node object.Node) {
	t.Helper()
	typ := reflect.ValueOf(c.Type).Elem()
	state := codecOf(typ.FieldByName("Codec"), false)
	state.check(t, r)
	methods := typ.FieldByName("Methods")
	for i := range methods.Len() {
		m := methods.Index(i).Elem().Elem()
		for _, part := range []string{"Args", "Results"} {
			if c := codecOf(m.FieldByName(part), true); !c.field("Append").IsNil() {
				c.check(t, r)
			}
		}
	}
	if t.Failed() {
		return
	}
	o := objects{t, r, state, reflect.ValueOf(c.Collection(node)), t.Context()}
	for i := range methods.Len() {
		m := methods.Index(i).Elem().Elem()
		o.call(m.FieldByName("Name").String(), fmt.Sprint("id", i))
	}
}

// A reflectedCodec is an object.Codec, called by reflection.
type reflectedCodec struct {
	codec reflect.Value
	of    reflect.Type
	tuple bool
}

func codecOf(v reflect.Value, tuple bool) reflectedCodec {
	of := v.FieldByName("Append").Type().In(1)
	return reflectedCodec{v, of, tuple}
}

func (c reflectedCodec) field(name string) reflect.Value { return c.codec.FieldByName(name) }

func (c reflectedCodec) encode(v reflect.Value) ([]byte, error) {
	return codec.Encode(nil, v, func(b []byte, v reflect.Value) []byte {
		return c.field("Append").Call([]reflect.Value{reflect.ValueOf(b), v})[0].Bytes()
	})
}

// decode returns what is read.
func (c reflectedCodec) decode(src []byte) (reflect.Value, error) {
	v := reflect.New(c.of)
	err := codec.Decode(src, &v, func(r *codec.Reader, v *reflect.Value) {
		c.field("Read").Call([]reflect.Value{reflect.ValueOf(r), *v})
	})
	return v.Elem(), err
}

// clone returns a copy by Clone, or by assignment.
func (c reflectedCodec) clone(v reflect.Value) reflect.Value {
	copied := reflect.New(c.of).Elem()
	copied.Set(v)
	if clone := c.field("Clone"); !clone.IsNil() {
		copied.Set(clone.Call([]reflect.Value{v})[0])
	}
	return copied
}

// random returns a value.
func (c reflectedCodec) random(r *rand.Rand) reflect.Value {
	v := reflect.New(c.of)
	Fill(r, v.Interface())
	return v.Elem()
}

func (c reflectedCodec) check(t testing.TB, r *rand.Rand) {
	t.Helper()
	zero := reflect.New(c.of).Elem()
	c.checkValue(t, zero)
	v := c.random(r)
	c.checkValue(t, v)
	c.checkRead(t, "longer", Widened(v, c.tuple, r), v)
	short := Shortened(v, c.tuple, r)
	c.checkRead(t, "shorter", short, v)
	nothing := reflect.New(c.of).Elem()
	for i := range nothing.NumField() {
		if !c.tuple && c.of.Field(i).IsExported() {
			setDefault(open(nothing.Field(i)), c.of.Field(i).Tag)
		}
	}
	c.checkRead(t, "empty", []byte{0x90}, nothing)
	c.checkRead(t, "nil", []byte{0xc0}, nothing)
	if !c.field("Shape").IsNil() {
		c.checkCarry(t, r)
	}
	c.checkGarbage(t, r, Encode(v, c.tuple))
}

// checkValue tests that v is written by the rules, is read back, and can be copied.
func (c reflectedCodec) checkValue(t testing.TB, v reflect.Value) {
	t.Helper()
	want := Encode(v, c.tuple)
	src, err := c.encode(v)
	if err != nil || !bytes.Equal(src, want) {
		t.Errorf("%v: encoded as %x, %v, by the rules %x", c.of, src, err, want)
		return
	}
	c.checkRead(t, "the same", src, v)
	copied := c.clone(v)
	if d := Difference(copied, v, c.tuple); d != "" {
		t.Errorf("%v: a clone is different at %s", c.of, d)
	}
	Scramble(copied)
	if !bytes.Equal(Encode(v, c.tuple), want) {
		t.Errorf("%v: a clone shares memory with the original: %x has become %x", c.of, want, Encode(v, c.tuple))
	}
}

// checkRead tests that src is read as want, and written as that.
func (c reflectedCodec) checkRead(t testing.TB, what string, src []byte, want reflect.Value) {
	t.Helper()
	given := slices.Clone(src)
	got, err := c.decode(src)
	clear(src) // nothing of it may be kept
	if err != nil {
		t.Errorf("%v: %s encoding %x: %v", c.of, what, given, err)
		return
	}
	if d := Difference(got, want, c.tuple); d != "" {
		t.Errorf("%v: %s encoding %x is read wrong at %s", c.of, what, given, d)
	}
	again, err := c.encode(got)
	if err != nil || !bytes.Equal(again, Encode(want, c.tuple)) {
		t.Errorf("%v: what is read of the %s encoding is written as %x, %v", c.of, what, again, err)
	}
	copy(src, given)
}

// checkCarry tests that what other versions have added stays, and nothing else does.
func (c reflectedCodec) checkCarry(t testing.TB, r *rand.Rand) {
	t.Helper()
	shape := c.field("Shape").Interface().(func() codec.Shape)
	v, other := c.random(r), c.random(r)
	next := Encode(v, c.tuple)
	if got, err := codec.Carry(nil, Encode(other, c.tuple), next, shape); err != nil || !bytes.Equal(got, next) {
		t.Errorf("%v: over a value of its shape %x is carried as %x, %v", c.of, next, got, err)
	}
	base := Widened(v, c.tuple, r)
	if got, err := codec.Carry(nil, base, next, shape); err != nil || !bytes.Equal(got, base) {
		t.Errorf("%v: what is added to %x is carried as %x, %v", c.of, base, got, err)
	}
	base = Widened(v, c.tuple, r)
	got, err := codec.Carry(nil, base, Encode(other, c.tuple), shape)
	if err != nil {
		t.Errorf("%v: %v", c.of, err)
		return
	}
	c.checkRead(t, "completed", got, other)
}

// checkGarbage tests that nothing panics.
func (c reflectedCodec) checkGarbage(t testing.TB, r *rand.Rand, src []byte) {
	t.Helper()
	for range 4 {
		broken := slices.Clone(src)
		for range 1 + r.IntN(3) {
			broken[r.IntN(len(broken))] = byte(r.Uint32())
		}
		broken = broken[:r.IntN(len(broken)+1)]
		v, err := c.decode(broken)
		if err != nil {
			continue
		}
		if again, err := c.encode(v); err == nil { // not all that parse are written so that they parse
			c.decode(again)
		}
	}
}

// objects are those of a type, on a node.
type objects struct {
	testing.TB
	r          *rand.Rand
	codec      reflectedCodec
	collection reflect.Value
	ctx        context.Context
}

// method calls one of a collection or a reference. The last result is its error.
func (o objects) method(on reflect.Value, name string, args ...reflect.Value) ([]reflect.Value, error) {
	args = append([]reflect.Value{reflect.ValueOf(o.ctx)}, args...)
	results := on.MethodByName(name).Call(args)
	last := len(results) - 1
	err, _ := results[last].Interface().(error)
	return results[:last], err
}

func (o objects) id(id string) reflect.Value {
	return reflect.ValueOf(id).Convert(o.collection.MethodByName("Ref").Type().In(0))
}

func (o objects) state(id string) reflect.Value {
	got, err := o.method(o.collection, "Get", o.id(id))
	if err != nil {
		o.Fatalf("get of a %v: %v", o.codec.of, err)
	}
	return addressable(got[0])
}

// call calls the method by a reference and by hand, and compares. Then it changes all that was passed and returned, and looks for it in the state.
func (o objects) call(name, id string) {
	what := fmt.Sprint(o.codec.of, ".", name)
	stateAt := o.codec.random(o.r)
	if _, err := o.method(o.collection, "Put", o.id(id), stateAt); err != nil {
		o.Fatalf("%s: put: %v", what, err)
	}
	byHand := reflect.New(o.codec.of)
	byHand.Elem().Set(o.state(id))

	ref := o.collection.MethodByName("Ref").Call([]reflect.Value{o.id(id)})[0]
	signature := ref.MethodByName(name).Type()
	var args, copies []reflect.Value
	for i := 1; i < signature.NumIn(); i++ {
		seed := o.r.Uint64()
		arg, again := reflect.New(signature.In(i)), reflect.New(signature.In(i))
		Fill(rand.New(rand.NewPCG(seed, 0)), arg.Interface())
		Fill(rand.New(rand.NewPCG(seed, 0)), again.Interface())
		args, copies = append(args, arg.Elem()), append(copies, again.Elem())
	}
	results, err := o.method(ref, name, args...)
	if err != nil {
		o.Errorf("%s: %v", what, err)
		return
	}
	wanted := byHand.MethodByName(name).Call(append([]reflect.Value{reflect.ValueOf(o.ctx)}, copies...))
	for i := range results {
		want := reflect.New(results[i].Type()).Elem()
		want.Set(wanted[i])
		results[i] = addressable(results[i])
		if got, want := Encode(results[i], false), Encode(want, false); !bytes.Equal(got, want) {
			o.Errorf("%s: result %d is %x, want %x", what, i, got, want)
		}
	}
	want := Encode(byHand.Elem(), false)
	if got := Encode(o.state(id), false); !bytes.Equal(got, want) {
		o.Errorf("%s leaves %x, want %x", what, got, want)
	}
	for _, v := range slices.Concat(results, args) {
		Scramble(v)
	}
	if got := Encode(o.state(id), false); !bytes.Equal(got, want) {
		o.Errorf("%s: changes of its arguments and results change the state from %x to %x", what, want, got)
	}
}
