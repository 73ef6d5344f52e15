package sim

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"time"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

// A store is a model of S3: blobs, whose tags depend on nothing but their content, and conditions that are decided at the moment when a
// put lands. That may be long after its caller has given up.
type store struct {
	w     *world
	blobs map[string]blob // used by the scheduler alone, as puts
	puts  []Put
	down  time.Duration // until then no request arrives
	open  int           // requests that somebody waits for; guarded by the world's mu
}

type blob struct {
	body []byte
	tag  object.Tag
}

// A Put is one that has reached the store.
type Put struct {
	At     time.Duration
	Node   string // whose record it is: the incarnation
	Name   string
	Record object.Record
	Text   string
	First  bool       // asks for no blob
	Prev   object.Tag // else for this one
	Err    error      // nil: it has taken effect
	Late   bool       // its caller had given up, or was dead
	Purge  bool       // it is a deletion of the blob, and has no record
}

// What becomes of a request besides its delays.
type fate struct {
	lost, answerLost bool
	err              error // the answer, in place of the store's
	undone           bool  // with err: it has no effect
}

var (
	errReset   = errors.New("the connection was reset")
	errTimeout = errors.New("no answer in time")
	errBusy    = errors.New("503 slow down")
	errFailed  = errors.New("500 internal error")
	err409     = errors.New("409 conflict")
)

// attemptTimeout is how long a client of the store waits for an answer.
const attemptTimeout = 800 * time.Millisecond

// fateOf draws what becomes of a request.
func (s *store) fateOf(p *process, r *rng, write bool) (f fate, there, back time.Duration) {
	w := s.w
	usual := delay{5 * time.Millisecond, 200 * time.Millisecond}
	there, back = r.delay(usual), r.delay(usual)
	if held := p.storeBack - w.now(); held > 0 {
		there += held
	}
	if w.now() < s.down {
		w.count("request to a store that is down")
		return fate{lost: true}, there, back
	}
	if w.calm() {
		return f, there, back
	}
	if write && r.chance(w.latePuts) { // held up on its way, and its answer too, perhaps
		w.count("put held up")
		held := r.upTo(2*sessionTimeout + 2*lease)
		w.heals(held)
		there += held
	}
	if !r.chance(w.storeFaults) {
		return f, there, back
	}
	w.count("store fault")
	switch r.intn(8) {
	case 0:
		f.lost = true
	case 1:
		f.answerLost = true
	case 2:
		f.err = errReset
	case 3:
		f.err, f.undone = errBusy, true
	case 4:
		f.err, f.undone = errFailed, true
	case 5:
		f.err = errFailed
	case 6:
		f.err, f.undone = err409, true
	case 7:
		if f.undone = true; write {
			f.err = fmt.Errorf("403 forbidden: %w", object.ErrRefused)
		} else {
			f.err = errors.New("403 forbidden")
		}
	}
	return f, there, back
}

// storeOf is the store as a process sees it.
type storeOf struct{ *process }

// request sends a request, which is carried out at the store when it arrives there.
func request[T any](ctx context.Context, p *process, what string, write bool, arrive func(late bool) (T, error)) (T, error) {
	w, s := p.w, p.w.cluster.store
	if err := p.pass(ctx, what, delay{time.Millisecond, 100 * time.Millisecond}); err != nil {
		return *new(T), err
	}
	id := p.name + " " + w.actors.name() + " " + what
	r, n := w.draw(id + " sent")
	f, there, back := s.fateOf(p, &r, write)
	answer := newReply[T](w)
	answer.timeout = w.after(p, id+" timeout", n, attemptTimeout, func() { answer.settle(*new(T), errTimeout) })
	if !f.lost {
		w.after(nil, id+" arrives", n, there, func() {
			var v T
			err := f.err
			if !f.undone {
				if v, err = arrive(answer.settled || p.dead); f.err != nil {
					err = f.err
				}
			}
			if f.answerLost || answer.settled {
				return
			}
			w.after(p, id+" answer", n, back, func() { answer.settle(v, err) })
		})
	}
	s.opened(1)
	defer s.opened(-1)
	return answer.await(ctx)
}

