package persist

import (
	"fmt"
	"testing"

	"github.com/highlander-go/highlander/object"
)

func BenchmarkMemoryPut(b *testing.B) {
	body := make([]byte, 100)
	for _, known := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("blobs=%d", known), func(b *testing.B) {
			m := NewMemory()
			names := make([]string, known)
			tags := make([]object.Tag, known)
			for i := range names {
				names[i] = BlobName(object.Key{Type: "list", ID: fmt.Sprintf("list-%d", i)})
				tags[i], _ = m.Put(b.Context(), names[i], body, object.IfAbsent())
			}
			ctx, i := b.Context(), 0
			b.ReportAllocs()
			for b.Loop() {
				tag, err := m.Put(ctx, names[i], body, object.IfMatch(tags[i]))
				if err != nil {
					b.Fatal(err)
				}
				tags[i] = tag
				i = (i + 1) % known
			}
		})
	}
}

func BenchmarkDirectoryPut(b *testing.B) {
	d := openTestDirectory(b, b.TempDir())
	body := make([]byte, 100)
	name := BlobName(testKey)
	ctx := b.Context()
	tag, err := d.Put(ctx, name, body, object.IfAbsent())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		body[0] = byte(i)
		if tag, err = d.Put(ctx, name, body, object.IfMatch(tag)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDirectoryPutParallel(b *testing.B) {
	d := openTestDirectory(b, b.TempDir())
	ctx := b.Context()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		name := fmt.Sprintf("o/list/%p", pb)
		for pb.Next() {
			if _, err := d.Put(ctx, name, make([]byte, 100), object.Condition{}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkCommitInMemory(b *testing.B) {
	records := NewRecords(NewMemory())
	r := testRecord(b, []string{"milk", "bread"})
	ctx := b.Context()
	var tag object.Tag
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if tag, err = records.Commit(ctx, testKey, r, tag); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	for _, size := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprintf("state=%d", size), func(b *testing.B) {
			r := testRecord(b, make([]byte, size))
			body := encode(b, testKey, r)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				body, _ = AppendRecord(body[:0], testKey, testGeneration, r)
			}
		})
	}
}

func BenchmarkDecodeRecord(b *testing.B) {
	for _, size := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprintf("state=%d", size), func(b *testing.B) {
			body := encode(b, testKey, testRecord(b, make([]byte, size)))
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := DecodeRecord(testKey, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBlobName(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_ = BlobName(testKey)
	}
}
