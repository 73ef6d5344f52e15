package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/highlander-go/highlander/object"
)

// longestNames uses segments of the longest length and of every byte, and a name as long as records have.
func longestNames(p *probe) {
	var names []string
	for _, c := range "abcdefghijklmnopqrstuvwxyz0123456789-_@%+" {
		names = append(names, "one/"+string(c), "two/"+string(c)+"..")
	}
	segment := strings.Repeat("x%+@", 60)
	names = append(names, segment, "three/"+segment[1:]+"y", "four/"+segment+"/"+segment+"/"+segment+"/end")
	for _, name := range names {
		p.put(name, []byte(name), ifAbsent, nil)
	}
	for _, name := range names {
		p.get(name, []byte(name))
	}
	p.list("four/", "", 10, names[len(names)-1])
	for _, name := range names {
		p.delete(name, always, nil)
		p.missing(name)
	}
}

func badNames(p *probe) {
	names := []string{"", "/", "/etc/passwd", "..", "../outside", ".", ".hidden"}
	for _, rest := range []string{
		"", "/a", "a/", "a//b", ".", "..", "a/../b", "a/..", "./a", ".a", "a/.b", ".tmp/a", ".lock", "A", "aB", "ä", "\xff",
		"a b", "a\\b", "a\x00", "a\n", "a:b", "a*", "a?", "a~", "a#b", "a\"", "a=b", "a,b", strings.Repeat("x", 241),
	} {
		names = append(names, p.folder+rest)
	}
	for _, name := range names {
		if _, err := p.store.Put(p.ctx, name, []byte("body"), always); !errors.Is(err, object.ErrRefused) {
			p.errorf("put of the bad name %q: got error %v, want one that matches %q", name, err, object.ErrRefused)
		}
		if err := p.store.Delete(p.ctx, name, always); !errors.Is(err, object.ErrRefused) {
			p.errorf("delete of the bad name %q: got error %v, want one that matches %q", name, err, object.ErrRefused)
		}
		_, _, err := p.store.Get(p.ctx, name)
		if err == nil || errors.Is(err, object.ErrNoBlob) || errors.Is(err, object.ErrConditionFailed) {
			p.errorf("get of the bad name %q: got error %v, want one that does not say that there is no such blob", name, err)
		}
	}
	p.list("", "", 10)
}

// endedContext calls with a context that has ended: nothing may happen, and nothing may be claimed about the blob.
func endedContext(p *probe) {
	tag := p.put("blob", []byte("body"), always, nil)
	ended, cancel := context.WithCancel(p.ctx)
	cancel()
	wants := func(what string, err error) {
		if !errors.Is(err, context.Canceled) {
			p.errorf("%s with an ended context: got error %v, want one that matches %q", what, err, context.Canceled)
		}
		if errors.Is(err, object.ErrNoBlob) || errors.Is(err, object.ErrConditionFailed) {
			p.errorf("%s with an ended context: error %q says something of the blob", what, err)
		}
	}
	for _, name := range []string{"blob", "absent"} {
		_, _, err := p.store.Get(ended, p.name(name))
		wants("get", err)
		for _, c := range []object.Condition{always, ifAbsent, object.IfMatch(tag)} {
			_, err = p.store.Put(ended, p.name(name), []byte("new"), c)
			wants("put", err)
		}
		wants("delete", p.store.Delete(ended, p.name(name), always))
	}
	_, err := p.store.List(ended, p.folder, "", 10)
	wants("list", err)
	if got := p.get("blob", []byte("body")); got != tag {
		p.errorf("the tag changed from %q to %q", tag, got)
	}
	p.missing("absent")
}

// errorsSayWhatFailed looks for the operation and the blob in the messages.
func errorsSayWhatFailed(p *probe) {
	tag := p.put("here", []byte("body"), always, nil)
	check := func(operation, name string, err error) {
		for _, word := range []string{operation, name} {
			if !strings.Contains(strings.ToLower(fmt.Sprint(err)), word) {
				p.errorf("the error of a %s of %q is %q: it does not name %q", operation, name, err, word)
			}
		}
	}
	_, _, err := p.store.Get(p.ctx, p.name("gone"))
	check("get", p.name("gone"), err)
	_, err = p.store.Put(p.ctx, p.name("here"), nil, ifAbsent)
	check("put", p.name("here"), err)
	_, err = p.store.Put(p.ctx, p.name("gone"), nil, object.IfMatch(tag))
	check("put", p.name("gone"), err)
	p.put("here", []byte("another body"), always, nil)
	err = p.store.Delete(p.ctx, p.name("here"), object.IfMatch(tag))
	check("delete", p.name("here"), err)
	_, err = p.store.List(p.ctx, p.folder, "", 0)
	check("list", p.folder, err)
}
