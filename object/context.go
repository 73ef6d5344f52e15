package object

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// A Caller says on whose behalf a call is made. Methods read it with [From]; highlander itself does not
// look at it.
type Caller struct {
	ID         string
	Attributes map[string]string // not to be changed once it is in a context
}

// WithCaller returns a context whose calls are made on behalf of c, nested calls too.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// Info is what a method can know about the call that it serves. It is a [Node], so that methods can call other objects:
//
//	err := Users(object.From(ctx)).Ref(name).Learn(ctx, list)
type Info struct {
	Key    Key    // the object's
	Caller Caller // zero if the call was made without [WithCaller]
	Node   string // the name of the node that owns the object
	host   *Host
}

// Host is the host of the node that owns the object; nil outside of methods.
func (i Info) Host() *Host { return i.host }

// Now is the time by the node's clock: time.Now unless the node was opened with another. An update that
// runs again may see another time.
func (i Info) Now() time.Time {
	if i.host == nil || i.host.config.Now == nil {
		return time.Now()
	}
	return i.host.config.Now()
}

// From returns what is known about the call that a method serves, given the method's context or one made
// from it. Outside of methods only Caller is set.
func From(ctx context.Context) Info {
	caller, _ := ctx.Value(callerKey{}).(Caller)
	c := methodOf(ctx)
	if c == nil {
		return Info{Caller: caller}
	}
	return Info{Key: Key{c.table.def.name, c.id}, Caller: caller, Node: c.table.host.config.Node, host: c.table.host}
}

// Env returns what the application handed to its node when it opened it (highlander.Config.Env), as a T:
// the type that was handed in, or an interface that it implements.
func Env[T any](ctx context.Context) (T, error) {
	c := methodOf(ctx)
	if c == nil {
		var none T
		return none, fmt.Errorf("object: Env was called outside of an object's method: hand on the context that the method was given")
	}
	env, ok := c.table.host.config.Env.(T)
	if !ok {
		return env, fmt.Errorf("object: the node was opened with an Env of type %T, the method asks for %T: set Config.Env", c.table.host.config.Env, *new(T))
	}
	return env, nil
}

type (
	callerKey struct{}
	methodKey struct{}
	updateKey struct{} // of an *updateContext, or of a []Key that came from another node
)

// A methodContext is the context of one run of a method: its caller's, and what [From] tells.
type methodContext struct {
	context.Context // the caller's
	table           *table
	id              string
}

func (c *methodContext) Value(key any) any {
	if key == (methodKey{}) {
		return c
	}
	return c.Context.Value(key)
}

func methodOf(ctx context.Context) *methodContext {
	c, _ := ctx.Value(methodKey{}).(*methodContext)
	return c
}

// An updateContext is the context of an update. It ends with the caller's, and also when the object is
// given up: then nobody can use the update's result. That second end is set up only for updates that look at Done
// or Err, since most do not.
type updateContext struct {
	methodContext
	op     *Numbered // nil: of an Init
	lease  *Lease    // under which it runs
	rerun  bool      // an earlier run has called others
	began  time.Time // the first one
	mu     sync.Mutex
	merged context.Context
	cancel context.CancelFunc
	over   bool          // the run has returned, or was given up
	void   bool          // it was given up
	calls  int           // of updates that may have had an effect
	nested *requestScope // of the updates that it calls; nil: as yet there are none
}

func (c *updateContext) Value(key any) any {
	switch key {
	case updateKey{}:
		return c
	case requestKey{}:
		return c.scope()
	}
	return c.methodContext.Value(key)
}

// scope gives ids to the updates that this one calls, nil if it has none itself, or has returned.
func (c *updateContext) scope() *requestScope {
	if c.op == nil || c.op.ID.Caller == uuid.Nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return nil
	}
	if c.nested == nil {
		c.nested = &requestScope{parent: *c.op}
		c.nested.parent.Again = c.op.Again || c.rerun
		if c.rerun {
			c.nested.began = c.began
		}
	}
	return c.nested
}

