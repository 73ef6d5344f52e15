// Package reflectcodec copies and encodes Go values by reflection, for types that bring no codec of their own:
// msgpack, structs as maps of their exported fields.
package reflectcodec

import (
	"bytes"
	"fmt"
	"reflect"
	"time"

	library "github.com/vmihailenco/msgpack/v5"

	"github.com/highlander-go/highlander/codec"
)

// Flat tells whether assigning a T copies it: it holds no references to anything mutable.
func Flat[T any]() bool { return isFlat(reflect.TypeFor[T]()) }

// Append appends v as one msgpack value. Equal values have equal bytes, but for what types with an EncodeMsgpack or MarshalMsgpack of
// their own write, and for structs whose tags have strings interned.
func Append[T any](dst []byte, v T) []byte {
	buf := bytes.NewBuffer(dst)
	enc := library.GetEncoder()
	defer library.PutEncoder(enc)
	enc.Reset(buf)
	enc.SetSortMapKeys(true)
	if err := enc.Encode(&v); err != nil {
		codec.Fail(err)
	}
	b := buf.Bytes()
	if disorders(reflect.TypeFor[T]()) {
		sortMaps(b[len(dst):])
	}
	return b
}

// Read sets v from what Append wrote. Bytes of any other kind are an error; v may be half set then.
func Read[T any](r *codec.Reader, v *T) {
	if src := r.Raw(); r.Err() == nil {
		if err := unmarshal(src, v); err != nil {
			r.Fail(err)
		}
	}
}

func unmarshal[T any](src []byte, v *T) (err error) {
	defer func() { // msgpack panics over some, such as a nil where a time.Time belongs
		if p := recover(); p != nil {
			err = fmt.Errorf("it does not hold a %T: %v", *v, p)
		}
	}()
	return library.Unmarshal(src, v)
}

// Clone returns a copy of v that shares nothing mutable with it.
func Clone[T any](v T) T {
	detach(reflect.ValueOf(&v).Elem())
	return v
}

var timeType = reflect.TypeFor[time.Time]()

// isFlat tells whether values of type t hold no references to anything mutable.
func isFlat(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return false
	case reflect.Array:
		return isFlat(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if t != timeType && !isFlat(t.Field(i).Type) {
				return false
			}
		}
	}
	return true
}

// detach replaces everything that v, which is settable, shares with the value that it was assigned from by
// copies. Unexported fields, channels and functions stay shared: they are not state.
func detach(v reflect.Value) {
	if isFlat(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				detach(v.Field(i))
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			detach(v.Index(i))
		}
	case reflect.Slice:
		if v.IsNil() {
			return
		}
		s := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(s, v)
		for i := range s.Len() {
			detach(s.Index(i))
		}
		v.Set(s)
	case reflect.Map:
		if v.IsNil() {
			return
		}
		m := reflect.MakeMapWithSize(v.Type(), v.Len())
		for it := v.MapRange(); it.Next(); {
			m.SetMapIndex(detached(it.Key()), detached(it.Value()))
		}
		v.Set(m)
	case reflect.Pointer:
		if !v.IsNil() {
			p := reflect.New(v.Type().Elem())
			p.Elem().Set(detached(v.Elem()))
			v.Set(p)
		}
	case reflect.Interface:
		if !v.IsNil() {
			v.Set(detached(v.Elem()))
		}
	}
}

func detached(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	detach(c)
	return c
}
