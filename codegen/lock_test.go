package codegen

import (
	"bytes"
	"testing"
)

// Whatever is in a lock, it is refused, or the file that is written back says the same.
func FuzzLock(f *testing.F) {
	for _, text := range []string{
		"# Comment.\nobject list\nlayout 1\nfield 0 Title string\nfield 2 Color map[string][]example.com/x.Point retired\nfield 1 Level *text Level until 3\n",
		"object list\nlayout 7\nmethod Open read () ([]Todo, error)\nmethod A update (string, int64) retired\nmethod B update () text x.Y\n# End.\n",
		"field Todo 0 Title string\nfield Item 3 X int64 retired\n\n\r\n# y\nfield Item 2 X int64 until 3 retired",
		"layout 0\nobject x y\nfield\nfield 0\nmethod\nmethod X read (\nmethod X read () (",
		"<<<<<<< HEAD\n=======\n>>>>>>> x",
	} {
		f.Add(text, "List")
		f.Add(text, "")
	}
	f.Fuzz(func(t *testing.T, text, owner string) {
		if owner != "" {
			owner = "List"
		}
		l, found := parseLock("x", owner, text)
		if len(found) > 0 || owner != "" && (l.object == "" || l.layout == 0) {
			return
		}
		for _, f := range l.fields {
			if f.position < 0 || f.position > maxPosition || f.name == "" || f.wire == "" || f.owner == "" {
				t.Errorf("%+v", f)
			}
		}
		written := l.format()
		again, found := parseLock("x", owner, string(written))
		if len(found) > 0 {
			t.Fatalf("%q was written as %q, which is refused: %v", text, written, found)
		}
		if second := again.format(); !bytes.Equal(second, written) {
			t.Fatalf("%q was written as %q and then as %q", text, written, second)
		}
		if len(again.fields) != len(l.fields) || len(again.methods) != len(l.methods) {
			t.Fatalf("%q has %d fields and %d methods, %q has others", text, len(l.fields), len(l.methods), written)
		}
	})
}
