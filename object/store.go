package object

import (
	"context"
	"errors"
)

// A Store is a small conditional blob store. Objects need no more of it than S3 offers: a put that takes
// effect only if the blob is still the one that was read. Implementations are in package persist; the
// suite that all of them pass is object/storetest.
//
// Names are paths of one or more segments joined by '/'. A segment has 1 to 240 bytes out of
// a-z 0-9 - _ . @ % +, and no dot first. No name is another name's folder ("a" and "a/b" do not both
// exist). A name has at most 1024 bytes. The writer of names sees to that (package persist); a store refuses other names:
// Put and Delete with [ErrRefused], Get with an error that matches no sentinel.
//
// All methods may be called concurrently and honour ctx. Their errors name the operation and the blob. An
// error that matches none of the sentinels of this file means that nothing is known: a Put may have taken
// effect, may yet take effect after it has returned, or may never.
type Store interface {
	// Get returns the blob and its tag. The caller owns body. [ErrNoBlob] is returned only when the store
	// is sure that there is no such blob: not for a missing bucket or folder, and not for a refused read.
	Get(ctx context.Context, name string) (body []byte, tag Tag, err error)

	// Put writes the blob if the condition holds, and returns its new tag. It is atomic (a reader sees the
	// old blob or the new one) and durable when it returns. It does not keep body.
	// The error matches [ErrConditionFailed] when the condition did not hold, [ErrNoBlob] when it asks for
	// a tag and there is no blob, [ErrRefused] when this put was refused and has surely not taken effect.
	Put(ctx context.Context, name string, body []byte, c Condition) (Tag, error)

	// Delete removes the blob if the condition, which is not IfAbsent, holds. Errors are those of Put; without a
	// condition, deleting what is not there is no error.
	Delete(ctx context.Context, name string, c Condition) error

	// List returns, in the order of their bytes, up to limit (1 to 1000) of the blobs whose names begin with prefix and
	// come after the name after ("" for the first page). Fewer than limit: there are no more. Another limit is an error.
	// A blob that is there during the whole call is listed; its size is one that it had meanwhile.
	List(ctx context.Context, prefix, after string, limit int) ([]Entry, error)
}

// An Entry is what a listing tells of a blob.
type Entry struct {
	Name string
	Size int64 // of its body, in bytes
}

// A Tag identifies a blob's content, as an ETag does. Equal contents may have equal tags: who must tell
// one write from another puts something unique into the content.
type Tag string

// A Condition says when a put or a delete may take effect. The zero Condition is: always.
type Condition struct {
	matches bool
	tag     Tag
	absent  bool
}

// IfMatch holds while the blob's tag is tag.
func IfMatch(tag Tag) Condition { return Condition{matches: true, tag: tag} }

// IfAbsent holds while there is no blob.
func IfAbsent() Condition { return Condition{absent: true} }

// Match returns the tag that the condition asks for; ok is false if it asks for none.
func (c Condition) Match() (tag Tag, ok bool) { return c.tag, c.matches }

// Absent tells whether the condition asks for no blob.
func (c Condition) Absent() bool { return c.absent }

// Check is the condition's rule, for stores that decide it themselves: whether an operation may go on
// when the store has (exists) a blob of that tag. The error matches nil, [ErrConditionFailed] or [ErrNoBlob].
func (c Condition) Check(exists bool, tag Tag) error {
	switch {
	case c.absent && exists:
		return ErrConditionFailed
	case c.matches && !exists:
		return ErrNoBlob
	case c.matches && c.tag != tag:
		return ErrConditionFailed
	}
	return nil
}

// What a store or a committer is sure of.
var (
	ErrNoBlob          = errors.New("no such blob")
	ErrConditionFailed = errors.New("condition failed")
	ErrRefused         = errors.New("refused")
	ErrUnreadable      = errors.New("unreadable record")
)

// A Committer reads and writes objects' records. The one of package persist puts each record as a blob of
// its own; another may put many objects' records at once. Its methods are called concurrently. They return in bounded
// time, within seconds, whatever becomes of the store: an object waits for one write before it makes the next.
type Committer interface {
	// Load returns key's record and its tag, and a nil record when there surely is none. The error matches
	// [ErrUnreadable] when what is there is surely not a record of key that this program can read.
	Load(ctx context.Context, key Key) (*Record, Tag, error)

	// Commit makes one attempt to write r as key's next record, durably. prev is the tag of the record that
	// it follows, "" when it is the first. Errors are those of [Store].Put. It does not keep r.
	Commit(ctx context.Context, key Key, r *Record, prev Tag) (Tag, error)

	// List returns ids of objects of the type that begin with prefix, which may end within a character, and that have a
	// record which is no tombstone: up to limit (1 to 1000) of them, in an order of the committer's own that is always the
	// same. cursor is "" for the first page, and for each other one the next of the page before; next is "" when there are
	// no more. A page with a next may have fewer than limit ids, or none. An object that has such a record during the whole
	// of a listing is in one of its pages, whether its record can be read or not, and none is in two.
	List(ctx context.Context, typ, prefix, cursor string, limit int) (ids []string, next string, err error)

	// Purge removes key's record, which is a tombstone, if it is still the one with the tag. It may leave it, and return nil,
	// where it cannot be sure of that condition. Errors are those of [Store].Delete.
	Purge(ctx context.Context, key Key, tag Tag) error
}

// A Record is what the store keeps for an object.
type Record struct {
	Layout      uint32 // of the state: raised by changes that are not additive
	Epoch       uint64 // counts owners: one more than the last record's if another incarnation wrote that
	Version     uint64 // counts writes, from 1
	WriteID     [16]byte
	Incarnation [16]byte // of the node that wrote it
	Deleted     bool     // a tombstone: the object is as if it had never been written
	State       []byte   // msgpack; none of a tombstone
	Requests    []byte   // msgpack: the results of recent updates, by which they are not made twice; none: there are none
}
