package persist

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/highlander-go/highlander/object"
)

// Memory is an [object.Store] in this process's memory, for tests and for programs that need not survive.
// Nothing in it outlives it; "durable" means no more than "in the map". The zero value is ready.
type Memory struct {
	mu    sync.Mutex
	blobs map[string]*blob
	puts  uint64   // so far; a blob's tag is the number of its put
	names []string // of all blobs, in order; nil if one has come or gone since the last List
}

// A blob is guarded by the store's mutex.
type blob struct {
	body []byte // its bytes are never changed: an overwrite brings new ones
	tag  object.Tag
}

func (b *blob) tagOrNone() object.Tag {
	if b == nil {
		return ""
	}
	return b.tag
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return new(Memory) }

// Get implements [object.Store].
func (m *Memory) Get(ctx context.Context, name string) ([]byte, object.Tag, error) {
	if err := mayBegin(ctx, name); err != nil {
		return nil, "", opGet.notBegun(name, err)
	}
	body, tag, exists := m.get(name)
	if !exists {
		return nil, "", opGet.failed(name, object.ErrNoBlob)
	}
	return bytes.Clone(body), tag, nil
}

func (m *Memory) get(name string) (body []byte, tag object.Tag, exists bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.blobs[name]
	if b == nil {
		return nil, "", false
	}
	return b.body, b.tag, true
}

// Put implements [object.Store]. Every put makes a tag that never was before.
func (m *Memory) Put(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
	if err := mayBegin(ctx, name); err != nil {
		return "", opPut.notBegun(name, err)
	}
	kept := append(make([]byte, 0, len(body)), body...)
	tag, err := m.put(name, kept, c)
	if err != nil {
		return "", opPut.failed(name, err)
	}
	return tag, nil
}

func (m *Memory) put(name string, body []byte, c object.Condition) (object.Tag, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.blobs[name]
	if err := c.Check(b != nil, b.tagOrNone()); err != nil {
		return "", err
	}
	if b == nil {
		if m.blobs == nil {
			m.blobs = make(map[string]*blob)
		}
		b = new(blob)
		m.blobs[name] = b
		m.names = nil
	}
	m.puts++
	b.body, b.tag = body, object.Tag(strconv.FormatUint(m.puts, 36))
	return b.tag, nil
}

// Delete implements [object.Store].
func (m *Memory) Delete(ctx context.Context, name string, c object.Condition) error {
	if err := mayBegin(ctx, name); err != nil {
		return opDelete.notBegun(name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.blobs[name]
	if err := c.Check(b != nil, b.tagOrNone()); err != nil {
		return opDelete.failed(name, err)
	}
	if b != nil {
		delete(m.blobs, name)
		m.names = nil
	}
	return nil
}

// List implements [object.Store]. The first List after a blob has come or gone sorts all names.
func (m *Memory) List(ctx context.Context, prefix, after string, limit int) ([]object.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, opList.failed(prefix, err)
	}
	if err := checkLimit(limit); err != nil {
		return nil, opList.failed(prefix, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names == nil {
		m.names = make([]string, 0, len(m.blobs))
		for name := range m.blobs {
			m.names = append(m.names, name)
		}
		slices.Sort(m.names)
	}
	first, found := slices.BinarySearch(m.names, max(prefix, after))
	if found && m.names[first] == after {
		first++
	}
	var entries []object.Entry
	for _, name := range m.names[first:] {
		if len(entries) == limit || !strings.HasPrefix(name, prefix) {
			break
		}
		entries = append(entries, object.Entry{Name: name, Size: int64(len(m.blobs[name].body))})
	}
	return entries, nil
}

// Close does nothing: it is there so that a Memory is a [Store].
func (m *Memory) Close() error { return nil }

func mayBegin(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return checkName(name)
}
