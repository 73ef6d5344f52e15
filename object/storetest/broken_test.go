package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/object/storetest"
	"github.com/highlander-go/highlander/persist"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSuitePassesStoreInMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) object.Store { return persist.NewMemory() })
}

func TestCheckUsesOneStoreForEverything(t *testing.T) {
	if err := storetest.Check(t.Context(), persist.NewMemory()); err != nil {
		t.Error(err)
	}
}

// A broken store is a good one of which some methods have been replaced.
type broken struct {
	object.Store
	get    func(ctx context.Context, name string) ([]byte, object.Tag, error)
	put    func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error)
	delete func(ctx context.Context, name string, c object.Condition) error
	list   func(ctx context.Context, prefix, after string, limit int) ([]object.Entry, error)
}

func (b *broken) Get(ctx context.Context, name string) ([]byte, object.Tag, error) {
	if b.get != nil {
		return b.get(ctx, name)
	}
	return b.Store.Get(ctx, name)
}

func (b *broken) Put(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
	if b.put != nil {
		return b.put(ctx, name, body, c)
	}
	return b.Store.Put(ctx, name, body, c)
}

func (b *broken) Delete(ctx context.Context, name string, c object.Condition) error {
	if b.delete != nil {
		return b.delete(ctx, name, c)
	}
	return b.Store.Delete(ctx, name, c)
}

func (b *broken) List(ctx context.Context, prefix, after string, limit int) ([]object.Entry, error) {
	if b.list != nil {
		return b.list(ctx, prefix, after, limit)
	}
	return b.Store.List(ctx, prefix, after, limit)
}

var always object.Condition

// linger makes the moment long in which a mistake can be seen.
func linger() {
	for range 100 {
		runtime.Gosched()
	}
}

