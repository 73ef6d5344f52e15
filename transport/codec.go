package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// Requests and failures are sequences of fields: numbers as varints, strings and bytes behind their length. Fields can be
// added at the end: readers pass over those that they do not know.

// appendRequest appends the payload of a request to the incarnation, whose caller waits for timeout, for ever if it is 0.
func appendRequest(b []byte, to uuid.UUID, r *object.Request, timeout time.Duration) []byte {
	b = append(b, to[:]...)
	b = binary.AppendUvarint(b, uint64(timeout))
	b = appendKey(b, r.Key)
	b = appendString(b, r.Method)
	b = appendBool(b, r.Mode.Creates)
	b = appendBool(b, r.Mode.Conditional)
	b = binary.AppendUvarint(b, r.Mode.Version)
	b = appendString(b, r.Caller.ID)
	b = binary.AppendUvarint(b, uint64(len(r.Caller.Attributes)))
	for k, v := range r.Caller.Attributes {
		b = appendString(appendString(b, k), v)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Path)))
	for _, k := range r.Path {
		b = appendKey(b, k)
	}
	b = appendString(b, r.Args)
	if r.ID == (object.RequestID{}) {
		return b
	}
	b = append(b, r.ID.Caller[:]...)
	for _, v := range []uint64{r.ID.Number, r.ID.Part, r.Floor, r.Below, r.Check} {
		b = binary.AppendUvarint(b, v)
	}
	return appendBool(b, r.Again)
}

// readRequest reads what appendRequest has written into r. The arguments share memory with payload.
func readRequest(payload []byte, names names, r *object.Request) (to uuid.UUID, timeout time.Duration, err error) {
	d := decoder{b: payload}
	copy(to[:], d.take(uint64(len(to))))
	timeout = time.Duration(min(d.uint(), math.MaxInt64))
	r.Key = object.Key{Type: names.of(d.bytes()), ID: d.string()}
	r.Method = names.of(d.bytes())
	r.Mode = object.PutMode{Creates: d.uint() > 0, Conditional: d.uint() > 0, Version: d.uint()}
	r.Caller.ID = d.string()
	if n := d.uint(); n > 0 {
		r.Caller.Attributes = make(map[string]string)
		for ; n > 0 && d.err == nil; n-- {
			k := d.string()
			r.Caller.Attributes[k] = d.string()
		}
	}
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		r.Path = append(r.Path, object.Key{Type: names.of(d.bytes()), ID: d.string()})
	}
	r.Args = d.bytes()
	if len(d.b) > 0 { // else it is a read, or of a version that gives no ids
		copy(r.ID.Caller[:], d.take(uint64(len(r.ID.Caller))))
		for _, v := range []*uint64{&r.ID.Number, &r.ID.Part, &r.Floor, &r.Below, &r.Check} {
			*v = d.uint()
		}
		r.Again = d.uint() > 0
	}
	if d.err != nil {
		err = fmt.Errorf("%w: a request: %w", errMalformed, d.err)
	}
	return to, timeout, err
}

// appendFailure appends the payload of a failure.
func appendFailure(b []byte, e *object.RemoteError) []byte {
	b = binary.AppendUvarint(b, e.Matches)
	b = appendString(b, e.Message)
	b = appendBool(b, e.NotOwner != nil)
	if e.NotOwner != nil {
		owner := &e.NotOwner.Owner
		b = appendKey(b, e.NotOwner.Key)
		b = append(b, owner.Incarnation[:]...)
		b = binary.AppendUvarint(b, uint64(owner.Session))
		b = appendString(b, owner.Name)
		b = appendString(b, owner.Address)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Crossing)))
	for _, c := range e.Crossing {
		b = appendString(b, c.Name)
		b = appendString(b, c.Value)
	}
	return appendBool(b, e.Final)
}

// readFailure reads what appendFailure has written.
func readFailure(payload []byte) (*object.RemoteError, error) {
	d := decoder{b: payload}
	e := &object.RemoteError{Matches: d.uint(), Message: d.string()}
	if d.uint() > 0 {
		e.NotOwner = &object.NotOwnerError{Key: object.Key{Type: d.string(), ID: d.string()}}
		owner := &e.NotOwner.Owner
		copy(owner.Incarnation[:], d.take(uint64(len(owner.Incarnation))))
		owner.Session = int(d.uint())
		owner.Name, owner.Address = d.string(), d.string()
	}
	if len(d.b) > 0 { // else it is of a version that does not say
		for n := d.uint(); n > 0 && d.err == nil; n-- {
			e.Crossing = append(e.Crossing, object.CrossedError{Name: d.string(), Value: append([]byte(nil), d.bytes()...)})
		}
	}
	if len(d.b) > 0 {
		e.Final = d.uint() > 0
	}
	if d.err != nil {
		return nil, fmt.Errorf("%w: a failure: %w", errMalformed, d.err)
	}
	return e, nil
}

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendKey(b []byte, k object.Key) []byte { return appendString(appendString(b, k.Type), k.ID) }

var errTruncated = errors.New("it is cut short")

// A decoder takes fields from the front of b. After its first error all are zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.err = nil, errTruncated
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.b, d.err = nil, errTruncated
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte  { return d.take(d.uint()) }
func (d *decoder) string() string { return string(d.bytes()) }

// Names keeps the names of types and methods that a connection's requests have in common, so that each is
// allocated once. It belongs to the connection's reader.
type names map[string]string

func (n names) of(b []byte) string {
	const most, longest = 256, 128
	s, ok := n[string(b)]
	if !ok {
		s = string(b)
		if len(n) < most && len(s) <= longest {
			n[s] = s
		}
	}
	return s
}
