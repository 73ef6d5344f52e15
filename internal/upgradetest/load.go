package upgradetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	clients   = 8
	documents = 12
	counters  = 4
	notes     = 2
	callLimit = 10 * time.Second // of a call: far more than moving an object takes
)

// A Load is clients that call objects through all nodes, and what the objects must be after the calls that were answered. No call is made again: each
// must succeed or be refused for a reason of the application's.
//
// One client at a time calls a document, so that its state is known at any time. Documents are of three kinds: those that all clients change; one, Quiet, that
// only [Load.Visit] changes; and young ones, of which only methods are called that the first version does not have.
type Load struct {
	t         testing.TB
	entrances []*Entrance
	shared    []*document
	young     []*document
	quiet     *document
	notes     []*document
	counts    [counters]struct {
		mu  sync.Mutex
		sum int
	}

	phase sync.RWMutex // read-locked by each call
	mixed bool         // some nodes may run older versions than others

	ctx     context.Context
	end     context.CancelFunc
	working sync.WaitGroup

	mu     sync.Mutex
	Counts Counts // to be read after Stop
	named  int    // names that were given
}

// Counts are of calls.
type Counts struct {
	Calls   int // all of them
	Refused int // for a reason of the application's
	Carried int // of clients of the first version that changed a document with something that they do not know
	Dropped int // of newer clients whose argument the owner, of an older version, did not know, or who got a result less
	Failed  int
}

type document struct {
	id    string
	mu    sync.Mutex // held during a call
	was   Document   // after the last call
	lines int        // of a note
}

// An Entrance is a node that clients call, unless it is closed to them.
type Entrance struct {
	mu      sync.RWMutex // read-locked by each client that calls; locked while the node is closed to them
	app     App
	version int
}

// NewEntrance returns one that is open.
func NewEntrance(app App, version int) *Entrance { return &Entrance{app: app, version: version} }

// Replace closes the entrance, as a load balancer does, while replace puts another node behind it.
func (e *Entrance) Replace(version int, replace func() App) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.app, e.version = replace(), version
}

// Close closes the entrance for good.
func (e *Entrance) Close() { e.mu.Lock() }

// Start has clients call through the entrances until Stop, which the end of the test calls too.
func Start(t testing.TB, entrances []*Entrance) *Load {
	l := &Load{t: t, entrances: entrances, quiet: newDocument("quiet")}
	l.ctx, l.end = context.WithCancel(context.Background())
	for i := range documents {
		l.shared = append(l.shared, newDocument(fmt.Sprint("shared-", i)))
	}
	for i := range notes {
		l.young = append(l.young, newDocument(fmt.Sprint("young-", i)))
		l.notes = append(l.notes, newDocument(fmt.Sprint("note-", i)))
	}
	for range clients {
		l.working.Go(l.work)
	}
	t.Cleanup(l.Stop)
	return l
}

func newDocument(id string) *document {
	return &document{id: id, was: Document{Priority: defaultPriority}}
}

// Stop returns when all clients have had their answers.
func (l *Load) Stop() {
	l.end()
	l.working.Wait()
}

// Mixed says whether from now on some nodes may run older versions than others: then, and only then, owners may lack a method. It is to be said before the
// first node of another version starts, and unsaid when the last one of the former version has ended.
func (l *Load) Mixed(mixed bool) {
	l.phase.Lock()
	defer l.phase.Unlock()
	l.mixed = mixed
}

// Calls is how many there have been.
func (l *Load) Calls() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Counts.Calls
}

// Progress waits for so many more calls. It returns early when one has failed.
func (l *Load) Progress(calls int) {
	for from := l.Calls(); l.Calls() < from+calls && !l.t.Failed(); {
		time.Sleep(time.Millisecond)
	}
}

