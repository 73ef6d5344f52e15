package object_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/object"
)

// Two versions of a program have the same type: the younger one knows one field more, of the object and of its items, and one argument.
type (
	item1   struct{ Name string }
	basket1 struct {
		Owner string
		Items []item1
	}
	item2   struct{ Name, Color string }
	basket2 struct {
		Owner string
		Items []item2
		Note  string
	}
)

func fields(b []byte, s ...string) []byte {
	b = codec.AppendArray(b, len(s))
	for _, s := range s {
		b = codec.AppendString(b, s)
	}
	return b
}

func readFields(r *codec.Reader, s ...*string) {
	for i := range r.Fields() {
		if i < len(s) {
			codec.ReadString(r, s[i])
		} else {
			r.Skip()
		}
	}
}

var (
	appendItem1 = func(b []byte, v item1) []byte { return fields(b, v.Name) }
	readItem1   = func(r *codec.Reader, v *item1) { readFields(r, &v.Name) }
	appendItem2 = func(b []byte, v item2) []byte { return fields(b, v.Name, v.Color) }
	readItem2   = func(r *codec.Reader, v *item2) { readFields(r, &v.Name, &v.Color) }

	put1 = &object.UpdateMethod[basket1, item1, object.None]{
		Name: "Put",
		Run: func(_ context.Context, s *basket1, i item1) (object.None, error) {
			s.Items = append(s.Items, i)
			return object.None{}, nil
		},
		Args: object.Codec[item1]{Append: appendItem1, Read: readItem1},
	}
	put2 = &object.UpdateMethod[basket2, item2, object.None]{
		Name: "Put",
		Run: func(_ context.Context, s *basket2, i item2) (object.None, error) {
			s.Items = append(s.Items, i)
			return object.None{}, nil
		},
		Args: object.Codec[item2]{Append: appendItem2, Read: readItem2},
	}

	baskets1 = &object.Type[basket1]{Name: "basket", Layout: 1, Methods: []object.Method[basket1]{put1}, Codec: object.Codec[basket1]{
		Append: func(b []byte, v basket1) []byte {
			return codec.AppendSlice(codec.AppendString(codec.AppendArray(b, 2), v.Owner), v.Items, appendItem1)
		},
		Read: func(r *codec.Reader, v *basket1) {
			for i := range r.Fields() {
				switch i {
				case 0:
					codec.ReadString(r, &v.Owner)
				case 1:
					codec.ReadSlice(r, &v.Items, readItem1)
				default:
					r.Skip()
				}
			}
		},
		Clone: func(v basket1) basket1 {
			v.Items = codec.CloneSlice(v.Items, func(i item1) item1 { return i })
			return v
		},
		Shape: func() codec.Shape {
			return codec.StructOf(codec.Leaf, codec.SliceOf(func() codec.Shape { return codec.StructOf(codec.Leaf) }))
		},
	}}
	baskets2 = &object.Type[basket2]{Name: "basket", Layout: 1, Methods: []object.Method[basket2]{put2}, Codec: object.Codec[basket2]{
		Append: func(b []byte, v basket2) []byte {
			return codec.AppendString(codec.AppendSlice(codec.AppendString(codec.AppendArray(b, 3), v.Owner), v.Items, appendItem2), v.Note)
		},
		Read: func(r *codec.Reader, v *basket2) {
			for i := range r.Fields() {
				switch i {
				case 0:
					codec.ReadString(r, &v.Owner)
				case 1:
					codec.ReadSlice(r, &v.Items, readItem2)
				case 2:
					codec.ReadString(r, &v.Note)
				default:
					r.Skip()
				}
			}
		},
		Clone: func(v basket2) basket2 {
			v.Items = codec.CloneSlice(v.Items, func(i item2) item2 { return i })
			return v
		},
		Shape: func() codec.Shape {
			return codec.StructOf(codec.Leaf, codec.SliceOf(func() codec.Shape { return codec.StructOf(codec.Leaf, codec.Leaf) }), codec.Leaf)
		},
	}}
)

