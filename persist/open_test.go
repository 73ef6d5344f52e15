package persist

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/highlander-go/highlander/object"
)

func TestOpen(t *testing.T) {
	t.Chdir(t.TempDir())
	abs := t.TempDir()
	for url, dir := range map[string]string{
		"mem:":                      "",
		"file:relative":             "relative",
		"file:./dotted":             "dotted",
		"file:" + abs + "/a":        abs + "/a",
		"file://" + abs + "/b":      abs + "/b",
		"file:a%20name":             "a%20name",
		"file:" + abs + "/s3:odd.d": abs + "/s3:odd.d",
	} {
		store, err := Open(t.Context(), url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if _, err := store.Put(t.Context(), "blob", []byte("body"), object.IfAbsent()); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if err := store.Close(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if dir == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "blob")); err != nil {
			t.Errorf("%s is not the folder %s: %v", url, dir, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for url, says := range map[string]string{
		"":                          "no scheme",
		"data":                      "no scheme",
		"./data":                    `write "mem:" for memory, "file:DIR" for a folder or "s3://BUCKET/PREFIX"`,
		":":                         "no scheme",
		"mem":                       "no scheme",
		"mem:x":                     "with nothing after it",
		"file:":                     "names no folder",
		"file://host/dir":           "names a host",
		"file:dir/missing/in/there": "make the folder around it",
		"gs://bucket":               "gs is not supported yet",
		"db://user:secret@host":     "db is not supported yet",
	} {
		store, err := Open(t.Context(), url)
		if store != nil || err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, %v; want an error that says %q", url, store, err, says)
		}
	}
}
