package object_test

import (
	"context"
	"errors"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/object"
)

type counter struct{ Value int64 }

var add = object.Update("Add", func(_ context.Context, c *counter, delta int64) (int64, error) {
	c.Value += delta
	return c.Value, nil
})

// block adds 1 once the node's Env, a channel, is closed. It heeds its context.
var block = object.Update("Block", func(ctx context.Context, c *counter, _ object.None) (int64, error) {
	gate, err := object.Env[chan struct{}](ctx)
	if err != nil {
		return 0, err
	}
	select {
	case <-gate:
		c.Value++
		return c.Value, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
})

var errAtLeast = errors.New("counter is too high")

// addBelow adds 1 to a counter below the limit, and fails otherwise.
var addBelow = object.Update("AddBelow", func(_ context.Context, c *counter, limit int64) (int64, error) {
	if c.Value >= limit {
		return c.Value, errAtLeast
	}
	c.Value++
	return c.Value, nil
})

var counters = &object.Type[counter]{Name: "counter", Methods: []object.Method[counter]{add, block, addBelow}, Codec: counterCodec}

// counterCodec is what a careful person writes by hand: the array of one int64.
var counterCodec = object.Codec[counter]{
	Append: func(b []byte, c counter) []byte { return codec.AppendInt(codec.AppendArray(b, 1), c.Value) },
	Read: func(r *codec.Reader, c *counter) {
		for range r.Fields() {
			codec.ReadInt(r, &c.Value)
		}
	},
}