func (w *world) mustBasket(n *node, want string) {
	w.Helper()
	got, err := baskets2.On(n).Get(w.Context(), "b")
	if s := fmt.Sprint(got); err != nil || s != want {
		w.Fatalf("%s, %v; want %s", s, err, want)
	}
}

// What an older version does not know it carries through all kinds of its writes, also when they are made again on another state,
// and several to a put.
func TestAnOlderVersionLosesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.onCall = overTheWire
		ctx := w.Context()
		w.types = []object.Definition{baskets2}
		young := w.node("young")
		if err := baskets2.On(young).Put(ctx, "b", basket2{"bob", []item2{{"apple", "red"}, {"pear", "green"}}, "soon"}); err != nil {
			t.Fatal(err)
		}
		w.letGo()
		w.types = []object.Definition{baskets1}
		old := w.node("old")
		b := baskets1.On(old)
		put := func(name string) *result {
			return background(func() (int64, error) { _, err := put1.Call(ctx, b.Ref("b"), item1{name}); return 0, err })
		}
		must := func(r *result) {
			t.Helper()
			if _, err := r.wait(); err != nil {
				t.Fatal(err)
			}
		}
		must(put("plum"))
		if w.ownerOf2("basket", []*node{old, young}, "b") != old {
			t.Fatal("the old version does not own it: nothing is tested")
		}
		gates := w.store.holdEach(2) // one is being put, two run on what it has made and share the next
		all := []*result{put("fig")}
		all[0].over()
		for i, name := range []string{"date", "lime"} {
			all = append(all, put(name))
			all[i+1].over()
		}
		for _, gate := range gates {
			close(gate)
		}
		for _, r := range all {
			must(r)
		}
		w.store.onCommit = nil
		state, version, err := b.GetVersion(ctx, "b")
		if err != nil {
			t.Fatal(err)
		}
		state.Owner, state.Items = "rob", state.Items[1:]
		if err := b.PutIf(ctx, "b", version, state); err != nil {
			t.Fatal(err)
		}
		w.mustBasket(young, "{rob [{pear green} {plum } {fig } {date } {lime }] soon}") // read through the old version's node
		whole, version, err := baskets2.On(young).GetVersion(ctx, "b")
		if err != nil {
			t.Fatal(err)
		}
		whole.Note, whole.Items[1].Color = "later", "blue"
		if err := baskets2.On(young).PutIf(ctx, "b", version, whole); err != nil { // and written through it
			t.Fatal(err)
		}
		if w.ownerOf2("basket", []*node{old, young}, "b") != old {
			t.Fatal("the old version does not own it any more: nothing is tested")
		}
		const written = "{rob [{pear green} {plum blue} {fig } {date } {lime }] later}"
		w.mustBasket(young, written)
		w.letGo()
		old.stop()
		w.mustBasket(young, written)
		if _, err := put2.Call(ctx, baskets2.On(young).Ref("b"), item2{"kiwi", "brown"}); err != nil {
			t.Fatal(err)
		}
		w.mustBasket(young, "{rob [{pear green} {plum blue} {fig } {date } {lime } {kiwi brown}] later}")
		w.letGo()
		w.types = []object.Definition{baskets1}
		again := w.node("again")
		if err := baskets1.On(again).Delete(ctx, "b"); err != nil {
			t.Fatal(err)
		}
		if err := baskets1.On(again).Put(ctx, "b", basket1{Owner: "eve"}); err != nil {
			t.Fatal(err)
		}
		w.mustBasket(young, "{eve [] }") // a deletion is one
	})
}

