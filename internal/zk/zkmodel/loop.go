package zkmodel

import (
	"container/heap"
	"time"
)

// A loop carries out steps at their times. Of two steps of the same time the one that was asked for first comes first: runtime timers
// promise no order at one instant, which is why there is only one of them here.
type loop struct {
	m       *Model
	steps   steps
	asked   int
	wake    chan struct{}
	stop    chan struct{}
	stopped chan struct{}
}

type step struct {
	at time.Time
	n  int
	do func()
}

func (l *loop) init(m *Model) {
	l.m = m
	l.wake = make(chan struct{}, 1)
	l.stop = make(chan struct{})
	l.stopped = make(chan struct{})
}

// after asks for a step. It holds m.mu when it runs.
func (m *Model) after(d time.Duration, do func()) {
	m.loop.asked++
	heap.Push(&m.loop.steps, step{at: time.Now().Add(d), n: m.loop.asked, do: do})
}

// tell has f called by the loop without m.mu, after all that was told before. This is how events and answers leave the model.
func (m *Model) tell(f func()) { m.outbox = append(m.outbox, f) }

// nudge makes the loop look for what is to be done.
func (l *loop) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *loop) run() {
	defer close(l.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait, told := l.turn()
		for _, f := range told {
			f()
		}
		if len(told) > 0 {
			wait = 0
		}
		timer.Reset(wait)
		select {
		case <-l.wake:
		case <-timer.C:
		case <-l.stop:
			return
		}
	}
}

// turn carries out the steps whose time has come, up to the first that tells something, and returns how long it is until the next.
func (l *loop) turn() (wait time.Duration, told []func()) {
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.outbox) == 0 && len(l.steps) > 0 {
		if wait = time.Until(l.steps[0].at); wait > 0 {
			break
		}
		heap.Pop(&l.steps).(step).do()
	}
	if len(l.steps) == 0 {
		wait = time.Hour
	}
	told, m.outbox = m.outbox, nil
	return wait, told
}

// steps is a heap.
type steps []step

func (s steps) Len() int { return len(s) }
func (s steps) Less(i, j int) bool {
	if c := s[i].at.Compare(s[j].at); c != 0 {
		return c < 0
	}
	return s[i].n < s[j].n
}
func (s steps) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s *steps) Push(x any)   { *s = append(*s, x.(step)) }
func (s *steps) Pop() any {
	old := *s
	x := old[len(old)-1]
	old[len(old)-1] = step{}
	*s = old[:len(old)-1]
	return x
}
