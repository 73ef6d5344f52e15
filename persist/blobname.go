package persist

import (
	"fmt"
	"strings"

	"github.com/highlander-go/highlander/object"
)

// Limits of blob names and listings, see [object.Store].
const (
	maxSegmentBytes = 240
	maxNameBytes    = 1024 // S3's limit for keys; the longest name of a record has 843
	maxListed       = 1000 // names in one answer of List
)

// checkName reports how a blob's name breaks the rules of [object.Store], nil if it does not. A name that
// keeps them is also a safe relative path.
func checkName(name string) error {
	if name == "" {
		return fmt.Errorf("the name is empty")
	}
	if len(name) > maxNameBytes {
		return fmt.Errorf("the name has %d bytes; the limit is %d", len(name), maxNameBytes)
	}
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		if !isSegment(name[start:i]) {
			return fmt.Errorf("bad segment %q in the name: give it 1 to %d bytes out of a-z 0-9 - _ . @ %% +, no dot first",
				name[start:i], maxSegmentBytes)
		}
		start = i + 1
	}
	return nil
}

func isSegment(s string) bool {
	if s == "" || len(s) > maxSegmentBytes || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		if !segmentBytes[s[i]] {
			return false
		}
	}
	return true
}

// segmentBytes tells which bytes may stand in a segment.
var segmentBytes = func() (ok [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyz0123456789-_.@%+") {
		ok[c] = true
	}
	return ok
}()

func checkLimit(limit int) error {
	if limit < 1 || limit > maxListed {
		return fmt.Errorf("limit %d; ask for 1 to %d names", limit, maxListed)
	}
	return nil
}

// An operation is the word for a store's method in its errors.
type operation string

const (
	opGet    operation = "get"
	opPut    operation = "put"
	opDelete operation = "delete"
	opList   operation = "list"
)

// failed is the error of an operation on a blob (or, of a listing, on the names with a prefix).
func (op operation) failed(name string, err error) error {
	if op == opList {
		return fmt.Errorf("list blobs %q: %w", name+"*", err)
	}
	return fmt.Errorf("%s blob %q: %w", op, shorten(name), err)
}

// notBegun is the error of an operation that surely did nothing.
func (op operation) notBegun(name string, err error) error {
	if op == opPut || op == opDelete {
		err = fmt.Errorf("%w: %w", object.ErrRefused, err)
	}
	return op.failed(name, err)
}

// shorten keeps a name that no blob can have from filling the log.
func shorten(name string) string {
	if len(name) <= maxNameBytes {
		return name
	}
	return strings.ToValidUTF8(name[:maxNameBytes], "") + "..."
}