// A node of an older version puts whole states at an owner of a newer one.
func TestAPutByAnOlderVersionLosesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.onCall = overTheWire
		ctx := w.Context()
		w.types = []object.Definition{baskets2}
		young := w.node("young")
		if err := baskets2.On(young).Put(ctx, "b", basket2{"bob", []item2{{"apple", "red"}, {"pear", "green"}, {"plum", "blue"}}, "soon"}); err != nil {
			t.Fatal(err)
		}
		w.serves, w.types = []string{}, []object.Definition{baskets1}
		b := baskets1.On(w.node("old client"))
		state, version, err := b.GetVersion(ctx, "b")
		if err != nil {
			t.Fatal(err)
		}
		state.Owner, state.Items = "rob", []item1{state.Items[2], {"fig"}, state.Items[1]}
		if err := b.PutIf(ctx, "b", version, state); err != nil {
			t.Fatal(err)
		}
		w.mustBasket(young, "{rob [{plum blue} {fig } {pear green}] soon}")
		if err := b.Put(ctx, "b", basket1{}); err != nil {
			t.Fatal(err)
		}
		w.mustBasket(young, "{ [] soon}")
		if err := b.Put(ctx, "never written", basket1{Owner: "eve"}); err != nil {
			t.Fatal(err)
		}
	})
}

// A node of a newer version puts a state at an owner of an older one: what is nil there is gone, although the owner does not know it.
func TestAPutByANewerVersionClearsWhatTheOwnerDoesNotKnow(t *testing.T) {
	notes := *baskets2
	notes.Codec.Append = func(b []byte, v basket2) []byte {
		b = codec.AppendSlice(codec.AppendString(codec.AppendArray(b, 3), v.Owner), v.Items, appendItem2)
		if v.Note == "" {
			return codec.AppendNil(b)
		}
		return codec.AppendString(b, v.Note)
	}
	inWorld(t, func(w *world) {
		w.onCall = overTheWire
		ctx := w.Context()
		w.types = []object.Definition{baskets1}
		w.node("old")
		w.serves, w.types = []string{}, []object.Definition{&notes}
		b := notes.On(w.node("young client"))
		for _, note := range []string{"soon", "", "later"} {
			if err := b.Put(ctx, "b", basket2{Owner: "bob", Note: note}); err != nil {
				t.Fatal(err)
			}
			if s, err := b.Get(ctx, "b"); s.Note != note || err != nil {
				t.Errorf("%v, %v; %q was put", s, err, note)
			}
		}
	})
}

// What the other version's argument has more, or less, does not matter.
func TestVersionsCallEachOther(t *testing.T) {
	inWorld(t, func(w *world) {
		w.onCall = overTheWire
		ctx := w.Context()
		w.types = []object.Definition{baskets2}
		young := w.node("young")
		w.types = []object.Definition{baskets1}
		old := w.node("old")
		for id, owner := range map[string]*node{"b": young, "c": old} {
			var err error
			if owner == young {
				_, err = baskets2.On(young).Get(ctx, id)
			} else {
				_, err = baskets1.On(old).Get(ctx, id)
			}
			if err != nil || w.ownerOf2("basket", []*node{old, young}, id) != owner {
				t.Fatal(err)
			}
			if _, err := put1.Call(ctx, baskets1.On(old).Ref(id), item1{"old"}); err != nil {
				t.Fatal(err)
			}
			if _, err := put2.Call(ctx, baskets2.On(young).Ref(id), item2{"young", "green"}); err != nil {
				t.Fatal(err)
			}
		}
		for id, want := range map[string]string{"b": "{ [{old } {young green}] }", "c": "{ [{old } {young }] }"} { // the old owner does not know the color
			if got, err := baskets2.On(young).Get(ctx, id); err != nil || fmt.Sprint(got) != want {
				t.Errorf("%s: %v, %v; want %s", id, got, err, want)
			}
		}
	})
}

