package persist

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/object/storetest"
)

// realS3 names a bucket, as an s3:// URL. The tests leave nothing in it but scratch blobs under prefixes of their own.
const realS3 = "HIGHLANDER_TEST_S3"

// openRealS3 opens a store under a fresh prefix of the real bucket.
func openRealS3(t *testing.T) *S3 {
	url := os.Getenv(realS3)
	if url == "" {
		t.Skipf("SKIPPED: no real S3: set %s to an s3:// URL", realS3)
	}
	o, err := parseS3URL(strings.TrimPrefix(url, "s3:"))
	if err != nil {
		t.Fatal(err)
	}
	o.Prefix = strings.TrimPrefix(o.Prefix+"/"+uuid.NewString(), "/")
	o.Timeout = time.Minute // the machine may have much else to do
	store, err := OpenS3(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// Of a server that does not honour conditions of deletes no more is expected than that the check finds it out.
func TestRealS3KeepsTheContract(t *testing.T) {
	store := openRealS3(t)
	can, err := Check(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	err = storetest.Check(t.Context(), store)
	if err == nil {
		return
	}
	for _, err := range err.(interface{ Unwrap() []error }).Unwrap() {
		var broken *storetest.ClauseError
		if errors.As(err, &broken) && !can.ConditionalDelete && (broken.Clause == "delete-if-match" || broken.Clause == "put-or-delete-wins") {
			t.Logf("the server does not honour conditions of deletes: %v", err)
			continue
		}
		t.Error(err)
	}
}

func TestRealS3PassesTheCheck(t *testing.T) {
	can, err := Check(t.Context(), openRealS3(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", can)
}

func TestRealS3RefusesAnotherBucket(t *testing.T) {
	store := openRealS3(t)
	store.bucket = "not-there-" + uuid.NewString()
	if _, err := Check(t.Context(), store); err == nil || !strings.Contains(err.Error(), "make the bucket") {
		t.Error(err)
	}
	_, err := store.Put(t.Context(), "o/a", nil, object.IfMatch(`"abc"`))
	expectRefused(t, err, "NoSuchBucket")
}

func TestRealS3KeepsRecords(t *testing.T) {
	records, ctx := NewRecords(openRealS3(t)), t.Context()
	if r, _, err := records.Load(ctx, testKey); r != nil || err != nil {
		t.Fatal(r, err)
	}
	var tag object.Tag
	for n := range 20 {
		want := testRecord(t, n)
		next, err := records.Commit(ctx, testKey, want, tag)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := records.Commit(ctx, testKey, want, tag); !errors.Is(err, object.ErrConditionFailed) {
			t.Errorf("the same record again: %v", err)
		}
		if got, found, err := records.Load(ctx, testKey); err != nil || found != next || !sameRecord(got, want) {
			t.Errorf("got %v, %q, %v; want %v, %q", got, found, err, want, next)
		}
		tag = next
	}
	fill(t, records, testKey.Type, func(id string) bool { return id == "gone" }, "gone", "ü", "Z")
	for prefix, want := range map[string][]string{"": {"Z", testKey.ID, "ü"}, "alice/": {testKey.ID}, "\xc3": {"ü"}, "g": nil} {
		got, _ := collect(t, records, testKey.Type, prefix, 2)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("ids with prefix %q: got %q, want %q", prefix, got, want)
		}
	}
}

const (
	raceRounds = 60
	raceRacers = 32
)

// The races themselves are tried on the server of the tests.
func TestS3RacesHaveOneWinner(t *testing.T) {
	racePuts(t, newS3Server(t).open(t, "p"), 2)
	racePutsAndDeletes(t, newS3Server(t).open(t, "p"), 4)
}

func TestRealS3RacesHaveOneWinner(t *testing.T) { racePuts(t, openRealS3(t), raceRounds) }

func TestRealS3RacesPutsAndDeletes(t *testing.T) {
	store := openRealS3(t)
	if can, err := Check(t.Context(), store); err != nil {
		t.Fatal(err)
	} else if !can.ConditionalDelete {
		t.Skip("the server does not honour conditions of deletes")
	}
	racePutsAndDeletes(t, store, raceRounds)
}

// racePuts has many put under the same condition: the first round makes the blob, the others overwrite it.
func racePuts(t *testing.T, store object.Store, rounds int) {
	c, unknown := object.IfAbsent(), 0
	for round := range rounds {
		tags, errs := race32(func(i int) (object.Tag, error) {
			return store.Put(t.Context(), "race", fmt.Appendf(nil, "%d by %d", round, i), c)
		})
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner >= 0:
				t.Fatalf("round %d: %d and %d have won", round, winner, i)
			case err == nil:
				winner = i
			case errors.Is(err, object.ErrNoBlob), errors.Is(err, object.ErrRefused):
				t.Fatalf("round %d: %v", round, err)
			case !errors.Is(err, object.ErrConditionFailed):
				unknown++
				t.Log(err)
			}
		}
		body, tag, err := store.Get(t.Context(), "race")
		if err != nil || winner >= 0 && (tag != tags[winner] || string(body) != fmt.Sprintf("%d by %d", round, winner)) {
			t.Fatalf("round %d: %d has won, but there is %q, %q, %v", round, winner, body, tag, err)
		}
		if winner < 0 && unknown == 0 {
			t.Fatalf("round %d: nobody has won", round)
		}
		c = object.IfMatch(tag)
	}
	t.Logf("%d rounds of %d racers, %d answers that said nothing", rounds, raceRacers, unknown)
}

// racePutsAndDeletes has as many delete as overwrite, under the same condition.
func racePutsAndDeletes(t *testing.T, store object.Store, rounds int) {
	ctx, byDelete, unknown := t.Context(), 0, 0
	for round := range rounds {
		start, err := store.Put(ctx, "race", fmt.Appendf(nil, "start of %d", round), object.Condition{})
		if err != nil {
			t.Fatal(err)
		}
		tags, errs := race32(func(i int) (object.Tag, error) {
			if (i+round)%2 == 0 {
				return "", store.Delete(ctx, "race", object.IfMatch(start))
			}
			return store.Put(ctx, "race", fmt.Appendf(nil, "%d by %d", round, i), object.IfMatch(start))
		})
		var winners []int
		for i, err := range errs {
			switch {
			case err == nil:
				winners = append(winners, i)
			case errors.Is(err, object.ErrRefused):
				t.Fatalf("round %d: %v", round, err)
			case !errors.Is(err, object.ErrConditionFailed) && !errors.Is(err, object.ErrNoBlob):
				unknown++
				t.Log(err)
			}
		}
		if len(winners) > 1 || len(winners)+unknown == 0 {
			t.Fatalf("round %d: %d have won", round, len(winners))
		}
		_, tag, err := store.Get(ctx, "race")
		if gone := errors.Is(err, object.ErrNoBlob); gone {
			byDelete++
		} else if err != nil {
			t.Fatal(err)
		}
		if len(winners) == 1 && tag != tags[winners[0]] {
			t.Fatalf("round %d: the winner was told %q, but there is %q", round, tags[winners[0]], tag)
		}
	}
	t.Logf("%d rounds of %d racers, %d won by deletes, %d answers that said nothing", rounds, raceRacers, byDelete, unknown)
}

// race32 runs all racers at the same moment.
func race32(run func(i int) (object.Tag, error)) (tags [raceRacers]object.Tag, errs [raceRacers]error) {
	var racers sync.WaitGroup
	start := make(chan struct{})
	for i := range raceRacers {
		racers.Go(func() {
			<-start
			tags[i], errs[i] = run(i)
		})
	}
	close(start)
	racers.Wait()
	return tags, errs
}
