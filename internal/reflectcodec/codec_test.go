package reflectcodec

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/highlander-go/highlander/codec"
)

type inner struct {
	Names []string
	By    map[string]*int
}

type outer struct {
	N      int
	S      string
	When   time.Time
	Bytes  []byte
	Array  [2]inner
	Next   *outer
	Any    any
	hidden []int
}

func TestFlatTypesAreThoseThatShareNothing(t *testing.T) {
	for _, c := range []struct {
		typ  reflect.Type
		want bool
	}{
		{reflect.TypeFor[int](), true},
		{reflect.TypeFor[string](), true},
		{reflect.TypeFor[time.Time](), true},
		{reflect.TypeFor[[3]float64](), true},
		{reflect.TypeFor[struct {
			A int
			B [2]string
		}](), true},
		{reflect.TypeFor[[]int](), false},
		{reflect.TypeFor[map[int]int](), false},
		{reflect.TypeFor[*int](), false},
		{reflect.TypeFor[any](), false},
		{reflect.TypeFor[struct{ a []int }](), false},
		{reflect.TypeFor[[2]struct{ P *int }](), false},
	} {
		if got := isFlat(c.typ); got != c.want {
			t.Errorf("isFlat(%v) = %v, want %v", c.typ, got, c.want)
		}
	}
}

func draw(t *rapid.T, depth int) outer {
	o := outer{
		N:     rapid.Int().Draw(t, "n"),
		S:     rapid.String().Draw(t, "s"),
		When:  time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "when"), 0).UTC(),
		Bytes: rapid.SliceOfN(rapid.Byte(), 1, 5).Draw(t, "bytes"),
		Any:   []any{rapid.String().Draw(t, "any")},
	}
	for i := range o.Array {
		n := rapid.Int().Draw(t, "by")
		o.Array[i] = inner{rapid.SliceOfN(rapid.String(), 1, 3).Draw(t, "names"), map[string]*int{"k": &n}}
	}
	if depth > 0 {
		next := draw(t, depth-1)
		o.Next = &next
	}
	return o
}

func TestACloneIsEqualAndSharesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := draw(t, 2)
		c, pristine := Clone(o), Clone(o)
		if !reflect.DeepEqual(c, o) {
			t.Fatalf("cloned %+v, got %+v", o, c)
		}
		for p := &c; p != nil; p = p.Next {
			p.Bytes[0]++
			p.Array[0].Names[0] += "x"
			*p.Array[1].By["k"]++
			p.Any.([]any)[0] = "x"
		}
		c.Array[0].By["more"] = nil
		if !reflect.DeepEqual(o, pristine) {
			t.Fatal("a change of the clone has changed what it was cloned from")
		}
	})
}

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := draw(t, 2)
		b, err := codec.Encode([]byte("before"), o, Append[outer])
		if err != nil || string(b[:6]) != "before" {
			t.Fatal(err)
		}
		var got outer
		if err := codec.Decode(b[6:], &got, Read[outer]); err != nil {
			t.Fatal(err)
		}
		for p, q := &o, &got; p != nil; p, q = p.Next, q.Next {
			if !p.When.Equal(q.When) {
				t.Fatal(p.When, q.When)
			}
			p.When, q.When = time.Time{}, time.Time{}
		}
		if !reflect.DeepEqual(got, o) {
			t.Fatalf("encoded %+v, decoded %+v", o, got)
		}
	})
}

func TestUnexportedFieldsAreNotStored(t *testing.T) {
	b, err := codec.Encode(nil, outer{hidden: []int{1}}, Append[outer])
	if err != nil {
		t.Fatal(err)
	}
	var got outer
	if err := codec.Decode(b, &got, Read[outer]); err != nil || got.hidden != nil {
		t.Fatal(got.hidden, err)
	}
}

// Bytes of any kind are an error at worst.
func FuzzDecode(f *testing.F) {
	b, err := codec.Encode(nil, outer{S: "s", Array: [2]inner{{Names: []string{"n"}}}}, Append[outer])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, src []byte) {
		var o outer
		codec.Decode(src, &o, Read[outer])
	})
}
