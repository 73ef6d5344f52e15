package object

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/codec"
)

// Limits of what a record keeps of recent updates, in bytes.
const (
	maxResult  = 4 << 10   // of one result; of a longer one it is only kept that the update was made
	maxResults = 40 << 10  // of what hosts may still ask for; beyond it results are not kept, and a little further updates are refused, see isFull
	maxKept    = 256 << 10 // of updates by other objects' updates, and of those with ids from outside; see isFull
)

// ageAfter is how many seconds after they were last made old results are made old again even if the object has not been awake for keepResults since. It is much more,
// for clocks of nodes may differ, by half of it.
const ageAfter = 3600

// Results are what an object keeps of recent updates. [Record].Requests is, in msgpack,
//
//	[time, [[caller, floor, old, [number - floor, outcome, ...], below], ...], [[caller, number, part, check, old, outcome], ...]]
//
// time is when they were last made old, in seconds since 1970 by the clock of the writer. An outcome is [result], or [] for one that was too large to be kept,
// or [nil, message, matches, [[name, value], ...]] for an error, as it crosses nodes.
//
// Of a caller's own updates those are kept that it may still ask for: its floor, which comes with each of its updates, says which. Of a part nobody says so
// for sure, but below which number all of a caller's updates are over: their parts are kept no more, and if one comes late it does not run. All that has been kept for keepResults is marked as old, and goes when it has been old for that long.
type results struct {
	at      int64
	callers []callerResults
	kept    []keptResult
	size    int  // bytes of the callers' results, about
	keeps   int  // bytes of what is kept, about
	freed   bool // what was read or encoded last has more
}

type callerResults struct {
	id    uuid.UUID
	floor uint64
	below uint64 // parts of updates with lower numbers are over, too
	old   bool
	all   []result // by number
}

type result struct {
	number  uint64
	outcome []byte
}

type keptResult struct {
	id      RequestID
	check   uint64
	old     bool
	outcome []byte
}

// What a result takes besides its outcome, and a caller besides its results, in bytes.
const (
	resultBytes = 6
	callerBytes = 40
	keptBytes   = 48
)

func (r *result) size() int     { return resultBytes + len(r.outcome) }
func (k *keptResult) size() int { return keptBytes + len(k.outcome) }

// size is that of its results.
func (c *callerResults) size() (size int) {
	for i := range c.all {
		size += c.all[i].size()
	}
	return size
}

// read takes what a record has. The outcomes share memory with what is read.
func (t *results) read(r *codec.Reader) {
	for i := range r.Fields() {
		switch i {
		case 0:
			codec.ReadInt(r, &t.at)
		case 1:
			for range r.Fields() {
				t.readCaller(r)
			}
		case 2:
			for range r.Fields() {
				t.readKept(r)
			}
		default:
			r.Skip()
		}
	}
}

func (t *results) readCaller(r *codec.Reader) {
	c := t.grow()
	for i := range r.Fields() {
		switch i {
		case 0:
			codec.ReadByteArray(r, c.id[:])
		case 1:
			codec.ReadUint(r, &c.floor)
		case 2:
			codec.ReadBool(r, &c.old)
		case 3:
			var number uint64
			for j := range r.Fields() {
				if j%2 == 0 {
					codec.ReadUint(r, &number)
				} else {
					c.all = append(c.all, result{c.floor + number, r.Raw()})
					t.size += c.all[len(c.all)-1].size()
				}
			}
		case 4:
			codec.ReadUint(r, &c.below)
		default:
			r.Skip()
		}
	}
}

func (t *results) readKept(r *codec.Reader) {
	var k keptResult
	for i := range r.Fields() {
		switch i {
		case 0:
			codec.ReadByteArray(r, k.id.Caller[:])
		case 1:
			codec.ReadUint(r, &k.id.Number)
		case 2:
			codec.ReadUint(r, &k.id.Part)
		case 3:
			codec.ReadUint(r, &k.check)
		case 4:
			codec.ReadBool(r, &k.old)
		case 5:
			k.outcome = r.Raw()
		default:
			r.Skip()
		}
	}
	t.kept = append(t.kept, k)
	t.keeps += k.size()
}

