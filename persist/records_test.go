package persist

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/highlander-go/highlander/object"
)

func TestRecordsAreWrittenInTurn(t *testing.T) {
	ctx := t.Context()
	records := NewRecords(NewMemory())
	if r, tag, err := records.Load(ctx, testKey); r != nil || tag != "" || err != nil {
		t.Fatalf("load of a new object: got %v, %q, %v; want nothing", r, tag, err)
	}
	first := testRecord(t, "first")
	tag, err := records.Commit(ctx, testKey, first, "")
	if err != nil {
		t.Fatal(err)
	}
	if r, again, err := records.Load(ctx, testKey); err != nil || again != tag || !sameRecord(r, first) {
		t.Fatalf("load: got %v, tag %q, %v; want what was committed with tag %q", r, again, err, tag)
	}
	if _, err := records.Commit(ctx, testKey, first, ""); !errors.Is(err, object.ErrConditionFailed) {
		t.Errorf("commit of a first record over another: %v", err)
	}
	second := testRecord(t, "second")
	newTag, err := records.Commit(ctx, testKey, second, tag)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := records.Commit(ctx, testKey, first, tag); !errors.Is(err, object.ErrConditionFailed) {
		t.Errorf("commit after a record that is not the last: %v", err)
	}
	if r, again, err := records.Load(ctx, testKey); err != nil || again != newTag || !sameRecord(r, second) {
		t.Errorf("load: got %v, tag %q, %v; want the second", r, again, err)
	}
	if _, err := records.Commit(ctx, object.Key{Type: "list", ID: "gone"}, first, tag); !errors.Is(err, object.ErrNoBlob) {
		t.Errorf("commit after a record that is gone: %v", err)
	}
}

