package object

import (
	"context"
	"runtime"
	"sync"
)

// Each calls do for each of the items, up to atOnce of them at the same time, one at least, and waits for all that it has begun. At the first error the
// contexts of the others are cancelled, no more are begun, and the error is returned; so is ctx's, if that ends before all are begun. A panic of do is
// one of the caller's, and a runtime.Goexit too.
//
//	err := object.Each(ctx, user.KnownLists, 16, func(ctx context.Context, id string) error {
//		return lists.Ref(id).Share(ctx, friend)
//	})
func Each[T any](ctx context.Context, items []T, atOnce int, do func(ctx context.Context, item T) error) error {
	all, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		running sync.WaitGroup
		places  = make(chan struct{}, max(atOnce, 1))
		once    sync.Once
		end     = func() error { return nil }
	)
	stop := func(how func() error) {
		once.Do(func() { end = how })
		cancel()
	}
	for _, item := range items {
		select {
		case places <- struct{}{}:
		case <-all.Done():
		}
		if all.Err() != nil {
			stop(func() error { return ended(ctx) })
			break
		}
		running.Go(func() {
			returned := false
			defer func() {
				if p := recover(); p != nil {
					stop(func() error { panic(p) })
				} else if !returned {
					stop(func() error { runtime.Goexit(); return nil })
				}
				<-places
			}()
			err := do(all, item)
			returned = true
			if err != nil {
				stop(func() error { return err })
			}
		})
	}
	running.Wait()
	return end()
}
