package codec

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

// The shapes of a program that knows the positions 0 and 2 of an item, has retired position 1, and does not know of the positions after 2.
func itemShape() Shape { return StructOf(Leaf, Unknown, SliceOf(itemShape)) }

// And of a struct that holds items in every way.
func boxShape() Shape {
	return StructOf(Leaf, itemShape, SliceOf(itemShape), MapOf(itemShape), MapOf(SliceOf(itemShape)), func() Shape { return StructOf(itemShape, itemShape) })
}

func pairShape() Shape { return StructOf(Leaf, MapOf(itemShape)) }

type (
	array = []any
	kv    = map[string]any
)

// encoded is v in msgpack, maps by the order of their keys.
func encoded(t rapid.TB, v any) []byte {
	t.Helper()
	var b strings.Builder
	enc := msgpack.NewEncoder(&b)
	enc.SetSortMapKeys(true)
	enc.UseCompactInts(true)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}

func TestCarry(t *testing.T) {
	items := SliceOf(itemShape)
	// a to d are items as this program writes them, with a title; A to D are the same with something that it does not know.
	item := func(title string, more ...any) array { return append(array{title, nil, nil}, more...) }
	parent := func(title string, kids ...any) array { return array{title, nil, kids} }
	a, b, c, d := item("a"), item("b"), item("c"), item("d")
	A, B, C, D := item("a", "A"), item("b", "B"), item("c", "C"), item("d", "D")

	for _, test := range []struct {
		name             string
		shape            func() Shape
		base, next, want any
	}{
		{"a position beyond", itemShape, array{"a", nil, nil, 7}, array{"b", nil, nil}, array{"b", nil, nil, 7}},
		{"a retired position", itemShape, array{"a", 7, nil}, array{"b", nil, nil}, array{"b", 7, nil}},
		{"a retired position that next has", itemShape, array{"a", 7, nil}, array{"b", 5, nil}, array{"b", 5, nil}},
		{"a retired position of a shorter base", itemShape, array{"a", 7}, array{"b", nil, nil}, array{"b", 7, nil}},
		{"what is known is not carried", itemShape, array{"a", 7, array{a}}, array{"b", nil, nil}, array{"b", 7, nil}},
		{"nils at the end are not carried", itemShape, array{"a", nil, nil, 1, nil, nil}, array{"b", nil, nil}, array{"b", nil, nil, 1}},
		{"nils in between are", itemShape, array{"a", nil, nil, nil, 1}, array{"b", nil, nil}, array{"b", nil, nil, nil, 1}},
		{"what next has beyond stays", itemShape, array{"a", nil, nil, 1, 2, 3}, array{"b", nil, nil, 5, nil}, array{"b", nil, nil, 5, nil, 3}},
		{"in elements too, which are found by what is known", items, array{A, B}, array{item("c"), item("b", "other"), item("a", nil)}, array{item("c"), item("b", "other"), item("a", nil)}},
		{"and beside it what it has not", items, array{item("a", 1, 2), item("b", 3, 4)}, array{item("b", 5), item("a", nil)}, array{item("b", 5, 4), item("a", nil, 2)}},
		{"a base with nothing unknown", itemShape, array{"a"}, array{"b", nil, nil}, array{"b", nil, nil}},
		{"a nil base", itemShape, nil, a, a},
		{"a nil next", itemShape, A, nil, nil},
		{"a leaf", Leaf, A, b, b},
		{"a struct in a struct", boxShape, array{"", A}, array{"x", b, nil, nil, nil, nil}, array{"x", item("b", "A"), nil, nil, nil, nil}},
		{"an array", boxShape, array{"", nil, nil, nil, nil, array{A, B}}, array{"", nil, nil, nil, nil, array{b, a}},
			array{"", nil, nil, nil, nil, array{item("b", "A"), item("a", "B")}}},
		{"a map", MapOf(itemShape), kv{"k": A, "l": B, "m": C}, kv{"k": b, "m": nil, "n": c}, kv{"k": item("b", "A"), "m": nil, "n": c}},
		{"a map of slices", MapOf(items), kv{"k": array{A, B}, "l": array{C}}, kv{"k": array{b, c}, "l": array{a}},
			kv{"k": array{B, c}, "l": array{item("a", "C")}}},

		{"nothing has changed", items, array{A, B}, array{a, b}, array{A, B}},
		{"one is appended", items, array{A, B}, array{a, b, c}, array{A, B, c}},
		{"one is put in front", items, array{A, B}, array{c, a, b}, array{c, A, B}},
		{"one is inserted", items, array{A, B}, array{a, c, b}, array{A, c, B}},
		{"one is removed", items, array{A, B, C}, array{a, c}, array{A, C}},
		{"one is replaced, or changed", items, array{A, B, C}, array{a, d, c}, array{A, item("d", "B"), C}},
		{"all are, and one is new", items, array{A, B}, array{c, d, item("e")}, array{c, d, item("e")}},
		{"the order is another", items, array{A, B, C}, array{c, a, b}, array{C, A, B}},
		{"one is changed between neighbours whose order is another", items, array{A, B, C}, array{c, d, a}, array{C, d, A}},
		{"two are changed in a gap and one elsewhere is removed", items, array{A, B, C, D, item("e", "E")}, array{item("x"), item("y"), c, item("e")},
			array{item("x", "A"), item("y", "B"), C, item("e", "E")}},
		{"the neighbour behind is another", items, array{A, item("x", 1), B, C, D}, array{d, a, item("y"), c, b}, array{D, A, item("y"), C, B}},
		{"or there is none", items, array{A, item("x", 1), B}, array{b, a, item("y")}, array{B, A, item("y")}},
		{"nobody takes what another has taken", items, array{A}, array{a, a}, array{A, a}},
		{"of the same ones the first is removed", items, array{item("a", 1), B, item("a", 2)}, array{b, a}, array{B, item("a", 2)}},
		{"of the same ones the last is removed", items, array{item("a", 1), B, item("a", 2)}, array{a, b}, array{item("a", 1), B}},
		{"the same ones are taken in order", items, array{A, item("x", 1), item("x", 2), B}, array{b, item("x"), item("x"), a}, array{B, item("x", 1), item("x", 2), A}},
		{"a newer version has retired what this one knows", items,
			array{array{nil, nil, nil, 1, "a"}, array{nil, nil, nil, 2, "b"}}, array{array{"", nil, nil}, array{"", nil, nil}, c},
			array{array{"", nil, nil, 1, "a"}, array{"", nil, nil, 2, "b"}, c}},
		{"both versions have retired something", items, array{array{nil, 1, nil}, array{nil, 2, nil}}, array{array{"", nil, nil}, array{"", nil, nil}, c},
			array{array{"", 1, nil}, array{"", 2, nil}, c}},
		{"and what it has not retired differs", items, array{array{nil, nil, array{a}, 1}, array{nil, nil, array{a, b}, 2}}, array{array{"", nil, array{a, b}}},
			array{array{"", nil, array{a, b}, 2}}},
		{"even in a key", SliceOf(pairShape), array{array{nil, kv{"k": a}, 1}, array{nil, kv{"l": a}, 2}}, array{array{"", kv{"l": a}}}, array{array{"", kv{"l": a}, 2}}},
		{"and an element behind a removed one", items,
			array{array{"a", nil, nil, 1}, array{"b", nil, nil, 2}, array{"c", nil, nil, 3}}, array{array{"b", nil, array{}}, array{"c", nil, array{}}},
			array{array{"b", nil, array{}, 2}, array{"c", nil, array{}, 3}}},
		{"an element that is the same goes before one that may be", items, array{item("a", 1), array{"a", nil, array{b}, 2}}, array{array{"a", nil, array{b}}, a},
			array{array{"a", nil, array{b}, 2}, item("a", 1)}},
		{"inside elements", items, array{parent("x", A, B)}, array{parent("x", b)}, array{parent("x", B)}},
		{"inside elements whose order is another", items, array{parent("x", A), parent("y", B)}, array{parent("y", b), parent("x", a)}, array{parent("y", B), parent("x", A)}},
		{"inside maps in them", SliceOf(pairShape), array{array{"x", kv{"k": A}}, array{"y", kv{"k": B}}}, array{array{"y", kv{"k": b}}, array{"x", kv{"k": a}}},
			array{array{"y", kv{"k": B}}, array{"x", kv{"k": A}}}},
		{"elements are nil", items, array{nil, A, nil}, array{a, nil, nil}, array{A, nil, nil}},
		{"an element becomes nil", items, array{A, B}, array{a, nil}, array{A, nil}},
	} {
		t.Run(test.name, func(t *testing.T) {
			base, next := encoded(t, test.base), encoded(t, test.next)
			got, err := Carry([]byte("dst"), base, next, test.shape)
			if want := "dst" + string(encoded(t, test.want)); err != nil || string(got) != want {
				t.Fatalf("%q, %v\nwanted %q", got, err, want)
			}
		})
	}
}

