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

// collect lists all ids in pages of the size, and tells how many pages there were.
func collect(tb testing.TB, records *Records, typ, prefix string, limit int) (ids []string, pages int) {
	tb.Helper()
	for cursor := ""; ; pages++ {
		some, next, err := records.List(tb.Context(), typ, prefix, cursor, limit)
		if err != nil || len(some) > limit {
			tb.Fatalf("page %d of ids with prefix %q: %d ids for a limit of %d, %v", pages, prefix, len(some), limit, err)
		}
		ids = append(ids, some...)
		if cursor = next; next == "" {
			return ids, pages + 1
		}
	}
}

// fill writes records of the type with a tiny state, and makes those tombstones that are deleted.
func fill(tb testing.TB, records *Records, typ string, deleted func(id string) bool, ids ...string) {
	tb.Helper()
	for _, id := range ids {
		r := &object.Record{Version: 1, State: []byte{0xc0}}
		if deleted(id) {
			r = &object.Record{Layout: 200, Epoch: 1 << 20, Version: 1 << 40, Deleted: true}
		}
		if _, err := records.Commit(tb.Context(), object.Key{Type: typ, ID: id}, r, ""); err != nil {
			tb.Fatal(err)
		}
	}
}

func never(string) bool { return false }

func TestIDsAreThoseWritten(t *testing.T) {
	records := NewRecords(NewMemory())
	long := strings.Repeat("a", 200)
	var ids []string
	for i := range 300 {
		ids = append(ids, fmt.Sprintf("user-%d", i*i))
	}
	for c := range 256 {
		if id := string(rune(c)); c > 0 {
			ids = append(ids, id, "x"+id, id+id+"y")
		}
	}
	ids = append(ids, "a.b", "a.bc", ".a", "a/b", "a/b/c", "%41", "\x00", "\U0001F600", long, long+".b", long+"b", long+"bc", long[:199]+"ü", strings.Repeat("Z", 256))
	slices.Sort(ids)
	ids = slices.Compact(ids)
	deleted := func(id string) bool { return id[len(id)-1]%3 == 0 }
	fill(t, records, "user", deleted, ids...)
	fill(t, records, "user-2", never, ids...)
	for _, prefix := range []string{"", "u", "user-1", "user-100", "a", "A", "%", "%4", ".", "a.", "a/", "\xc3", "ü", "x\xc3", "\xf0\x9f", "\x00", "+", long, long + ".",
		long + "b", long + "bc", long[:199] + "\xc3", strings.Repeat("Z", 100), strings.Repeat("Z", 256), "nobody", strings.Repeat("x", 300), strings.Repeat("ü", 3000)} {
		var want []string
		for _, id := range ids {
			if strings.HasPrefix(id, prefix) && !deleted(id) {
				want = append(want, id)
			}
		}
		var first []string
		for _, limit := range []int{1000, 1, 7} {
			got, _ := collect(t, records, "user", prefix, limit)
			if first == nil {
				first = slices.Clone(got)
			} else if !slices.Equal(got, first) {
				t.Errorf("prefix %.20q: the order in pages of %d is another", prefix, limit)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("prefix %.20q, pages of %d: got %d ids, want %d: %.200q", prefix, limit, len(got), len(want), got)
			}
		}
	}
}

// How many listings of the store there are is what a listing of ids costs.
func TestAPageIsOneListingOfTheStore(t *testing.T) {
	store := &countedStore{Store: NewMemory()}
	records := NewRecords(store)
	var ids []string
	for i := range 2*maxListed + 500 {
		ids = append(ids, fmt.Sprint(i))
	}
	fill(t, records, "list", func(id string) bool { return id < "2" }, ids...)
	for prefix, want := range map[string]int{"": 3, "1": shards, "7": shards, "none": shards, strings.Repeat("7", 257): 0} {
		store.lists, store.gets = 0, 0
		collect(t, records, "list", prefix, maxListed)
		if store.lists != want || store.gets != 0 {
			t.Errorf("prefix %.10q: %d listings, %d gets; want %d and none", prefix, store.lists, store.gets, want)
		}
	}
	if ids, next, err := records.List(t.Context(), "list", "1", "", 1); len(ids) != 0 || next == "" || err != nil {
		t.Errorf("a page of a tombstone: %q, next %q, %v; want none, and that there is more", ids, next, err)
	}
}

