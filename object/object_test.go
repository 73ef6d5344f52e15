package object_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

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

var counters = &object.Type[counter]{Name: "counter", Methods: []object.Method[counter]{add, block, addBelow}, Codec: counterCodec{}}

// counterCodec is what a careful person writes by hand: the array of one int64.
type counterCodec struct{}

func (counterCodec) Append(dst []byte, c *counter) ([]byte, error) {
	return binary.BigEndian.AppendUint64(append(dst, 0x91, 0xd3), uint64(c.Value)), nil
}

func (counterCodec) Decode(src []byte, c *counter) error {
	if len(src) != 10 || src[0] != 0x91 || src[1] != 0xd3 {
		return fmt.Errorf("%x is no counter", src)
	}
	c.Value = int64(binary.BigEndian.Uint64(src[2:]))
	return nil
}

func (counterCodec) Clone(c *counter) counter { return *c }