// grow adds a caller. It takes the memory of one that was there before.
func (t *results) grow() *callerResults {
	n := len(t.callers)
	t.callers = slices.Grow(t.callers, 1)[:n+1]
	c := &t.callers[n]
	*c = callerResults{all: c.all[:0]}
	t.size += callerBytes
	return c
}

// reset makes t what encoded says, which is that of a record; none: nothing is kept.
func (t *results) reset(encoded []byte) error {
	*t = results{callers: t.callers[:0], kept: t.kept[:0]}
	if len(encoded) == 0 {
		return nil
	}
	if err := codec.Decode(encoded, t, func(r *codec.Reader, t *results) { t.read(r) }); err != nil {
		return err
	}
	for i := range t.callers {
		for j, r := range t.callers[i].all {
			if !isOutcome(r.outcome) || r.number < t.callers[i].floor || j > 0 && r.number <= t.callers[i].all[j-1].number {
				return errNoResults
			}
		}
	}
	if slices.ContainsFunc(t.kept, func(k keptResult) bool { return !isOutcome(k.outcome) }) {
		return errNoResults
	}
	return nil
}

var errNoResults = errors.New("they are not what this program keeps")

// isOutcome tells whether b is a short array.
func isOutcome(b []byte) bool { return len(b) > 0 && b[0]&0xf0 == 0x90 }

// recent returns the results of recent updates that the record has, none if all of them are so old that nobody asks for them any more.
func (r *Record) recent(now time.Time) ([]byte, error) {
	if r == nil || len(r.Requests) == 0 {
		return nil, nil
	}
	var t results
	if err := t.reset(r.Requests); err != nil {
		return nil, fmt.Errorf("its recent requests cannot be read: %w", err)
	}
	if now.Unix()-t.at > 2*ageAfter {
		return nil, nil
	}
	return r.Requests, nil
}

// encode returns the encoded results, nil if there are none. The outcomes share memory with it from then on: what was added lay in ops, which are
// to be forgotten when they are over, with the contexts and arguments that they have.
func (t *results) encode() []byte {
	if len(t.callers) == 0 && len(t.kept) == 0 {
		return nil
	}
	t.trim()
	t.freed = false
	b := codec.AppendInt(codec.AppendArray(make([]byte, 0, t.size+t.keeps+16), 3), t.at)
	b = codec.AppendArray(b, len(t.callers))
	for i := range t.callers {
		c := &t.callers[i]
		b = codec.AppendBytes(codec.AppendArray(b, 5), c.id[:])
		b = codec.AppendBool(codec.AppendUint(b, c.floor), c.old)
		b = codec.AppendArray(b, 2*len(c.all))
		for j := range c.all {
			b = codec.AppendUint(b, c.all[j].number-c.floor)
			b = move(b, &c.all[j].outcome)
		}
		b = codec.AppendUint(b, c.below)
	}
	b = codec.AppendArray(b, len(t.kept))
	for i := range t.kept {
		k := &t.kept[i]
		b = codec.AppendBytes(codec.AppendArray(b, 6), k.id.Caller[:])
		b = codec.AppendUint(codec.AppendUint(codec.AppendUint(b, k.id.Number), k.id.Part), k.check)
		b = move(codec.AppendBool(b, k.old), &k.outcome)
	}
	return b
}

// move appends the outcome, and makes it a part of what it was appended to.
func move(b []byte, outcome *[]byte) []byte {
	start := len(b)
	b = append(b, *outcome...)
	*outcome = b[start:len(b):len(b)]
	return b
}

// age lets go of what is old, and makes the rest old.
func (t *results) age() {
	t.freed = true
	t.callers = slices.DeleteFunc(t.callers, func(c callerResults) bool { return c.old })
	t.kept = slices.DeleteFunc(t.kept, func(k keptResult) bool { return k.old })
	t.size, t.keeps = 0, 0
	for i := range t.callers {
		t.callers[i].old = true
		t.size += callerBytes + t.callers[i].size()
	}
	for i := range t.kept {
		t.kept[i].old = true
		t.keeps += t.kept[i].size()
	}
}

