package object

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

	// ErrReused: the request id was used before for another call of the object, or with another argument; nothing was changed. See [WithRequestID].
	ErrReused = errors.New("request id was used for another call")

	// ErrCycle: the update would wait for an update that waits for it; it did not run.
	ErrCycle = errors.New("call cycle")
)

// A finalError is the error of an update, of which it is durable that no attempt has changed anything, or will. What it says of earlier attempts is
// between owner and router: callers are told the error in it.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// isFinal tells whether err says so. A method's error may have one in its tree that another object's owner has said: that does not count.
func isFinal(err error) bool {
	switch err := err.(type) {
	case *finalError:
		return true
	case *RemoteError:
		return err.Final
	}
	return false
}

// mayPass tells whether a method has failed since an update that it has called could not be made now: when it runs again that may go well.
func mayPass(err error) (may bool) {
	ask(func() {
		var final *finalError
		var remote *RemoteError
		may = slices.ContainsFunc([]error{ErrUnavailable, ErrUnknownOutcome, ErrOverloaded, ErrClosed}, func(e error) bool { return errors.Is(err, e) }) &&
			!errors.As(err, &final) && !(errors.As(err, &remote) && remote.Final)
	})
	return may
}

// hadNoEffect tells whether err says that a call has surely had no effect, and that it may go well when it is made again.
func hadNoEffect(err error) bool {
	return err != nil && !errors.Is(err, ErrUnknownOutcome) && mayPass(err)
}

// plain takes what isFinal asks for off an error, unless an update that has made the call must know that it will never learn more.
func plain(err error) error {
	if final, ok := err.(*finalError); ok && !errors.Is(err, ErrUnknownOutcome) {
		return final.error
	}
	return err
}

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
