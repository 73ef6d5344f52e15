package codectest

import (
	"bytes"
	"encoding"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// Encode returns what generated code must write for v, which may be the arguments or results of a method: then unexported fields count.
func Encode(v reflect.Value, tuple bool) []byte { return encode(v, tuple, nil, 0) }

// Widened is Encode with up to two more values at the end of each struct, as a later version of the program would write it.
func Widened(v reflect.Value, tuple bool, r *rand.Rand) []byte { return encode(v, tuple, r, 1) }

// Shortened is Encode without some values of each struct, as an earlier version of the program would write it. In v, which must be settable,
// those become the defaults, as they must be read.
func Shortened(v reflect.Value, tuple bool, r *rand.Rand) []byte { return encode(v, tuple, r, 2) }

func encode(v reflect.Value, tuple bool, r *rand.Rand, version int) []byte {
	var b bytes.Buffer
	e := encoder{msgpack.NewEncoder(&b), r, version == 1, version == 2}
	e.UseCompactInts(true)
	if tuple {
		e.structure(v, true)
	} else {
		e.value(v)
	}
	return b.Bytes()
}

type encoder struct {
	*msgpack.Encoder
	r            *rand.Rand
	widen, short bool
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (e *encoder) value(v reflect.Value) {
	v = open(v)
	if isTime(v.Type()) {
		must(e.EncodeTime(v.Convert(timeType).Interface().(time.Time)))
		return
	}
	if m := marshalerOf(v.Type()); m != "" {
		data, err := marshal(v, m)
		must(err)
		if m == "MarshalBinary" {
			must(e.EncodeBytesLen(len(data)))
		} else {
			must(e.EncodeString(string(data)))
			return
		}
		_, err = e.Writer().Write(data)
		must(err)
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		must(e.EncodeBool(v.Bool()))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		must(e.EncodeInt(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		must(e.EncodeUint(v.Uint()))
	case reflect.Float32:
		must(e.EncodeFloat32(float32(v.Float())))
	case reflect.Float64:
		must(e.EncodeFloat64(v.Float()))
	case reflect.String:
		must(e.EncodeString(v.String()))
	case reflect.Struct:
		e.structure(v, false)
	case reflect.Pointer:
		if v.IsNil() {
			must(e.EncodeNil())
			return
		}
		e.value(v.Elem())
	case reflect.Slice, reflect.Array:
		e.list(v)
	case reflect.Map:
		e.mapping(v)
	default:
		panic(fmt.Sprint("no encoding of ", v.Type()))
	}
}

func (e *encoder) list(v reflect.Value) {
	if v.Kind() == reflect.Slice && v.IsNil() {
		must(e.EncodeNil())
		return
	}
	if v.Type().Elem() == reflect.TypeFor[byte]() {
		data := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(data), v)
		must(e.EncodeBytes(data))
		return
	}
	must(e.EncodeArrayLen(v.Len()))
	for i := range v.Len() {
		e.value(v.Index(i))
	}
}

func (e *encoder) mapping(v reflect.Value) {
	if v.IsNil() {
		must(e.EncodeNil())
		return
	}
	must(e.EncodeMapLen(v.Len()))
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return compareKeys(a, b) })
	for _, key := range keys {
		plain := reflect.New(basic(key.Type())).Elem() // keys are not encoded by marshalers
		plain.Set(key.Convert(plain.Type()))
		e.value(plain)
		elem := reflect.New(v.Type().Elem()).Elem()
		elem.Set(v.MapIndex(key))
		e.value(elem)
		if e.short {
			v.SetMapIndex(key, elem)
		}
	}
}

func (e *encoder) structure(v reflect.Value, tuple bool) {
	fields := stored(v.Type(), tuple)
	n, extra := len(fields), 0
	if e.short {
		n = e.r.IntN(n + 1)
	}
	if e.widen {
		extra = e.r.IntN(3)
	}
	must(e.EncodeArrayLen(n + extra))
	for i, f := range fields {
		field := open(v.Field(f))
		switch {
		case i >= n || e.short && e.r.IntN(8) == 0:
			if i < n {
				must(e.EncodeNil())
			}
			field.SetZero()
			if !tuple { // what of arguments and results is not sent is zero
				setDefault(field, v.Type().Field(f).Tag)
			}
		default:
			e.value(field)
		}
	}
	for i := range extra {
		must(e.EncodeMulti([]any{i, "more"}))
	}
}

// stored returns the indexes of the fields that are encoded.
func stored(t reflect.Type, tuple bool) (fields []int) {
	for i := range t.NumField() {
		if tuple || t.Field(i).IsExported() {
			fields = append(fields, i)
		}
	}
	return fields
}

// setDefault sets v, which is zero, to what its tag says, and structs in it to their defaults.
func setDefault(v reflect.Value, tag reflect.StructTag) {
	if text, ok := tag.Lookup("default"); ok {
		must(setText(v, text))
		return
	}
	if isTime(v.Type()) || marshalerOf(v.Type()) != "" {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, i := range stored(v.Type(), false) {
			setDefault(v.Field(i), v.Type().Field(i).Tag)
		}
	case reflect.Array:
		for i := range v.Len() {
			setDefault(v.Index(i), "")
		}
	}
}

func setText(v reflect.Value, text string) error {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(text == "true")
	case reflect.String:
		v.SetString(text)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		v.SetFloat(f)
		return err
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		v.SetUint(n)
		return err
	default:
		if v.Type() == reflect.TypeFor[time.Duration]() {
			d, err := time.ParseDuration(text)
			v.SetInt(int64(d))
			return err
		}
		n, err := strconv.ParseInt(text, 10, 64)
		v.SetInt(n)
		return err
	}
	return nil
}

