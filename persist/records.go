package persist

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/highlander-go/highlander/object"
)

// maxPooledBytes is how large a buffer may be to be kept for the next record.
const maxPooledBytes = 1 << 20

// Records is the [object.Committer] that puts each record into a blob of its own, see [BlobName]. It may be
// used concurrently.
type Records struct {
	store      object.Store
	generation uint64
	purges     bool
	buffers    sync.Pool // of *[]byte
}

var _ object.Committer = (*Records)(nil)

// NewRecords returns the records in store, for the first generation of a cluster.
func NewRecords(store object.Store) *Records { return NewClusterRecords(store, 1, false) }

// NewClusterRecords returns the records in store for a generation of a cluster. Records that a later one has written are refused with [object.ErrUnreadable]:
// this node does not belong to the cluster any more. purges says that the store honours conditions of deletions, see [Check]: else tombstones stay for ever.
func NewClusterRecords(store object.Store, generation uint64, purges bool) *Records {
	return &Records{store: store, generation: generation, purges: purges, buffers: sync.Pool{New: func() any { return new([]byte) }}}
}

// Load implements [object.Committer]. The error matches [object.ErrUnreadable] when there is a blob that does not
// hold key's record.
func (r *Records) Load(ctx context.Context, key object.Key) (*object.Record, object.Tag, error) {
	if err := key.Validate(); err != nil {
		return nil, "", fmt.Errorf("load %v: %w", key, err)
	}
	body, tag, err := r.store.Get(ctx, BlobName(key))
	if errors.Is(err, object.ErrNoBlob) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	record, generation, err := DecodeRecord(key, body)
	if err == nil && generation > r.generation {
		err = fmt.Errorf("%w: generation %d of the cluster has written it, and this node is of generation %d: another root has taken over the store", object.ErrUnreadable, generation, r.generation)
	}
	if err != nil {
		return nil, "", fmt.Errorf("load blob %s: %w", BlobName(key), err)
	}
	return record, tag, nil
}

// Commit implements [object.Committer]. A record that could not be read again is refused, see [AppendRecord].
func (r *Records) Commit(ctx context.Context, key object.Key, record *object.Record, prev object.Tag) (object.Tag, error) {
	if err := key.Validate(); err != nil {
		return "", fmt.Errorf("commit %v: %w: %w", key, object.ErrRefused, err)
	}
	buffer := r.buffers.Get().(*[]byte)
	defer func() {
		if cap(*buffer) <= maxPooledBytes {
			r.buffers.Put(buffer)
		}
	}()
	body, err := AppendRecord((*buffer)[:0], key, r.generation, record)
	if err != nil {
		return "", fmt.Errorf("commit %w: %w", object.ErrRefused, err)
	}
	*buffer = body
	condition := object.IfAbsent()
	if prev != "" {
		condition = object.IfMatch(prev)
	}
	return r.store.Put(ctx, BlobName(key), body, condition)
}

// Purge implements [object.Committer]. It does nothing where deletions under a condition cannot be trusted, see [NewClusterRecords].
func (r *Records) Purge(ctx context.Context, key object.Key, tag object.Tag) error {
	if !r.purges {
		return nil
	}
	return r.store.Delete(ctx, BlobName(key), object.IfMatch(tag))
}

// Keys lists the keys of a type that have a record and whose id begins with idPrefix ("" for all), in no
// order. It asks the store for a page at a time; a record written or removed meanwhile may be missed or
// not. A blob that lies among the records and is none is given as an error with no key, and the listing
// goes on; any other error ends it.
func (r *Records) Keys(ctx context.Context, typ, idPrefix string) iter.Seq2[object.Key, error] {
	return func(yield func(object.Key, error) bool) {
		if err := (object.Key{Type: typ, ID: "id"}).Validate(); err != nil {
			yield(object.Key{}, fmt.Errorf("list keys: %w", err))
			return
		}
		for shard := range shards {
			prefix := string(appendEscaped(appendShard(nil, typ, shard), idPrefix))
			if !r.listPages(ctx, prefix, yield) {
				return
			}
		}
	}
}

// listPages yields the keys of all names that begin with prefix. It returns whether to go on.
func (r *Records) listPages(ctx context.Context, prefix string, yield func(object.Key, error) bool) bool {
	after := ""
	for {
		names, err := r.store.List(ctx, prefix, after, maxListed)
		if err != nil {
			yield(object.Key{}, err)
			return false
		}
		for _, name := range names {
			if !yield(ParseBlobName(name)) {
				return false
			}
		}
		if len(names) < maxListed {
			return true
		}
		after = names[len(names)-1]
	}
}
