package object

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/uuid"
)

// What is kept comes out of a record as it went in, and everything else is an error at worst.
func FuzzResults(f *testing.F) {
	var t results
	caller := uuid.New()
	for n := range uint64(3) {
		t.add(&Numbered{ID: RequestID{Caller: caller, Number: n + 5}, Floor: 4}, []byte{oneResult[0], byte(n)})
		t.add(&Numbered{ID: RequestID{Caller: caller, Number: n + 5, Part: 7}, Check: n}, appendError(nil, NewRemoteError(ErrTooLarge)))
	}
	f.Add(t.encode())
	f.Add([]byte{0x93, 0, 0x90, 0x90})
	f.Fuzz(func(t *testing.T, encoded []byte) {
		var r results
		if r.reset(encoded) != nil {
			return
		}
		if len(r.callers) == 0 && len(r.kept) == 0 {
			return
		}
		again := r.encode()
		var s results
		if err := s.reset(again); err != nil {
			t.Fatalf("%x became %x, which cannot be read: %v", encoded, again, err)
		}
		if third := s.encode(); !bytes.Equal(again, third) {
			t.Fatalf("%x became %x, and that %x", encoded, again, third)
		}
		for _, c := range r.callers {
			for _, o := range c.all {
				readOutcome(Key{"a", "b"}, o.outcome)
			}
		}
	})
}

// It is noted when something was let go since the last encoding, which may be all there is until the next put.
func TestWhatIsFreedIsNoted(t *testing.T) {
	var r results
	n := Numbered{ID: RequestID{Caller: uuid.New(), Number: 1}, Floor: 1}
	r.add(&n, oneResult)
	steps := []struct {
		name string
		do   func()
		want bool
	}{
		{"encoded", func() { r.encode() }, false},
		{"the same floor", func() { r.heed(&n) }, false},
		{"a higher one", func() { r.heed(&Numbered{ID: n.ID, Floor: 2}) }, true},
		{"encoded again", func() { r.encode() }, false},
		{"nothing below it", func() { r.heed(&Numbered{ID: n.ID, Floor: 3}) }, false},
		{"made old", func() { r.age() }, true},
		{"encoded as old", func() { r.encode() }, false},
		{"heard of again", func() { r.heed(&n) }, true},
	}
	for _, s := range steps {
		if s.do(); r.freed != s.want {
			t.Errorf("%s: %v", s.name, r.freed)
		}
	}
}

// A number is below the floor, or below all that is on its way, only when its update is over.
func TestFlights(t *testing.T) {
	var f flights
	f.init()
	var mu sync.Mutex
	underWay := make(map[uint64]uint64) // number by key
	var group sync.WaitGroup
	for worker := range uint64(8) {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(worker, 0))
			for range 2000 {
				key := rng.Uint64N(20)
				mu.Lock() // so that what is under way is known when the numbers are drawn
				below := f.below()
				number, floor := f.begin(key)
				for other, k := range underWay {
					if below > other || k == key && floor > other {
						t.Errorf("number %d: floor %d, below %d, while %d is under way for %d", number, floor, below, other, k)
					}
				}
				underWay[number] = key
				mu.Unlock()
				mu.Lock()
				delete(underWay, number)
				mu.Unlock()
				f.end(key, number)
			}
		})
	}
	group.Wait()
	if below := f.below(); below != 8*2000+1 {
		t.Errorf("all is over, and numbers below %d are", below)
	}
	number, floor := f.begin(3)
	if floor != number {
		t.Errorf("number %d, floor %d", number, floor)
	}
}

// Numbers that are drawn while below is asked are not below what it says.
func TestBelowNeverPassesWhatIsDrawnMeanwhile(t *testing.T) {
	var f flights
	f.init()
	done := make(chan struct{})
	var group sync.WaitGroup
	for worker := range uint64(2) {
		group.Go(func() {
			for key := worker; ; key++ {
				select {
				case <-done:
					return
				default:
				}
				before := f.below()
				number, _ := f.begin(key)
				if number < before {
					t.Errorf("%d is drawn when all below %d are over", number, before)
				}
				if now := f.below(); now > number {
					t.Errorf("%d is under way, and all below %d are over", number, now)
				}
				f.end(key, number)
			}
		})
	}
	for range 200_000 {
		f.below()
	}
	close(done)
	group.Wait()
}

func TestFlightsForgetWhatIsOver(t *testing.T) {
	var f flights
	f.init()
	stuck, _ := f.begin(0)
	for range 10_000 {
		n, _ := f.begin(0)
		f.end(0, n)
	}
	if n := len(f.shards[0].all); n > 100 {
		t.Errorf("%d are remembered, one is under way", n)
	}
	if _, floor := f.begin(0); floor != stuck {
		t.Errorf("floor %d while %d is under way", floor, stuck)
	}
}
