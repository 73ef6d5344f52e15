package persist

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	body, err := AppendRecord((*buffer)[:0], key, r.generation, record)
	if err != nil {
		return "", fmt.Errorf("commit %w: %w", object.ErrRefused, err)
	}
	condition := object.IfAbsent()
	if prev != "" {
		condition = object.IfMatch(prev)
	}
	tag, err := r.store.Put(ctx, BlobName(key), body, condition)
	if err == nil && cap(body) <= maxPooledBytes { // after an error an HTTP client may still read the body, see http.RoundTripper
		*buffer = body
		r.buffers.Put(buffer)
	}
	return tag, err
}

// Purge implements [object.Committer]. It does nothing where deletions under a condition cannot be trusted, see [NewClusterRecords].
func (r *Records) Purge(ctx context.Context, key object.Key, tag object.Tag) error {
	if !r.purges {
		return nil
	}
	return r.store.Delete(ctx, BlobName(key), object.IfMatch(tag))
}

// List implements [object.Committer]. A page is one listing of the store and reads no record, because a tombstone is told by its
// size. The order is that of the blobs' names, see [BlobName]: in each of 16 shards, by a hash of the id, that of the escaped
// ids' bytes. A prefix is looked up in one shard after the other, with a page at least for each. What lies among the records and
// is none, by its name, is left out.
func (r *Records) List(ctx context.Context, typ, prefix, cursor string, limit int) (ids []string, next string, err error) {
	if err := (object.Key{Type: typ, ID: "id"}).Validate(); err != nil {
		return nil, "", fmt.Errorf("list ids: %w", err)
	}
	if len(prefix) > object.MaxIDBytes {
		return nil, "", nil // and the store might not bear the question
	}
	folder, shard := recordsFolder+typ+"/", 0
	rest, ok := strings.CutPrefix(cursor, folder)
	if rest != "" {
		shard = strings.IndexByte(hexDigits, rest[0])
	}
	if cursor != "" && !ok || prefix != "" && shard < 0 {
		return nil, "", fmt.Errorf("list ids of type %s: cursor %q is of no such listing; give the one that the last page came with", typ, cursor)
	}
	under, last := folder, shards-1 // what the page's names begin with, and the last shard that it covers
	if prefix != "" {
		under, last = string(appendEscaped(appendShard(nil, typ, shard), prefix)), shard
	}
	entries, err := r.store.List(ctx, under, cursor, limit)
	if err != nil {
		return nil, "", err
	}
	for _, e := range entries {
		if key, err := ParseBlobName(e.Name); err == nil && !isTombstone(e.Size) {
			ids = append(ids, key.ID)
		}
	}
	if len(entries) == limit {
		next = entries[limit-1].Name
	} else if last+1 < shards {
		next = string(appendShard(nil, typ, last+1))
	}
	return ids, next, nil
}
