package object_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/highlander-go/highlander/object"
)

func TestARequestWithAMapIsKnownWhenItComesAgain(t *testing.T) {
	type item struct{ N int }
	byName := object.Update("ByName", func(_ context.Context, c *counter, m map[string]item) (int64, error) {
		c.Value += int64(len(m))
		return c.Value, nil
	})
	byNumber := object.Update("ByNumber", func(_ context.Context, c *counter, m map[int]string) (int64, error) {
		c.Value += int64(len(m))
		return c.Value, nil
	})
	typ := &object.Type[counter]{Name: "maps", Codec: counterCodec, Methods: []object.Method[counter]{byName, byNumber}}
	names, numbers := map[string]item{}, map[int]string{}
	for i := range 8 {
		names[strconv.Itoa(i)], numbers[i] = item{i}, "x"
	}
	inWorld(t, func(w *world) {
		n := w.node("n")
		for i := range 10 {
			if v, err := byName.Call(object.WithRequestID(w.Context(), "id"), typ.On(n).Ref("x"), names); err != nil || v != 8 {
				t.Errorf("by name, call %d: %d, %v", i, v, err)
			}
			if v, err := byNumber.Call(object.WithRequestID(w.Context(), "id"), typ.On(n).Ref("y"), numbers); err != nil || v != 8 {
				t.Errorf("by number, call %d: %d, %v", i, v, err)
			}
		}
	}, typ)
}

type histogram struct{ By map[int]int }

func TestAStateWithAMapIsWrittenWhenItChanges(t *testing.T) {
	set := object.Update("Set", func(_ context.Context, s *histogram, n int) (int, error) {
		if s.By == nil {
			s.By = map[int]int{}
		}
		for i := range n {
			s.By[i] = i
		}
		return len(s.By), nil
	})
	size := object.Read("Size", func(_ context.Context, s *histogram, _ object.None) (int, error) { return len(s.By), nil })
	typ := &object.Type[histogram]{Name: "histogram", Methods: []object.Method[histogram]{set, size}}
	inWorld(t, func(w *world) {
		w.checkReads = true
		ref := typ.On(w.node("n")).Ref("x")
		for range 20 {
			if _, err := set.Call(w.Context(), ref, 8); err != nil {
				t.Fatal(err)
			}
			if _, err := size.Call(w.Context(), ref, object.None{}); err != nil {
				t.Error(err)
			}
		}
		if puts := w.store.count(); puts != 1 {
			t.Errorf("%d puts for one change", puts)
		}
	}, typ)
}
