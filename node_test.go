package highlander_test

import (
	"context"
	"testing"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/object"
)

type counter struct{ Value int64 }

var add = object.Update("Add", func(_ context.Context, c *counter, delta int64) (int64, error) {
	c.Value += delta
	return c.Value, nil
})

var counters = &object.Type[counter]{Name: "counter", Methods: []object.Method[counter]{add}}

func TestSmoke(t *testing.T) {
	n := highlander.OpenTest(t, counters)
	ctx := t.Context()
	v, err := add.Call(ctx, counters.On(n).Ref("a"), 3)
	if err != nil || v != 3 {
		t.Fatal(v, err)
	}
	c, ver, err := counters.On(n).GetVersion(ctx, "a")
	if err != nil || c.Value != 3 || ver != 1 {
		t.Fatal(c, ver, err)
	}
}
