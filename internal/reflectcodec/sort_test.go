package reflectcodec

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	library "github.com/vmihailenco/msgpack/v5"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/internal/msgpack"
)

// eight returns a map of as many entries: two encodings of it have the same order once in 40,320 times, if it is random.
func eight[K comparable, V any](entry func(i int) (K, V)) map[K]V {
	m := make(map[K]V)
	for i := range 8 {
		k, v := entry(i)
		m[k] = v
	}
	return m
}

func square(i int) (int, int)         { return i, i * i }
func named(i int) (string, int)       { return strings.Repeat("k", i), i }
func anything(i int) (string, any)    { return strings.Repeat("k", i), int64(i) }
func inAny(i int) (string, any)       { return strings.Repeat("k", i), eight(anything) }
func inPoint(i int) (point, []branch) { return point{i, -i}, []branch{{Leaves: eight(square)}} }

type (
	color string
	point struct{ Y, X int }

	branch struct {
		Name   string
		Leaves map[int]int
		Next   *branch
		More   map[string]branch
	}
	embedding struct {
		Z int
		branch
		A int
	}
	array struct {
		//lint:ignore U1000 the library looks for it
		_msgpack struct{} `msgpack:",as_array"`
		B        map[color]bool
		A        int
	}
	lookalike struct {
		S     string
		Bytes []byte
		When  time.Time
		M     map[int]int
	}
)

func TestEqualValuesHaveEqualBytes(t *testing.T) {
	likeMap := "\x82\x02\x00\x01\x00" // if it were not within a string
	checkEqualBytes(t, eight(square))
	checkEqualBytes(t, eight(named))
	checkEqualBytes(t, eight(anything))
	checkEqualBytes(t, eight(inAny))
	checkEqualBytes(t, eight(inPoint))
	checkEqualBytes(t, eight(func(i int) (color, color) { return color(rune('a' + i)), "" }))
	checkEqualBytes(t, eight(func(i int) (float64, map[bool]int8) { return float64(i), map[bool]int8{true: 1, false: 2} }))
	checkEqualBytes(t, eight(func(i int) ([2]int, *map[int]int) { m := eight(square); return [2]int{i, -i}, &m }))
	checkEqualBytes(t, eight(func(i int) (uint16, map[string]string) { return uint16(i), map[string]string{"aa": "", "b": ""} }))
	checkEqualBytes(t, [2][]map[int]int{{eight(square), nil, {}}})
	checkEqualBytes(t, branch{Name: "b", Leaves: eight(square), Next: &branch{Leaves: eight(square)}, More: map[string]branch{"x": {Leaves: eight(square)}}})
	checkEqualBytes(t, embedding{1, branch{Leaves: eight(square)}, 2})
	checkEqualBytes(t, array{B: eight(func(i int) (color, bool) { return color(rune('a' + i)), true })})
	checkEqualBytes(t, lookalike{likeMap, []byte(likeMap), time.Unix(0x82020001, 0x820200), eight(square)})
	checkEqualBytes(t, struct{ V any }{[]any{eight(anything), "x", nil}})

	many := make(map[int]int)
	for i := range 70_000 { // more than 16 bits can count
		many[i] = i
	}
	checkEqualBytes(t, many)
}

func checkEqualBytes[T any](t *testing.T, v T) {
	t.Helper()
	first := Append(nil, v)
	times := 50
	if len(first) > 1e5 {
		times = 3
	}
	for range times {
		if b := Append([]byte("before"), v); !bytes.Equal(b, append([]byte("before"), first...)) {
			t.Fatalf("%T: %x, then %x", v, first, b)
		}
	}
	var got T
	if err := codec.Decode(first, &got, Read[T]); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("encoded %+v, decoded %+v, %v", v, got, err)
	}
}

func TestEntriesWithTheSameKeyAreInOrder(t *testing.T) {
	m := make(map[float64]int)
	for i := range 8 {
		m[math.NaN()] = i
	}
	first := Append(nil, m)
	for range 50 {
		if b := Append(nil, m); !bytes.Equal(b, first) {
			t.Fatalf("%x, then %x", first, b)
		}
	}
}

type own struct{ M map[int]int }

func (own) MarshalMsgpack() ([]byte, error) { return []byte{0x82, 2, 2, 1, 1}, nil }

type chain struct {
	Z    string
	Next *chain
	A    map[string]string
}

