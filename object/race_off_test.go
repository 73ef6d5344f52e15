//go:build !race

package object_test

const raceDetector = false
