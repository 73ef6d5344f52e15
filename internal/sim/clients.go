package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/highlander-go/highlander/object"
)

// A Kind says what an operation does.
type Kind int

const (
	Get Kind = iota
	Show
	Add
	AddOnce
	Refuse
	Touch
	Replace
	PutIf
)

func (k Kind) String() string {
	return [...]string{"get", "show", "add", "add once", "refuse", "touch", "put", "put if"}[k]
}

// Reads tells whether it changes nothing.
func (k Kind) Reads() bool { return k <= Show }

// An Outcome is what is known of an operation.
type Outcome int

const (
	Pending  Outcome = iota // it has not returned; it may have had an effect, may yet, or never
	OK                      // it has succeeded
	Refused                 // the object itself has said no: [errExists], a [*refusal] or [object.ErrVersion]
	NoEffect                // it surely had no effect
	Unknown                 // like Pending, and its caller was told so
)

func (o Outcome) String() string {
	return [...]string{"never returned", "ok", "refused", "no effect", "unknown"}[o]
}

// An Op is one operation of a client, in the world's time.
type Op struct {
	ID           string
	Node         string // that was asked
	Key          string
	Kind         Kind
	Arg          string // the word, or the whole state
	If           string // PutIf: the state that the version was read with
	Call, Return time.Duration
	Outcome      Outcome
	Text         string // the state that it shows
	Version      uint64 // Get: of that state
	Err          error

	sampled time.Duration // reads: when the state was taken that was answered,
	by      string        // and from which activation
}

func (o *Op) String() string {
	s := fmt.Sprintf("%s %s of %s", o.ID, o.Kind, o.Key)
	if o.Kind == Add || o.Kind == AddOnce || o.Kind >= Replace {
		s += fmt.Sprintf(" %q", o.Arg)
	}
	if o.Kind == PutIf {
		s += fmt.Sprintf(" for %q", o.If)
	}
	s += " at " + o.Node + ": " + o.Outcome.String()
	if o.Outcome == OK || o.Outcome == Refused && o.Kind == Refuse {
		s += fmt.Sprintf(" %q", o.Text)
	}
	if o.by != "" && o.Outcome == OK && o.Kind.Reads() {
		s += " by " + o.by
	}
	if o.Err != nil {
		s += ": " + o.Err.Error()
	}
	return s
}

// A client makes one call after the other, of any object through any node.
type client struct {
	w        *world
	name     string
	rng      rng
	calls    int
	versions map[string]seen // by key: what it has last read
}

type seen struct {
	version uint64
	text    string
}

// work makes calls until the run is over.
func (c *client) work() {
	w := c.w
	for {
		w.actors.become(c.name)
		w.pause(c.name+" thinks", c.rng.delay(delay{w.think, 20 * w.think}))
		if w.calm() {
			return
		}
		c.call()
	}
}

// call makes one call and waits until it has returned.
func (c *client) call() {
	w, r := c.w, &c.rng
	p := w.cluster.anyone(r)
	if p == nil {
		return
	}
	key := fmt.Sprintf("k%d", r.intn(w.cluster.keys))
	op := &Op{Key: key, Node: p.name}
	word := fmt.Sprintf("%s.%d", c.name, c.calls)
	var version uint64
	switch x := r.float(); {
	case x < w.reads/2:
		op.Kind = Get
	case x < w.reads:
		op.Kind = Show
	default:
		op.Kind = [...]Kind{Add, Add, Add, AddOnce, AddOnce, Refuse, Touch, Replace, PutIf}[r.intn(9)]
	}
	switch op.Kind {
	case Add:
		op.Arg = word
	case AddOnce:
		op.Arg = [...]string{"x", "y", "z"}[r.intn(3)]
	case Replace:
		op.Arg = [...]string{"", "x ", "z y "}[r.intn(3)] // put back again and again
	case PutIf:
		read := c.versions[key]
		op.If, version = read.text, read.version
		op.Arg = word + " "
		if r.chance(0.5) {
			op.Arg = [...]string{"", "x ", "z y "}[r.intn(3)]
		}
	}
	w.make(p, op, c.name, version, 100*time.Millisecond+r.upTo(w.patience))
	if c.calls++; op.Kind == Get && op.Outcome == OK {
		c.versions[key] = seen{op.Version, op.Text}
	}
}

// make makes the call and waits until it has returned, or its node is dead.
func (w *world) make(p *process, op *Op, client string, version uint64, patience time.Duration) {
	w.mu.Lock()
	op.ID = fmt.Sprintf("%s#%d", client, len(w.cluster.ops))
	w.cluster.ops = append(w.cluster.ops, op)
	w.mu.Unlock()
	op.Call = w.now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		who := w.actors.become(op.ID)
		who.key = op.Key
		ctx := w.deadline(p, who, patience)
		err := op.run(ctx, w.cluster.docs.On(p.node), version)
		ctx.over(p)
		w.returned(p, op, who, err)
	}()
	<-done
	returned := newReply[struct{}](w)
	w.after(nil, op.ID+" returned", 0, 0, func() {
		if w.tracing() {
			w.tracef("    called at %.6f: %v", op.Call.Seconds(), op)
		}
		returned.settle(struct{}{}, nil)
	})
	<-returned.come
}

// run makes the call.
func (o *Op) run(ctx context.Context, docs object.Collection[doc], version uint64) (err error) {
	var d doc
	ref := docs.Ref(o.Key)
	switch o.Kind {
	case Get:
		d, o.Version, err = docs.GetVersion(ctx, o.Key)
	case Show:
		d, err = show.Call(ctx, ref, object.None{})
	case Add:
		d, err = add.Call(ctx, ref, o.Arg)
	case AddOnce:
		d, err = addOnce.Call(ctx, ref, o.Arg)
	case Refuse:
		_, err = refuse.Call(ctx, ref, object.None{})
	case Touch:
		d, err = touch.Call(ctx, ref, object.None{})
	case Replace:
		err = docs.Put(ctx, o.Key, doc(o.Arg))
	case PutIf:
		err = docs.PutIf(ctx, o.Key, version, doc(o.Arg))
	}
	o.Text = string(d)
	return err
}

// noEffect is what errors match that say that the call had no effect.
var noEffect = []error{object.ErrUnavailable, object.ErrClosed, object.ErrOverloaded}

// returned notes what a call has come to. What a dead process says is heard by nobody.
func (w *world) returned(p *process, op *Op, who *actor, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.dead {
		return
	}
	op.Return, op.Err = w.now(), err
	op.sampled, op.by = who.sampled, who.by
	none := false
	for _, target := range noEffect {
		none = none || errors.Is(err, target)
	}
	unknown := errors.Is(err, object.ErrUnknownOutcome)
	var refused *refusal
	switch {
	case err == nil:
		op.Outcome = OK
	case errors.As(err, &refused):
		op.Outcome, op.Text = Refused, string(refused.saw)
	case errors.Is(err, errExists) && op.Kind == AddOnce, errors.Is(err, object.ErrVersion) && op.Kind == PutIf:
		op.Outcome = Refused
	case op.Kind.Reads():
		op.Outcome = NoEffect
	case none && !unknown:
		op.Outcome = NoEffect
	case unknown && !none:
		op.Outcome = Unknown
	default:
		w.wrong = append(w.wrong, fmt.Sprintf("%s: it is not clear whether there was an effect: %v", op.ID, err))
	}
	w.seen["op "+op.Outcome.String()]++
}
