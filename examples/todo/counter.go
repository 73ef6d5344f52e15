package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/highlander-go/highlander/object"
)

// A Counter is a number that everybody may add to.
type Counter struct {
	Value int64 `json:"value"`
}

// ErrOverflow is returned for a sum that an int64 cannot hold; the counter stays as it is.
var ErrOverflow = errors.New("counter overflow")

// Add adds to a counter and returns it.
var Add = object.Update("Add", func(_ context.Context, c *Counter, delta int64) (Counter, error) {
	sum := c.Value + delta
	if (sum > c.Value) != (delta > 0) && delta != 0 {
		return Counter{}, fmt.Errorf("%w: %d%+d does not fit into 64 bits: add something smaller", ErrOverflow, c.Value, delta)
	}
	c.Value = sum
	return *c, nil
})

// Counters are the objects of type counter.
var Counters = object.Type[Counter]{
	Name:    "counter",
	Methods: []object.Method[Counter]{Add},
}
