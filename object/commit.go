package object

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// commit makes what has run durable and answers it. mu is held, but not while the store is at work.
func (a *activation) commit(w *work) {
	w.batch, w.ran, w.putting = w.ran, w.spare, true
	w.spare = nil
	a.age(w)
	if w.dirty {
		a.put(w)
		if a.phase == over || len(w.batch) == 0 {
			w.putting = false
			return
		}
	} else {
		a.help()
	}
	// All of the batch is durable now, and so is the state that updates ran on which changed nothing.
	a.mu.Unlock()
	if lease := a.serving.lease; !lease.Valid() && lease.waitToTheEnd(a.serving.ctx) != nil {
		<-a.serving.ctx.Done() // the session is over, and its objects are about to be
	}
	a.mu.Lock()
	if a.phase == over {
		return
	}
	w.results.forget(a.table.host.flights.caller, w.batch)
	for _, o := range w.batch {
		o.answer(o.err)
	}
	clear(w.batch)
	w.spare, w.batch, w.putting = w.batch[:0], nil, false
}

// age makes results older, and lets go of old ones, when the time has come. mu is held.
func (a *activation) age(w *work) {
	h := a.table.host
	now := time.Now().Unix()
	switch {
	case w.results.at == 0:
		w.results.at = now
	case h.sweeps.Load()-a.aged >= h.keepSweeps || now-w.results.at > ageAfter:
		w.results.age()
		w.results.at, a.aged = now, h.sweeps.Load()
	}
}