// A state without an upgrade from its layout is not served, nor is one whose upgrade fails.
func TestUpgrades(t *testing.T) {
	typ := func(layout uint32, upgrades ...object.Upgrade[counter]) *object.Type[counter] {
		return &object.Type[counter]{Name: "counter", Layout: layout, Methods: []object.Method[counter]{add}, Codec: counterCodec, Upgrades: upgrades}
	}
	inWorld(t, func(w *world) {
		w.onCall = overTheWire
		ctx := w.Context()
		w.types = []object.Definition{typ(1)}
		old := w.node("old")
		w.mustAddAt(old, "a", 1)
		old.stop()
		failing := errors.New("no money")
		for _, c := range []struct {
			name  string
			typ   *object.Type[counter]
			want  int64
			fails string
		}{
			{"none", typ(2), 0, "it has layout 1, this program writes 2 and has no upgrade from there"},
			{"fails", typ(2, object.Upgrade[counter]{From: 1, Read: func(*codec.Reader, *counter) error { return failing }}), 0, "no money"},
			{"another's", typ(3, object.Upgrade[counter]{From: 2, Read: func(*codec.Reader, *counter) error { panic("never") }}), 0, "no upgrade"},
			{"cents", typ(4, object.Upgrade[counter]{From: 0, Read: func(*codec.Reader, *counter) error { panic("never") }}, object.Upgrade[counter]{From: 1, Read: func(r *codec.Reader, c *counter) error {
				counterCodec.Read(r, c)
				c.Value *= 100
				return nil
			}}), 100, ""},
		} {
			w.types = []object.Definition{c.typ}
			n := w.node(c.name)
			got, err := c.typ.On(n).Get(ctx, "a")
			if c.fails == "" && (err != nil || got.Value != c.want) {
				t.Errorf("%s: %v, %v", c.name, got, err)
			} else if c.fails != "" && (!errors.Is(err, object.ErrUnavailable) || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("%s: %v, want %s", c.name, err, c.fails)
			}
			n.stop()
		}
		w.mustLayout("a", 1)
	})
}

// A state of an older layout that nobody has written since is sent to another node in the layout that it is read as, and an update that
// changes nothing writes nothing.
func TestAnUpgradedStateIsSentAsItIsRead(t *testing.T) {
	text := object.Codec[item1]{
		Append: func(b []byte, v item1) []byte {
			return codec.AppendString(codec.AppendNil(codec.AppendArray(b, 2)), v.Name)
		},
		Read: func(r *codec.Reader, v *item1) {
			for i := range r.Fields() {
				if i == 1 {
					codec.ReadString(r, &v.Name)
				} else {
					r.Skip()
				}
			}
		},
		Shape: func() codec.Shape { return codec.StructOf(codec.Leaf, codec.Leaf) },
	}
	look := &object.UpdateMethod[item1, object.None, object.None]{Name: "Look", Run: func(context.Context, *item1, object.None) (object.None, error) { return object.None{}, nil }}
	texts := &object.Type[item1]{Name: "counter", Layout: 2, Codec: text, Methods: []object.Method[item1]{look}, Upgrades: []object.Upgrade[item1]{{From: 1, Read: func(r *codec.Reader, v *item1) error {
		var c counter
		counterCodec.Read(r, &c)
		v.Name = fmt.Sprint("number ", c.Value)
		return nil
	}}}}
	inWorld(t, func(w *world) {
		w.onCall = overTheWire
		w.types = []object.Definition{layouts(1)}
		old := w.node("old")
		w.mustAddAt(old, "a", 1)
		old.stop()
		w.types = []object.Definition{texts}
		puts := w.store.count()
		nodes := []*node{w.node("b"), w.node("c")}
		for _, n := range nodes {
			if got, err := texts.On(n).Get(w.Context(), "a"); err != nil || got.Name != "number 1" {
				t.Error(got, err)
			}
		}
		for _, n := range nodes {
			if _, err := look.Call(w.Context(), texts.On(n).Ref("a"), object.None{}); err != nil {
				t.Error(err)
			}
		}
		if w.store.count() != puts {
			t.Error("nothing was changed, and it was written")
		}
		w.serves, w.types = []string{}, []object.Definition{layouts(1)}
		client := w.node("client")
		if err := layouts(1).On(client).Put(w.Context(), "a", counter{7}); err != nil { // of which nothing is completed from the other layout
			t.Fatal(err)
		}
		if got, err := texts.On(nodes[0]).Get(w.Context(), "a"); err != nil || got.Name != "number 7" {
			t.Error(got, err)
		}
	})
}