// drawItems draws items as a newer version writes them, each with a number of its own in one of the positions that this one does not know.
func drawItems(t *rapid.T, depth int, number *int) array {
	items := make(array, rapid.IntRange(0, 5).Draw(t, "items"))
	for i := range items {
		*number++
		own := 1000 + *number
		var kids any
		if depth > 0 && rapid.Bool().Draw(t, "with kids") {
			kids = drawItems(t, depth-1, number)
		}
		title := rapid.StringMatching("[a-c]").Draw(t, "title")
		switch rapid.IntRange(0, 3).Draw(t, "unknown") {
		case 0:
			items[i] = array{title, nil, kids}
		case 1:
			items[i] = array{title, own, kids}
		case 2:
			items[i] = array{title, nil, kids, nil, own}
		case 3:
			items[i] = array{nil, nil, kids, own} // the newer version has retired titles
		}
	}
	return items
}

// seen returns items as this program knows and writes them.
func seen(items any) any {
	if items == nil {
		return nil
	}
	known := make(array, len(items.(array)))
	for i, item := range items.(array) {
		title := item.(array)[0]
		if title == nil {
			title = ""
		}
		known[i] = array{title, nil, seen(item.(array)[2])}
	}
	return known
}

// edited returns items after a method of this program.
func edited(t *rapid.T, items array) array {
	items = slices.Clone(items)
	for range rapid.IntRange(0, 4).Draw(t, "edits") {
		i := rapid.IntRange(0, len(items)).Draw(t, "where")
		title := rapid.StringMatching("[a-d]").Draw(t, "new title")
		switch kind := rapid.IntRange(0, 4).Draw(t, "edit"); {
		case kind == 0 || i == len(items):
			items = slices.Insert(items, i, any(array{title, nil, nil}))
		case kind == 1:
			items = slices.Delete(items, i, i+1)
		case kind == 2:
			items[i] = array{title, nil, items[i].(array)[2]}
		case kind == 3:
			j := rapid.IntRange(0, len(items)-1).Draw(t, "with")
			items[i], items[j] = items[j], items[i]
		case items[i].(array)[2] != nil:
			items[i] = array{items[i].(array)[0], nil, edited(t, items[i].(array)[2].(array))}
		}
	}
	return items
}

