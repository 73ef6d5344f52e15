package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"
)

// What zero fields of [Spec] and [Child] stand for.
const (
	DefaultMaxRestarts = 5
	DefaultWindow      = 30 * time.Second
	DefaultBackoff     = 100 * time.Millisecond
	DefaultMaxBackoff  = 5 * time.Second
	DefaultStableAfter = 10 * time.Second
	DefaultStopTimeout = 5 * time.Second
)

const (
	// NoRestarts as [Spec.MaxRestarts] makes the first counted ending one too many.
	NoRestarts = -1

	// NoStopTimeout as [Child.StopTimeout] waits for the child for ever.
	NoStopTimeout time.Duration = -1
)

// A Strategy says who is restarted when a child ends.
type Strategy int

const (
	// OneForOne restarts the child that ended, alone, whatever its siblings are doing.
	OneForOne Strategy = iota

	// OneForAll stops all others in reverse order and starts all again in order.
	OneForAll

	// RestForOne stops the children after the one that ended in reverse order, and starts it and them again in order.
	RestForOne
)

// A Spec describes a supervisor. Its zero fields stand for the defaults; negative ones are refused where nothing else is said.
type Spec struct {
	// Children in the order of their start. The first start of a child waits until all before it are up; so does a
	// restart, except in OneForOne. With none, the supervisor is ready at once and waits for its context.
	Children []Child
	Strategy Strategy

	// MaxRestarts is how many counted endings within Window are followed by a restart; the next makes the supervisor
	// fail. NoRestarts (or any negative number) allows none.
	MaxRestarts int
	Window      time.Duration

	// Backoff is the delay d before a child's first restart, doubled with each further ending up to MaxBackoff; the child
	// waits for a random time in [d/2, d). It is Backoff again once the child has been up for StableAfter. The time is
	// counted from when those that had to stop have stopped.
	Backoff     time.Duration
	MaxBackoff  time.Duration
	StableAfter time.Duration

	// Jitter places each delay: 0 at d/2, towards 1 at d. Nil takes math/rand/v2. It is called on Run's goroutine.
	Jitter func() float64

	// Counts reports whether an ending counts towards MaxRestarts. Its argument is never nil: see ErrReturned. Nil: all
	// do. It is called on Run's goroutine. An ErrNotStopped is not asked about, for it is never restarted.
	Counts func(error) bool

	// Logger is told of starts (debug), endings and failed stops (warn) and giving up (error). Nil: nobody is.
	Logger *slog.Logger
}

// A Child is one supervised goroutine.
type Child struct {
	// Name is the child's in errors and logs, unique among its siblings.
	Name string

	// Run does the child's work until ctx ends, then returns soon; nil and context.Canceled mean that it stopped well.
	// It calls ready when it is up, which lets the next sibling start; calls after the first do nothing, and a child
	// that never calls it holds up those after it. It is called anew at each restart, never twice at a time.
	//
	// ctx carries the values of the supervisor's context but neither its end nor its deadline: it ends when it is this
	// child's turn to stop.
	Run func(ctx context.Context, ready func()) error

	// StopTimeout is how long after the end of its context the child is waited for. NoStopTimeout (or any negative
	// duration) sets no limit, which is right for a supervisor, whose children have limits of their own.
	StopTimeout time.Duration
}

// A Supervisor starts, restarts and stops children. It is immutable and made by [New].
type Supervisor struct{ spec Spec }

// New returns a supervisor for spec, with defaults filled in, or an error that names everything in it that cannot be run.
func New(spec Spec) (*Supervisor, error) {
	spec.Children = slices.Clone(spec.Children)
	for i := range spec.Children {
		setDefault(&spec.Children[i].StopTimeout, DefaultStopTimeout)
	}
	setDefault(&spec.MaxRestarts, DefaultMaxRestarts)
	setDefault(&spec.Window, DefaultWindow)
	setDefault(&spec.Backoff, DefaultBackoff)
	setDefault(&spec.MaxBackoff, DefaultMaxBackoff)
	setDefault(&spec.StableAfter, DefaultStableAfter)
	if spec.Jitter == nil {
		spec.Jitter = rand.Float64
	}
	if spec.Counts == nil {
		spec.Counts = func(error) bool { return true }
	}
	if spec.Logger == nil {
		spec.Logger = slog.New(slog.DiscardHandler)
	}
	if err := spec.validate(); err != nil {
		return nil, fmt.Errorf("supervisor: spec: %w", err)
	}
	return &Supervisor{spec: spec}, nil
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// validate expects the defaults to be filled in.
func (s *Spec) validate() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	names := make(map[string]bool)
	for i, c := range s.Children {
		switch {
		case c.Name == "":
			refuse("child %d has no name: name it, errors and logs tell children apart by name", i)
		case names[c.Name]:
			refuse("child %d is the second one named %q: give each its own name", i, c.Name)
		}
		names[c.Name] = true
		if c.Run == nil {
			refuse("child %d (%q) has no Run: set the function that does its work", i, c.Name)
		}
	}
	if s.Strategy < OneForOne || s.Strategy > RestForOne {
		refuse("strategy %d is unknown: take OneForOne, OneForAll or RestForOne", s.Strategy)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"Window", s.Window}, {"Backoff", s.Backoff}, {"MaxBackoff", s.MaxBackoff}, {"StableAfter", s.StableAfter}} {
		if d.value < 0 {
			refuse("%s is %v: give a positive duration, or 0 for the default", d.name, d.value)
		}
	}
	if s.Backoff > s.MaxBackoff {
		refuse("Backoff %v exceeds MaxBackoff %v: lower the one or raise the other", s.Backoff, s.MaxBackoff)
	}
	return errors.Join(errs...)
}
