// Package storetest is the contract of [object.Store] as tests, in the manner of testing/fstest. Every
// implementation passes it; it is itself tested with implementations that are broken on purpose.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/highlander-go/highlander/object"
)

// Run tests the stores that open returns, one for each subtest. A store may be shared and need not be
// empty: each subtest uses names in a folder of its own, "storetest/" and the subtest's name, in which there
// must be nothing. open registers what closes the store with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) object.Store) {
	for _, c := range clauses {
		t.Run(c.name, func(t *testing.T) {
			for _, err := range c.broken(t.Context(), open(t)) {
				t.Error(err)
			}
		})
	}
}

// Check tests the store against the whole contract, as [Run] does, and returns all that it found wrong. Each
// clause that is broken gives a [*ClauseError].
func Check(ctx context.Context, store object.Store) error {
	var errs []error
	for _, c := range clauses {
		if found := c.broken(ctx, store); found != nil {
			errs = append(errs, &ClauseError{Clause: c.name, Err: errors.Join(found...)})
		}
	}
	return errors.Join(errs...)
}

// A ClauseError says how a store breaks one clause of the contract.
type ClauseError struct {
	Clause string // the name of its subtest in [Run]
	Err    error
}

func (e *ClauseError) Error() string { return fmt.Sprintf("%s: %v", e.Clause, e.Err) }

// Unwrap returns what was found.
func (e *ClauseError) Unwrap() error { return e.Err }

// A clause is one promise of the contract.
type clause struct {
	name  string // of lower-case letters and dashes
	check func(*probe)
}

var clauses = []clause{
	{"missing-blob", missingBlob},
	{"put-and-get", putAndGet},
	{"tag-changes-with-content", tagChangesWithContent},
	{"blobs-are-independent", blobsAreIndependent},
	{"put-if-absent", putIfAbsent},
	{"put-if-match", putIfMatch},
	{"delete", deleteBlob},
	{"delete-if-match", deleteIfMatch},
	{"empty-body", emptyBody},
	{"large-body", largeBody},
	{"any-bytes", anyBytes},
	{"body-is-copied", bodyIsCopied},
	{"one-creator-wins", oneCreatorWins},
	{"one-writer-wins", oneWriterWins},
	{"no-update-is-lost", noUpdateIsLost},
	{"put-or-delete-wins", putOrDeleteWins},
	{"no-torn-reads", noTornReads},
	{"list-order", listOrder},
	{"list-prefix", listPrefix},
	{"list-pages", listPages},
	{"list-after", listAfter},
	{"list-sizes", listSizes},
	{"list-limit", listLimit},
	{"list-shows-only-blobs", listShowsOnlyBlobs},
	{"longest-names", longestNames},
	{"bad-names", badNames},
	{"ended-context", endedContext},
	{"errors-say-what-failed", errorsSayWhatFailed},
}

func (c clause) broken(ctx context.Context, store object.Store) []error {
	p := &probe{ctx: ctx, store: store, folder: "storetest/" + c.name + "/"}
	c.check(p)
	return p.found
}