func (l *Load) work() {
	for l.ctx.Err() == nil {
		if e := l.entrances[rand.N(len(l.entrances))]; e.mu.TryRLock() {
			l.call(e)
			e.mu.RUnlock()
		} else {
			time.Sleep(time.Millisecond)
		}
	}
}

// call has a client make one call.
func (l *Load) call(e *Entrance) {
	l.phase.RLock()
	defer l.phase.RUnlock()
	switch n := rand.N(20); {
	case n < 3:
		l.count(e, rand.N(counters))
	case n == 3 && e.version > 1:
		l.note(e, l.notes[rand.N(notes)])
	case n == 4 && e.version > 1:
		l.change(e, l.young[rand.N(notes)], Op{Kind: pick(Label, Painted)}, false)
	default:
		op := Op{Kind: kind(e.version)}
		if op.Kind == Put && e.version == 3 && l.mixed { // a state of its layout is none that older owners could read
			op.Kind = Get
		}
		l.change(e, l.shared[rand.N(documents)], op, l.mixed)
	}
}

// kind draws a kind of call of a document.
func kind(version int) Kind {
	if version > 1 && rand.N(3) == 0 {
		return pick(Paint, Paint, Label, Painted)
	}
	return pick(Get, Put, Put, Put, Add, Add, Change, Remove, Move, Rename, Summary)
}

func pick(kinds ...Kind) Kind { return kinds[rand.N(len(kinds))] }

// do makes the call. It returns false if that has failed.
func (l *Load) do(e *Entrance, op Op) (Answer, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	a, err := e.app.Do(ctx, op)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Counts.Calls++
	switch {
	case err != nil:
		l.fail("%+v, as version %d: %v", op, e.version, err)
		return a, false
	case a.Refused != "":
		l.Counts.Refused++
	}
	return a, true
}

// fail reports a call that has failed, or was answered wrongly. mu is held.
func (l *Load) fail(format string, args ...any) {
	if l.Counts.Failed++; l.Counts.Failed <= 10 {
		l.t.Errorf(format, args...)
	}
}

func (l *Load) wrong(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail(format, args...)
}

func (l *Load) count(e *Entrance, i int) {
	c := &l.counts[i]
	n := 1 + rand.N(3)
	if _, ok := l.do(e, Op{Kind: Count, ID: fmt.Sprint(i), By: n}); ok {
		c.mu.Lock()
		c.sum += n
		c.mu.Unlock()
	}
}

func (l *Load) note(e *Entrance, d *document) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a, ok := l.do(e, Op{Kind: Note, ID: d.id}); ok {
		if d.lines++; a.Number != d.lines {
			l.wrong("%s has %d lines, want %d", d.id, a.Number, d.lines)
		}
	}
}

// change has a client call the document, with arguments that are drawn where op has none, and compares the answer with what the document was.
func (l *Load) change(e *Entrance, d *document, op Op, mixed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	op.ID = d.id
	l.draw(&op, &d.was, e.version)
	got, ok := l.do(e, op)
	if !ok {
		return
	}
	what := op.Kind
	if what == Put {
		what = op.Edit
	}
	before := d.was.as(e.version)
	if (op.Kind == Get || op.Kind == Put) && !got.Document.equal(before) {
		l.wrong("%+v, as version %d:\ngot  %+v\nwant %+v", op, e.version, got.Document, before)
	}
	// Of an argument that the owner does not know, and of what it does not answer.
	ran, unaware := e.version, false
	switch {
	case (what == Add || what == Rename) && op.Kind != Put && got.Refused == "" && got.Version == 0:
		ran, unaware = 1, e.version > 1
	case what == Summary && got.Priority == 0:
		ran, unaware = 1, e.version > 1
	}
	if unaware && !mixed {
		l.wrong("%+v, as version %d, was run by version 1, of which there is no node", op, e.version)
	}
	after := d.was
	after.Items = slices.Clone(after.Items)
	want := after.do(op, what, ran)
	if what != Get && (got.Refused != want.Refused || got.Text != want.Text || got.Number != want.Number || got.Priority != want.Priority || !slices.Equal(got.Names, want.Names)) {
		l.wrong("%+v, as version %d, of %+v:\ngot  %+v\nwant %+v", op, e.version, d.was, got, want)
	}
	l.mu.Lock()
	if e.version == 1 && what != Get && what != Summary && !d.was.equal(d.was.as(1)) {
		l.Counts.Carried++
	}
	if unaware {
		l.Counts.Dropped++
	}
	l.mu.Unlock()
	if what != Get {
		d.was = after
	}
}

