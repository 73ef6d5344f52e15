package sim

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
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
	Spoil
	Panic
	AddLater
	Delete
	Forward   // the update that calls another object
	Forwarded // what that object sees of it; it has no call of its own
)

func (k Kind) String() string {
	return [...]string{"get", "show", "add", "add once", "refuse", "touch", "put", "put if", "spoil",
		"panic", "add later", "delete", "forward", "forwarded"}[k]
}

// Adds tells whether it adds a word that nobody else adds.
func (k Kind) Adds() bool { return k == Add || k == AddLater || k >= Forward }

// Fails tells whether it always fails, with an error that shows the state.
func (k Kind) Fails() bool { return k == Refuse || k == Spoil || k == Panic }

// Reads tells whether it changes nothing.
func (k Kind) Reads() bool { return k <= Show }

// An Outcome is what is known of an operation.
type Outcome int

const (
	Pending  Outcome = iota // it has not returned; it may have had an effect, may yet, or never
	OK                      // it has succeeded
	Refused                 // the object itself has said no: [errExists], a [*refusal], a panic of one, or [object.ErrVersion]
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
	to           string // Forward: the other object
	If           string // PutIf: the state that the version was read with
	Call, Return time.Duration
	Loose        bool // PutIf: the object may have been purged since its version was read, and versions begin anew then
	Outcome      Outcome
	Text         string // the state that it shows
	Version      uint64 // Get: of that state
	Err          error

	sampled time.Duration   // reads: when the state was taken that was answered,
	by      string          // and from which activation
	request string          // the id that it is called with; "": none
	scope   context.Context // that has this id, for more than one try; nil: none yet
	tries   int             // how often it was called
	doubt   bool            // a try may have had an effect
	ends    time.Duration   // the deadline of the last try
	other   []*Op           // Forward: of the other object
	read    time.Duration   // PutIf: when the version was asked for
}

func (o *Op) String() string {
	s := fmt.Sprintf("%s %s of %s", o.ID, o.Kind, o.Key)
	if o.Arg != "" || o.Kind == Replace || o.Kind == PutIf {
		s += fmt.Sprintf(" %q", o.Arg)
	}
	if o.Kind == PutIf {
		s += fmt.Sprintf(" for %q", o.If)
	}
	s += " at " + o.Node + ": " + o.Outcome.String()
	if o.Outcome == OK || o.Outcome == Refused && o.Kind.Fails() {
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
	asked   time.Duration
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
		op.Kind = w.updates[r.intn(len(w.updates))]
	}
	if op.Kind == AddLater && p.machine.older {
		op.Kind = Add // its program does not know better
	}
	if op.Kind == Forward && key == fmt.Sprintf("k%d", w.cluster.keys-1) {
		op.Kind = Add // objects call those of higher numbers only, or they would wait for each other
	}
	if !op.Kind.Reads() && op.Kind != PutIf && op.Kind != AddLater && r.chance(w.requestIDs) {
		op.request = c.name + "/" + word
	}
	switch op.Kind {
	case Add, AddLater, Spoil, Panic:
		op.Arg = word
	case Forward:
		var n int
		fmt.Sscanf(key, "k%d", &n)
		to := fmt.Sprintf("k%d", r.between(n+1, w.cluster.keys-1))
		op.Arg, op.to = word, to
		for i := range forwards {
			op.other = append(op.other, &Op{Key: to, Kind: Forwarded, Arg: forwarded(word, i), Outcome: Unknown})
		}
	case AddOnce:
		op.Arg = [...]string{"x", "y", "z"}[r.intn(3)]
	case Replace:
		op.Arg = [...]string{"", "x ", "z y "}[r.intn(3)] // put back again and again
	case PutIf:
		read := c.versions[key]
		op.If, version, op.read = read.text, read.version, read.asked
		op.Arg = word + " "
		if r.chance(0.5) {
			op.Arg = [...]string{"", "x ", "z y "}[r.intn(3)]
		}
	}
	w.make(p, op, c.name, version, 100*time.Millisecond+r.upTo(w.patience))
	for op.request != "" && op.tries < 4 && op.Outcome != OK && op.Outcome != Refused { // until it is known, through whichever node
		w.pause(c.name+" tries again", c.rng.upTo(lease/2))
		if p = w.cluster.anyone(r); p != nil {
			op.Node = p.name
			w.try(p, op, version, 500*time.Millisecond+r.upTo(w.patience))
		} else if op.tries++; w.calm() {
			break
		}
	}
	if c.calls++; op.Kind == Get && op.Outcome == OK {
		c.versions[key] = seen{op.Version, op.Text, op.Call}
	}
}