// Each of these mistakes must be found, by the clause that is about it.
var mistakes = []struct {
	name   string
	caught string // by this clause, perhaps by others too
	make   func(good object.Store, b *broken)
}{
	{"put ignores the tag", "put-if-match", func(good object.Store, b *broken) {
		b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
			if _, asked := c.Match(); asked {
				c = always
			}
			return good.Put(ctx, name, body, c)
		}
	}},
	{"put ignores if-absent", "put-if-absent", func(good object.Store, b *broken) {
		b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
			if c.Absent() {
				c = always
			}
			return good.Put(ctx, name, body, c)
		}
	}},
	{"put if absent looks first and puts then", "one-creator-wins", func(good object.Store, b *broken) {
		b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
			if !c.Absent() {
				return good.Put(ctx, name, body, c)
			}
			if _, _, err := good.Get(ctx, name); err == nil {
				return "", fmt.Errorf("put %s: %w", name, object.ErrConditionFailed)
			}
			linger()
			return good.Put(ctx, name, body, always)
		}
	}},
	{"put if match looks first and puts then", "one-writer-wins", lookThenPut},
	{"put if match looks first and puts then, and so updates are lost", "no-update-is-lost", lookThenPut},
	{"delete if match looks first and deletes then", "put-or-delete-wins", func(good object.Store, b *broken) {
		b.delete = func(ctx context.Context, name string, c object.Condition) error {
			_, tag, err := good.Get(ctx, name)
			if match, asked := c.Match(); err == nil && asked && match != tag {
				err = object.ErrConditionFailed
			}
			if err != nil && c != always {
				return fmt.Errorf("delete %s: %w", name, err)
			}
			linger()
			return good.Delete(ctx, name, always)
		}
	}},
	{"put if match makes the blob when it is gone", "put-if-match", func(good object.Store, b *broken) {
		b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
			tag, err := good.Put(ctx, name, body, c)
			if errors.Is(err, object.ErrNoBlob) {
				return good.Put(ctx, name, body, always)
			}
			return tag, err
		}
	}},
	{"a blob that is gone is a failed condition", "put-if-match", func(good object.Store, b *broken) {
		b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
			tag, err := good.Put(ctx, name, body, c)
			if errors.Is(err, object.ErrNoBlob) {
				err = fmt.Errorf("put %s: %w", name, object.ErrConditionFailed)
			}
			return tag, err
		}
	}},
	{"an unconditional put is refused", "put-and-get", func(good object.Store, b *broken) {
		b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
			if c == always {
				return "", fmt.Errorf("put %s: %w", name, object.ErrRefused)
			}
			return good.Put(ctx, name, body, c)
		}
	}},
	{"a failed condition writes all the same", "put-if-absent", func(good object.Store, b *broken) {
		b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
			tag, err := good.Put(ctx, name, body, c)
			if errors.Is(err, object.ErrConditionFailed) {
				_, _ = good.Put(ctx, name, body, always)
			}
			return tag, err
		}
	}},
	{"any failure to read is no blob", "bad-names", anyErrorIsNoBlob},
	{"a read that was cancelled is no blob", "ended-context", anyErrorIsNoBlob},
	{"a failure to list is an empty list", "ended-context", func(good object.Store, b *broken) {
		b.list = func(ctx context.Context, prefix, after string, limit int) ([]object.Entry, error) {
			entries, err := good.List(ctx, prefix, after, limit)
			if ctx.Err() != nil {
				err = nil
			}
			return entries, err
		}
	}},
	{"put ends although its context has ended", "ended-context", func(good object.Store, b *broken) {
		b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
			tag, err := good.Put(context.WithoutCancel(ctx), name, body, c)
			return tag, errors.Join(err, ctx.Err())
		}
	}},
	{"the tag is the length", "tag-changes-with-content", func(good object.Store, b *broken) {
		lengthTag := func(body []byte) object.Tag { return object.Tag(fmt.Sprint("len", len(body))) }
		b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
			_, err := good.Put(ctx, name, body, c)
			return lengthTag(body), err
		}
		b.get = func(ctx context.Context, name string) ([]byte, object.Tag, error) {
			body, _, err := good.Get(ctx, name)
			return body, lengthTag(body), err
		}
	}},
	{"put and get give different tags", "put-and-get", func(good object.Store, b *broken) {
		b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
			tag, err := good.Put(ctx, name, body, c)
			return `"` + tag + `"`, err
		}
	}},
	{"reads are torn", "no-torn-reads", tornReads},
	{"the body is kept", "body-is-copied", keepsBody},
	{"get gives away its own memory", "body-is-copied", givesMemory},
	{"an empty body is no blob", "empty-body", func(good object.Store, b *broken) {
		b.get = func(ctx context.Context, name string) ([]byte, object.Tag, error) {
			body, tag, err := good.Get(ctx, name)
			if err == nil && len(body) == 0 {
				return nil, "", fmt.Errorf("get %s: %w", name, object.ErrNoBlob)
			}
			return body, tag, err
		}
	}},
	{"bodies are cut at a mebibyte", "large-body", func(good object.Store, b *broken) {
		b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
			return good.Put(ctx, name, body[:min(len(body), 1<<20)], c)
		}
	}},
	{"line ends are changed", "any-bytes", func(good object.Store, b *broken) {
		b.get = func(ctx context.Context, name string) ([]byte, object.Tag, error) {
			body, tag, err := good.Get(ctx, name)
			return bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")), tag, err
		}
	}},
	{"delete ignores the condition", "delete-if-match", func(good object.Store, b *broken) {
		b.delete = func(ctx context.Context, name string, _ object.Condition) error {
			return good.Delete(ctx, name, always)
		}
	}},
	{"delete of nothing fails", "delete", func(good object.Store, b *broken) {
		b.delete = func(ctx context.Context, name string, c object.Condition) error {
			if _, _, err := good.Get(ctx, name); err != nil {
				return fmt.Errorf("delete %s: %w", name, err)
			}
			return good.Delete(ctx, name, c)
		}
	}},
	{"delete takes the folder's blobs too", "delete", func(good object.Store, b *broken) {
		b.delete = func(ctx context.Context, name string, c object.Condition) error {
			entries, _ := good.List(ctx, name+"/", "", 1000)
			for _, e := range entries {
				_ = good.Delete(ctx, e.Name, always)
			}
			return good.Delete(ctx, name, c)
		}
	}},
	{"the list is not sorted", "list-order", onList(func(entries []object.Entry, _ string) []object.Entry {
		slices.Reverse(entries)
		return entries
	})},
	{"the list is sorted by segment", "list-order", onList(func(entries []object.Entry, _ string) []object.Entry {
		slices.SortFunc(entries, func(a, b object.Entry) int {
			return slices.Compare(strings.Split(a.Name, "/"), strings.Split(b.Name, "/"))
		})
		return entries
	})},
	{"the list has one too few", "list-pages", onList(func(entries []object.Entry, _ string) []object.Entry {
		return entries[:max(0, len(entries)-1)]
	})},
	{"the list begins with the name after", "list-after", func(good object.Store, b *broken) {
		b.list = func(ctx context.Context, prefix, after string, limit int) ([]object.Entry, error) {
			if _, _, err := good.Get(ctx, after); err == nil {
				rest, err := good.List(ctx, prefix, after, limit)
				return append([]object.Entry{{Name: after}}, rest...), err
			}
			return good.List(ctx, prefix, after, limit)
		}
	}},
	{"after must exist", "list-after", func(good object.Store, b *broken) {
		b.list = func(ctx context.Context, prefix, after string, limit int) ([]object.Entry, error) {
			if after == "" {
				return good.List(ctx, prefix, after, limit)
			}
			if _, _, err := good.Get(ctx, after); err != nil {
				return nil, nil
			}
			return good.List(ctx, prefix, after, limit)
		}
	}},
	{"the prefix is a folder", "list-prefix", onList(func(entries []object.Entry, prefix string) []object.Entry {
		return slices.DeleteFunc(entries, func(e object.Entry) bool {
			return !strings.HasPrefix(e.Name, strings.TrimSuffix(prefix, "/")+"/")
		})
	})},
	{"the list gives blocks for sizes", "list-sizes", onList(func(entries []object.Entry, _ string) []object.Entry {
		for i := range entries {
			entries[i].Size = (entries[i].Size + 511) / 512 * 512
		}
		return entries
	})},
	{"the list gives the first put's size", "list-sizes", firstSizes},
	{"limits are capped in silence", "list-limit", func(good object.Store, b *broken) {
		b.list = func(ctx context.Context, prefix, after string, limit int) ([]object.Entry, error) {
			return good.List(ctx, prefix, after, max(1, min(limit, 1000)))
		}
	}},
	{"temporary files are listed", "list-shows-only-blobs", func(good object.Store, b *broken) {
		b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
			_, _ = good.Put(ctx, name+".tmp", body, always)
			defer good.Delete(ctx, name+".tmp", always)
			linger()
			return good.Put(ctx, name, body, c)
		}
	}},
	{"names are cut", "longest-names", func(good object.Store, b *broken) {
		cut := func(name string) string { return name[:min(len(name), 255)] }
		b.get = func(ctx context.Context, name string) ([]byte, object.Tag, error) { return good.Get(ctx, cut(name)) }
		b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
			return good.Put(ctx, cut(name), body, c)
		}
	}},
	{"case is folded", "bad-names", func(good object.Store, b *broken) {
		b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
			return good.Put(ctx, strings.ToLower(name), body, c)
		}
	}},
	{"errors name no blob", "errors-say-what-failed", func(good object.Store, b *broken) {
		b.get = func(ctx context.Context, name string) ([]byte, object.Tag, error) {
			body, tag, err := good.Get(ctx, name)
			if errors.Is(err, object.ErrNoBlob) {
				err = object.ErrNoBlob
			}
			return body, tag, err
		}
	}},
}

