package codectest

import (
	"bytes"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"time"
	"unsafe"
)

// Difference says where got differs from want, which are of one type, or "". Nil is not empty, a NaN is itself, times are compared by Equal and
// those with marshalers by what they return. Of unexported fields got has none: they must be zero.
func Difference(got, want reflect.Value, tuple bool) string {
	if tuple {
		return fieldsDiffer(got, want, tuple, "")
	}
	return differ(got, want, "")
}

func differ(got, want reflect.Value, path string) string {
	got, want = open(got), open(want)
	if isTime(got.Type()) {
		a, b := got.Convert(timeType).Interface().(time.Time), want.Convert(timeType).Interface().(time.Time)
		return unless(a.Equal(b), path)
	}
	if m := marshalerOf(got.Type()); m != "" {
		a, errA := marshal(got, m)
		b, errB := marshal(want, m)
		return unless(errA == nil && errB == nil && bytes.Equal(a, b), path)
	}
	switch got.Kind() {
	case reflect.Float32, reflect.Float64:
		return unless(math.Float64bits(got.Float()) == math.Float64bits(want.Float()), path)
	case reflect.Array, reflect.Slice:
		if got.Len() != want.Len() || got.Kind() == reflect.Slice && got.IsNil() != want.IsNil() {
			return path
		}
		for i := range got.Len() {
			if d := differ(got.Index(i), want.Index(i), path+"[]"); d != "" {
				return d
			}
		}
	case reflect.Map:
		if got.Len() != want.Len() || got.IsNil() != want.IsNil() {
			return path
		}
		for _, key := range want.MapKeys() {
			a, b := got.MapIndex(key), want.MapIndex(key)
			if !a.IsValid() {
				return path
			}
			if d := differ(addressable(a), addressable(b), path+"[]"); d != "" {
				return d
			}
		}
	case reflect.Pointer:
		if got.IsNil() || want.IsNil() {
			return unless(got.IsNil() && want.IsNil(), path)
		}
		return differ(got.Elem(), want.Elem(), path)
	case reflect.Struct:
		return fieldsDiffer(got, want, false, path)
	default:
		return unless(got.Interface() == want.Interface(), path)
	}
	return ""
}

func fieldsDiffer(got, want reflect.Value, tuple bool, path string) string {
	for i := range got.NumField() {
		f := got.Type().Field(i)
		where := path + "." + f.Name
		if !tuple && !f.IsExported() {
			if f.Name != "_" && !open(got.Field(i)).IsZero() {
				return where
			}
			continue
		}
		if d := differ(got.Field(i), want.Field(i), where); d != "" {
			return d
		}
	}
	return ""
}

func unless(same bool, path string) string {
	if same {
		return ""
	}
	return path + "."
}

func addressable(v reflect.Value) reflect.Value {
	a := reflect.New(v.Type()).Elem()
	a.Set(v)
	return a
}

// Scramble changes all that v refers to, and what is in v itself: whoever shares memory with it will notice. Room behind slices counts.
func Scramble(v reflect.Value) { scramble(v, map[unsafe.Pointer]bool{}) }

func scramble(v reflect.Value, seen map[unsafe.Pointer]bool) {
	v = open(v)
	switch p := v.Addr().Interface().(type) {
	case *time.Time, *netip.Addr, *netip.Prefix, *netip.AddrPort: // nobody can write through what they hold
		v.SetZero()
		return
	case *big.Int:
		for i := range p.Bits() {
			p.Bits()[i]++
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(12345.5)
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Array:
		for i := range v.Len() {
			scramble(v.Index(i), seen)
		}
	case reflect.Slice:
		whole := v.Slice(0, v.Cap())
		for i := range whole.Len() {
			scramble(whole.Index(i), seen)
		}
	case reflect.Map:
		if v.IsNil() {
			return
		}
		for _, key := range v.MapKeys() {
			elem := addressable(v.MapIndex(key))
			scramble(elem, seen)
			v.SetMapIndex(key, elem)
		}
		v.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Value{}) // and one entry less, or more
		if v.Len() == 0 {
			v.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
		}
	case reflect.Pointer:
		if v.IsNil() || seen[v.UnsafePointer()] {
			return
		}
		seen[v.UnsafePointer()] = true
		scramble(v.Elem(), seen)
	case reflect.Struct:
		if isTime(v.Type()) {
			v.SetZero()
			return
		}
		for i := range v.NumField() {
			scramble(v.Field(i), seen)
		}
	}
}