func TestTypesWhoseMapsTheLibrarySortsAreEncodedAsItDoes(t *testing.T) {
	checkUnchanged(t, 5)
	checkUnchanged(t, point{1, 2})
	checkUnchanged(t, []*point{{1, 2}, nil})
	checkUnchanged(t, chain{"z", &chain{A: map[string]string{"b": "2", "aa": "1"}}, nil})
	checkUnchanged(t, map[string]bool{"b": true, "aa": true})
	checkUnchanged(t, struct {
		When time.Time
		B, A []byte
	}{When: time.Unix(1, 2)})
	checkUnchanged(t, struct{ Z, A own }{}) // its own business
	checkUnchanged(t, library.RawMessage{0x82, 2, 2, 1, 1})
}

func checkUnchanged[T any](t *testing.T, v T) {
	t.Helper()
	var want bytes.Buffer
	enc := library.NewEncoder(&want)
	enc.SetSortMapKeys(true)
	if err := enc.Encode(&v); err != nil {
		t.Fatal(err)
	}
	if got := Append(nil, v); !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%T: %x, want %x", v, got, want.Bytes())
	}
	if disorders(reflect.TypeFor[T]()) {
		t.Errorf("%T is sorted", v)
	}
}

// The library writes an interned string once and then refers to it: sorted, the reference might come first.
func TestInternedStringsStayInOrder(t *testing.T) {
	type interned struct {
		Z string `msgpack:",intern"`
		A string `msgpack:",intern"`
		M map[int]int
	}
	v := interned{"hello", "hello", eight(square)}
	var got interned
	if err := codec.Decode(Append(nil, v), &got, Read[interned]); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("encoded %+v, decoded %+v, %v", v, got, err)
	}
}

func TestVeryDeepValuesAreEncoded(t *testing.T) {
	v := branch{Leaves: eight(square)}
	for range 2 * maxNesting {
		next := v
		v = branch{Next: &next}
	}
	var got branch
	if err := codec.Decode(Append(nil, v), &got, Read[branch]); err != nil || !reflect.DeepEqual(got, v) {
		t.Error(err)
	}
	sortMaps(bytes.Repeat([]byte{0x91}, 10_000_000)) // promises a value that is not there
	sortMaps(append(bytes.Repeat([]byte{0x91}, 10_000_000), 0))
}

// entries are those of a map in an order of their own: a map whose keys need not be comparable, nor unique.
type entries []string

// decoded is what the library makes of b, the same for maps that have the same entries.
func decoded(b []byte) (string, error) {
	dec := library.NewDecoder(bytes.NewReader(b))
	dec.SetMapDecoder(func(d *library.Decoder) (any, error) {
		n, err := d.DecodeMapLen()
		var all entries
		for i := 0; i < n && err == nil; i++ {
			var k, v any
			if k, err = d.DecodeInterface(); err == nil {
				v, err = d.DecodeInterface()
			}
			all = append(all, fmt.Sprintf("%#v: %#v", k, v))
		}
		slices.Sort(all)
		return all, err
	})
	v, err := dec.DecodeInterface()
	return fmt.Sprintf("%#v", v), err
}

func FuzzSortMaps(f *testing.F) {
	f.Add(Append(nil, eight(inPoint)))
	f.Add(Append(nil, outer{S: "s", Array: [2]inner{{Names: []string{"n"}}}}))
	for _, s := range []string{
		"", "\xc0", "\xc1", "\x82\x02\x00\x01\x00", "\x82\x02\x00\x01", "\xde\x00\x02\x02\x00\x01\x00", "\xdf\x00\x00\x00\x02\x02\x00\x01\x00", "\xdf\xff\xff\xff\xff\x00",
		"\x82\x82\x02\x00\x01\x00\x00\x82\x01\x00\x02\x00\x00", "\x92\x82\x01\x02\x01\x01\xd4\x80\x00", "\xa5\x82\x02\x00\x01\x00", "\xc4\x05\x82\x02\x00\x01\x00",
		"\xc7\x05\x01\x82\x02\x00\x01\x00", "\x82\x02\x00\x01\x00\x00",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		once := bytes.Clone(b)
		sortMaps(once)
		twice := bytes.Clone(once)
		if sortMaps(twice); !bytes.Equal(once, twice) {
			t.Errorf("%x is sorted as %x and that as %x", b, once, twice)
		}
		if n, err := msgpack.Size(b); err != nil || n != len(b) { // the library would allocate whatever it promises
			if !bytes.Equal(once, b) {
				t.Errorf("%x is no value, and is sorted as %x", b, once)
			}
			return
		}
		want, err := decoded(b)
		if err != nil {
			return
		}
		if got, err := decoded(once); err != nil || got != want {
			t.Errorf("%x is %s; sorted, as %x, %s, %v", b, want, once, got, err)
		}
	})
}
