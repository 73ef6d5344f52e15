package supervisor

import (
	"errors"
	"fmt"
)

var (
	// ErrTooManyRestarts is in Run's error when its children ended more often than [Spec.MaxRestarts] allows. The last
	// ending's error is in it too.
	ErrTooManyRestarts = errors.New("too many restarts")

	// ErrNotStopped is in Run's error when a child did not return in time after its context ended, here or in a
	// supervisor below. Its goroutine still runs, and what it holds is still held.
	ErrNotStopped = errors.New("given up while still running")

	// ErrReturned stands for nil when a child returned nil before its context ended.
	ErrReturned = errors.New("returned nil before its context ended; a child without work waits for its context")

	// ErrGoexit is a child's ending by runtime.Goexit.
	ErrGoexit = errors.New("called runtime.Goexit")
)

// A PanicError is a child's ending by panic.
type PanicError struct {
	Value any    // what the child panicked with
	Stack []byte // the child's stack, as runtime/debug.Stack prints it
}

// Error gives the value and the stack, on several lines.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n\n%s", e.Value, e.Stack) }