// caller returns what is kept for the host.
func (t *results) caller(id uuid.UUID) *callerResults {
	for i := range t.callers {
		if t.callers[i].id == id {
			return &t.callers[i]
		}
	}
	return nil
}

var byNumber = func(r result, number uint64) int { return cmp.Compare(r.number, number) }

var errDone = errors.New("it was made before, and its caller has said that it is done with: what came of it is not kept")

// find returns what came of n. err is why it can neither be told nor run.
func (t *results) find(key Key, n *Numbered) (outcome []byte, err error) {
	c := t.caller(n.ID.Caller)
	if n.ID.isKept() {
		if c != nil && n.ID.Number < c.below {
			return nil, unknown(key, errDone)
		}
		for i := range t.kept {
			if k := &t.kept[i]; k.id == n.ID && k.check == n.Check {
				return k.outcome, nil
			} else if k.id == n.ID && n.ID.Number > 0 {
				return nil, unknown(key, fmt.Errorf("%w: an earlier run of the update that calls it has called it differently, which stands; "+
					"see to it that an update that runs again makes the same calls", ErrReused))
			} else if k.id == n.ID {
				return nil, fmt.Errorf("%v: %w: nothing was changed; give each call an id of its own, and the same arguments when it is made again", key, ErrReused)
			}
		}
		return nil, nil
	}
	if c == nil {
		return nil, nil
	}
	if n.ID.Number < c.floor {
		return nil, unknown(key, errDone)
	}
	if i, found := slices.BinarySearchFunc(c.all, n.ID.Number, byNumber); found {
		return c.all[i].outcome, nil
	}
	return nil, nil
}

// full says why nothing can be kept for n now, nil if something can.
func (t *results) full(key Key, n *Numbered) error {
	if t.size > maxResults {
		t.trim()
	}
	switch {
	case n.ID.isKept() && isFull(t.keeps, maxKept, t.keptFor(n)):
		return fmt.Errorf("%v: %w: it keeps the results of %d calls with request ids, as long as promised; try again later", key, ErrOverloaded, len(t.kept))
	case isFull(t.size, maxResults+maxResults/4, t.sizeOf(n)):
		return fmt.Errorf("%v: %w: it keeps the results of too many updates whose callers have not said that they have them; try again later", key, ErrOverloaded)
	}
	return nil
}

// isFull tells whether somebody finds no room: there is twice as much for the others when most of what there is belongs to one.
func isFull(size, limit int, own func() int) bool {
	return size > 2*limit || size > limit && 2*own() > size
}

// keptFor is how many bytes are kept for the caller of n, or for all ids from outside if n has one.
func (t *results) keptFor(n *Numbered) func() int {
	return func() (size int) {
		for _, k := range t.kept {
			if k.id.Number == 0 && n.ID.Number == 0 || k.id.Number > 0 && k.id.Caller == n.ID.Caller {
				size += k.size()
			}
		}
		return size
	}
}

// sizeOf is how many bytes the results of n's caller take.
func (t *results) sizeOf(n *Numbered) func() int {
	return func() (size int) {
		if c := t.caller(n.ID.Caller); c != nil {
			size = c.size()
		}
		return size
	}
}

// heed lets go of what n's caller says that it has done with.
func (t *results) heed(n *Numbered) {
	c := t.caller(n.ID.Caller)
	if n.Below > 0 && len(t.kept) > 0 {
		before := len(t.kept)
		t.kept = slices.DeleteFunc(t.kept, func(k keptResult) bool {
			gone := k.id.Caller == n.ID.Caller && k.id.Number > 0 && k.id.Number < n.Below
			if gone {
				t.keeps -= k.size()
			}
			return gone
		})
		if c == nil && len(t.kept) < before {
			c = t.grow()
			c.id = n.ID.Caller
		}
	}
	if c == nil {
		return
	}
	t.freed = t.freed || c.old || len(c.all) > 0 && c.all[0].number < n.Floor
	c.old, c.below, c.floor = false, max(c.below, n.Below), max(c.floor, n.Floor)
}

