package v3

import "context"

// Note is a type that the first version does not have.
//
//highlander:object
type Note struct {
	Lines int
	Last  string
}

// Append adds a line, and returns how many there are.
func (n *Note) Append(ctx context.Context, line string) (int, error) {
	n.Lines++
	n.Last = line
	return n.Lines, nil
}