func lookThenPut(good object.Store, b *broken) {
	b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
		if _, asked := c.Match(); !asked {
			return good.Put(ctx, name, body, c)
		}
		_, tag, err := good.Get(ctx, name)
		if err := errors.Join(err, c.Check(err == nil, tag)); err != nil {
			return "", fmt.Errorf("put %s: %w", name, err)
		}
		linger()
		return good.Put(ctx, name, body, always)
	}
}

func anyErrorIsNoBlob(good object.Store, b *broken) {
	b.get = func(ctx context.Context, name string) ([]byte, object.Tag, error) {
		body, tag, err := good.Get(ctx, name)
		if err != nil {
			err = fmt.Errorf("get %s: %w", name, object.ErrNoBlob)
		}
		return body, tag, err
	}
}

// tornReads reads the second half of a blob a moment after the first.
func tornReads(good object.Store, b *broken) {
	b.get = func(ctx context.Context, name string) ([]byte, object.Tag, error) {
		first, _, err := good.Get(ctx, name)
		if err != nil {
			return nil, "", err
		}
		linger()
		second, tag, err := good.Get(ctx, name)
		half := min(len(first), len(second)) / 2
		return append(first[:half:half], second[half:]...), tag, err
	}
}

// keepsBody keeps the bytes that it was given to put.
func keepsBody(good object.Store, b *broken) {
	var mu sync.Mutex
	kept := make(map[string][]byte)
	b.put = func(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
		mu.Lock()
		defer mu.Unlock()
		tag, err := good.Put(ctx, name, body, c)
		if err == nil {
			kept[name] = body
		}
		return tag, err
	}
	b.get = func(ctx context.Context, name string) ([]byte, object.Tag, error) {
		mu.Lock()
		defer mu.Unlock()
		_, tag, err := good.Get(ctx, name)
		if err != nil {
			return nil, "", err
		}
		return bytes.Clone(kept[name]), tag, nil
	}
}

