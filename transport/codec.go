package transport

import (
	"fmt"
	"math"
	"time"

	"github.com/highlander-go/highlander/object"
)

// Limits of requests, beside that of their frame.
const (
	MaxPath       = 1000 // updates that wait for one another
	MaxAttributes = 1000 // of a caller
)

// The fields of a request, an array: type, id, method, timeout (ns, 0: none), put mode (bits), version, the caller's id and
// attributes (a map), path (an array of types and ids in turn), arguments. Fields can be added behind them: readers pass over those.
const requestFields = 10

const (
	modeCreates     = 1
	modeConditional = 2
)

// appendRequest appends the payload of a request whose caller waits for timeout, for ever if it is 0.
func appendRequest(b []byte, r *object.Request, timeout time.Duration) []byte {
	b = appendArray(b, requestFields)
	b = appendString(b, r.Key.Type)
	b = appendString(b, r.Key.ID)
	b = appendString(b, r.Method)
	b = appendUint(b, uint64(timeout))
	mode := uint64(0)
	if r.Mode.Creates {
		mode |= modeCreates
	}
	if r.Mode.Conditional {
		mode |= modeConditional
	}
	b = appendUint(b, mode)
	b = appendUint(b, r.Mode.Version)
	b = appendString(b, r.Caller.ID)
	b = appendMap(b, len(r.Caller.Attributes))
	for k, v := range r.Caller.Attributes {
		b = appendString(appendString(b, k), v)
	}
	b = appendArray(b, 2*len(r.Path))
	for _, k := range r.Path {
		b = appendString(appendString(b, k.Type), k.ID)
	}
	return appendBytes(b, r.Args)
}

// readRequest reads what appendRequest has written into r. The arguments share memory with payload.
func readRequest(payload []byte, names *names, r *object.Request) (timeout time.Duration, err error) {
	d := decoder{b: payload}
	if n := d.array(); n < requestFields {
		return 0, fmt.Errorf("%w: a request has %d fields, not %d", errMalformed, n, requestFields)
	}
	r.Key.Type = names.of(d.text())
	r.Key.ID = d.string()
	r.Method = names.of(d.text())
	timeout = time.Duration(min(d.uint(), math.MaxInt64))
	mode := d.uint()
	r.Mode = object.PutMode{Creates: mode&modeCreates != 0, Conditional: mode&modeConditional != 0, Version: d.uint()}
	r.Caller.ID = d.string()
	if n := d.pairs(); n > MaxAttributes {
		return 0, fmt.Errorf("%w: a caller with %d attributes, the limit is %d", errMalformed, n, MaxAttributes)
	} else if n > 0 {
		r.Caller.Attributes = make(map[string]string)
		for range n {
			k := d.string()
			r.Caller.Attributes[k] = d.string()
		}
	}
	if n := d.array(); n > 2*MaxPath || n%2 != 0 {
		return 0, fmt.Errorf("%w: a path of %d types and ids, the limit is %d of each", errMalformed, n, MaxPath)
	} else if n > 0 {
		r.Path = make([]object.Key, n/2)
		for i := range r.Path {
			r.Path[i] = object.Key{Type: names.of(d.text()), ID: d.string()}
		}
	}
	r.Args = d.bytes()
	if d.err != nil {
		return 0, fmt.Errorf("%w: a request: %w", errMalformed, d.err)
	}
	return timeout, nil
}

// Names keeps the names of types and methods that a connection's requests have in common, so that each is
// allocated once. It belongs to the connection's reader.
type names map[string]string

func (n *names) of(b []byte) string {
	const most, longest = 256, 128
	if s, ok := (*n)[string(b)]; ok {
		return s
	}
	s := string(b)
	if *n == nil {
		*n = make(names)
	}
	if len(*n) < most && len(s) <= longest {
		(*n)[s] = s
	}
	return s
}
