package persist

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

const (
	checkRounds = 3
	checkRacers = 8
	checkFolder = "check" // of scratch blobs
)

// Check tests that the store can be trusted with objects, and is run before a node starts: several servers
// that speak S3 get conditional puts wrong, and each lost or doubled winner would be a lost update. It
// races conditional puts on a scratch blob, `check/<uuid>`, of which one may win each round, and removes the blob. A
// missing blob must be reported as surely missing, for else no new object could ever wake. Losers may be answered
// with errors that say nothing, as S3 does with 409, but somebody must win.
func Check(ctx context.Context, store object.Store) error {
	name := checkFolder + "/" + uuid.NewString()
	if _, _, err := store.Get(ctx, name); !errors.Is(err, object.ErrNoBlob) {
		return fmt.Errorf("the store does not say of a blob that is not there that it is not there (on S3: grant s3:ListBucket): get %s: %w", name, errOr(err, "no error"))
	}
	defer store.Delete(context.WithoutCancel(ctx), name, object.Condition{})
	condition := object.IfAbsent()
	for round := range checkRounds {
		tag, err := race(ctx, store, name, condition)
		if err != nil {
			return fmt.Errorf("round %d of racing conditional puts of %s: %w", round, name, err)
		}
		condition = object.IfMatch(tag)
	}
	return nil
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