// numbers returns what is unknown in items, and fails if something is in there twice.
func numbers(t *rapid.T, encoded []byte) map[int]bool {
	var items any
	if err := msgpack.Unmarshal(encoded, &items); err != nil {
		t.Fatal(err)
	}
	found := make(map[int]bool)
	var collect func(v any)
	collect = func(v any) {
		if a, ok := v.(array); ok {
			for _, v := range a {
				collect(v)
			}
		} else if n := reflect.ValueOf(v); n.CanInt() || n.CanUint() {
			i, _ := strconv.Atoi(fmt.Sprint(v))
			if found[i] {
				t.Fatalf("%d is there twice", i)
			}
			found[i] = true
		}
	}
	collect(items)
	return found
}

func TestCarryKeepsEverythingWhereNothingChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var n int
		items := drawItems(t, 2, &n)
		base, next := encoded(t, items), encoded(t, seen(items))
		got, err := Carry(nil, base, next, SliceOf(itemShape))
		if err != nil {
			t.Fatal(err)
		}
		if has, had := numbers(t, got), numbers(t, base); !maps.Equal(has, had) {
			t.Fatalf("%v\nbecame %q: has %v, had %v", items, got, has, had)
		}
	})
}

func TestCarryChangesNothingThatThisProgramKnowsAndDoublesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var n int
		items := drawItems(t, 2, &n)
		changed := edited(t, seen(items).(array))
		base, next := encoded(t, items), encoded(t, changed)
		got, err := Carry(nil, base, next, SliceOf(itemShape))
		if err != nil {
			t.Fatal(err)
		}
		var after any
		if err := msgpack.Unmarshal(got, &after); err != nil {
			t.Fatal(err)
		}
		if string(encoded(t, seen(after))) != string(next) {
			t.Fatalf("%v\nbecame %v\nwith   %v", items, changed, after)
		}
		had := numbers(t, base)
		for i := range numbers(t, got) {
			if !had[i] {
				t.Fatalf("where does %d come from?", i)
			}
		}
	})
}

