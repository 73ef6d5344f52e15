package object

import (
	"context"
	"errors"
	"fmt"
)

// What a call can fail with, for errors.Is. A method's own errors come back as they are.
var (
	// ErrUnavailable: the call had no effect and may be made again: no session, store or owner could be
	// reached in time. It also matches the context's error when that was the cause.
	ErrUnavailable = errors.New("unavailable")

	// ErrNoLease: the node that was called has no session, or its lease has lapsed. It matches ErrUnavailable too.
	ErrNoLease = fmt.Errorf("%w: no session whose lease holds", ErrUnavailable)

	// ErrUnknownOutcome: the update may have taken effect, may yet, or never. It also matches the
	// context's error when that was the cause. Read the object before trying again.
	ErrUnknownOutcome = errors.New("outcome unknown")

	// ErrOverloaded: the object's queue is full; the call had no effect. Back off.
	ErrOverloaded = errors.New("overloaded")

	// ErrTooLarge: the state after the update would exceed its type's limit; nothing changed.
	ErrTooLarge = errors.New("too large")

	// ErrUnknownType: the node was opened without this type.
	ErrUnknownType = errors.New("unknown type")

	// ErrUnknownMethod: the type has no such method at its owner.
	ErrUnknownMethod = errors.New("unknown method")

	// ErrBadID: the id is empty, longer than [MaxIDBytes], or not UTF-8.
	ErrBadID = errors.New("bad id")

	// ErrClosed: the node was closed or drained; the call had no effect.
	ErrClosed = errors.New("closed")

	// ErrVersion: PutIf was given a version that the object no longer has; nothing changed.
	ErrVersion = errors.New("version has changed")

	// ErrPanic: the method panicked; nothing changed. The stack is in the node's log.
	ErrPanic = errors.New("method panicked")

	// ErrCycle: the update would wait for an update that waits for it; it did not run.
	ErrCycle = errors.New("call cycle")
)

// unavailable says that a call on key had no effect, and why.
func unavailable(key Key, cause error) error {
	if errors.Is(cause, ErrUnavailable) {
		return fmt.Errorf("%v: %w", key, cause)
	}
	return fmt.Errorf("%v: %w, nothing was changed: %w", key, ErrUnavailable, cause)
}

// unknown says that nobody can tell what became of an update of key. It must not match errors that say more.
func unknown(key Key, cause error) error {
	if errors.Is(cause, ErrUnavailable) || errors.Is(cause, ErrClosed) || errors.Is(cause, ErrPanic) {
		cause = errors.New(cause.Error())
	}
	return fmt.Errorf("%v: %w, read it before trying again: %w", key, ErrUnknownOutcome, cause)
}

// ended says why ctx has ended: an error that matches ctx.Err() and names the cause if there is another.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
