//go:build race

package persist

// kills is fewer here: with the race detector a child takes 20 ms to start, of which the writing is none.
const kills = 1200
