package persist

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

const (
	checkRounds = 3
	checkRacers = 8
	checkFolder = "check" // of scratch blobs
)

// Capabilities are what a store can do beyond what objects need of it. [Check] finds them out.
type Capabilities struct {
	// ConditionalDelete: Delete honours [object.IfMatch]. S3 does. Some servers ignore it, or look first and delete then;
	// these betray themselves, if not by what they delete, by accepting it for a blob that is not there.
	ConditionalDelete bool
}

// Check tests that the store can be trusted with objects, and is run before a node starts: several servers
// that speak S3 get conditional puts wrong, and each lost or doubled winner would be a lost update. It
// races conditional puts on a scratch blob, `check/<uuid>`, of which one may win each round, and removes the blob. A
// missing blob must be reported as surely missing, for else no new object could ever wake. Losers may be answered
// with errors that say nothing, as S3 does with 409, but somebody must win.
// What a store need not be able to do, and what it may forbid, is no error but is missing from the capabilities.
func Check(ctx context.Context, store object.Store) (Capabilities, error) {
	name := checkFolder + "/" + uuid.NewString()
	switch _, _, err := store.Get(ctx, name); {
	case err == nil:
		return Capabilities{}, fmt.Errorf("the store does not say of a blob that is not there that it is not there, so that no new object could be made: get %s: no error", name)
	case !errors.Is(err, object.ErrNoBlob):
		return Capabilities{}, fmt.Errorf("the store cannot be reached, or does not let this node read: %w", err)
	}
	defer store.Delete(context.WithoutCancel(ctx), name, object.Condition{})
	condition := object.IfAbsent()
	var stale, tag object.Tag
	for round := range checkRounds {
		won, err := race(ctx, store, name, condition)
		if err != nil {
			return Capabilities{}, fmt.Errorf("round %d of racing conditional puts of %s: %w", round, name, err)
		}
		stale, tag = tag, won
		condition = object.IfMatch(tag)
	}
	return Capabilities{ConditionalDelete: deletesOnCondition(ctx, store, name, stale, tag)}, nil
}

// deletesOnCondition tells whether deletes honour IfMatch. The blob has the tag tag; stale is one that it had.
// Whatever is not clear is no.
func deletesOnCondition(ctx context.Context, store object.Store, name string, stale, tag object.Tag) bool {
	if err := store.Delete(ctx, name, object.IfMatch(stale)); !errors.Is(err, object.ErrConditionFailed) {
		return false
	}
	for range checkRounds {
		next, ok := raceDeletes(ctx, store, name, tag)
		if !ok {
			return false
		}
		if next == "" {
			var err error
			if next, err = store.Put(ctx, name, []byte(uuid.NewString()), object.IfAbsent()); err != nil {
				return false
			}
		}
		tag = next
	}
	if err := store.Delete(ctx, name, object.IfMatch(tag)); err != nil {
		return false
	}
	err := store.Delete(ctx, name, object.IfMatch(tag))
	return errors.Is(err, object.ErrNoBlob) || errors.Is(err, object.ErrConditionFailed)
}

// raceDeletes has as many delete the blob as overwrite it, under the same condition. It returns the tag that the blob has
// then, "" if it is gone; ok is false unless one has won, and it is the blob's state that tells which.
func raceDeletes(ctx context.Context, store object.Store, name string, tag object.Tag) (now object.Tag, ok bool) {
	var racers sync.WaitGroup
	var won [checkRacers]bool
	var tags [checkRacers]object.Tag // those of deletes stay empty
	for i := range checkRacers {
		racers.Go(func() {
			var err error
			if i%2 == 0 {
				err = store.Delete(ctx, name, object.IfMatch(tag))
			} else {
				tags[i], err = store.Put(ctx, name, []byte(uuid.NewString()), object.IfMatch(tag))
			}
			won[i] = err == nil
		})
	}
	racers.Wait()
	winner := slices.Index(won[:], true)
	if winner < 0 || slices.Contains(won[winner+1:], true) {
		return "", false
	}
	_, now, err := store.Get(ctx, name)
	if errors.Is(err, object.ErrNoBlob) {
		now, err = "", nil
	}
	return now, err == nil && now == tags[winner]
}

// race has several writers put under the same condition. It returns the tag of the one that won.
func race(ctx context.Context, store object.Store, name string, c object.Condition) (object.Tag, error) {
	var (
		racers sync.WaitGroup
		mu     sync.Mutex
		won    []object.Tag
		errs   []error
	)
	for range checkRacers {
		racers.Go(func() {
			tag, err := store.Put(ctx, name, []byte(uuid.NewString()), c)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won = append(won, tag)
			case !errors.Is(err, object.ErrConditionFailed):
				errs = append(errs, err) // it may have lost, or be out of space
			}
		})
	}
	racers.Wait()
	switch {
	case len(won) == 0 && len(errs) > 0:
		return "", fmt.Errorf("nobody could write: %w", errs[0])
	case len(won) == 0:
		return "", fmt.Errorf("none of %d writers won where one had to: the store knows no tag that it gave, or loses what it accepts; use one that honours If-Match and If-None-Match", checkRacers)
	case len(won) != 1:
		return "", fmt.Errorf("%d of %d writers won where one had to: the store ignores If-Match or If-None-Match and cannot be trusted with objects; "+
			"use one that honours them", len(won), checkRacers)
	}
	if _, tag, err := store.Get(ctx, name); err != nil || tag != won[0] {
		return "", fmt.Errorf("the winner's tag is %q, but what is there has %q: the store cannot be trusted with objects: %w", won[0], tag, errOr(err, "another put came later"))
	}
	return won[0], nil
}

func errOr(err error, otherwise string) error {
	if err == nil {
		return errors.New(otherwise)
	}
	return err
}
