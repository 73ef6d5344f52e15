package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/highlander-go/highlander/object"
)

// A probe tries a store and notes what is wrong with it. It may be used concurrently.
type probe struct {
	ctx    context.Context
	store  object.Store
	folder string

	mu    sync.Mutex
	found []error
}

// maxFound bounds what a hopeless store has to say for one clause.
const maxFound = 10

func (p *probe) errorf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.found) < maxFound {
		p.found = append(p.found, fmt.Errorf(format, args...))
	}
}

// name is the name of a blob in the clause's folder.
func (p *probe) name(rest string) string { return p.folder + rest }

// wants checks that an error is none (want is nil), or matches want and no other sentinel of the contract.
func (p *probe) wants(what string, err, want error) bool {
	if want == nil {
		if err != nil {
			p.errorf("%s: got error %q, want none", what, err)
		}
		return err == nil
	}
	if !errors.Is(err, want) {
		p.errorf("%s: got error %v, want one that matches %q", what, err, want)
		return false
	}
	for _, other := range []error{object.ErrNoBlob, object.ErrConditionFailed, object.ErrRefused} {
		if other != want && errors.Is(err, other) {
			p.errorf("%s: error %q matches %q, want only %q", what, err, other, want)
			return false
		}
	}
	return true
}

// put writes a blob and checks what comes of it, and that a blob written has a tag.
func (p *probe) put(name string, body []byte, c object.Condition, want error) object.Tag {
	tag, err := p.store.Put(p.ctx, p.name(name), body, c)
	what := fmt.Sprintf("put %s %s", name, conditionString(c))
	if p.wants(what, err, want) && want == nil && tag == "" {
		p.errorf("%s: got an empty tag", what)
	}
	return tag
}

// get reads a blob, checks its body and returns its tag.
func (p *probe) get(name string, want []byte) object.Tag {
	body, tag, err := p.store.Get(p.ctx, p.name(name))
	if !p.wants("get "+name, err, nil) {
		return tag
	}
	if !bytes.Equal(body, want) {
		p.errorf("get %s: got %s, want %s", name, bodyString(body), bodyString(want))
	}
	if tag == "" {
		p.errorf("get %s: got an empty tag", name)
	}
	return tag
}

// missing checks that there is no such blob.
func (p *probe) missing(name string) {
	_, _, err := p.store.Get(p.ctx, p.name(name))
	p.wants("get "+name, err, object.ErrNoBlob)
}

func (p *probe) delete(name string, c object.Condition, want error) {
	err := p.store.Delete(p.ctx, p.name(name), c)
	p.wants(fmt.Sprintf("delete %s %s", name, conditionString(c)), err, want)
}

// list lists names in the clause's folder and checks them; prefix, after and want are without the folder.
func (p *probe) list(prefix, after string, limit int, want ...string) {
	if after != "" {
		after = p.name(after)
	}
	got, err := p.store.List(p.ctx, p.name(prefix), after, limit)
	what := fmt.Sprintf("list prefix %q after %q limit %d", prefix, after, limit)
	if !p.wants(what, err, nil) {
		return
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			p.errorf("%s: got %d names, want %d: %q is missing", what, len(got), len(want), want[i])
		case i >= len(want):
			p.errorf("%s: got %d names, want %d: %q is too many", what, len(got), len(want), got[i].Name)
		case got[i].Name != p.name(want[i]):
			p.errorf("%s: name %d is %q, want %q", what, i, got[i].Name, p.name(want[i]))
		default:
			continue
		}
		return
	}
}

func conditionString(c object.Condition) string {
	if c.Absent() {
		return "if absent"
	}
	if tag, ok := c.Match(); ok {
		return fmt.Sprintf("if match %q", tag)
	}
	return "always"
}

func bodyString(b []byte) string {
	if len(b) > 40 {
		return fmt.Sprintf("%d bytes %q...", len(b), b[:40])
	}
	return fmt.Sprintf("%d bytes %q", len(b), b)
}

// together runs n goroutines that start at the same moment, and waits for them.
func together(n int, run func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			run(i)
		})
	}
	close(start)
	wg.Wait()
}