// clear lets go of all of c's results.
func (t *results) clear(c *callerResults) {
	t.size -= c.size()
	c.all = c.all[:0]
}

// trim lets go of the results below the floors.
func (t *results) trim() {
	for i := range t.callers {
		c := &t.callers[i]
		gone, _ := slices.BinarySearchFunc(c.all, c.floor, byNumber)
		for _, r := range c.all[:gone] {
			t.size -= r.size()
		}
		c.all = slices.Delete(c.all, 0, gone)
	}
}

// How the outcomes begin of updates that have gone well: without their result, and before it.
var noResult, oneResult = codec.AppendArray(nil, 0), codec.AppendArray(nil, 1)

// add keeps what came of n, which is not kept yet.
func (t *results) add(n *Numbered, outcome []byte) {
	if n.ID.isKept() {
		if len(outcome) > maxResult {
			outcome = noResult
		}
		t.kept = append(t.kept, keptResult{n.ID, n.Check, false, outcome})
		t.keeps += keptBytes + len(outcome)
		return
	}
	c := t.caller(n.ID.Caller)
	if c == nil {
		c = t.grow()
		c.id, c.floor = n.ID.Caller, n.Floor
	}
	if len(outcome) > maxResult || t.size+len(outcome) > maxResults {
		outcome = noResult
	}
	i, _ := slices.BinarySearchFunc(c.all, n.ID.Number, byNumber)
	c.all = slices.Insert(c.all, i, result{n.ID.Number, outcome})
	t.size += resultBytes + len(outcome)
}

// forget lets go of what came of those ops whose caller is this very host, and gets the answer now: nobody asks for what was tried here alone. A host that has no
// session yet calls itself as it would another.
func (t *results) forget(host uuid.UUID, ops []*op) {
	c := t.caller(host)
	if c == nil || len(c.all) == 0 {
		return
	}
	for _, o := range ops {
		if o.ID.Caller != host || o.ID.isKept() || o.Again || o.gone || o.from == fromAfar {
			continue
		}
		if i, found := slices.BinarySearchFunc(c.all, o.ID.Number, byNumber); found {
			t.size -= c.all[i].size()
			c.all[i].outcome = nil
		}
	}
	c.all = slices.DeleteFunc(c.all, func(r result) bool { return r.outcome == nil })
}

// appendError appends the outcome of an update that has failed.
func appendError(b []byte, e *RemoteError) []byte {
	start := len(b)
	if b = e.append(b); len(b)-start <= maxResult {
		return b
	}
	e.Shorten()
	return e.append(b[:start])
}

func (e *RemoteError) append(b []byte) []byte {
	b = codec.AppendNil(codec.AppendArray(b, 4))
	b = codec.AppendUint(codec.AppendString(b, e.Message), e.Matches)
	b = codec.AppendArray(b, len(e.Crossing))
	for _, c := range e.Crossing {
		b = codec.AppendBytes(codec.AppendString(codec.AppendArray(b, 2), c.Name), c.Value)
	}
	return b
}

// readOutcome returns the encoded result, or the error.
func readOutcome(key Key, outcome []byte) (reply []byte, err error) {
	switch outcome[0] {
	case noResult[0]:
		return nil, unknown(key, errors.New("what came of it was too large to be kept"))
	case oneResult[0]:
		return outcome[1:], nil
	}
	failed := &RemoteError{}
	if err := codec.Decode(outcome, failed, readError); err != nil {
		return nil, unknown(key, fmt.Errorf("what came of it cannot be read: %w", err))
	}
	return nil, failed
}

func readError(r *codec.Reader, e *RemoteError) {
	for i := range r.Fields() {
		switch i {
		case 1:
			codec.ReadString(r, &e.Message)
		case 2:
			codec.ReadUint(r, &e.Matches)
		case 3:
			codec.ReadSlice(r, &e.Crossing, func(r *codec.Reader, c *CrossedError) {
				for i := range r.Fields() {
					switch i {
					case 0:
						codec.ReadString(r, &c.Name)
					case 1:
						codec.ReadBytes(r, &c.Value)
					default:
						r.Skip()
					}
				}
			})
		default:
			r.Skip()
		}
	}
}