// draw draws what op lacks.
func (l *Load) draw(op *Op, d *Document, version int) {
	l.mu.Lock()
	l.named++
	n := l.named
	l.mu.Unlock()
	what := op.Kind
	if what == Put {
		op.Edit = pick(Add, Add, Change, Remove, Move, Rename)
		if version > 1 && rand.N(2) == 0 {
			op.Edit = pick(Paint, Paint, Label)
		}
		what = op.Edit
	}
	known := len(d.Items) > 0 && rand.N(20) > 0
	if known {
		op.Name = d.Items[rand.N(len(d.Items))].Name
	}
	if what == Add && (!known || rand.N(10) > 0) || !known {
		op.Name = fmt.Sprint("item ", n)
	}
	if what == Add && len(d.Items) > 10 { // enough
		*op = Op{Kind: Remove, ID: op.ID, Name: d.Items[rand.N(len(d.Items))].Name}
	}
	op.By, op.To = 1+rand.N(9), rand.N(12)
	op.Title, op.Priority = fmt.Sprint("title ", n), 1+rand.N(9)
	if version > 1 {
		op.Color, op.Tag = fmt.Sprint("color ", n), fmt.Sprint("tag ", n)
		op.Tags = [][]string{nil, {op.Tag}, {op.Tag, "more"}}[rand.N(3)]
	}
}

// Visit makes all kinds of calls of the document that nobody else calls, through an entrance that is open.
func (l *Load) Visit(e *Entrance) {
	for range 3 {
		for _, k := range []Kind{Add, Add, Add, Change, Move, Remove, Rename, Summary, Get} {
			l.change(e, l.quiet, Op{Kind: k}, false)
		}
		for range 10 {
			l.change(e, l.quiet, Op{Kind: Put}, false)
		}
		if e.version > 1 {
			for _, k := range []Kind{Paint, Paint, Label, Painted} {
				l.change(e, l.quiet, Op{Kind: k}, false)
			}
		}
	}
}

// Documents are the ids of all documents.
func (l *Load) Documents() (ids []string) {
	for _, d := range l.documents() {
		ids = append(ids, d.id)
	}
	return ids
}

func (l *Load) documents() []*document {
	return slices.Concat(l.shared, l.young, []*document{l.quiet})
}

// TouchAll changes all documents, through an entrance that is open.
func (l *Load) TouchAll(e *Entrance) {
	for _, d := range l.documents() {
		l.change(e, d, Op{Kind: Rename}, false)
	}
}

// Check stops the load and compares all objects with what they must be, as code of a later version than the first sees them.
func (l *Load) Check(e *Entrance) {
	l.t.Helper()
	l.Stop()
	for _, d := range l.documents() {
		l.change(e, d, Op{Kind: Get}, false)
	}
	for i := range l.counts {
		a, ok := l.do(e, Op{Kind: Count, ID: fmt.Sprint(i)})
		if want := l.counts[i].sum; ok && a.Number != want {
			l.wrong("counter %d is %d, want %d", i, a.Number, want)
		}
	}
	for _, d := range l.notes {
		if a, ok := l.do(e, Op{Kind: Note, ID: d.id}); ok && a.Number != d.lines+1 {
			l.wrong("%s has %d lines, want %d", d.id, a.Number, d.lines+1)
		}
	}
}
