//go:build !race

package persist

// kills is how often TestDirectorySurvivesKills kills a child, in all.
const kills = 2400
