package codec

import (
	"errors"
	"fmt"
	"iter"

	"github.com/tinylib/msgp/msgp"

	"github.com/highlander-go/highlander/internal/msgpack"
)

// nilByte is msgpack's nil.
const nilByte = 0xc0

// A Reader reads one value after another from the bytes that [Decode] was given. After its first error everything reads as zero, nothing
// panics and loops over elements end, so that read functions need not look at errors. It is valid until Decode returns, for one goroutine.
type Reader struct {
	rest  []byte // what has not been read; nil after an error, so that all that follows fails at once
	size  int    // bytes there were
	depth int    // values of recursive types that are being read
	owed  int    // elements that headers have promised and that have not been read: at least a byte each
	err   error
}

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Fail ends reading with err, unless that has failed already. The byte that was to be read next is put before it.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = fmt.Errorf("byte %d: %w", r.size-len(r.rest), err)
	}
	r.rest = nil
}

// refuse fails since the next value is not what was wanted; err is msgp's.
func (r *Reader) refuse(wanted string, err error) {
	if r.err == nil {
		r.Fail(fmt.Errorf("wanted %s, found %s", wanted, r.found(err)))
	}
}

// found says what the next value is, over which err was returned.
func (r *Reader) found(err error) string {
	var (
		over  msgp.UintOverflow
		below msgp.UintBelowZero
		stamp msgp.InvalidTimestamp
	)
	switch {
	case len(r.rest) == 0:
		return "the end"
	case errors.As(err, &over):
		return fmt.Sprint(over.Value)
	case errors.As(err, &below):
		return fmt.Sprint(below.Value)
	case errors.As(err, &stamp):
		return "a bad timestamp"
	case msgp.NextType(r.rest) == msgp.InvalidType:
		return fmt.Sprintf("%#x, which begins no value", r.rest[0])
	}
	form := msgp.NextType(r.rest).String()
	if _, whole := skip(r.rest); !whole {
		return form + " that is cut off"
	}
	return form
}

// Skip reads the next value, of any form, and drops it.
func (r *Reader) Skip() {
	rest, whole := skip(r.rest)
	if !whole {
		r.refuse("a value", nil)
		return
	}
	r.rest = rest
}

// Fields reads the beginning of a struct and returns the positions of those of its values that are not nil. The body of the loop must read
// or [Reader.Skip] one value, and must not leave the loop. There are none in nil, which may stand for a struct.
func (r *Reader) Fields() iter.Seq[int] {
	return func(yield func(int) bool) {
		n := r.fields()
		for i := 0; i < n; i++ {
			if !r.readNil() && !yield(i) {
				return
			}
		}
	}
}

func (r *Reader) fields() int {
	if r.readNil() {
		return 0
	}
	n, _ := r.array("a struct")
	return n
}

// Enter begins to read a value of a type that can hold itself. It returns false, after an error, if that would be too deep: more than
// 1,000 levels. [Reader.Leave] ends what Enter has allowed.
func (r *Reader) Enter() bool { return r.enter(maxDepth) }

func (r *Reader) enter(most int) bool {
	if r.depth >= most {
		r.Fail(errTooDeep)
		return false
	}
	r.depth++
	return true
}

// Leave ends a value that was begun by Enter.
func (r *Reader) Leave() { r.depth-- }

// end fails if something has not been read.
func (r *Reader) end() {
	if r.err == nil && len(r.rest) > 0 {
		r.Fail(fmt.Errorf("the value ends here, but %d bytes follow", len(r.rest)))
	}
}

// readNil reads nil, if that is next. It returns false at the end too.
func (r *Reader) readNil() bool {
	if len(r.rest) > 0 && r.rest[0] == nilByte {
		r.rest = r.rest[1:]
		return true
	}
	return false
}

// array reads the header of an array. It is an error if not even n bytes follow.
func (r *Reader) array(wanted string) (n int, ok bool) {
	size, rest, err := msgp.ReadArrayHeaderBytes(r.rest)
	return r.promise(wanted, uint64(size), rest, err)
}

// entries reads the header of a map, likewise: n entries of two values each.
func (r *Reader) entries(wanted string) (n int, ok bool) {
	size, rest, err := msgp.ReadMapHeaderBytes(r.rest)
	n, ok = r.promise(wanted, 2*uint64(size), rest, err)
	return n / 2, ok
}

// promise takes a header that was read and promises n values. That all headers together promise no more values than bytes follow bounds what
// is allocated on their word.
func (r *Reader) promise(wanted string, n uint64, rest []byte, err error) (int, bool) {
	if err == nil && n+uint64(r.owed) > uint64(len(rest)) {
		r.Fail(fmt.Errorf("wanted %s, found the promise of %d values in %d bytes", wanted, n, len(rest)))
		return 0, false
	}
	if err != nil {
		r.refuse(wanted, err)
		return 0, false
	}
	r.rest = rest
	return int(n), true
}

// skip returns what follows the first value in b. It does not recurse: nothing in b is too deep for it.
func skip(b []byte) (rest []byte, whole bool) {
	n, err := msgpack.Size(b)
	return b[n:], err == nil
}
