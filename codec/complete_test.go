package codec

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// next is of a program that knows less than this one, or more.
func TestComplete(t *testing.T) {
	items := SliceOf(itemShape)
	full := func(title string) array { return array{title, nil, array{array{title, nil, nil}}} }
	for _, test := range []struct {
		name             string
		shape            func() Shape
		base, next, want any
	}{
		{"a shorter struct", itemShape, array{"a", nil, array{full("b")}, 7}, array{"c"}, array{"c", nil, array{full("b")}, 7}},
		{"a longer one", itemShape, array{"a", nil, nil, 7, 8, 9}, array{"c", nil, nil, nil, 1}, array{"c", nil, nil, nil, 1, 9}},
		{"what is nil there is", itemShape, array{"a", nil, nil, 7}, array{"c", nil, nil, nil}, array{"c", nil, nil, nil}},
		{"but not what this program has retired", itemShape, array{"a", 7, nil}, array{"c", nil, nil}, array{"c", 7, nil}},
		{"which the other may know", itemShape, array{"a", 7, nil}, array{"c", 8, nil}, array{"c", 8, nil}},
		{"an empty struct", itemShape, array{"a", nil, nil, 7}, array{}, array{"a", nil, nil, 7}},
		{"nil", itemShape, array{"a", nil, nil, 7}, nil, nil},
		{"a leaf", Leaf, 1, 2, 2},
		{"a struct in a struct", boxShape, array{"", full("a")}, array{"x", array{"b"}}, array{"x", array{"b", nil, full("a")[2]}}},
		{"a map", MapOf(itemShape), map[string]any{"k": full("a"), "l": full("b")}, map[string]any{"k": array{"c"}, "m": array{"d"}},
			map[string]any{"k": array{"c", nil, full("a")[2]}, "m": array{"d"}}},
		{"elements: one is removed, one changed, one appended, two are swapped", items, array{full("a"), full("b"), full("c"), full("d"), full("e")},
			array{array{"x"}, array{"d"}, array{"c"}, array{"e"}, array{"f"}},
			array{array{"x"}, full("d"), full("c"), full("e"), array{"f"}}},
		{"elements inside elements, of which some have none", items,
			array{array{"a", nil, array{}}, array{"b", nil, array{full("c"), full("d")}}}, array{array{"a", nil, array{}}, array{"b", nil, array{array{"d"}}}},
			array{array{"a", nil, array{}}, array{"b", nil, array{full("d")}}}},
		{"no elements", items, array{full("a")}, array{}, array{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Complete([]byte("dst"), encoded(t, test.base), encoded(t, test.next), test.shape)
			if want := "dst" + string(encoded(t, test.want)); err != nil || string(got) != want {
				t.Fatalf("%q, %v\nwanted %q", got, err, want)
			}
		})
	}
	if got, err := Complete([]byte("dst"), encoded(t, full("a")), []byte{5}, itemShape); err == nil || string(got) != "dst" {
		t.Errorf("%q, %v", got, err)
	}
}

// What an older version sends to a newer owner comes out as if the older version had been the owner.
func TestCompleteIsCarryByTheOther(t *testing.T) {
	var older, newer func() Shape
	older = func() Shape { return StructOf(Leaf, Leaf, SliceOf(older)) }
	newer = func() Shape { return StructOf(Leaf, Leaf, SliceOf(newer), Leaf, Leaf) }
	rapid.Check(t, func(r *rapid.T) {
		number := 0
		items := drawItems(r, 2, &number)
		base, next := encoded(t, items), encoded(t, edited(r, seen(items).(array)))
		want, err := Carry(nil, base, next, SliceOf(older))
		if err != nil {
			r.Fatal(err)
		}
		if got, err := Complete(nil, base, next, SliceOf(newer)); err != nil || !bytes.Equal(got, want) {
			r.Fatalf("base %x\nnext %x\ngot  %x, %v\nwant %x", base, next, got, err, want)
		}
	})
}
