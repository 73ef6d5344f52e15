package storetest

import (
	"bytes"
	"math/rand/v2"

	"github.com/highlander-go/highlander/object"
)

var (
	always   object.Condition
	ifAbsent = object.IfAbsent()
)

func missingBlob(p *probe) {
	p.missing("blob")
	p.missing("folder/blob")
	p.put("other", []byte("other"), always, nil)
	p.missing("othe")
	p.missing("other2")
}

func putAndGet(p *probe) {
	first := p.put("blob", []byte("one"), always, nil)
	if got := p.get("blob", []byte("one")); got != first {
		p.errorf("get gives tag %q, put gave %q", got, first)
	}
	if again := p.get("blob", []byte("one")); again != first {
		p.errorf("a second get gives tag %q, the first gave %q", again, first)
	}
	second := p.put("blob", []byte("the second"), always, nil)
	if got := p.get("blob", []byte("the second")); got != second {
		p.errorf("after an overwrite get gives tag %q, put gave %q", got, second)
	}
	p.put("blob", []byte("3"), always, nil)
	p.get("blob", []byte("3"))
	p.put("folder/in/a/folder", []byte("deep"), always, nil)
	p.get("folder/in/a/folder", []byte("deep"))
}

func tagChangesWithContent(p *probe) {
	seen := make(map[object.Tag]string)
	for _, body := range []string{"aaaa", "bbbb", "aaab", "", "aaaaa", "aaaa\x00"} {
		tag := p.put("blob", []byte(body), always, nil)
		if before, ok := seen[tag]; ok {
			p.errorf("contents %q and %q have the same tag %q", before, body, tag)
		}
		seen[tag] = body
	}
}

func blobsAreIndependent(p *probe) {
	a := p.put("a", []byte("a"), always, nil)
	b := p.put("b", []byte("b"), ifAbsent, nil)
	p.put("b", []byte("a's tag"), object.IfMatch(a), object.ErrConditionFailed)
	p.put("b", []byte("new b"), object.IfMatch(b), nil)
	if tag := p.get("a", []byte("a")); tag != a {
		p.errorf("a's tag changed from %q to %q when b was written", a, tag)
	}
	p.delete("b", always, nil)
	p.get("a", []byte("a"))
}

func putIfAbsent(p *probe) {
	tag := p.put("blob", []byte("first"), ifAbsent, nil)
	p.put("blob", []byte("second"), ifAbsent, object.ErrConditionFailed)
	p.put("blob", []byte("first"), ifAbsent, object.ErrConditionFailed) // the same content is no excuse
	if got := p.get("blob", []byte("first")); got != tag {
		p.errorf("a put that failed changed the tag from %q to %q", tag, got)
	}
	p.delete("blob", always, nil)
	p.put("blob", []byte("third"), ifAbsent, nil)
	p.get("blob", []byte("third"))
}

func putIfMatch(p *probe) {
	first := p.put("blob", []byte("first"), always, nil)
	second := p.put("blob", []byte("second"), object.IfMatch(first), nil)
	p.get("blob", []byte("second"))

	p.put("blob", []byte("late"), object.IfMatch(first), object.ErrConditionFailed)
	p.put("blob", []byte("second"), object.IfMatch(first), object.ErrConditionFailed)
	if got := p.get("blob", []byte("second")); got != second {
		p.errorf("a put that failed changed the tag from %q to %q", second, got)
	}
	p.put("blob", []byte("third"), object.IfMatch(p.get("blob", []byte("second"))), nil)
	third := p.get("blob", []byte("third"))

	p.put("absent", []byte("body"), object.IfMatch(third), object.ErrNoBlob)
	p.missing("absent")
	p.delete("blob", always, nil)
	p.put("blob", []byte("fourth"), object.IfMatch(third), object.ErrNoBlob)
	p.missing("blob")
}

func deleteBlob(p *probe) {
	p.delete("never", always, nil)
	p.put("blob", []byte("body"), always, nil)
	p.put("folder/blob", []byte("body"), always, nil)
	p.delete("folder", always, nil) // there is no blob of that name
	p.get("folder/blob", []byte("body"))
	p.delete("blob", always, nil)
	p.missing("blob")
	p.delete("blob", always, nil)
	p.list("", "", 10, "folder/blob")
	p.delete("folder/blob", always, nil)
	p.missing("folder/blob")
	p.list("", "", 10)
}

func deleteIfMatch(p *probe) {
	first := p.put("blob", []byte("first"), always, nil)
	second := p.put("blob", []byte("second"), always, nil)
	p.delete("blob", object.IfMatch(first), object.ErrConditionFailed)
	p.get("blob", []byte("second"))
	p.delete("blob", object.IfMatch(second), nil)
	p.missing("blob")
	p.delete("blob", object.IfMatch(second), object.ErrNoBlob)
}

func emptyBody(p *probe) {
	for _, body := range [][]byte{nil, {}} {
		tag := p.put("blob", body, ifAbsent, nil)
		if got := p.get("blob", nil); got != tag {
			p.errorf("get gives tag %q, put gave %q", got, tag)
		}
		p.put("blob", []byte("more"), ifAbsent, object.ErrConditionFailed)
		tag = p.put("blob", []byte("more"), object.IfMatch(tag), nil)
		p.get("blob", []byte("more"))
		p.put("blob", body, object.IfMatch(tag), nil)
		p.get("blob", nil)
		p.delete("blob", always, nil)
	}
}

// largeBody writes as much as an object's state may have by default, and then less again.
func largeBody(p *probe) {
	body := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(body) // never fails
	p.put("blob", body, always, nil)
	p.get("blob", body)
	p.put("blob", body[:1<<20], always, nil)
	p.get("blob", body[:1<<20])
}

func anyBytes(p *probe) {
	body := make([]byte, 256)
	for i := range body {
		body[i] = byte(i)
	}
	p.put("blob", body, always, nil)
	p.get("blob", body)
	for _, text := range []string{"\n", "line\r\nline\n", "\x00", " ", "\xff\xfe"} {
		p.put("blob", []byte(text), always, nil)
		p.get("blob", []byte(text))
	}
}

// bodyIsCopied checks that neither side sees what the other does to its bytes afterwards.
func bodyIsCopied(p *probe) {
	body := append(make([]byte, 0, 64), "unchanged"...)
	want := bytes.Clone(body)
	p.put("blob", body, always, nil)
	scribble(body)
	p.get("blob", want)

	got, _, err := p.store.Get(p.ctx, p.name("blob"))
	p.wants("get blob", err, nil)
	scribble(got)
	p.get("blob", want)
}

// scribble overwrites a slice's bytes to the end of its capacity.
func scribble(b []byte) {
	b = b[:cap(b)]
	for i := range b {
		b[i] = '#'
	}
}
