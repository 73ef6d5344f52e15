package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/highlander-go/highlander/object"
)

const (
	rounds     = 60 // of each race
	contenders = 6
)

// A contest is one round of a race. A store may answer a loser with an error that says nothing (S3 does:
// 409), so a round has at most one winner, and exactly one if all losers were told that they had lost.
type contest struct {
	mu      sync.Mutex
	winners []int
	unknown int
}

func (c *contest) note(p *probe, what string, i int, err error, losing ...error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.winners = append(c.winners, i)
		return
	}
	for _, loss := range losing {
		if errors.Is(err, loss) {
			return
		}
	}
	for _, sentinel := range []error{object.ErrNoBlob, object.ErrConditionFailed, object.ErrRefused} {
		if errors.Is(err, sentinel) {
			p.errorf("%s: a loser got %q", what, err)
			return
		}
	}
	c.unknown++
}

func (c *contest) judge(p *probe, what string) {
	if n := len(c.winners); n > 1 || n == 0 && c.unknown == 0 {
		p.errorf("%s: %d of %d won, want one", what, n, contenders)
	}
}

// race lets several put at once under the same condition; the blob must then be the winner's.
func (p *probe) race(what, name string, c object.Condition) object.Tag {
	var result contest
	tags := make([]object.Tag, contenders)
	together(contenders, func(i int) {
		tag, err := p.store.Put(p.ctx, p.name(name), raceBody(name, i), c)
		tags[i] = tag
		result.note(p, what, i, err, object.ErrConditionFailed)
	})
	result.judge(p, what)
	if len(result.winners) != 1 {
		_, tag, _ := p.store.Get(p.ctx, p.name(name))
		return tag
	}
	winner := result.winners[0]
	if tag := p.get(name, raceBody(name, winner)); tag != tags[winner] {
		p.errorf("%s: the blob has tag %q, the winner was told %q", what, tag, tags[winner])
	}
	return tags[winner]
}

func raceBody(name string, i int) []byte { return fmt.Appendf(nil, "%s by contender %d", name, i) }

func oneCreatorWins(p *probe) {
	for round := range rounds {
		p.race("put if absent", fmt.Sprintf("blob-%d", round), ifAbsent)
	}
}

func oneWriterWins(p *probe) {
	tag := p.put("blob", []byte("start"), always, nil)
	for range rounds {
		// The contents repeat from round to round; only another content makes the old tag stale for sure.
		tag = p.put("blob", []byte("between"), object.IfMatch(tag), nil)
		tag = p.race("put if match", "blob", object.IfMatch(tag))
	}
}

// noUpdateIsLost counts to a number with several counters at once.
func noUpdateIsLost(p *probe) {
	const each = 15
	var unknown atomic.Int64
	p.put("counter", []byte("0"), always, nil)
	together(contenders, func(int) {
		for range each {
			for tries := 0; ; tries++ {
				done, err := p.increment()
				if err != nil {
					unknown.Add(1)
				}
				if done || p.ctx.Err() != nil {
					break
				}
				if tries == 10*contenders*each { // whoever loses has lost to an increment, of which there are few
					p.errorf("put if match with the tag just read fails again and again")
					return
				}
			}
		}
	})
	body, _, err := p.store.Get(p.ctx, p.name("counter"))
	if !p.wants("get counter", err, nil) {
		return
	}
	got, err := strconv.ParseInt(string(body), 10, 64)
	if want := int64(contenders * each); err != nil || got < want || got > want+unknown.Load() {
		p.errorf("%d increments, %d of unknown outcome, made the counter %q", want, unknown.Load(), body)
	}
}

func (p *probe) increment() (done bool, err error) {
	body, tag, err := p.store.Get(p.ctx, p.name("counter"))
	if err != nil {
		p.errorf("get counter: %w", err)
		return true, err
	}
	n, err := strconv.Atoi(string(body))
	if err != nil {
		p.errorf("the counter is %q", body)
		return true, err
	}
	_, err = p.store.Put(p.ctx, p.name("counter"), strconv.AppendInt(nil, int64(n+1), 10), object.IfMatch(tag))
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, object.ErrConditionFailed):
		return false, nil
	case errors.Is(err, object.ErrNoBlob), errors.Is(err, object.ErrRefused):
		p.errorf("put counter: %w", err)
		return true, err
	}
	return false, err
}

// putOrDeleteWins races writers and deleters for the same version of a blob.
func putOrDeleteWins(p *probe) {
	for round := range rounds {
		tag := p.put("blob", []byte("start"), always, nil)
		deletes := func(i int) bool { return (i+round)%2 == 0 } // in turns: who starts first may have a habit
		var result contest
		together(contenders, func(i int) {
			if deletes(i) {
				err := p.store.Delete(p.ctx, p.name("blob"), object.IfMatch(tag))
				result.note(p, "delete if match", i, err, object.ErrConditionFailed, object.ErrNoBlob)
				return
			}
			_, err := p.store.Put(p.ctx, p.name("blob"), raceBody("blob", i), object.IfMatch(tag))
			result.note(p, "put if match", i, err, object.ErrConditionFailed, object.ErrNoBlob)
		})
		result.judge(p, "put or delete if match")
		if len(result.winners) != 1 {
			continue
		}
		if winner := result.winners[0]; deletes(winner) {
			p.missing("blob")
		} else {
			p.get("blob", raceBody("blob", winner))
		}
	}
}

// noTornReads reads a blob while it is overwritten with contents of very different lengths. Every content is one
// byte repeated, and its length goes with the byte.
func noTornReads(p *probe) {
	const contents = 8
	body := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, (i*i+1)*1000) }
	p.put("blob", body(0), always, nil)
	var tags sync.Map // a tag never goes with two contents
	p.beside(func(n int) {
		p.put("blob", body(n%contents), always, nil)
	}, 3, func() (ok bool) {
		got, tag, err := p.store.Get(p.ctx, p.name("blob"))
		if !p.wants("get blob", err, nil) {
			return false
		}
		if len(got) == 0 || !bytes.Equal(got, body(int(got[0]-'a')%contents)) {
			p.errorf("a reader beside a writer got %s: parts of two puts", bodyString(got))
			return false
		}
		if before, ok := tags.LoadOrStore(tag, got[0]); ok && before != got[0] {
			p.errorf("a reader beside a writer got tag %q with contents %q and %q", tag, before, got[0])
			return false
		}
		return true
	})
}

// beside lets readers read while one writes (write is given 0, 1, ...), until each has had its turns; a reader
// that has found something wrong is done.
func (p *probe) beside(write func(n int), readers int, read func() (ok bool)) {
	var reading atomic.Int64 // readers that have turns left
	reading.Store(int64(readers))
	var written atomic.Bool
	together(1+readers, func(i int) {
		if i == 0 {
			for n := 0; n < rounds || reading.Load() > 0; n++ {
				write(n)
				runtime.Gosched() // where there is one processor, the others would wait for its time slice to end
			}
			written.Store(true)
			return
		}
		ok := true
		for n := 0; ok && n < rounds; n++ {
			ok = read()
			runtime.Gosched()
		}
		reading.Add(-1)
		for ok && !written.Load() {
			ok = read()
			runtime.Gosched()
		}
	})
}