// make makes the call and waits until it has returned, or its node is dead.
func (w *world) make(p *process, op *Op, client string, version uint64, patience time.Duration) {
	w.mu.Lock()
	op.ID = fmt.Sprintf("%s#%d", client, len(w.cluster.ops))
	w.cluster.ops = append(append(w.cluster.ops, op), op.other...)
	if p.machine.client {
		w.seen["op through a client"]++
	}
	w.mu.Unlock()
	op.Call = w.now()
	for _, other := range op.other {
		other.ID, other.Node, other.Call = op.ID, op.Node, op.Call
	}
	w.try(p, op, version, patience)
}

// try makes the call once.
func (w *world) try(p *process, op *Op, version uint64, patience time.Duration) {
	w.mu.Lock()
	if op.tries++; op.scope == nil || op.Outcome == Pending { // else the last try has returned, and this one is in its context
		op.scope = object.WithRequestID(context.Background(), op.request)
	}
	if op.tries > 1 {
		op.doubt = op.doubt || op.Outcome == Pending || op.Outcome == Unknown
		op.Outcome = Pending
		w.seen["try with a request id"]++
	}
	w.mu.Unlock()
	id := op.ID
	if op.tries > 1 {
		id += fmt.Sprintf(".%d", op.tries)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		who := w.actors.become(id)
		who.key = op.Key
		limit := w.deadline(p, who, patience)
		op.ends = w.now() + patience
		err := op.run(scoped{limit, op.scope}, p.docs(), version)
		limit.over(p)
		if who.afar == nil || err == nil || !strings.Contains(err.Error(), who.afar.Error()) {
			p.heed(op.Key, err)
		}
		w.returned(p, op, who, err)
	}()
	<-done
	returned := newReply[struct{}](w)
	w.after(nil, id+" returned", 0, 0, func() {
		if w.tracing() {
			w.tracef("    called at %.6f: %v", op.Call.Seconds(), op)
		}
		returned.settle(struct{}{}, nil)
	})
	<-returned.come
}

// A scoped context ends when its Context does, and has the values of values too.
type scoped struct {
	context.Context
	values context.Context
}

func (s scoped) Value(key any) any {
	if v := s.Context.Value(key); v != nil {
		return v
	}
	return s.values.Value(key)
}

// run makes the call.
func (o *Op) run(ctx context.Context, docs object.Collection[doc, string], version uint64) (err error) {
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
	case Spoil:
		_, err = spoil.Call(ctx, ref, o.Arg)
	case Panic:
		_, err = panics.Call(ctx, ref, o.Arg)
	case AddLater:
		d, err = addLater.Call(ctx, ref, o.Arg)
	case Delete:
		err = docs.Delete(ctx, o.Key)
	case Forward:
		d, err = forward.Call(ctx, ref, o.Arg+"@"+o.to)
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
var noEffect = []error{object.ErrUnavailable, object.ErrClosed, object.ErrOverloaded, object.ErrUnknownMethod}

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
	case errors.As(err, &refused) && op.Kind.Fails():
		op.Outcome, op.Text = Refused, string(refused.saw)
	case errors.Is(err, object.ErrPanic) && op.Kind == Panic:
		op.Outcome = Refused
		_, shown, _ := strings.Cut(err.Error(), "refused at ")
		if op.Text, err = strconv.Unquote(shown); err != nil {
			w.wrong = append(w.wrong, fmt.Sprintf("%s: its panic does not show what it has seen: %v", op.ID, op.Err))
		}
	case errors.Is(err, errExists) && op.Kind == AddOnce, errors.Is(err, object.ErrVersion) && op.Kind == PutIf:
		op.Outcome = Refused
	case op.Kind.Reads():
		op.Outcome = NoEffect
	case none && !unknown && !op.doubt:
		op.Outcome = NoEffect
	case none != unknown:
		op.Outcome = Unknown
		if w.now() < op.ends-time.Millisecond && !op.doubt {
			w.seen["op unknown before its deadline"]++
			if !p.draining && p.life.Err() == nil { // else it makes no more calls
				w.wrong = append(w.wrong, fmt.Sprintf("there was time to find out what has become of %v", op))
			}
		}
	default:
		w.wrong = append(w.wrong, fmt.Sprintf("%s: it is not clear whether there was an effect: %v", op.ID, err))
	}
	for _, other := range op.other {
		other.Return = op.Return
		if op.Outcome == OK {
			other.Outcome = OK
		}
	}
	w.seen["op "+op.Outcome.String()]++
	if op.tries > 1 && (op.Outcome == OK || op.Outcome == Refused) {
		w.seen["op known after a try with its request id"]++
	}
	if op.Kind == Forward {
		w.seen["op of two objects "+op.Outcome.String()]++
	}
}