// put writes the state as the object's next record. When it returns either the state is committed, or the
// activation is over, or the batch is empty: its ops were answered or run again.
func (a *activation) put(w *work) {
	w.record = Record{
		Layout:      a.table.def.layout,
		Epoch:       nextEpoch(a.epoch, a.mine),
		Version:     a.version + 1,
		Incarnation: a.serving.member.Incarnation,
		Deleted:     !w.exists,
	}
	r, body := &w.record, w.body
	if w.exists {
		r.State = body
	}
	binary.LittleEndian.PutUint64(r.WriteID[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(r.WriteID[8:], rand.Uint64())
	r.Requests = w.results.encode()
	next := &snapshot{w.state, r.Version, r.layout(), w.carried}
	d, prev, wrote := w.digest, a.tag, a.wrote
	last := Record{Epoch: a.epoch, Version: a.version, Deleted: a.version > 0 && !a.exists}
	w.body, w.dirty = nil, false
	a.help()
	a.mu.Unlock()
	p := a.write(a.serving.ctx, r, last, prev, wrote)
	a.mu.Lock()
	if a.phase == over {
		return
	}
	switch p.step {
	case stepDone:
		a.epoch, a.version, a.tag, a.digest, a.size, a.exists = r.Epoch, r.Version, p.tag, d, len(body), !r.Deleted
		a.mine, a.wrote, a.requests, a.settled = true, true, r.Requests, false
		a.committed.Store(next)
		a.touch() // a tombstone stays for so long after it was written
		if w.scratch == nil && w.running == nil {
			w.scratch = body
		}
	case stepAdopt:
		a.adopt(p.found)
		a.table.host.config.Log.Warn("a former owner's late write was found: the updates run again on it", "object", a.key(), "version", a.version)
		a.rewind(w)
	case stepRefuse, stepGone:
		batch := w.batch
		w.batch = nil
		for _, o := range batch {
			if o.writes {
				o.answer(a.undone(o, p.err))
			} else {
				w.batch = append(w.batch, o) // it may have seen what is refused now
			}
		}
		a.rewind(w)
		if p.step == stepGone {
			a.giveUp(p.err)
		}
	default:
		a.giveUp(p.err)
	}
}

// A written is what came of writing a record.
type written struct {
	step  putStep // stepDone, stepAdopt, stepRefuse, stepGone or stepClash
	tag   Tag     // of the record that is in the store now
	found *loaded // to be adopted
	err   error
}

// write writes the record until it is known what came of it, or ctx ends: then it never will be.
func (a *activation) write(ctx context.Context, r *Record, last Record, prev Tag, wrote bool) written {
	config, key, doubt := &a.table.host.config, a.key(), false
	for attempt := 0; ; attempt++ {
		tag, err := config.Committer.Commit(ctx, key, r, prev)
		a.table.host.store.note(ctx, key, err)
		result := resultOf(err)
		step := afterPut(result, doubt)
		switch step {
		case stepDone:
			return written{step: step, tag: tag}
		case stepLook:
			return a.look(ctx, r, last, wrote, doubt)
		case stepRefuse:
			config.Log.Error("the store refused a record", "object", key, "error", err)
			return written{step: step, err: err}
		case stepGone, stepClash:
			return a.alarm(step, last.Deleted && !wrote, err)
		}
		if !doubt {
			config.Log.Warn("it is not known whether a record was written: trying again", "object", key, "error", err)
		}
		doubt = true
		if sleep(ctx, a.backoff(attempt)) != nil || a.committed.Load() == nil { // given up
			return written{step: stepClash, err: err}
		}
	}
}

// look finds out whose record stands where r was to go.
func (a *activation) look(ctx context.Context, r *Record, last Record, wrote, doubt bool) written {
	for attempt := 0; ; attempt++ {
		record, tag, err := a.table.host.config.Committer.Load(ctx, a.key())
		a.table.host.store.note(ctx, a.key(), err)
		var f found
		switch {
		case errors.Is(err, ErrUnreadable):
			f = foundUnreadable
		case err != nil:
			a.table.host.config.Log.Warn("the record that was found in place of a new one cannot be loaded: trying again", "object", a.key(), "error", err)
			if sleep(ctx, a.backoff(attempt)) != nil || a.committed.Load() == nil {
				return written{step: stepClash, err: err}
			}
			continue
		case record == nil:
			f, err = foundNone, ErrNoBlob
		case record.WriteID != r.WriteID && !record.Newer(&last):
			f, err = foundOlder, fmt.Errorf("an older record has come back: epoch %d, version %d", record.Epoch, record.Version)
		case record.WriteID != r.WriteID:
			f, err = foundOther, fmt.Errorf("incarnation %x wrote epoch %d, version %d", record.Incarnation, record.Epoch, record.Version)
		}
		valid := a.serving.lease.Valid() // after the load
		switch step := afterLook(f, valid, wrote, doubt); step {
		case stepWait:
			if err := a.serving.lease.waitToTheEnd(ctx); err != nil {
				return written{step: stepClash, err: err}
			}
		case stepGone, stepClash:
			return a.alarm(step, last.Deleted && !wrote, err)
		case stepDone:
			return written{step: step, tag: tag}
		case stepAdopt:
			found, err := a.decode(record, tag)
			if err != nil {
				return written{step: stepClash, err: err}
			}
			return written{step: step, found: found}
		}
	}
}

// alarm reports that the record is not what its only writer has left there. tombstone: it is what a former owner has left, who may have purged it late.
func (a *activation) alarm(step putStep, tombstone bool, err error) written {
	switch {
	case a.committed.Load() == nil:
		return written{step: step, err: err} // it was given up meanwhile: others may write by now
	case step == stepGone && tombstone:
		a.table.host.config.Log.Warn("a tombstone is gone: a former owner's purge came late", "object", a.key())
		return written{step: step, err: fmt.Errorf("its tombstone was purged: %w", err)}
	}
	a.table.host.config.Log.Error("ALARM: somebody else writes or deletes the record of an object that this node owns: two owners, "+
		"or another program at work on the store", "object", a.key(), "error", err)
	return written{step: step, err: fmt.Errorf("somebody else has written or deleted its record: %w", err)}
}

func resultOf(err error) putResult {
	switch {
	case err == nil:
		return putOK
	case errors.Is(err, ErrConditionFailed):
		return putCondition
	case errors.Is(err, ErrNoBlob):
		return putNoBlob
	case errors.Is(err, ErrRefused):
		return putRefused
	default:
		return putUnknown
	}
}

// backoff is the pause before another attempt: 10 ms doubled each time up to about 1 s, with jitter.
func (a *activation) backoff(attempt int) time.Duration {
	return a.table.host.jitter(10*time.Millisecond<<min(attempt, 7), a.key(), attempt)
}
