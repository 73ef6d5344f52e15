package codec

import (
	"errors"
	"math"
	"net/netip"
	"net/url"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// roundTrip fails unless v is read back from what is appended for it.
func roundTrip[T any](t rapid.TB, v T, app func([]byte, T) []byte, read func(*Reader, *T)) {
	t.Helper()
	b, err := Encode([]byte("before"), v, app)
	if err != nil || string(b[:6]) != "before" {
		t.Fatalf("%v: %q, %v", v, b, err)
	}
	src := b[6:]
	var got T
	if err := Decode(src, &got, read); err != nil {
		t.Fatalf("%v: %x: %v", v, src, err)
	}
	clear(src) // nothing of it may be kept
	if !reflect.DeepEqual(got, v) {
		t.Fatalf("encoded %v, decoded %v", v, got)
	}
}

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { roundTrip(t, drawEverything(t, 2), appendEverything, readEverything) })
}

func TestEqualMapsHaveEqualBytes(t *testing.T) {
	keys := make([]int, 100)
	m := make(map[int]int)
	for i := range keys {
		keys[i], m[i] = i, i
	}
	b, err := Encode(nil, m, func(b []byte, m map[int]int) []byte { return AppendMap(b, m, AppendInt, AppendInt) })
	var read []int
	err2 := Decode(b, &m, func(r *Reader, m *map[int]int) {
		ReadMap(r, m, func(r *Reader, k *int) { ReadInt(r, k); read = append(read, *k) }, ReadInt)
	})
	if err != nil || err2 != nil || !slices.Equal(read, keys) {
		t.Fatal(read, err, err2)
	}
}

func TestNumbersTakeTheShortestFormAndAreReadInTheirWholeRange(t *testing.T) {
	for v, size := range map[int64]int{
		0: 1, 127: 1, 128: 2, 255: 2, 256: 3, 65535: 3, 65536: 5, 1<<32 - 1: 5, 1 << 32: 9, math.MaxInt64: 9,
		-1: 1, -32: 1, -33: 2, -128: 2, -129: 3, -32768: 3, -32769: 5, math.MinInt32: 5, math.MinInt32 - 1: 9, math.MinInt64: 9,
	} {
		if b := AppendInt(nil, v); len(b) != size {
			t.Errorf("%d takes %x", v, b)
		}
		roundTrip(t, v, AppendInt, ReadInt)
		if v >= 0 {
			if b := AppendUint(nil, uint64(v)); len(b) != size {
				t.Errorf("%d takes %x", v, b)
			}
			roundTrip(t, uint64(v), AppendUint, ReadUint)
		}
	}
	roundTrip(t, uint64(math.MaxUint64), AppendUint, ReadUint)
	for _, f := range []float64{0, 1.5, math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64} {
		roundTrip(t, f, AppendFloat64, ReadFloat64)
		roundTrip(t, float32(f), AppendFloat32, ReadFloat32)
	}
}

func TestLengthsAtTheBoundsOfForms(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536} {
		s := strings.Repeat("x", n)
		roundTrip(t, s, AppendString, ReadString)
		roundTrip(t, []byte(s), AppendBytes, ReadBytes)
		roundTrip(t, make([]bool, n), func(b []byte, v []bool) []byte { return AppendSlice(b, v, AppendBool) },
			func(r *Reader, v *[]bool) { ReadSlice(r, v, ReadBool) })
		m := make(map[int]bool, n)
		for i := range n {
			m[i] = true
		}
		roundTrip(t, m, func(b []byte, v map[int]bool) []byte { return AppendMap(b, v, AppendInt, AppendBool) },
			func(r *Reader, v *map[int]bool) { ReadMap(r, v, ReadInt, ReadBool) })
	}
}

