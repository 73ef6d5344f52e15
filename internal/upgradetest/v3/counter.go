package v3

import "context"

// Counter counts.
//
//highlander:object
type Counter struct {
	Value int64
}

// Add adds to the counter, and returns what it is then.
func (c *Counter) Add(ctx context.Context, n int64) (int64, error) {
	c.Value += n
	return c.Value, nil
}
