package sample

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/object"
)

var milk = Todo{"buy milk", "red", true, time.Unix(1_700_000_000, 123_000_000).UTC()}

func BenchmarkEncode(b *testing.B) {
	b.Run("by=generated", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, 100)
		for b.Loop() {
			if _, err := codec.Encode(buf, milk, appendTodo); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("by=reflection", func(b *testing.B) {
		b.ReportAllocs()
		buf := bytes.NewBuffer(make([]byte, 0, 100))
		enc := msgpack.NewEncoder(buf)
		enc.UseArrayEncodedStructs(true)
		for b.Loop() {
			buf.Reset()
			if err := enc.Encode(&milk); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	src, err := codec.Encode(nil, milk, appendTodo)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("by=generated", func(b *testing.B) {
		b.ReportAllocs()
		var v Todo
		for b.Loop() {
			if err := codec.Decode(src, &v, readTodo); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("by=reflection", func(b *testing.B) {
		b.ReportAllocs()
		r := bytes.NewReader(src)
		dec := msgpack.NewDecoder(r)
		var v Todo
		for b.Loop() {
			r.Reset(src)
			dec.Reset(r)
			if err := dec.Decode(&v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

const (
	benchLists = 1000
	benchTodos = 100
)

// lists puts lists of todos, every third of which is completed, on a node that keeps everything in memory.
func lists(t testing.TB) (ids []string, refs ListCollection, floor map[object.Key]*List) {
	t.Helper()
	node, err := highlander.Open(t.Context(), highlander.Config{}, Objects)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	refs, floor = Lists(node), map[object.Key]*List{}
	for i := range benchLists {
		l := List{Title: "list", Todos: make([]Todo, benchTodos)}
		for j := range l.Todos {
			l.Todos[j] = milk
			l.Todos[j].Completed = j%3 == 0
		}
		id := fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)
		if err := refs.Put(t.Context(), id, l); err != nil {
			t.Fatal(err)
		}
		copied := cloneList(l)
		ids, floor[object.Key{Type: "list", ID: id}] = append(ids, id), &copied
	}
	return ids, refs, floor
}

// A read of an object in memory here, by generated code, beside the least that does the same by hand: a map behind a mutex.
func BenchmarkRead(b *testing.B) {
	ids, refs, floor := lists(b)
	ctx := b.Context()
	for _, m := range []struct {
		name string
		ref  func(ListRef, context.Context) (int, error)
		hand func(List, context.Context) int
	}{
		{"method=Open", ListRef.Open, List.Open},
		{"method=Count", ListRef.Count, List.Count},
	} {
		b.Run(m.name+"/by=floor", func(b *testing.B) {
			b.ReportAllocs()
			var mu sync.Mutex
			n := 0
			for i := 0; b.Loop(); i++ {
				mu.Lock()
				l := floor[object.Key{Type: "list", ID: ids[i%len(ids)]}]
				mu.Unlock()
				n += m.hand(*l, ctx)
			}
		})
		b.Run(m.name+"/by=generated", func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for i := 0; b.Loop(); i++ {
				open, err := m.ref(refs.Ref(ids[i%len(ids)]), ctx)
				if err != nil {
					b.Fatal(err)
				}
				n += open
			}
		})
	}
}

func TestAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	ids, refs, _ := lists(t)
	buf := make([]byte, 0, 100)
	for what, do := range map[string]func() error{
		"encode into a buffer": func() error { _, err := codec.Encode(buf, milk, appendTodo); return err },
		"read a number":        func() error { _, err := refs.Ref(ids[7]).Open(t.Context()); return err },
		"read a length":        func() error { _, err := refs.Ref(ids[7]).Count(t.Context()); return err },
	} {
		if n := testing.AllocsPerRun(1000, func() {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}