func (s *store) opened(n int) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.open += n
}

// Put implements [object.Store].
func (s storeOf) Put(ctx context.Context, name string, body []byte, c object.Condition) (object.Tag, error) {
	body = append([]byte(nil), body...)
	s.w.actors.become(s.name + " writer of " + name)
	return request(ctx, s.process, "put", true, func(late bool) (object.Tag, error) {
		return s.w.cluster.store.put(s.process, name, body, c, late)
	})
}

// Get implements [object.Store].
func (s storeOf) Get(ctx context.Context, name string) ([]byte, object.Tag, error) {
	b, err := request(ctx, s.process, "get "+name, false, func(bool) (blob, error) {
		b, ok := s.w.cluster.store.blobs[name]
		if !ok {
			return b, object.ErrNoBlob
		}
		return b, nil
	})
	return b.body, b.tag, err
}

// Delete implements [object.Store].
func (s storeOf) Delete(ctx context.Context, name string, c object.Condition) error {
	store := s.w.cluster.store
	_, err := request(ctx, s.process, "delete "+name, true, func(late bool) (struct{}, error) {
		return struct{}{}, store.purge(name, c, late)
	})
	return err
}

// List implements [object.Store]; nobody lists.
func (s storeOf) List(context.Context, string, string, int) ([]object.Entry, error) {
	return nil, errors.New("the model does not list")
}

// put carries out a put.
func (s *store) put(p *process, name string, body []byte, c object.Condition, late bool) (object.Tag, error) {
	w := s.w
	old, exists := s.blobs[name]
	entry := Put{At: w.now(), Name: name, First: c.Absent(), Late: late, Err: c.Check(exists, old.tag)}
	entry.Prev, _ = c.Match()
	w.record(&entry, name, body)
	tag := object.Tag("")
	if entry.Err == nil {
		tag = object.Tag(fmt.Sprintf("%x", md5.Sum(body)))
		s.blobs[name] = blob{body, tag}
		if late {
			w.count("put landed late")
		}
	} else {
		w.count("put refused")
	}
	s.puts = append(s.puts, entry)
	if w.tracing() {
		w.tracef("    %s", entry)
	}
	return tag, entry.Err
}

// purge carries out a deletion.
func (s *store) purge(name string, c object.Condition, late bool) error {
	w := s.w
	old, exists := s.blobs[name]
	key, err := persist.ParseBlobName(name)
	if err != nil {
		w.violated("a blob has the name %q: %v", name, err)
	}
	entry := Put{At: w.now(), Name: key.ID, Purge: true, Late: late, Err: c.Check(exists, old.tag)}
	entry.Prev, _ = c.Match()
	if entry.Err == nil {
		delete(s.blobs, name)
		w.count("purge")
	}
	s.puts = append(s.puts, entry)
	if w.tracing() {
		w.tracef("    %s", entry)
	}
	return entry.Err
}

// record fills in what the body says.
func (w *world) record(entry *Put, name string, body []byte) {
	key, err := persist.ParseBlobName(name)
	if err != nil {
		w.violated("a blob has the name %q: %v", name, err)
		return
	}
	r, _, err := persist.DecodeRecord(key, body)
	if err != nil {
		w.violated("a body cannot be read: %v", err)
		return
	}
	entry.Name, entry.Record, entry.Node = key.ID, *r, w.called(r.Incarnation)
	if r.Deleted {
		return
	}
	var d doc
	if err := codec.Decode(r.State, &d, docCodec.Read); err != nil && !r.Deleted {
		w.violated("a state cannot be read: %v", err)
	}
	entry.Text = string(d)
}

func (p Put) String() string {
	if p.Purge {
		return fmt.Sprintf("%s: purge: %v", p.Name, p.Err)
	}
	s := fmt.Sprintf("%s: put by %s, epoch %d, version %d, %q", p.Name, p.Node, p.Record.Epoch, p.Record.Version, p.Text)
	if p.Late {
		s += ", late"
	}
	if p.Err != nil {
		return s + ": " + p.Err.Error()
	}
	return s
}
