package object

import (
	"context"
	"errors"
)

// A RemoteError is an error of a host on another node, as far as errors cross nodes. For errors.Is it matches what the error there
// matched of the exported errors of this package that a call can fail with, and of package context; for errors.As it has its [*NotOwnerError].
type RemoteError struct {
	Message  string         // of the error there
	Matches  uint64         // the errors that it matches, as bits: the same in all versions
	NotOwner *NotOwnerError // nil if there is none; its owner comes without types, its Err is what Message says
}

// The errors that cross nodes. Their places are part of the protocol between nodes: append only.
var crossing = [...]error{
	ErrUnavailable, ErrUnknownOutcome, ErrOverloaded, ErrTooLarge, ErrUnknownType, ErrUnknownMethod, ErrBadID, ErrClosed, ErrVersion,
	ErrPanic, ErrCycle, context.Canceled, context.DeadlineExceeded, ErrNoLease,
}

// NewRemoteError returns what a caller on another node is told of err.
func NewRemoteError(err error) *RemoteError {
	e := &RemoteError{Message: err.Error()}
	for i, sentinel := range crossing {
		if errors.Is(err, sentinel) {
			e.Matches |= 1 << i
		}
	}
	var elsewhere *NotOwnerError
	if errors.As(err, &elsewhere) {
		copied := *elsewhere
		copied.Owner.Types, copied.Err = nil, nil
		e.NotOwner = &copied
	}
	return e
}

func (e *RemoteError) Error() string { return e.Message }

// Is tells whether the error matched target where it comes from.
func (e *RemoteError) Is(target error) bool {
	for i, sentinel := range crossing {
		if target == sentinel {
			return e.Matches&(1<<i) != 0
		}
	}
	return false
}

// Unwrap returns the [*NotOwnerError], if there is one.
func (e *RemoteError) Unwrap() error {
	if e.NotOwner == nil {
		return nil
	}
	return e.NotOwner
}
