//go:build !race

package object

const RaceDetector = false