// call notes that the update calls another one, unless it was given up: its caller may have been told that nothing was changed. So it may, elsewhere,
// when the lease has lapsed: this node may have stood still for long.
func (c *updateContext) call() error {
	valid := c.lease == nil || c.lease.Valid()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.void {
		return unavailable(Key{c.table.def.name, c.id}, errors.New("it was given up while it ran, and calls others no more"))
	}
	if !valid {
		return fmt.Errorf("%v: it calls no others: %w", Key{c.table.def.name, c.id}, ErrNoLease)
	}
	c.calls++
	return nil
}

// uncall notes that such a call has had no effect.
func (c *updateContext) uncall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls--
}

// called tells whether the update has called others, in this run or an earlier one.
func (c *updateContext) called() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls > 0 || c.rerun
}

func (c *updateContext) merge() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.merged == nil {
		c.merged, c.cancel = context.WithCancel(c.Context)
		if c.over {
			c.cancel()
		}
	}
	return c.merged
}

func (c *updateContext) Done() <-chan struct{} { return c.merge().Done() }
func (c *updateContext) Err() error            { return c.merge().Err() }

// giveUp ends the context of an update that has not returned.
func (c *updateContext) giveUp() {
	c.mu.Lock()
	c.void = true
	c.mu.Unlock()
	c.finish()
}

// finish frees what merge has taken: the update has returned, and its context is over.
func (c *updateContext) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.merged != nil {
		c.cancel()
	}
}

// nestedTimeout bounds calls that an update makes without a deadline of its own, so that two chains of
// updates that wait for each other come to an end.
const nestedTimeout = 10 * time.Second

// enter prepares ctx for a call on key: one made from inside an update has a deadline, and unless it is a read it must
// not wait for an update that waits for it.
func enter(ctx context.Context, key Key, read bool) (context.Context, context.CancelFunc, error) {
	path := updatePath(ctx)
	if len(path) == 0 {
		return ctx, noop, nil
	}
	if c, _ := ctx.Value(updateKey{}).(*updateContext); c != nil && !read {
		if err := c.call(); err != nil {
			return nil, nil, err
		}
	}
	if !read && slices.Contains(path, key) {
		var b strings.Builder
		for _, k := range path {
			fmt.Fprintf(&b, "%v -> ", k)
		}
		return nil, nil, fmt.Errorf("%w: %s%v: let one of them be a read, or make the call after the update has returned", ErrCycle, b.String(), key)
	}
	if _, ok := ctx.Deadline(); ok {
		return ctx, noop, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, nestedTimeout,
		fmt.Errorf("%v has waited %v for %v, as calls from inside an update do at most: %w", path[len(path)-1], nestedTimeout, key, context.DeadlineExceeded))
	return ctx, cancel, nil
}

func noop() {}

// isNested tells whether ctx is that of a method, or of a call that one has made from another node.
func isNested(ctx context.Context) bool { return methodOf(ctx) != nil || len(updatePath(ctx)) > 0 }

// updatePath lists the updates that wait for what ctx is used for, the outermost first.
func updatePath(ctx context.Context) []Key {
	var path []Key
	for {
		switch c := ctx.Value(updateKey{}).(type) {
		case *updateContext:
			path = append(path, Key{c.table.def.name, c.id})
			ctx = c.Context
			continue
		case []Key: // of the nodes that the call has come through
			slices.Reverse(path)
			return append(slices.Clip(c), path...)
		}
		slices.Reverse(path)
		return path
	}
}

// panicked turns a method's panic into its error, and logs the stack.
func (c *methodContext) panicked(method string, cause any) error {
	key := Key{c.table.def.name, c.id}
	c.table.host.config.Log.Error("a method panicked: the call failed and changed nothing", "object", key, "method", method,
		"panic", cause, "stack", string(debug.Stack()))
	return fmt.Errorf("%v: %w: %s: %v", key, ErrPanic, method, cause)
}
