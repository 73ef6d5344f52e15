package sim

import "time"

// An rng is a sequence of random numbers (splitmix64). It is a value: nobody shares it.
type rng struct{ state uint64 }

func newRNG(seed uint64, id string, n uint64) rng {
	return rng{mix(mix(seed+0x9e3779b97f4a7c15) ^ hash(id) ^ mix(n))}
}

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

func (r *rng) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	return mix(r.state)
}

func (r *rng) float() float64                     { return float64(r.next()>>11) / (1 << 53) }
func (r *rng) chance(p float64) bool              { return r.float() < p }
func (r *rng) intn(n int) int                     { return int(r.next() % uint64(n)) }
func (r *rng) between(lo, hi int) int             { return lo + r.intn(hi-lo+1) }
func (r *rng) bytes() (b [16]byte)                { put(b[:8], r.next()); put(b[8:], r.next()); return b }
func (r *rng) upTo(d time.Duration) time.Duration { return 1 + time.Duration(r.next()%uint64(d)) }

func put(b []byte, x uint64) {
	for i := range b {
		b[i] = byte(x >> (8 * i))
	}
}

// A delay says how long something takes: nearly always up to usual, now and then ten times as long, and rarely up to worst.
type delay struct{ usual, worst time.Duration }

func (r *rng) delay(d delay) time.Duration {
	switch x := r.float(); {
	case x < 0.02:
		return r.upTo(max(d.worst, 1))
	case x < 0.1:
		return r.upTo(10 * d.usual)
	default:
		return r.upTo(d.usual)
	}
}