func TestErrorsSayWhereAndWhat(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		src  string
		read func(r *Reader)
		want string
	}{
		{"", func(r *Reader) { ReadBool(r, new(flag)) }, "byte 0: wanted a bool, found the end"},
		{"\xa1x", func(r *Reader) { ReadBool(r, new(flag)) }, "byte 0: wanted a bool, found str"},
		{"\xc1", func(r *Reader) { ReadBool(r, new(flag)) }, "byte 0: wanted a bool, found 0xc1, which begins no value"},
		{"\xc3\xcd\x01\x00", func(r *Reader) { ReadBool(r, new(flag)); ReadInt(r, new(small)) }, "byte 1: wanted codec.small, found 256"},
		{"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", func(r *Reader) { ReadInt(r, new(int)) }, "byte 0: wanted int, found 18446744073709551615"},
		{"\xff", func(r *Reader) { ReadUint(r, new(count)) }, "byte 0: wanted codec.count, found -1"},
		{"\xce\x00\x01\x00\x00", func(r *Reader) { ReadUint(r, new(count)) }, "byte 0: wanted codec.count, found 65536"},
		{"\xcd\x01", func(r *Reader) { ReadUint(r, new(count)) }, "byte 0: wanted codec.count, found uint that is cut off"},
		{"\xc0", func(r *Reader) { ReadInt(r, new(int)) }, "byte 0: wanted int, found nil"},
		{"\xcb\x00\x00\x00\x00\x00\x00\x00\x00", func(r *Reader) { ReadFloat32(r, new(ratio)) }, "byte 0: wanted a float32, found float64"},
		{"\xc0", func(r *Reader) { ReadFloat64(r, new(float64)) }, "byte 0: wanted a float64, found nil"},
		{"\xa5abc", func(r *Reader) { ReadString(r, new(name)) }, "byte 0: wanted a string, found str that is cut off"},
		{"\xc0", func(r *Reader) { ReadString(r, new(name)) }, "byte 0: wanted a string, found nil"},
		{"\x01", func(r *Reader) { ReadBytes(r, new(secret)) }, "byte 0: wanted binary data, found int"},
		{"\xc4", func(r *Reader) { ReadBytes(r, new(secret)) }, "byte 0: wanted binary data, found bin that is cut off"},
		{"\xc0", func(r *Reader) { ReadTime(r, new(time.Time)) }, "byte 0: wanted a time, found nil"},
		{"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff", func(r *Reader) { ReadTime(r, new(time.Time)) }, "byte 0: wanted a time, found a bad timestamp"},
		{"\xd6\xff\x00", func(r *Reader) { ReadTime(r, new(time.Time)) }, "byte 0: wanted a time, found ext that is cut off"},
		{"\x01", func(r *Reader) { readInts(r, new([]int)) }, "byte 0: wanted a slice, found int"},
		{"\x92\x01\xc0", func(r *Reader) { readInts(r, new([]int)) }, "byte 2: wanted int, found nil"},
		{"\xdd\xff\xff\xff\xff\x01", func(r *Reader) { readInts(r, new([]int)) }, "byte 0: wanted a slice, found the promise of 4294967295 values in 1 bytes"},
		{"\xdf\xff\xff\xff\xff\x01", func(r *Reader) { ReadMap(r, new(map[int]int), ReadInt, ReadInt) }, "byte 0: wanted a map, found the promise of 8589934590 values in 1 bytes"},
		{"\x93\x01\x02\x03", func(r *Reader) { ReadArray(r, make([]int, 2), ReadInt) }, "byte 1: wanted an array of 2, found one of 3"},
		{"\xc0", func(r *Reader) { ReadArray(r, make([]int, 2), ReadInt) }, "byte 0: wanted an array, found nil"},
		{"\xc4\x02ab", func(r *Reader) { ReadByteArray(r, make([]byte, 3)) }, "byte 4: wanted binary data of 3 bytes, found 2"},
		{"\xc0", func(r *Reader) { ReadByteArray(r, make([]byte, 3)) }, "byte 0: wanted binary data, found nil"},
		{"\x81\x01\x02", func(r *Reader) { readTodo(r, new(todo)) }, "byte 0: wanted a struct, found map"},
		{"\x94\xa1x", func(r *Reader) { readTodo(r, new(todo)) }, "byte 0: wanted a struct, found the promise of 4 values in 2 bytes"},
		{"\x81\xcb\x7f\xf8\x00\x00\x00\x00\x00\x01\x01", func(r *Reader) { ReadMap(r, new(map[float64]int), ReadFloat64, ReadInt) },
			"byte 10: a NaN cannot be the key of a map: it would never be found"},
		{"\x01\x02", func(r *Reader) { ReadInt(r, new(int)) }, "byte 1: the value ends here, but 1 bytes follow"},
		{"\x92\x01", func(r *Reader) { r.Skip() }, "byte 0: wanted a value, found array that is cut off"},
		{"\x01", func(r *Reader) { r.Skip(); r.Fail(boom); r.Fail(errors.New("later")) }, "byte 1: boom"},
		{"\xa1x", func(r *Reader) { ReadText(r, new(netip.Addr)) }, `byte 2: UnmarshalText of *netip.Addr: ParseAddr("x"): unable to parse IP`},
		{"\x01", func(r *Reader) { ReadBinary(r, new(url.URL)) }, "byte 0: wanted binary data, found int"},
	} {
		var none struct{}
		err := Decode([]byte(c.src), &none, func(r *Reader, _ *struct{}) {
			c.read(r)
			if r.Err() != nil {
				ReadInt(r, new(int)) // whatever is read after an error does not replace it
				r.Skip()
			}
		})
		if err == nil || err.Error() != c.want {
			t.Errorf("%q: %v, want %s", c.src, err, c.want)
		}
	}
	err := Decode(nil, new(int), func(r *Reader, _ *int) { r.Fail(boom) })
	if !errors.Is(err, boom) {
		t.Error(err)
	}
}

