package object

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/highlander-go/highlander/codec"
)

// A CrossingError is an error of the application's that crosses nodes: what was such an error at an object's owner is one for a caller on
// another node, if both were opened with it. objgen lists a package's exported errors.
type CrossingError struct {
	Name string // names it for all nodes, for ever: objgen takes the package's path and the error's name

	// Value is the error, for errors.Is: a variable of the package's.
	Value *error

	// Append and Read are set instead of Value for a type of errors, for errors.As. Append finds one in err's tree and appends it as one
	// msgpack value; ok is false if there is none. Read returns one.
	Append func(b []byte, err error) (_ []byte, ok bool)
	Read   func(r *codec.Reader) error
}

// A RemoteError is an error of a host on another node, as far as errors cross nodes. For errors.Is it matches what the error there
// matched of the exported errors of this package that a call can fail with, of package context, and of the errors that the node was opened with ([CrossingError]);
// for errors.As it has its [*NotOwnerError], and errors of the types that the node was opened with.
type RemoteError struct {
	Message  string         // of the error there
	Matches  uint64         // the errors of this package that it matches, as bits: the same in all versions
	NotOwner *NotOwnerError // nil if there is none; its owner comes without types, its Err is what Message says
	Crossing []CrossedError // the application's errors that were found in it
	Final    bool           // no attempt of the update has changed anything, or will: that is durable

	known []error // those of them that this node knows
}

// A CrossedError is an error of the application's on its way between nodes.
type CrossedError struct {
	Name  string // the [CrossingError]'s
	Value []byte // what its Append wrote; none if it has a Value
}

// The errors that cross nodes. Their places are part of the protocol between nodes: append only.
var crossing = [...]error{
	ErrUnavailable, ErrUnknownOutcome, ErrOverloaded, ErrTooLarge, ErrUnknownType, ErrUnknownMethod, ErrBadID, ErrClosed, ErrVersion,
	ErrPanic, ErrCycle, context.Canceled, context.DeadlineExceeded, ErrNoLease, ErrReused,
}

// NewRemoteError returns what a caller on another node is told of err.
func NewRemoteError(err error) *RemoteError {
	e := &RemoteError{Message: fmt.Sprint(err)} // which bears an Error that panics
	_, e.Final = err.(*finalError)
	for i, sentinel := range crossing {
		ask(func() {
			if errors.Is(err, sentinel) {
				e.Matches |= 1 << i
			}
		})
	}
	ask(func() {
		var elsewhere *NotOwnerError
		if errors.As(err, &elsewhere) {
			copied := *elsewhere
			copied.Owner.Types, copied.Err = nil, nil
			e.NotOwner = &copied
		}
	})
	ask(func() {
		var mine *crossedError
		if errors.As(err, &mine) {
			e.Crossing = mine.crossed
		}
	})
	return e
}

// ask runs f, which asks an error of the application's what it is. A panic of its methods, over a nil pointer for example, is no answer: it must
// not end the node.
func ask(f func()) {
	defer func() { _ = recover() }()
	f()
}

func (e *RemoteError) Error() string { return e.Message }

// Shorten leaves what e matches of what it says, but errors that are types.
func (e *RemoteError) Shorten() {
	e.Message = strings.ToValidUTF8(e.Message[:min(len(e.Message), 1024)], "") + "... (the message is too long)"
	e.Crossing = slices.DeleteFunc(e.Crossing, func(c CrossedError) bool { return len(c.Value) > 0 })
}

// Is tells whether the error matched target where it comes from.
func (e *RemoteError) Is(target error) bool {
	for i, sentinel := range crossing {
		if target == sentinel {
			return e.Matches&(1<<i) != 0
		}
	}
	return false
}

// Unwrap returns the [*NotOwnerError], if there is one, and the application's errors.
func (e *RemoteError) Unwrap() []error {
	if e.NotOwner == nil {
		return e.known
	}
	return append([]error{e.NotOwner}, e.known...)
}

// A crossedError is a method's error, with what crosses nodes of it.
type crossedError struct {
	error
	crossed []CrossedError
}

func (e *crossedError) Unwrap() error { return e.error }

// cross prepares a method's error for its way to another node.
func (h *Host) cross(err error) error {
	var crossed []CrossedError
	for i := range h.errors {
		ask(func() {
			if c, ok := h.errors[i].find(err); ok {
				crossed = append(crossed, c)
			}
		})
	}
	ask(func() {
		var remote *RemoteError // of an object that the method has called: it may have errors that this node does not know
		if !errors.As(err, &remote) {
			return
		}
		for _, c := range remote.Crossing {
			if h.crossing(c.Name) == nil {
				crossed = append(crossed, c)
			}
		}
	})
	if crossed == nil {
		return err
	}
	return &crossedError{err, crossed}
}

// find returns what crosses nodes of err, if c is in its tree.
func (c *CrossingError) find(err error) (crossed CrossedError, ok bool) {
	if c.Value != nil {
		return CrossedError{Name: c.Name}, errors.Is(err, *c.Value)
	}
	b, failed := codec.Encode(nil, err, func(b []byte, err error) []byte {
		b, ok = c.Append(b, err)
		return b
	})
	return CrossedError{c.Name, b}, ok && failed == nil
}

// arrived makes the application's errors in what another node has answered those of this node.
func (h *Host) arrived(err error) {
	var remote *RemoteError
	if !errors.As(err, &remote) {
		return
	}
	for _, crossed := range remote.Crossing {
		c := h.crossing(crossed.Name)
		switch {
		case c == nil:
		case c.Value != nil:
			remote.known = append(remote.known, *c.Value)
		case c.Read != nil:
			ask(func() {
				var known error
				if codec.Decode(crossed.Value, &known, func(r *codec.Reader, e *error) { *e = c.Read(r) }) == nil {
					remote.known = append(remote.known, known)
				}
			})
		}
	}
}

// crossing returns the application's error of that name, nil if the node was opened without it.
func (h *Host) crossing(name string) *CrossingError {
	for i := range h.errors {
		if h.errors[i].Name == name {
			return &h.errors[i]
		}
	}
	return nil
}

// checkErrors tells what is wrong with the errors that a node is opened with.
func checkErrors(all []CrossingError) error {
	names := make(map[string]bool)
	for _, c := range all {
		switch {
		case c.Name == "" || names[c.Name]:
			return fmt.Errorf("object: the name %q of an error that crosses nodes is empty or used twice", c.Name)
		case (c.Value == nil) == (c.Append == nil) || (c.Append == nil) != (c.Read == nil):
			return fmt.Errorf("object: the error %s has either a Value, or Append and Read", c.Name)
		}
		names[c.Name] = true
	}
	return nil
}
