package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/highlander-go/highlander/object"
)

// listed are names whose order is easily got wrong: bytes before and after the slash, in files and folders.
// They are in order.
var listed = []string{
	"a%2f", "a+", "a+/z", "a-", "a-/b", "a-b", "a.b", "a/+", "a/-", "a/0", "a/a/b", "a/a-", "a/b",
	"a0", "a@", "a_", "aa/a", "b", "b0/c", "b1",
}

func putListed(p *probe) []string {
	names := slices.Clone(listed)
	names = slices.DeleteFunc(names, func(n string) bool { return n == "a+" || n == "a-" }) // folders of others
	slices.Sort(names)
	for i := range names {
		p.put(names[(i*7)%len(names)], []byte("body"), always, nil) // in another order
	}
	return names
}

func listOrder(p *probe) {
	p.list("", "", 1000)
	names := putListed(p)
	p.list("", "", 1000, names...)
	for _, name := range names { // an overwrite adds nothing
		p.put(name, []byte("again"), always, nil)
	}
	p.list("", "", 1000, names...)
	p.delete(names[0], always, nil)
	p.delete(names[len(names)-1], always, nil)
	p.list("", "", 1000, names[1:len(names)-1]...)
}

func listPrefix(p *probe) {
	names := putListed(p)
	for _, prefix := range []string{
		"a", "a/", "a/a", "a/a/", "a/a/b", "a/a/b/", "a/a/b/c", "a//", "a-", "a-/", "a+/", "aa",
		"b", "b0", "b0/", "b1", "c", "c/d/e", "..", "../",
	} {
		var want []string
		for _, name := range names {
			if strings.HasPrefix(name, prefix) {
				want = append(want, name)
			}
		}
		p.list(prefix, "", 1000, want...)
	}
	if got, err := p.store.List(p.ctx, strings.TrimSuffix(p.folder, "/"), "", 1000); err != nil || len(got) < len(names) {
		p.errorf("list prefix %q without the slash: got %d names and error %v, want %d", p.folder, len(got), err, len(names))
	}
}

// listPages walks through all names in pages of every size.
func listPages(p *probe) {
	names := putListed(p)
	for limit := 1; limit <= len(names)+1; limit++ {
		for from := 0; ; from += limit {
			after := ""
			if from > 0 {
				after = names[from-1]
			}
			end := min(from+limit, len(names))
			p.list("", after, limit, names[from:end]...)
			if end-from < limit {
				break
			}
		}
	}
}

// listAfter begins after names that there are and names that there are not.
func listAfter(p *probe) {
	names := putListed(p)
	afters := append([]string{"a", "a,", "a/", "a/a", "a/a/", "a/a/a", "a/a/b0", "a/z", "a0/", "b0", "b0/", "b0/d", "z", "0"}, names...)
	for _, after := range afters {
		for _, prefix := range []string{"", "a", "a/", "b0/"} {
			var want []string
			for _, name := range names {
				if name > after && strings.HasPrefix(name, prefix) {
					want = append(want, name)
				}
			}
			p.list(prefix, after, 1000, want...)
		}
	}
}

// listSizes lists blobs that grow and shrink.
func listSizes(p *probe) {
	sizes := map[string]int{"empty": 0, "f/small": 1, "f/large": 100_000, "grows": 10, "shrinks": 300}
	check := func() {
		entries, err := p.store.List(p.ctx, p.folder, "", 1000)
		if p.wants("list", err, nil) && len(entries) != len(sizes) {
			p.errorf("list: got %d names, want %d", len(entries), len(sizes))
		}
		for _, e := range entries {
			if want := int64(sizes[strings.TrimPrefix(e.Name, p.folder)]); e.Size != want {
				p.errorf("list: %q has %d bytes, want %d", e.Name, e.Size, want)
			}
		}
	}
	for name, size := range sizes {
		p.put(name, make([]byte, size), always, nil)
	}
	check()
	sizes["grows"], sizes["shrinks"] = 11, 299
	p.put("grows", make([]byte, 11), always, nil)
	p.put("shrinks", make([]byte, 299), object.IfMatch(p.get("shrinks", make([]byte, 300))), nil)
	check()
}

// listLimit checks the largest limit, and that larger ones are refused: to cap one silently would look like
// the end.
func listLimit(p *probe) {
	var names []string
	for i := range 1001 {
		names = append(names, fmt.Sprintf("blob-%04d", i))
	}
	const workers = 8
	together(workers, func(w int) {
		for i := w; i < len(names); i += workers {
			p.put(names[i], nil, always, nil)
		}
	})
	p.list("", "", 1000, names[:1000]...)
	p.list("", names[0], 1000, names[1:]...)
	p.list("", names[999], 1000, names[1000])
	p.list("", names[1000], 1000)
	for _, limit := range []int{-1, 0, 1001} {
		if got, err := p.store.List(p.ctx, p.folder, "", limit); err == nil {
			p.errorf("list with limit %d: got %d names and no error, want an error", limit, len(got))
		}
	}
}

// listShowsOnlyBlobs lists while blobs are written: nothing half-made may be seen, and nothing be missed that
// is always there.
func listShowsOnlyBlobs(p *probe) {
	steady, fleeting := "f/always", "f/sometimes"
	p.put(steady, []byte("0"), always, nil)
	p.beside(func(n int) {
		p.put(steady, fmt.Appendf(nil, "%d", n), always, nil)
		p.put(fleeting, fmt.Appendf(nil, "%d", n), always, nil)
		p.delete(fleeting, always, nil)
	}, 1, func() (ok bool) {
		got, err := p.store.List(p.ctx, p.folder, "", 10)
		if !p.wants("list", err, nil) {
			return false
		}
		if len(got) == 0 || got[0].Name != p.name(steady) || len(got) > 2 || len(got) == 2 && got[1].Name != p.name(fleeting) {
			p.errorf("a listing beside a writer got %v, want %q and perhaps %q", got, steady, fleeting)
			return false
		}
		return true
	})
}
