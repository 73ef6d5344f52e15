package sample

import (
	"bytes"
	"math/rand/v2"
	"net/url"
	"reflect"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/codegen"
	"github.com/highlander-go/highlander/internal/codectest"
	"github.com/highlander-go/highlander/object"
)

func TestGeneratedFilesAreNotStale(t *testing.T) {
	files, err := codegen.Generate(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Stale() {
			t.Errorf("%s is stale: run go generate ./internal/sample", f.Path)
		}
	}
}

func TestGenerated(t *testing.T) {
	node := highlander.OpenTest(t, Objects)
	for _, c := range []codectest.Case{
		{Type: &listType, Collection: func(n object.Node) any { return Lists(n) }},
		{Type: &everythingType, Collection: func(n object.Node) any { return Everythings(n) }},
	} {
		for seed := range uint64(20) {
			c.Check(t, rand.New(rand.NewPCG(seed, 0)), node)
		}
	}
}

// random returns a value, without what is not stored.
func random(seed uint64) (e Everything) {
	codectest.Fill(rand.New(rand.NewPCG(seed, 0)), &e)
	return cloneEverything(e, 0)
}

func encode(t interface{ Fatal(...any) }, e Everything) []byte {
	b, err := codec.Encode(nil, e, everythingType.Codec.Append)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func difference(got, want *Everything) string {
	return codectest.Difference(reflect.ValueOf(got).Elem(), reflect.ValueOf(want).Elem(), false)
}

func TestVmihailencoReadsWhatIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := random(rapid.Uint64().Draw(t, "seed"))
		b := encode(t, want)
		var got Everything
		if err := msgpack.Unmarshal(b, &got); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		if d := difference(&got, &want); d != "" {
			t.Fatalf("%x is read as another value at %s", b, d)
		}
	})
}

func TestWhatVmihailencoWritesIsRead(t *testing.T) {
	for _, compact := range []bool{false, true} {
		rapid.Check(t, func(t *rapid.T) {
			want := random(rapid.Uint64().Draw(t, "seed"))
			var b bytes.Buffer
			enc := msgpack.NewEncoder(&b)
			enc.UseArrayEncodedStructs(true)
			enc.UseCompactInts(compact)
			if err := enc.Encode(&want); err != nil {
				t.Fatal(err)
			}
			var got Everything
			if err := codec.Decode(b.Bytes(), &got, readEverything); err != nil {
				t.Fatalf("%x: %v", b.Bytes(), err)
			}
			if d := difference(&got, &want); d != "" {
				t.Fatalf("%x is read as another value at %s", b.Bytes(), d)
			}
		})
	}
}

// Bytes of any kind are an error at worst, and what can be read can be written so that it reads the same.
func FuzzDecode(f *testing.F) {
	for seed, n := uint64(0), 0; n < 5; seed++ {
		if b := encode(f, random(seed)); len(b) < 2000 { // what is long is fuzzed slowly
			f.Add(b)
			n++
		}
	}
	f.Add([]byte{0xc0})
	f.Add([]byte("\xdd\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, src []byte) {
		var v, again Everything
		if codec.Decode(src, &v, readEverything) != nil {
			return
		}
		withoutURLs(&v)
		b := encode(t, v)
		if err := codec.Decode(b, &again, readEverything); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		if d := difference(&again, &v); d != "" {
			t.Fatalf("%x is read as another value at %s", b, d)
		}
	})
}

// withoutURLs takes the URLs out: not all that parse are written so that they parse.
func withoutURLs(e *Everything) {
	e.URL, e.URLs = url.URL{}, nil
	if e.Next != nil {
		withoutURLs(e.Next)
	}
	for i := range e.Others {
		withoutURLs(&e.Others[i])
	}
	for _, kid := range e.Kids {
		if kid != nil {
			withoutURLs(kid)
		}
	}
}

// What is written is what is read, whatever the value.
func FuzzRoundTrip(f *testing.F) {
	f.Add(uint64(0))
	f.Fuzz(func(t *testing.T, seed uint64) {
		want := random(seed)
		var got Everything
		if err := codec.Decode(encode(t, want), &got, readEverything); err != nil {
			t.Fatal(err)
		}
		if d := difference(&got, &want); d != "" {
			t.Fatalf("read as another value at %s", d)
		}
	})
}