// givesMemory gives the same bytes to everyone who reads a version of a blob.
func givesMemory(good object.Store, b *broken) {
	var mu sync.Mutex
	given := make(map[string][]byte)
	b.get = func(ctx context.Context, name string) ([]byte, object.Tag, error) {
		body, tag, err := good.Get(ctx, name)
		if err != nil {
			return nil, "", err
		}
		mu.Lock()
		defer mu.Unlock()
		version := name + "\x00" + string(tag)
		if _, ok := given[version]; !ok {
			given[version] = body
		}
		return given[version], tag, nil
	}
}

// firstSizes remembers how large a blob was when it was listed first.
func firstSizes(good object.Store, b *broken) {
	var mu sync.Mutex
	sizes := make(map[string]int64)
	onList(func(entries []object.Entry, _ string) []object.Entry {
		mu.Lock()
		defer mu.Unlock()
		for i, e := range entries {
			if _, ok := sizes[e.Name]; !ok {
				sizes[e.Name] = e.Size
			}
			entries[i].Size = sizes[e.Name]
		}
		return entries
	})(good, b)
}

func onList(change func(entries []object.Entry, prefix string) []object.Entry) func(object.Store, *broken) {
	return func(good object.Store, b *broken) {
		b.list = func(ctx context.Context, prefix, after string, limit int) ([]object.Entry, error) {
			entries, err := good.List(ctx, prefix, after, limit)
			return change(entries, prefix), err
		}
	}
}

func TestSuiteCatchesMistakes(t *testing.T) {
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			good := persist.NewMemory()
			b := &broken{Store: good}
			m.make(good, b)
			err := storetest.Check(t.Context(), b)
			for _, clause := range clausesOf(err) {
				if clause == m.caught {
					return
				}
			}
			t.Errorf("clause %s did not catch it; all that was found: %v", m.caught, err)
		})
	}
}

func clausesOf(err error) (names []string) {
	all, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	for _, err := range all.Unwrap() {
		var clause *storetest.ClauseError
		if errors.As(err, &clause) {
			names = append(names, clause.Clause)
		}
	}
	return names
}