func TestAfterAnErrorEverythingReadsAsZero(t *testing.T) {
	v := everything{true, 1, 1, 1, 1, 1, 1, "x", secret{1}, time.Unix(1, 0), []todo{{}}, [2]int{}, map[name][]int{}, &everything{}, 0, netip.Addr{}, nil}
	src, err := Encode(nil, v, appendEverything)
	if err != nil {
		t.Fatal(err)
	}
	err = Decode(src[3:], &v, func(r *Reader, v *everything) { // src[3:] is the fields, each of which could be read
		r.Fail(errors.New("failed"))
		for range r.Fields() {
			t.Error("there are fields")
		}
		ReadBool(r, &v.Flag)
		ReadInt(r, &v.Small)
		ReadInt(r, &v.Int)
		ReadUint(r, &v.Count)
		ReadUint(r, &v.Uint)
		ReadFloat32(r, &v.Ratio)
		ReadFloat64(r, &v.Float)
		ReadString(r, &v.Name)
		ReadBytes(r, &v.Secret)
		ReadTime(r, &v.Time)
		ReadSlice(r, &v.Todos, readTodo)
		ReadArray(r, v.Pair[:], func(*Reader, *int) { t.Error("there are elements") })
		ReadMap(r, &v.ByName, ReadString, readInts)
		ReadPointer(r, &v.Next, readEverything)
		ReadText(r, &v.Level)
		ReadBinary(r, &v.Addr)
	})
	if err == nil || !reflect.DeepEqual(v, everything{}) {
		t.Fatalf("%+v, %v", v, err)
	}
}

func TestNumbersAreReadInAnyForm(t *testing.T) {
	for _, src := range []string{
		"\x05", "\xcc\x05", "\xcd\x00\x05", "\xce\x00\x00\x00\x05", "\xcf\x00\x00\x00\x00\x00\x00\x00\x05",
		"\xd0\x05", "\xd1\x00\x05", "\xd2\x00\x00\x00\x05", "\xd3\x00\x00\x00\x00\x00\x00\x00\x05",
	} {
		var i small
		var u count
		var f ratio
		var d float64
		if err := errors.Join(Decode([]byte(src), &i, ReadInt), Decode([]byte(src), &u, ReadUint), Decode([]byte(src), &f, ReadFloat32),
			Decode([]byte(src), &d, ReadFloat64)); err != nil || i != 5 || u != 5 || f != 5 || d != 5 {
			t.Errorf("%x: %v %v %v %v, %v", src, i, u, f, d, err)
		}
	}
	var d float64
	if err := Decode(AppendFloat32(nil, float32(1.5)), &d, ReadFloat64); err != nil || d != 1.5 {
		t.Error(d, err)
	}
}

func TestStringsAndBytesAreReadAsEachOther(t *testing.T) {
	var s name
	var b secret
	for _, src := range [][]byte{AppendString(nil, "text"), AppendBytes(nil, []byte("text"))} {
		if err := errors.Join(Decode(src, &s, ReadString), Decode(src, &b, ReadBytes)); err != nil || s != "text" || string(b) != "text" {
			t.Errorf("%x: %q %q %v", src, s, b, err)
		}
	}
}

func TestAStructIsReadFromMoreAndFromLess(t *testing.T) {
	for _, c := range []struct{ src, title, color string }{
		{"\xc0", "default", "white"},
		{"\x90", "default", "white"},
		{"\x91\xa1x", "x", "white"},
		{"\x93\xc0\xa3red\xc0", "default", "red"},
		{"\x96\xa1x\xa3red\xc0\xc0\x92\x01\x81\x01\x02\xc0", "x", "red"},
	} {
		got := todo{Title: "default", Color: "white"}
		if err := Decode([]byte(c.src), &got, readTodo); err != nil || got != (todo{Title: c.title, Color: c.color}) {
			t.Errorf("%q: %+v, %v", c.src, got, err)
		}
	}
}

