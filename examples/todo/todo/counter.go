package todo

import (
	"context"
	"errors"
	"fmt"
)

// A Counter is a number that everybody may add to.
//
//highlander:object
type Counter struct {
	Value int64
}

// ErrOverflow is returned for a sum that an int64 cannot hold; the counter stays as it is.
var ErrOverflow = errors.New("todo: counter overflow")

// Add adds to the counter and returns its value.
func (c *Counter) Add(_ context.Context, delta int64) (int64, error) {
	sum := c.Value + delta
	if (sum > c.Value) != (delta > 0) && delta != 0 {
		return 0, fmt.Errorf("%w: %d%+d does not fit into 64 bits: add something smaller", ErrOverflow, c.Value, delta)
	}
	c.Value = sum
	return sum, nil
}
