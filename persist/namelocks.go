package persist

import (
	"context"
	"sync"
)

// nameLocks has a lock for each name that is in use. The zero value is ready.
type nameLocks struct {
	mu   sync.Mutex
	used map[string]*nameLock
}

type nameLock struct {
	held  chan struct{} // has an element while the lock is held
	users int           // who hold it or wait for it; guarded by nameLocks.mu
}

// lock waits for the name's lock and returns its unlock, or the context's error.
func (l *nameLocks) lock(ctx context.Context, name string) (unlock func(), err error) {
	l.mu.Lock()
	if l.used == nil {
		l.used = make(map[string]*nameLock)
	}
	n := l.used[name]
	if n == nil {
		n = &nameLock{held: make(chan struct{}, 1)}
		l.used[name] = n
	}
	n.users++
	l.mu.Unlock()

	select {
	case n.held <- struct{}{}:
		return func() { <-n.held; l.leave(name, n) }, nil
	case <-ctx.Done():
		l.leave(name, n)
		return nil, ctx.Err()
	}
}

func (l *nameLocks) leave(name string, n *nameLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n.users--; n.users == 0 {
		delete(l.used, name)
	}
}
