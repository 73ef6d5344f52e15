package object

import (
	"context"
	"fmt"
)

// prepare makes the state that the object wakes with out of its record, which is nil if there is none.
func (a *activation) prepare(ctx context.Context, record *Record, tag Tag) (*loaded, error) {
	l, err := a.decode(record, tag)
	if err != nil {
		return nil, err
	}
	if err := a.table.mayRaise(ctx, a.key(), record.layout()); err != nil {
		return nil, err
	}
	if record == nil && a.table.def.init != nil {
		return l, a.init(ctx, l)
	}
	return l, nil
}

// init has the type's Init make the state of an object that has no record.
func (a *activation) init(ctx context.Context, l *loaded) (err error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	run := &updateContext{methodContext: methodContext{ctx, a.table, a.id}} // so that a call that needs this object is found to be a cycle
	defer func() {
		if p := recover(); p != nil {
			err = &initError{run.panicked("Init", p)}
		}
	}()
	if err := a.table.def.init(run, l.state); err != nil {
		return &initError{fmt.Errorf("%v: its Init has failed: %w", a.key(), err)}
	}
	encoded, err := a.encode(nil, l.state)
	if err != nil {
		return &initError{err}
	}
	l.digest, l.size = digestOf(encoded), len(encoded)
	return nil
}

// An initError says that an object could not be made: the call ends with it.
type initError struct{ error }

func (e *initError) Unwrap() error { return e.error }
