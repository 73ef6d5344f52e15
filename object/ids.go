package object

import (
	"context"
	"fmt"
	"iter"
)

// IDs iterates over the ids that begin with prefix ("" for all) of the objects that exist: that were written, and not deleted since.
// The order is the store's. It reads the store, from whichever node it is called on, and neither asks the objects' owners nor wakes
// anything.
//
// An object that exists from before the iteration until after it is found once; one that is written or deleted meanwhile may be
// found or not. So what is found may be gone when it is called, and then has the defaults.
//
// A listing that fails is over: the error comes last, with no id. It matches [ErrUnavailable], or [ErrUnknownType] or [ErrClosed],
// and the context's error when that was the cause.
//
// A store keeps records in 16 parts by a hash of the id. All ids cost one listing of the store for each 1,000 records, those with a
// prefix one for each part and 1,000 records at least, one after the other. Tombstones count until they are purged. No state is read.
func (c Collection[S, ID]) IDs(ctx context.Context, prefix ID) iter.Seq2[ID, error] {
	return func(yield func(ID, error) bool) {
		for cursor, more := "", true; more; more = cursor != "" {
			ids, next, err := c.typed.table.list(ctx, c.typed.name, string(prefix), cursor)
			if err != nil {
				yield("", err)
				return
			}
			for _, id := range ids {
				if !yield(ID(id), nil) {
					return
				}
			}
			cursor = next
		}
	}
}

// idPage is how many ids are asked for at once: the most that a [Committer] gives.
const idPage = 1000

func (t *table) list(ctx context.Context, typ, prefix, cursor string) (ids []string, next string, err error) {
	switch {
	case t == nil:
		return nil, "", unknownType("", typ)
	case t.host.closing.Load() == isClosed:
		return nil, "", &closedError{t.host.config.Node}
	}
	if ids, next, err = t.host.config.Committer.List(ctx, typ, prefix, cursor, idPage); err != nil {
		err = fmt.Errorf("list ids of type %s: %w: %w", typ, ErrUnavailable, err)
	}
	return ids, next, err
}