func TestCarryRefusesOtherShapesAndGarbage(t *testing.T) {
	for _, test := range []struct{ base, next, want string }{
		{"\x81\x01\x02", "\x93\xc0\xc0\xc0", "what was stored: byte 0: wanted a struct, found map"},
		{"\x93\xc0\xc0", "\x93\xc0\xc0\xc0", "what was stored: byte 0: wanted a struct, found the promise of 3 values in 2 bytes"},
		{"\x93\xc0\x01\xc0\x01", "\x93\xc0\xc0\xc0", "what was stored: byte 4: the value ends here, but 1 bytes follow"},
		{"\x93\xc0\x01\xc0", "\x05", "what is to be stored: byte 0: wanted a struct, found int"},
		{"\x93\xc0\x01\xc0", "", "what is to be stored: byte 0: wanted a struct, found the end"},
		{strings.Repeat("\x93\xc0\xc0\x91", 20_000) + "\xc0", "\xc0", "what was stored: byte 8000: the value is too deep"},
	} {
		got, err := Carry([]byte("dst"), []byte(test.base), []byte(test.next), itemShape)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) || string(got) != "dst" {
			t.Errorf("%.20q, %.20q: %q, %v, wanted %s", test.base, test.next, got, err, test.want)
		}
	}
}

func TestCarryCompletesOneOfTheEntriesOfAKey(t *testing.T) {
	got, err := Carry(nil, []byte("\x81\x01\x94\xc0\xc0\xc0\x07"), []byte("\x82\x01\x93\xc0\xc0\xc0\x01\x93\xc0\xc0\xc0"), MapOf(itemShape))
	if want := "\x82\x01\x94\xc0\xc0\xc0\x07\x01\x93\xc0\xc0\xc0"; err != nil || string(got) != want {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestCarryTakesNothingApartWhereNothingIsUnknown(t *testing.T) {
	items := make(array, 1000)
	for i := range items {
		items[i] = array{"a", nil, nil}
	}
	base := encoded(t, items)
	dst := make([]byte, 0, len(base))
	if n := testing.AllocsPerRun(10, func() { Carry(dst, base, base, SliceOf(itemShape)) }); n > 10 {
		t.Errorf("%v allocations", n)
	}
}
