package sim

import (
	"context"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// An actor is on whose behalf a goroutine runs. Lease checks read a clock, and a clock is given no context: it looks at the goroutine's
// profiler labels, which a goroutine inherits from the one that has started it.
type actor struct {
	name   string
	labels context.Context

	// of an actor that makes a call: the object that it is for, and when it last began to read a clock, and under which activation. What
	// was sampled before is then answered, if the lease turns out to be valid.
	key     string
	sampled time.Duration
	reading bool
	by      string
	afar    error // what the last call of another node has come to
}

//go:linkname goroutineLabels runtime/pprof.runtime_getProfLabel
func goroutineLabels() unsafe.Pointer

type actors struct {
	mu      sync.Mutex
	byLabel map[unsafe.Pointer]*actor
	byName  map[string]*actor
	inZK    map[callers]bool
}

// Callers are the innermost frames of a stack; several, because of inlining.
type callers [4]uintptr

func (a *actors) init() {
	a.byLabel = make(map[unsafe.Pointer]*actor)
	a.byName = make(map[string]*actor)
	a.inZK = make(map[callers]bool)
}

// become makes the goroutine, and those that it starts, run on behalf of the named actor.
func (a *actors) become(name string) *actor {
	a.mu.Lock()
	defer a.mu.Unlock()
	who := a.byName[name]
	if who == nil {
		who = &actor{name: name, labels: pprof.WithLabels(context.Background(), pprof.Labels("actor", name))}
		a.byName[name] = who
	}
	pprof.SetGoroutineLabels(who.labels)
	a.byLabel[goroutineLabels()] = who
	return who
}

// current is the goroutine's actor, nil if it has none.
func (a *actors) current() *actor {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.byLabel[goroutineLabels()]
}

func (a *actors) name() string {
	if who := a.current(); who != nil {
		return who.name
	}
	return "?"
}

// inRegistry tells whether the function that calls its caller is of package zkregistry, which reads clocks for other things than answers.
func (a *actors) inRegistry() bool {
	var pc callers
	runtime.Callers(3, pc[:])
	a.mu.Lock()
	defer a.mu.Unlock()
	is, known := a.inZK[pc]
	if !known {
		f, _ := runtime.CallersFrames(pc[:]).Next()
		is = strings.Contains(f.Function, "/zkregistry.")
		a.inZK[pc] = is
	}
	return is
}
