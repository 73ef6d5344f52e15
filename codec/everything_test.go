package codec

import (
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"pgregory.net/rapid"
)

type (
	flag   bool
	small  int8
	count  uint16
	ratio  float32
	name   string
	secret []byte
)

// An everything has a field of each kind that the package knows.
type everything struct {
	Flag   flag
	Small  small
	Int    int
	Count  count
	Uint   uint64
	Ratio  ratio
	Float  float64
	Name   name
	Secret secret
	Time   time.Time
	Todos  []todo
	Pair   [2]int
	ByName map[name][]int
	Next   *everything
	Level  slog.Level // has MarshalText only
	Addr   netip.Addr // has MarshalBinary, by value
	URL    *url.URL   // and by pointer
}

func appendEverything(b []byte, v everything) []byte { return appendEverythingAt(b, v, 0) }

func appendEverythingAt(b []byte, v everything, depth int) []byte {
	depth = Deeper(depth)
	b = AppendArray(b, 17)
	b = AppendBool(b, v.Flag)
	b = AppendInt(b, v.Small)
	b = AppendInt(b, v.Int)
	b = AppendUint(b, v.Count)
	b = AppendUint(b, v.Uint)
	b = AppendFloat32(b, v.Ratio)
	b = AppendFloat64(b, v.Float)
	b = AppendString(b, v.Name)
	b = AppendBytes(b, v.Secret)
	b = AppendTime(b, v.Time)
	b = AppendSlice(b, v.Todos, appendTodo)
	b = AppendArray(b, 2)
	for _, x := range v.Pair {
		b = AppendInt(b, x)
	}
	b = AppendMap(b, v.ByName, AppendString, appendInts)
	b = AppendPointer(b, v.Next, func(b []byte, v everything) []byte { return appendEverythingAt(b, v, depth) })
	b = AppendText(b, v.Level)
	b = AppendBinary(b, v.Addr)
	return AppendPointer(b, v.URL, func(b []byte, v url.URL) []byte { return AppendBinary(b, &v) })
}

func appendInts(b []byte, v []int) []byte { return AppendSlice(b, v, AppendInt) }
func readInts(r *Reader, v *[]int)        { ReadSlice(r, v, ReadInt) }

func readEverything(r *Reader, v *everything) {
	if !r.Enter() {
		return
	}
	for i := range r.Fields() {
		switch i {
		case 0:
			ReadBool(r, &v.Flag)
		case 1:
			ReadInt(r, &v.Small)
		case 2:
			ReadInt(r, &v.Int)
		case 3:
			ReadUint(r, &v.Count)
		case 4:
			ReadUint(r, &v.Uint)
		case 5:
			ReadFloat32(r, &v.Ratio)
		case 6:
			ReadFloat64(r, &v.Float)
		case 7:
			ReadString(r, &v.Name)
		case 8:
			ReadBytes(r, &v.Secret)
		case 9:
			ReadTime(r, &v.Time)
		case 10:
			ReadSlice(r, &v.Todos, readTodo)
		case 11:
			ReadArray(r, v.Pair[:], ReadInt)
		case 12:
			ReadMap(r, &v.ByName, ReadString, readInts)
		case 13:
			ReadPointer(r, &v.Next, readEverything)
		case 14:
			ReadText(r, &v.Level)
		case 15:
			ReadBinary(r, &v.Addr)
		case 16:
			ReadPointer(r, &v.URL, func(r *Reader, v *url.URL) { ReadBinary(r, v) })
		default:
			r.Skip()
		}
	}
	r.Leave()
}

func drawTime(t *rapid.T, label string) time.Time {
	sec := rapid.OneOf(rapid.Int64Range(-1<<35, 1<<35), rapid.SampledFrom([]int64{0, 1, 1<<32 - 1, 1 << 32, 1<<34 - 1, 1 << 34, -1, -62135596800})).Draw(t, label)
	nsec := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 999_999_999)).Draw(t, label+" nanoseconds")
	return time.Unix(sec, nsec).UTC()
}

func drawTodo(t *rapid.T) todo {
	return todo{rapid.String().Draw(t, "title"), rapid.String().Draw(t, "color"), rapid.Bool().Draw(t, "completed"), drawTime(t, "at")}
}

// orNil draws what g draws, or the zero value.
func orNil[T any](g *rapid.Generator[T]) *rapid.Generator[T] {
	var zero T
	return rapid.OneOf(rapid.Just(zero), g)
}

func drawEverything(t *rapid.T, depth int) everything {
	v := everything{
		Flag:   flag(rapid.Bool().Draw(t, "flag")),
		Small:  small(rapid.Int8().Draw(t, "small")),
		Int:    rapid.Int().Draw(t, "int"),
		Count:  count(rapid.Uint16().Draw(t, "count")),
		Uint:   rapid.Uint64().Draw(t, "uint"),
		Ratio:  ratio(rapid.Float32().Draw(t, "ratio")),
		Float:  rapid.Float64().Draw(t, "float"),
		Name:   name(rapid.String().Draw(t, "name")),
		Secret: orNil(rapid.SliceOf(rapid.Byte())).Draw(t, "secret"),
		Time:   drawTime(t, "time"),
		Todos:  orNil(rapid.SliceOf(rapid.Custom(drawTodo))).Draw(t, "todos"),
		Pair:   [2]int{rapid.Int().Draw(t, "first"), rapid.Int().Draw(t, "second")},
		ByName: orNil(rapid.MapOf(rapid.Map(rapid.String(), func(s string) name { return name(s) }), orNil(rapid.SliceOf(rapid.Int())))).Draw(t, "by name"),
	}
	v.Level = slog.Level(rapid.IntRange(-20, 20).Draw(t, "level"))
	if rapid.Bool().Draw(t, "addr") {
		v.Addr = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address")))
	}
	if rapid.Bool().Draw(t, "url") {
		v.URL = &url.URL{Scheme: "https", Host: "example.com", Path: "/" + rapid.StringMatching("[a-z]*").Draw(t, "path")}
	}
	if depth > 0 && rapid.Bool().Draw(t, "next") {
		next := drawEverything(t, depth-1)
		v.Next = &next
	}
	return v
}
