package codec

import (
	"bytes"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// reflectedTodo is a todo for the reflecting codec: as an array too.
type reflectedTodo struct {
	_msgpack     struct{} `msgpack:",as_array"` //lint:ignore U1000 msgpack looks for it
	Title, Color string
	Completed    bool
	CompletedAt  time.Time
}

var (
	milk          = todo{"buy milk", "red", true, time.Unix(1_700_000_000, 123_000_000).UTC()}
	reflectedMilk = reflectedTodo{Title: milk.Title, Color: milk.Color, Completed: milk.Completed, CompletedAt: milk.CompletedAt}
)

func BenchmarkEncode(b *testing.B) {
	b.Run("codec", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, 100)
		for b.Loop() {
			if _, err := Encode(buf, milk, appendTodo); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("reflection", func(b *testing.B) {
		b.ReportAllocs()
		buf := bytes.NewBuffer(make([]byte, 0, 100))
		for b.Loop() {
			buf.Reset()
			enc := msgpack.GetEncoder()
			enc.Reset(buf)
			if err := enc.Encode(&reflectedMilk); err != nil {
				b.Fatal(err)
			}
			msgpack.PutEncoder(enc)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	src, err := Encode(nil, milk, appendTodo)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("codec", func(b *testing.B) {
		b.ReportAllocs()
		var v todo
		for b.Loop() {
			if err := Decode(src, &v, readTodo); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("reflection", func(b *testing.B) {
		b.ReportAllocs()
		var v reflectedTodo
		for b.Loop() {
			if err := msgpack.Unmarshal(src, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