func TestByteArraysAreBinaryData(t *testing.T) {
	v := [3]byte{1, 2, 3}
	b, err := Encode(nil, v, func(b []byte, v [3]byte) []byte { return AppendBytes(b, v[:]) })
	if want := "\xc4\x03\x01\x02\x03"; err != nil || string(b) != want {
		t.Fatalf("encoded as %q, %v, want %q", b, err, want)
	}
	var back [3]byte
	if err := Decode(b, &back, func(r *Reader, v *[3]byte) { ReadByteArray(r, v[:]) }); err != nil || back != v {
		t.Fatalf("decoded as %v, %v, want %v", back, err, v)
	}
}

func TestOfTheEntriesOfAKeyTheLastIsTaken(t *testing.T) {
	m := map[int]todo{5: {}}
	read := func(r *Reader, m *map[int]todo) { ReadMap(r, m, ReadInt, readTodo) }
	if err := Decode([]byte("\x83\x01\x92\xa1a\xa1b\x02\xc0\x01\x91\xa1c"), &m, read); err != nil || !reflect.DeepEqual(m, map[int]todo{1: {Title: "c"}, 2: {}}) {
		t.Fatal(m, err)
	}
}

type broken struct{}

var errBroken = errors.New("broken")

func (broken) MarshalBinary() ([]byte, error) { return nil, errBroken }
func (broken) MarshalText() ([]byte, error)   { return nil, errBroken }
func (*broken) UnmarshalBinary([]byte) error  { return errBroken }
func (*broken) UnmarshalText([]byte) error    { return errBroken }
func appendEndless(b []byte, depth int) []byte {
	depth = Deeper(depth)
	if depth < 0 { // never
		return b
	}
	return appendEndless(b, depth)
}
func appendNaN(b []byte, m map[float64]int) []byte { return AppendMap(b, m, AppendFloat64, AppendInt) }

