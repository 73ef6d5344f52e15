package reflectcodec

import (
	"bytes"
	"encoding"
	"reflect"
	"slices"
	"sync"

	library "github.com/vmihailenco/msgpack/v5"

	"github.com/highlander-go/highlander/internal/msgpack"
)

// maxNesting is how many arrays and maps may hold one another for sortMaps to look inside. What is deeper stays as it is.
const maxNesting = 4000

// sortMaps brings the entries of each map in b, which is one msgpack value, into the order of their bytes, those of structs among them. For
// decoders there is no difference, unless b is no such value or strings in it refer to others by their order: it is left alone then.
func sortMaps(b []byte) {
	if orderless(b) {
		sortInside(b, maxNesting)
	}
}

// orderless tells whether b is one value that means the same in whatever order its maps are.
func orderless(b []byte) bool {
	for open := uint64(1); open > 0; open-- { // values yet to be passed
		size, values, err := msgpack.Head(b)
		if err != nil || isInterned(b) {
			return false
		}
		b, open = b[size:], open+values
	}
	return len(b) == 0
}

// isInterned tells whether the value at the front of b is what the library writes for a string with the tag "intern" that was there before: a
// fixext of 1, 2 or 4 bytes of type -128, with the number of the string.
func isInterned(b []byte) bool { return b[0] >= 0xd4 && b[0] <= 0xd6 && b[1] == 0x80 }

// sortInside sorts the maps in the value at the front of b, from the innermost to the outermost, and returns its length.
func sortInside(b []byte, depth int) int {
	at, values, _ := msgpack.Head(b)
	switch {
	case depth == 0:
		size, _ := msgpack.Size(b)
		return size
	case !isMap(b[0]):
		for range values {
			at += sortInside(b[at:], depth-1)
		}
		return at
	}
	first, entries := at, make([][]byte, values/2)
	for i := range entries {
		start := at
		at += sortInside(b[at:], depth-1)
		at += sortInside(b[at:], depth-1)
		entries[i] = b[start:at]
	}
	if !slices.IsSortedFunc(entries, bytes.Compare) { // no key is the beginning of another: values count where keys are the same, as NaNs are
		slices.SortFunc(entries, bytes.Compare)
		copy(b[first:], bytes.Join(entries, nil))
	}
	return at
}

func isMap(first byte) bool { return first>>4 == 0x8 || first == 0xde || first == 0xdf }

var (
	disorderly sync.Map // by reflect.Type, what disorders has returned

	stringType = reflect.TypeFor[string]()
	boolType   = reflect.TypeFor[bool]()

	// Types that say themselves how they are encoded. The last two write bytes.
	marshalers = []reflect.Type{
		reflect.TypeFor[library.CustomEncoder](),
		reflect.TypeFor[library.Marshaler](),
		reflect.TypeFor[encoding.BinaryMarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](),
	}
)

// disorders tells whether the library may write entries of maps in a value of type t in an order that is new each time.
func disorders(t reflect.Type) bool {
	if is, known := disorderly.Load(t); known {
		return is.(bool)
	}
	is := holdsMaps(t, make(map[reflect.Type]bool))
	disorderly.Store(t, is)
	return is
}

// holdsMaps tells whether a value of type t may hold a map that the library does not sort, in a type that was not seen before.
func holdsMaps(t reflect.Type, seen map[reflect.Type]bool) bool {
	if t.Kind() == reflect.Interface {
		return true
	}
	if seen[t] || slices.ContainsFunc(marshalers, func(m reflect.Type) bool { return t.Implements(m) || reflect.PointerTo(t).Implements(m) }) {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Map:
		return t.Key() != stringType || t.Elem() != stringType && t.Elem() != boolType // of map[string]any only the outermost is sorted
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return holdsMaps(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); (f.IsExported() || f.Anonymous) && holdsMaps(f.Type, seen) {
				return true
			}
		}
	}
	return false
}
