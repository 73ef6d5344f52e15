package codectest

import (
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"time"

	"github.com/google/uuid"
)

// A Random is a type with marshalers, whose values are those that its method makes. It is declared in a test.
type Random interface{ Random(r *rand.Rand) }

// Fill makes so many slices, maps and pointers with something in them, of which so many are within one another.
const (
	most    = 60
	deepest = 4
)

// Fill sets what v points to, which is zero, to a random value: of pointers, slices and maps some are nil and some are empty. It fills unexported
// fields too, which codecs ignore.
func Fill(r *rand.Rand, v any) {
	f := filler{r, most}
	f.fill(reflect.ValueOf(v).Elem(), 0)
}

type filler struct {
	*rand.Rand
	left int
}

func (r *filler) fill(v reflect.Value, depth int) {
	v = open(v)
	if fillSpecial(r.Rand, v) {
		return
	}
	absent := depth >= deepest || r.IntN(4) == 0
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer:
		r.left--
		absent = absent || r.left < 0 && depth > 0
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.Uint64()) >> r.IntN(64))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64() >> r.IntN(64))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(randomFloat(r.Rand))
	case reflect.String:
		v.SetString(randomString(r.Rand))
	case reflect.Array:
		for i := range v.Len() {
			r.fill(v.Index(i), depth)
		}
	case reflect.Slice:
		if r.IntN(8) == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		} else if !absent {
			v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(3), 4))
		}
		for i := range v.Len() {
			r.fill(v.Index(i), depth+1)
		}
	case reflect.Map:
		if absent && r.IntN(2) == 0 {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(3) {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			r.fill(key, depth+1)
			if key.Equal(key) && !absent { // a NaN is no key
				r.fill(elem, depth+1)
				v.SetMapIndex(key, elem)
			}
		}
	case reflect.Pointer:
		if !absent {
			v.Set(reflect.New(v.Type().Elem()))
			r.fill(v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "_" {
				r.fill(v.Field(i), depth)
			}
		}
	}
}

// open returns v so that it can be set, if it is an unexported field.
func open(v reflect.Value) reflect.Value {
	if v.CanSet() || !v.CanAddr() {
		return v
	}
	return reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
}

func randomFloat(r *rand.Rand) float64 {
	some := []float64{0, math.Copysign(0, -1), 1, -2.5, math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat32, math.SmallestNonzeroFloat32}
	if i := r.IntN(2 * len(some)); i < len(some) {
		return some[i]
	}
	return r.NormFloat64()
}

func randomString(r *rand.Rand) string {
	b := make([]byte, r.IntN(8))
	if r.IntN(8) == 0 {
		b = make([]byte, r.IntN(300))
	}
	for i := range b {
		b[i] = byte(r.Uint32()) // no UTF-8
	}
	return string(b)
}

func randomTime(r *rand.Rand) time.Time {
	sec := r.Int64N(1<<38) - 1<<37
	switch r.IntN(4) {
	case 0:
		return time.Time{}
	case 1:
		return time.Unix(sec>>10, 0).UTC()
	case 2:
		return time.Unix(sec>>r.IntN(30), r.Int64N(1e9)).In(time.FixedZone("east", 3600))
	}
	return time.Unix(sec, r.Int64N(1e9)).UTC()
}

var timeType = reflect.TypeFor[time.Time]()

// isTime tells whether t is time.Time, or is declared as one.
func isTime(t reflect.Type) bool { return t.Kind() == reflect.Struct && t.ConvertibleTo(timeType) }

// fillSpecial fills times and types with marshalers.
func fillSpecial(r *rand.Rand, v reflect.Value) bool {
	if isTime(v.Type()) {
		v.Set(reflect.ValueOf(randomTime(r)).Convert(v.Type()))
		return true
	}
	if marshalerOf(v.Type()) == "" {
		return false
	}
	switch p := v.Addr().Interface().(type) {
	case Random:
		p.Random(r)
	case *big.Int:
		p.SetUint64(r.Uint64() >> r.IntN(64))
		p.Lsh(p, uint(r.IntN(100))).Sub(p, big.NewInt(1))
	case *net.IP:
		*p = net.IPv4(byte(r.Uint32()), 2, 3, 4)
	case *netip.Addr:
		*p = netip.AddrFrom4([4]byte{byte(r.Uint32()), 2, 3, 4})
		if r.IntN(2) == 0 {
			*p = netip.MustParseAddr("fe80::1%eth0")
		}
	case *netip.Prefix:
		*p = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(r.Uint32())}), r.IntN(33))
	case *slog.Level:
		*p = slog.Level(r.IntN(100) - 50)
	case *url.URL:
		*p = url.URL{Scheme: "https", Host: "example.com", Path: "/p", RawQuery: fmt.Sprint("q=", r.IntN(100))}
		if r.IntN(2) == 0 {
			p.User = url.UserPassword("me", "secret")
		}
	case *uuid.UUID:
		for i := range p {
			p[i] = byte(r.Uint32())
		}
	default:
		panic(fmt.Sprintf("codectest has no values of %T: add it to fillSpecial", p))
	}
	return true
}