func TestWhatCannotBeEncodedIsAnError(t *testing.T) {
	if b, err := Encode([]byte("x"), broken{}, AppendBinary); !errors.Is(err, errBroken) || string(b) != "x" || err.Error() != "MarshalBinary of codec.broken: broken" {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := Encode([]byte("x"), broken{}, AppendText); !errors.Is(err, errBroken) || string(b) != "x" || err.Error() != "MarshalText of codec.broken: broken" {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := Encode([]byte("x"), 0, appendEndless); !errors.Is(err, errTooDeep) || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := Encode(nil, map[float64]int{1: 1, math.NaN(): 2}, appendNaN); !errors.Is(err, errNaN) {
		t.Error(err)
	}
	if _, err := Encode(nil, math.MaxInt, AppendArray); math.MaxInt > math.MaxUint32 && err == nil {
		t.Error("a length of 4 GiB is cut off")
	}
	for d := range maxDepth {
		Deeper(d)
	}
}

func TestOtherPanicsPassEncode(t *testing.T) {
	defer func() {
		if p := recover(); p != errBroken {
			t.Error(p)
		}
	}()
	Encode(nil, 0, func([]byte, int) []byte { panic(errBroken) })
}

func nested(depth int) everything {
	var v everything
	for range depth - 1 {
		next := v
		v = everything{Next: &next}
	}
	return v
}

func TestValuesMayBeAThousandLevelsDeep(t *testing.T) {
	b, err := Encode(nil, nested(maxDepth), appendEverything)
	if err != nil {
		t.Fatal(err)
	}
	if err := Decode(b, new(everything), readEverything); err != nil {
		t.Fatal(err)
	}
	if _, err := Encode(nil, nested(maxDepth+1), appendEverything); !errors.Is(err, errTooDeep) {
		t.Fatal(err)
	}
	// A 14th position in a struct around it.
	deeper := append(append([]byte("\x9e"), strings.Repeat("\xc0", 13)...), b...)
	if err := Decode(deeper, new(everything), readEverything); !errors.Is(err, errTooDeep) {
		t.Fatal(err)
	}
	// What is skipped may be of any depth.
	if err := Decode([]byte(strings.Repeat("\x91", 1<<20)+"\x01"), new(int), func(r *Reader, _ *int) { r.Skip() }); err != nil {
		t.Fatal(err)
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	v := list{"groceries", []todo{milk, milk, milk}, 3}
	buf := make([]byte, 0, 1000)
	if n := testing.AllocsPerRun(100, func() { Encode(buf, v, appendList) }); n != 0 {
		t.Errorf("a list takes %v allocations", n)
	}
	m := map[string]int{"a": 1, "b": 2}
	if n := testing.AllocsPerRun(100, func() {
		Encode(buf, m, func(b []byte, m map[string]int) []byte { return AppendMap(b, m, AppendString, AppendInt) })
	}); n != 0 {
		t.Errorf("a small map takes %v allocations", n)
	}
}

func TestDecodingAllocatesStringsAndSlicesOnly(t *testing.T) {
	src, err := Encode(nil, list{"groceries", []todo{milk, milk, milk}, 3}, appendList)
	if err != nil {
		t.Fatal(err)
	}
	var v list
	if n := testing.AllocsPerRun(100, func() { Decode(src, &v, readList) }); n != 1+1+3*2 {
		t.Errorf("a list takes %v allocations", n)
	}
	if src, err = Encode(nil, everything{Int: 1000, Float: 1}, appendEverything); err != nil {
		t.Fatal(err)
	}
	src = append([]byte{0x9e}, src[3:len(src)-len("\xa4INFO\xc4\x00\xc0")]...) // without what unmarshalers would allocate for
	var e everything
	if n := testing.AllocsPerRun(100, func() {
		if err := Decode(src, &e, readEverything); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a struct of many empty fields takes %v allocations", n)
	}
}

func TestHeadersThatPromiseMuchAllocateLittle(t *testing.T) {
	type tree struct{ kids []tree }
	var read func(r *Reader, v *tree)
	read = func(r *Reader, v *tree) {
		if r.Enter() {
			ReadSlice(r, &v.kids, read)
			r.Leave()
		}
	}
	// 900 levels of slices, each of which promises as many elements as there are bytes.
	const size = 64 << 10
	src := make([]byte, 0, size)
	for range 900 {
		src = append(src, 0xdc, 0xf0, 0x00)
	}
	src = src[:size]
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := Decode(src, new(tree), read)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; err == nil || got > 25*size {
		t.Errorf("%d bytes are decoded with %d bytes of memory: %v", size, got, err)
	}
}

// greedy appends to what it is given.
type greedy struct{ all string }

func (g *greedy) UnmarshalBinary(b []byte) error { g.all = string(append(b, "more"...)); return nil }

func TestUnmarshalersCannotWriteOverWhatFollows(t *testing.T) {
	var g [2]greedy
	err := Decode([]byte("\x92\xa1x\xa5after"), &g, func(r *Reader, g *[2]greedy) {
		ReadArray(r, g[:], func(r *Reader, v *greedy) { ReadBinary(r, v) })
	})
	if err != nil || g != [2]greedy{{"xmore"}, {"aftermore"}} {
		t.Fatal(g, err)
	}
}

func TestClones(t *testing.T) {
	one := 1
	if CloneSlice([]*int(nil), CloneFlat) != nil || CloneMap(map[int]*int(nil), CloneFlat) != nil || ClonePointer(nil, CloneFlat[int]) != nil || CloneFlat[int](nil) != nil {
		t.Error("nil does not stay nil")
	}
	s := []*int{&one, nil}
	if c := CloneSlice(s, CloneFlat); !reflect.DeepEqual(c, s) || c[0] == s[0] || cap(c) != 2 {
		t.Error(c)
	}
	m := map[string]*int{"a": &one, "b": nil}
	if c := CloneMap(m, CloneFlat); !reflect.DeepEqual(c, m) || c["a"] == m["a"] {
		t.Error(c)
	}
	p := &one
	if c := ClonePointer(&p, CloneFlat); **c != 1 || c == &p || *c == p {
		t.Error(c)
	}
	u := url.URL{Scheme: "https", User: url.User("name"), Host: "example.com"}
	if c := CloneBinary(u); !reflect.DeepEqual(c, u) || c.User == u.User {
		t.Error(c)
	}
	a := netip.MustParseAddr("::1%zone")
	if c := CloneText(a); c != a {
		t.Error(c)
	}
	for _, clone := range []func(broken) broken{CloneBinary[broken], CloneText[broken]} {
		func() {
			defer func() {
				if err, _ := recover().(error); !errors.Is(err, errBroken) {
					t.Error(err)
				}
			}()
			clone(broken{})
		}()
	}
}