func TestCommitKeepsNothing(t *testing.T) {
	ctx := t.Context()
	records := NewRecords(NewMemory())
	r := testRecord(t, "state")
	if _, err := records.Commit(ctx, testKey, r, ""); err != nil {
		t.Fatal(err)
	}
	want := testRecord(t, "state")
	clear(r.State)
	if got, _, err := records.Load(ctx, testKey); err != nil || !sameRecord(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestCommitRefuses(t *testing.T) {
	records := NewRecords(NewMemory())
	for name, c := range map[string]struct {
		key   object.Key
		state []byte
		also  error
	}{
		"no id":          {object.Key{Type: "list"}, []byte{1}, object.ErrBadID},
		"no type":        {object.Key{ID: "a"}, []byte{1}, object.ErrUnknownType},
		"type as a path": {object.Key{Type: "../list", ID: "a"}, []byte{1}, object.ErrUnknownType},
		"no state":       {testKey, nil, object.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := records.Commit(t.Context(), c.key, &object.Record{State: c.state}, "")
			if !errors.Is(err, object.ErrRefused) || !errors.Is(err, c.also) {
				t.Errorf("got %v, want it refused", err)
			}
		})
	}
	if _, _, err := records.Load(t.Context(), object.Key{Type: "list"}); !errors.Is(err, object.ErrBadID) {
		t.Errorf("load: got %v, want that the id is bad", err)
	}
}

// A blob that cannot be read is an error: it must never pass for an object that is new.
func TestUnreadableBlobIsNotANewObject(t *testing.T) {
	ctx := t.Context()
	store := NewMemory()
	for _, body := range []string{"", "junk", string(encode(t, object.Key{Type: "list", ID: "other"}, testRecord(t, 1)))} {
		if _, err := store.Put(ctx, BlobName(testKey), []byte(body), object.Condition{}); err != nil {
			t.Fatal(err)
		}
		if r, _, err := NewRecords(store).Load(ctx, testKey); r != nil || !errors.Is(err, object.ErrUnreadable) {
			t.Errorf("%q: got %v, %v", body, r, err)
		}
	}
}

func TestRecordsAreUsedConcurrently(t *testing.T) {
	ctx := t.Context()
	records := NewRecords(NewMemory())
	var wg sync.WaitGroup
	for i := range 8 {
		key := object.Key{Type: "list", ID: fmt.Sprint(i)}
		wg.Go(func() {
			var tag object.Tag
			for n := range 100 {
				want := testRecord(t, strings.Repeat(key.ID, 1+n*7%50))
				var err error
				if tag, err = records.Commit(ctx, key, want, tag); err != nil {
					t.Error(err)
					return
				}
				if got, _, err := records.Load(ctx, key); err != nil || !sameRecord(got, want) {
					t.Errorf("got %v, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestKeysAreThoseWritten(t *testing.T) {
	ctx := t.Context()
	records := NewRecords(NewMemory())
	long := strings.Repeat("a", 200)
	var ids []string
	for i := range 300 {
		ids = append(ids, fmt.Sprintf("user-%d", i*i))
	}
	ids = append(ids, "A", "a", "a.b", ".a", "a/b", "ü", long, long+".b", long+"b", long+"bc", strings.Repeat("Z", 256))
	slices.Sort(ids)
	ids = slices.Compact(ids)
	for _, id := range ids {
		for _, typ := range []string{"user", "user-2"} {
			if _, err := records.Commit(ctx, object.Key{Type: typ, ID: id}, testRecord(t, 1), ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, prefix := range []string{"", "u", "user-1", "user-100", "a", "A", ".", "a.", "a/", "\xc3", "ü", long, long + ".", long + "b", long + "bc", strings.Repeat("Z", 100), "nobody", strings.Repeat("x", 300)} {
		var want, got []string
		for _, id := range ids {
			if strings.HasPrefix(id, prefix) {
				want = append(want, id)
			}
		}
		for key, err := range records.Keys(ctx, "user", prefix) {
			if err != nil || key.Type != "user" {
				t.Fatalf("prefix %.20q: got %v, %v", prefix, key, err)
			}
			got = append(got, key.ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("prefix %.20q: got %d keys, want %d", prefix, len(got), len(want))
		}
	}
}

// There are more keys in one shard than a page has names.
func TestKeysTurnsPages(t *testing.T) {
	ctx := t.Context()
	records := NewRecords(NewMemory())
	want := 0
	for i := 0; want < 2*maxListed+1; i++ {
		if key := (object.Key{Type: "list", ID: fmt.Sprint(i)}); shardOf(key.ID) == 7 {
			want++
			if _, err := records.Commit(ctx, key, testRecord(t, 1), ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := make(map[object.Key]bool)
	for key, err := range records.Keys(ctx, "list", "") {
		if err != nil {
			t.Fatal(err)
		}
		got[key] = true
	}
	if len(got) != want {
		t.Errorf("got %d keys, want %d", len(got), want)
	}
	for range records.Keys(ctx, "list", "") {
		break // a reader may stop
	}
}

func TestKeysReportsWhatIsNoRecord(t *testing.T) {
	ctx := t.Context()
	store := NewMemory()
	records := NewRecords(store)
	if _, err := records.Commit(ctx, testKey, testRecord(t, 1), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Put(ctx, "o/list/0/%zz", nil, object.Condition{}); err != nil {
		t.Fatal(err)
	}
	var keys []object.Key
	var errs []error
	for key, err := range records.Keys(ctx, "list", "") {
		if err != nil {
			errs = append(errs, err)
		} else {
			keys = append(keys, key)
		}
	}
	if len(keys) != 1 || keys[0] != testKey || len(errs) != 1 || !strings.Contains(errs[0].Error(), "o/list/0/%zz") {
		t.Errorf("got %v, %v; want %v and an error that names the other blob", keys, errs, testKey)
	}
}

func TestKeysEndsWithTheFirstError(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		typ  string
		want error
	}{{ended, "list", context.Canceled}, {t.Context(), "../list", object.ErrUnknownType}} {
		n := 0
		for key, err := range NewRecords(NewMemory()).Keys(c.ctx, c.typ, "") {
			n++
			if key != (object.Key{}) || !errors.Is(err, c.want) {
				t.Errorf("got %v, %v; want %v", key, err, c.want)
			}
		}
		if n != 1 {
			t.Errorf("%d answers, want one", n)
		}
	}
}

// A node whose cluster has been taken over by another root must not take what that has written for its own.
func TestRecordsOfALaterGenerationAreRefused(t *testing.T) {
	ctx, store := t.Context(), NewMemory()
	if _, err := NewClusterRecords(store, 2, true).Commit(ctx, testKey, testRecord(t, 1), ""); err != nil {
		t.Fatal(err)
	}
	if _, _, err := NewClusterRecords(store, 1, true).Load(ctx, testKey); !errors.Is(err, object.ErrUnreadable) || !strings.Contains(err.Error(), "generation 2") {
		t.Errorf("the former generation: %v", err)
	}
	for _, generation := range []uint64{2, 3} {
		if _, _, err := NewClusterRecords(store, generation, true).Load(ctx, testKey); err != nil {
			t.Errorf("generation %d: %v", generation, err)
		}
	}
}

func TestPurgeRemovesWhatHasTheTag(t *testing.T) {
	ctx, store := t.Context(), NewMemory()
	records := NewClusterRecords(store, 1, true)
	tag, err := records.Commit(ctx, testKey, &object.Record{Deleted: true}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := NewClusterRecords(store, 1, false).Purge(ctx, testKey, tag); err != nil {
		t.Error(err)
	}
	if err := records.Purge(ctx, testKey, "another"); !errors.Is(err, object.ErrConditionFailed) {
		t.Error(err)
	}
	if r, _, err := records.Load(ctx, testKey); err != nil || r == nil || !r.Deleted {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := records.Purge(ctx, testKey, tag); err != nil {
		t.Error(err)
	}
	if r, _, err := records.Load(ctx, testKey); err != nil || r != nil {
		t.Errorf("%+v, %v", r, err)
	}
}
