package persist

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/object/storetest"
)

func openTestDirectory(tb testing.TB, dir string) *Directory {
	tb.Helper()
	d, err := OpenDirectory(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { d.Close() })
	return d
}

func TestMemoryKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(*testing.T) object.Store { return NewMemory() })
}

func TestDirectoryKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) object.Store { return openTestDirectory(t, t.TempDir()) })
}

func TestSimulatedDiskKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) object.Store { return openSimulated(t, newSimDisk()) })
}

func TestMemoryBehavesLikeAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { compareWithMap(t, NewMemory()) })
}

func TestDirectoryBehavesLikeAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { compareWithMap(t, openSimulated(t, newSimDisk())) })
}

// modelNames have no name that is another's folder.
var modelNames = []string{"a", "b", "b-", "c/a", "c/b", "c-/a", "c+/x/y", "c+/x/z", "d/e/f/g"}

// compareWithMap does the same to the store and to a map, and looks for a difference.
func compareWithMap(t *rapid.T, store object.Store) {
	ctx := t.Context()
	model := make(map[string][]byte)
	tags := make(map[string]object.Tag) // of what is there now
	var stale []object.Tag              // of anything, once
	name := rapid.SampledFrom(modelNames)
	body := rapid.SliceOfN(rapid.Byte(), 0, 20)

	condition := func(name string) object.Condition {
		switch rapid.IntRange(0, 3).Draw(t, "condition") {
		case 0:
			return object.IfAbsent()
		case 1:
			return object.IfMatch(tags[name]) // the zero condition if there is none
		case 2:
			if len(stale) > 0 {
				return object.IfMatch(rapid.SampledFrom(stale).Draw(t, "stale"))
			}
		}
		return object.Condition{}
	}
	expect := func(err, want error) bool {
		if !errors.Is(err, want) {
			t.Fatalf("got error %v, want %v", err, want)
		}
		return want == nil
	}
	t.Repeat(map[string]func(*rapid.T){
		"put": func(t *rapid.T) {
			n, b := name.Draw(t, "name"), body.Draw(t, "body")
			c := condition(n)
			_, exists := model[n]
			tag, err := store.Put(ctx, n, b, c)
			if expect(err, c.Check(exists, tags[n])) {
				model[n], tags[n], stale = b, tag, append(stale, tag)
			}
		},
		"delete": func(t *rapid.T) {
			n := name.Draw(t, "name")
			c := condition(n)
			_, exists := model[n]
			if expect(store.Delete(ctx, n, c), c.Check(exists, tags[n])) {
				delete(model, n)
				delete(tags, n)
			}
		},
		"get": func(t *rapid.T) {
			n := name.Draw(t, "name")
			want, exists := model[n]
			got, tag, err := store.Get(ctx, n)
			if !exists {
				expect(err, object.ErrNoBlob)
			} else if err != nil || !bytes.Equal(got, want) || tag != tags[n] {
				t.Fatalf("got %q, tag %q, error %v; want %q, tag %q", got, tag, err, want, tags[n])
			}
		},
		"list": func(t *rapid.T) {
			prefix := rapid.SampledFrom([]string{"", "a", "b", "c", "c/", "c+/x", "c+/x/", "d/e", "e"}).Draw(t, "prefix")
			after := rapid.SampledFrom(append([]string{"", "b/", "c/aa"}, modelNames...)).Draw(t, "after")
			limit := rapid.IntRange(1, 5).Draw(t, "limit")
			var want []object.Entry
			for _, n := range slices.Sorted(maps.Keys(model)) {
				if strings.HasPrefix(n, prefix) && n > after && len(want) < limit {
					want = append(want, object.Entry{Name: n, Size: int64(len(model[n]))})
				}
			}
			got, err := store.List(ctx, prefix, after, limit)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("got %v, error %v; want %v", got, err, want)
			}
		},
	})
}