var (
	basics = map[reflect.Kind]reflect.Type{
		reflect.String: reflect.TypeFor[string](), reflect.Float32: reflect.TypeFor[float32](), reflect.Float64: reflect.TypeFor[float64](),
		reflect.Int: reflect.TypeFor[int](), reflect.Int8: reflect.TypeFor[int8](), reflect.Int16: reflect.TypeFor[int16](),
		reflect.Int32: reflect.TypeFor[int32](), reflect.Int64: reflect.TypeFor[int64](), reflect.Uint: reflect.TypeFor[uint](),
		reflect.Uint8: reflect.TypeFor[uint8](), reflect.Uint16: reflect.TypeFor[uint16](), reflect.Uint32: reflect.TypeFor[uint32](),
		reflect.Uint64: reflect.TypeFor[uint64](),
	}
	marshalers = map[string]string{"MarshalBinary": "UnmarshalBinary", "MarshalText": "UnmarshalText"}
)

func basic(t reflect.Type) reflect.Type { return basics[t.Kind()] }

func compareKeys(a, b reflect.Value) int {
	switch {
	case a.Kind() == reflect.String:
		return compare(a.String(), b.String())
	case a.CanInt():
		return compare(a.Int(), b.Int())
	case a.CanUint():
		return compare(a.Uint(), b.Uint())
	}
	return compare(a.Float(), b.Float())
}

func compare[T int64 | uint64 | float64 | string](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// marshalerOf is the method by which values of t are encoded: MarshalBinary, MarshalText or "". Methods by embedding do not count.
func marshalerOf(t reflect.Type) string {
	for _, name := range []string{"MarshalBinary", "MarshalText"} {
		p := reflect.PointerTo(t)
		if t.Kind() == reflect.Pointer || !has(p, name) || !has(p, marshalers[name]) || promoted(t, name) {
			continue
		}
		return name
	}
	return ""
}

func has(t reflect.Type, method string) bool {
	_, ok := t.MethodByName(method)
	return ok
}

func promoted(t reflect.Type, method string) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && (has(f.Type, method) || has(reflect.PointerTo(f.Type), method)) {
			return true
		}
	}
	return false
}

// marshal returns what v's method returns.
func marshal(v reflect.Value, method string) ([]byte, error) {
	p := v.Interface()
	if v.CanAddr() {
		p = v.Addr().Interface()
	}
	if method == "MarshalBinary" {
		return p.(encoding.BinaryMarshaler).MarshalBinary()
	}
	return p.(encoding.TextMarshaler).MarshalText()
}