// A whole state that goes between nodes is known by its layout on the other side.
func TestAPlacedStateIsReadByItsLayout(t *testing.T) {
	typ := func(layout uint32) *object.Type[counter] {
		return &object.Type[counter]{Name: "counter", Layout: layout, Methods: []object.Method[counter]{add}, Codec: counterCodec,
			Upgrades: []object.Upgrade[counter]{{From: 1, Read: func(r *codec.Reader, c *counter) error {
				counterCodec.Read(r, c)
				c.Value *= 100
				return nil
			}}}}
	}
	inWorld(t, func(w *world) {
		w.onCall = overTheWire
		ctx := w.Context()
		w.types = []object.Definition{typ(2)}
		young := w.node("young")
		w.mustAddAt(young, "x", 1)
		w.serves, w.types = []string{}, []object.Definition{typ(1)}
		client := w.node("client")
		if _, err := typ(1).On(client).Get(ctx, "x"); !errors.Is(err, object.ErrUnavailable) || err.Error() != newerLayout {
			t.Error(err)
		}
		if err := typ(1).On(client).Put(ctx, "x", counter{7}); err != nil {
			t.Fatal(err)
		}
		if c, err := typ(2).On(young).Get(ctx, "x"); err != nil || c.Value != 700 {
			t.Error(c, err)
		}
		w.types = []object.Definition{typ(3)}
		younger := w.node("younger")
		if err := typ(3).On(younger).Put(ctx, "x", counter{8}); !errors.Is(err, object.ErrUnavailable) || !strings.Contains(err.Error(), "layout 3") {
			t.Error(err)
		}
	})
}

const newerLayout = "counter/x: unavailable, nothing was changed: its state has layout 2, this program reads up to 1: call the object through nodes that run a newer version"

// Nothing is wrong with a record of a newer program's: the error does not say that it cannot be decoded.
func TestARecordOfANewerLayoutIsRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		w.types = []object.Definition{layouts(2)}
		young := w.node("young")
		w.mustAddAt(young, "x", 1)
		young.stop()
		w.types = []object.Definition{layouts(1)}
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		if _, err := layouts(1).On(w.node("old")).Get(ctx, "x"); !errors.Is(err, object.ErrUnavailable) || err.Error() != newerLayout {
			t.Error(err)
		}
	})
}

// layouts returns the type counter of that layout, which reads all lower ones.
func layouts(layout uint32) *object.Type[counter] {
	t := &object.Type[counter]{Name: "counter", Layout: layout, Methods: []object.Method[counter]{add, block}, Codec: counterCodec}
	for from := range layout {
		t.Upgrades = append(t.Upgrades, object.Upgrade[counter]{From: from, Read: func(r *codec.Reader, c *counter) error { counterCodec.Read(r, c); return nil }})
	}
	return t
}

// A member that cannot read a state anyway keeps nobody from raising it. Of what was deleted there is no state.
func TestAStateIsRaisedPastMembersThatCannotReadIt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.onCall = overTheWire
		w.types = []object.Definition{layouts(2)}
		two := w.node("two")
		w.mustAddAt(two, "a", 1)
		w.mustAddAt(two, "deleted", 1)
		if err := layouts(2).On(two).Delete(w.Context(), "deleted"); err != nil {
			t.Fatal(err)
		}
		two.stop()
		w.types = []object.Definition{layouts(1)}
		one := w.node("one")
		w.types = []object.Definition{layouts(3)}
		three := w.node("three")
		w.mustAddAt(three, "a", 2)
		w.mustLayout("a", 3)
		w.mustAddAt(three, "deleted", 1)
		if w.ownerOf([]*node{one, three}, "deleted") != one {
			t.Error("made anew by a node whose layout not all can read")
		}
	})
}

