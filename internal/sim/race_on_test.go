//go:build race

package sim_test

// raced: under the race detector the runtime shuffles the goroutines that can go on, on purpose. Runs take much longer, and what happens
// between two events may differ.
const raced = true
