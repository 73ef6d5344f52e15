package codec

import (
	"log/slog"
	"net/netip"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

// A reflected is everything for vmihailenco/msgpack.
type reflected struct {
	_msgpack struct{} `msgpack:",as_array"` //lint:ignore U1000 msgpack looks for it
	Flag     flag
	Small    small
	Int      int
	Count    count
	Uint     uint64
	Ratio    ratio
	Float    float64
	Name     name
	Secret   secret
	Time     time.Time
	Todos    []reflectedTodo
	Pair     [2]int
	ByName   map[name][]int
	Next     *reflected
	Level    slog.Level
	Addr     netip.Addr
	URL      *url.URL
}

func asReflected(v *everything) *reflected {
	if v == nil {
		return nil
	}
	r := &reflected{
		Flag: v.Flag, Small: v.Small, Int: v.Int, Count: v.Count, Uint: v.Uint, Ratio: v.Ratio, Float: v.Float, Name: v.Name, Secret: v.Secret,
		Time: v.Time, Pair: v.Pair, ByName: v.ByName, Next: asReflected(v.Next), Level: v.Level, Addr: v.Addr, URL: v.URL,
	}
	if v.Todos != nil {
		r.Todos = make([]reflectedTodo, len(v.Todos))
	}
	for i, t := range v.Todos {
		r.Todos[i] = reflectedTodo{Title: t.Title, Color: t.Color, Completed: t.Completed, CompletedAt: t.CompletedAt}
	}
	return r
}

// inUTC is r with its times in UTC, where vmihailenco/msgpack reads them in the local zone.
func inUTC(r *reflected) *reflected {
	if r != nil {
		r.Time = r.Time.UTC()
		for i := range r.Todos {
			r.Todos[i].CompletedAt = r.Todos[i].CompletedAt.UTC()
		}
		inUTC(r.Next)
	}
	return r
}

func TestVmihailencoReadsWhatIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawEverything(t, 2)
		b, err := Encode(nil, v, appendEverything)
		if err != nil {
			t.Fatal(err)
		}
		var got reflected
		if err := msgpack.Unmarshal(b, &got); err != nil || !reflect.DeepEqual(inUTC(&got), asReflected(&v)) {
			t.Fatalf("written %+v\nread %+v, %v", v, got, err)
		}
	})
}

func TestWhatVmihailencoWritesIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawEverything(t, 2)
		b, err := msgpack.Marshal(asReflected(&v))
		if err != nil {
			t.Fatal(err)
		}
		var got everything
		if err := Decode(b, &got, readEverything); err != nil || !reflect.DeepEqual(got, v) {
			t.Fatalf("written %+v\nread %+v, %v", v, got, err)
		}
	})
}

// silent is a marshaler that may return no bytes, for which vmihailenco/msgpack writes nil.
type silent struct{ called bool }

func (silent) MarshalBinary() ([]byte, error)  { return nil, nil }
func (s *silent) UnmarshalBinary([]byte) error { s.called = true; return nil }

func TestMarshalersThatReturnNothing(t *testing.T) {
	b, err := msgpack.Marshal([]silent{{}})
	if err != nil || string(b) != "\x91\xc0" {
		t.Fatalf("%x, %v", b, err)
	}
	var s []silent
	read := func(r *Reader, s *[]silent) { ReadSlice(r, s, func(r *Reader, v *silent) { ReadBinary(r, v) }) }
	if err := Decode(b, &s, read); err != nil || len(s) != 1 || s[0].called {
		t.Fatal(s, err)
	}
	if b, err = Encode(nil, s, func(b []byte, s []silent) []byte { return AppendSlice(b, s, AppendBinary) }); err != nil {
		t.Fatal(err)
	}
	if err := Decode(b, &s, read); err != nil || !s[0].called {
		t.Fatal(s, err)
	}
	if err := msgpack.Unmarshal(b, &s); err != nil || !s[0].called {
		t.Fatal(s, err)
	}
}