// What is deleted while it is awake is made anew in a layout that all members read.
func TestALayoutIsForgottenWithTheState(t *testing.T) {
	inWorld(t, func(w *world) {
		w.onCall = overTheWire
		w.types = []object.Definition{layouts(2)}
		two := w.node("two")
		w.mustAddAt(two, "a", 1)
		w.types = []object.Definition{layouts(1)}
		w.node("one")
		if err := layouts(2).On(two).Delete(w.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		w.mustAddAt(two, "a", 1)
		w.mustLayout("a", 1)
	})
}

// A call that gives an object up to nodes of an older layout waits for its updates, but no longer than its context.
func TestGivingUpForALayoutHonoursTheContext(t *testing.T) {
	inWorld(t, func(w *world) {
		w.onCall = overTheWire
		w.types = []object.Definition{layouts(1)}
		one := w.node("one")
		w.mustAddAt(one, "a", 1)
		one.stop()
		w.types = []object.Definition{layouts(2)}
		two := w.node("two")
		w.mustGet(two, 1)
		release := w.store.hold()
		accepted := two.add(w.Context(), 1)
		accepted.over()
		w.types = []object.Definition{layouts(1)}
		again := w.node("again")
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		at := w.clock()
		w.mustFail(two.add(ctx, 10), object.ErrUnavailable, context.DeadlineExceeded)
		if took, asked := w.clock()-at, w.callsTo(again); took != time.Second || asked != 0 {
			t.Errorf("it has taken %v, and the other node was asked %d times before it could own the object", took, asked)
		}
		patient := []*result{two.add(w.Context(), 10), two.add(w.Context(), 10)}
		patient[0].over()
		release()
		if v, err := accepted.wait(); v != 2 || err != nil {
			t.Error(v, err)
		}
		for _, r := range patient {
			if _, err := r.wait(); err != nil {
				t.Error(err)
			}
		}
		if v, err := add.Call(w.Context(), layouts(1).On(again).Ref("a"), 1); v != 23 || err != nil {
			t.Error(v, err)
		}
	})
}

// The other layout may be of another form altogether, so that nothing of it can be carried.
func TestAnUpgradeFromAnotherForm(t *testing.T) {
	reflected := &object.Type[item1]{Name: "item"} // a map
	typ := &object.Type[item1]{Name: "item", Layout: 1,
		Codec: object.Codec[item1]{Append: appendItem1, Read: readItem1, Shape: func() codec.Shape { return codec.StructOf(codec.Leaf) }},
		Upgrades: []object.Upgrade[item1]{{From: 0, Read: func(r *codec.Reader, v *item1) error {
			codec.ReadMap(r, new(map[string]string), codec.ReadString, codec.ReadString)
			v.Name = "upgraded"
			return nil
		}}}}
	inWorld(t, func(w *world) {
		w.types = []object.Definition{reflected}
		old := w.node("old")
		if err := reflected.On(old).Put(w.Context(), "x", item1{"x"}); err != nil {
			t.Fatal(err)
		}
		old.stop()
		w.types = []object.Definition{typ}
		if got, err := typ.On(w.node("young")).Get(w.Context(), "x"); err != nil || got.Name != "upgraded" {
			t.Error(got, err)
		}
	})
}

// A call goes to the nodes of the lowest layout first: the others could not own the object.
func TestNodesOfTheLowestLayoutAreAskedFirst(t *testing.T) {
	inWorld(t, func(w *world) {
		w.onCall, w.placement = overTheWire, object.Rendezvous
		w.types = []object.Definition{layouts(2)}
		young := w.node("young")
		w.types = []object.Definition{layouts(1)}
		w.node("old")
		w.serves = []string{}
		client := w.node("client")
		for i := range 16 {
			w.mustAddAt(client, fmt.Sprint(i), 1)
		}
		if n := w.callsTo(young); n > 0 {
			t.Errorf("a node of a higher layout was asked %d times", n)
		}
	})
}