type countedStore struct {
	object.Store
	lists, gets int
}

func (s *countedStore) List(ctx context.Context, prefix, after string, limit int) ([]object.Entry, error) {
	s.lists++
	return s.Store.List(ctx, prefix, after, limit)
}

func (s *countedStore) Get(ctx context.Context, name string) ([]byte, object.Tag, error) {
	s.gets++
	return s.Store.Get(ctx, name)
}

// What is no record, by its name, has no id. What is one and cannot be read has: it is for a call of the object to say so.
func TestIDsAreListedOfWhatCannotBeRead(t *testing.T) {
	store := NewMemory()
	records := NewRecords(store)
	good, bad := BlobName(testKey), BlobName(object.Key{Type: "list", ID: "bad"})
	fill(t, records, "list", never, testKey.ID)
	for _, name := range []string{bad, "o/list/0/%zz", "o/list/junk", "o/list/zzz/" + good[len("o/list/0/"):], "o/lists", "o/lis/t"} {
		if _, err := store.Put(t.Context(), name, []byte("junk"), object.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{1, 1000} {
		got, _ := collect(t, records, "list", "", limit)
		if slices.Sort(got); !slices.Equal(got, []string{testKey.ID, "bad"}) {
			t.Errorf("pages of %d: %q", limit, got)
		}
	}
}

func TestListingOfIDsFails(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for what, c := range map[string]struct {
		ctx                 context.Context
		typ, prefix, cursor string
		limit               int
		want                error
		says                string
	}{
		"ended context":       {ended, "list", "", "", 10, context.Canceled, "list"},
		"bad type":            {t.Context(), "../list", "", "", 10, object.ErrUnknownType, "../list"},
		"no limit":            {t.Context(), "list", "", "", 0, nil, "limit 0"},
		"large limit":         {t.Context(), "list", "a", "", 1001, nil, "limit 1001"},
		"cursor of a type":    {t.Context(), "list", "", "o/lists/0/a", 10, nil, "o/lists/0/a"},
		"cursor of no prefix": {t.Context(), "list", "a", "o/list/junk", 10, nil, "o/list/junk"},
	} {
		ids, next, err := NewRecords(NewMemory()).List(c.ctx, c.typ, c.prefix, c.cursor, c.limit)
		if err == nil || ids != nil || next != "" || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, %q, %v", what, ids, next, err)
		}
	}
}

// Whatever ids there are, a listing in pages has each that begins with the prefix once, and no other.
func FuzzIDs(f *testing.F) {
	long := strings.Repeat("a", 199)
	f.Add("a", "b", "ab", "a", uint8(1))
	f.Add("\u00fc", "\u00fd", "A", "\xc3", uint8(2))
	f.Add(long+".", long+"Z", long, long+".", uint8(1))
	f.Add("%41", "A", "a%2fb", "%4", uint8(0))
	f.Fuzz(func(t *testing.T, a, b, c, prefix string, limit uint8) {
		want := []string{a, b, c}
		slices.Sort(want)
		want = slices.DeleteFunc(slices.Compact(want), func(id string) bool { return object.Key{Type: "list", ID: id}.Validate() != nil })
		records := NewRecords(NewMemory())
		deleted := func(id string) bool { return id[0]%4 == 1 }
		fill(t, records, "list", deleted, want...)
		want = slices.DeleteFunc(want, func(id string) bool { return deleted(id) || !strings.HasPrefix(id, prefix) })
		got, _ := collect(t, records, "list", prefix, 1+int(limit)%4)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("prefix %q: got %q, want %q", prefix, got, want)
		}
	})
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
