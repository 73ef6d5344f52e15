package transport

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// ErrSilent is the cause of a connection's end when nothing has come from its peer, or the peer has read nothing, for
// [Config.Silence]. It may be gone, cut off, or merely slow.
var ErrSilent = errors.New("the peer is silent")

// An IncarnationError says that the member that was called is gone: at its address another incarnation answers. It
// matches [object.ErrUnavailable].
type IncarnationError struct {
	Address string
	Want    uuid.UUID // that was called
	Got     uuid.UUID // that answered; zero: a node that is not in the registry yet
}

func (e *IncarnationError) Error() string {
	return fmt.Sprintf("incarnation %s is gone from %s, where %s answers: ask the registry again", e.Want, e.Address, e.Got)
}

// A RemoteError is what a handler on another node has returned. It matches those errors of package object and of
// package context that the handler's error matched, for errors.Is, and the [*object.NotOwnerError] in it, for errors.As.
type RemoteError struct {
	Message string // the error's, at most 32 KiB of it
	matches []error
}

func (e *RemoteError) Error() string { return e.Message }

// Unwrap returns the errors that e matches.
func (e *RemoteError) Unwrap() []error { return e.matches }

// The errors that cross nodes. Their places are part of the protocol: append only.
var sentinels = [...]error{
	object.ErrUnavailable, object.ErrUnknownOutcome, object.ErrOverloaded, object.ErrTooLarge, object.ErrUnknownType,
	object.ErrUnknownMethod, object.ErrBadID, object.ErrClosed, object.ErrVersion, object.ErrPanic, object.ErrCycle,
	context.Canceled, context.DeadlineExceeded,
}

// Limits of what is said in a failure, in bytes, so that it fits into the smallest frame that a node may be set to.
const (
	maxMessage = 32 << 10
	maxName    = 4 << 10
)

// The fields of a failure, an array: sentinels matched (bits), message; and if it is a NotOwnerError: type, id, and the owner's
// incarnation, session, name, address. Fields can be added behind them.
const (
	failureFields  = 2
	notOwnerFields = 8
)

// appendFailure appends the payload of a failure.
func appendFailure(b []byte, err error) []byte {
	var bits uint64
	for i, s := range sentinels {
		if errors.Is(err, s) {
			bits |= 1 << i
		}
	}
	var elsewhere *object.NotOwnerError
	if !errors.As(err, &elsewhere) {
		return appendString(appendUint(appendArray(b, failureFields), bits), clip(err.Error(), maxMessage))
	}
	b = appendString(appendUint(appendArray(b, notOwnerFields), bits), clip(err.Error(), maxMessage))
	b = appendString(b, clip(elsewhere.Key.Type, maxName))
	b = appendString(b, clip(elsewhere.Key.ID, maxName))
	b = appendBytes(b, elsewhere.Owner.Incarnation[:])
	b = appendUint(b, uint64(elsewhere.Owner.Session))
	b = appendString(b, clip(elsewhere.Owner.Name, maxName))
	return appendString(b, clip(elsewhere.Owner.Address, maxName))
}

// readFailure returns what appendFailure has written as an error.
func readFailure(payload []byte) (*RemoteError, error) {
	d := decoder{b: payload}
	fields := d.array()
	if fields < failureFields || fields > failureFields && fields < notOwnerFields {
		return nil, fmt.Errorf("%w: a failure has %d fields, not %d or %d", errMalformed, fields, failureFields, notOwnerFields)
	}
	bits := d.uint()
	e := &RemoteError{Message: d.string()}
	for i, s := range sentinels {
		if bits&(1<<i) != 0 {
			e.matches = append(e.matches, s)
		}
	}
	if fields >= notOwnerFields {
		elsewhere := &object.NotOwnerError{Key: object.Key{Type: d.string(), ID: d.string()}}
		copy(elsewhere.Owner.Incarnation[:], d.bytes())
		elsewhere.Owner.Session = int(d.uint())
		elsewhere.Owner.Name, elsewhere.Owner.Address = d.string(), d.string()
		e.matches = append(e.matches, elsewhere)
	}
	if d.err != nil {
		return nil, fmt.Errorf("%w: a failure: %w", errMalformed, d.err)
	}
	return e, nil
}

// clip returns at most n bytes of s.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// unavailable says that the request surely did not run, and why.
func unavailable(to object.Member, r *object.Request, cause error) error {
	return fmt.Errorf("%v: %w, %s did not run at node %s (%s): %w", r.Key, object.ErrUnavailable, r.Method, to.Name, to.Address, cause)
}

// unknown says that the request may have run. It must not match errors that say more.
func unknown(to object.Member, r *object.Request, cause error) error {
	if errors.Is(cause, object.ErrUnavailable) || errors.Is(cause, object.ErrClosed) {
		cause = errors.New(cause.Error())
	}
	return fmt.Errorf("%v: %w, read it before trying again: %s was sent to node %s (%s): %w",
		r.Key, object.ErrUnknownOutcome, r.Method, to.Name, to.Address, cause)
}

// ended says why ctx has ended: an error that matches ctx.Err() and names the cause if there is another.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
