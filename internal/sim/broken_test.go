package sim_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A variant is the program with a step of the protocol left out or in the wrong place. The simulation must find a violation in it within a
// number of seeds, or it could not find one in the program either.
type variant struct {
	name    string
	edits   []edit
	profile string // the seeds that it is looked for in; "": all
	seeds   int    // in which it must be found
}

// An edit replaces a text that a file has exactly once.
type edit struct{ file, old, new string }

// Each variant is compiled out of a patched copy of its files: there is no switch in the program.
func TestBrokenVariantsAreFound(t *testing.T) {
	if raced {
		t.Skip("the variants are compiled without the race detector anyway: once is enough")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	turns := make(chan struct{}, 2) // as many at a time
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			turns <- struct{}{}
			defer func() { <-turns }()
			binary := v.build(t, root)
			args := []string{"-test.run", "^TestSeeds$", "-seeds", strconv.Itoa(v.seeds), "-profile", v.profile, "-test.timeout", "5m"}
			out, err := exec.CommandContext(t.Context(), binary, args...).CombinedOutput()
			if err == nil {
				t.Errorf("%d seeds have not found it", v.seeds)
			} else if !strings.Contains(string(out), foundMark) {
				t.Errorf("its run failed, but not by a violation: %v\n%s", err, out)
			}
			if *trace || testing.Verbose() {
				t.Logf("%s", out)
			}
		})
	}
}

// build compiles the tests of this package with the variant's files in place of the program's.
func (v variant) build(t *testing.T, root string) (binary string) {
	dir := t.TempDir()
	texts := make(map[string]string)
	for _, e := range v.edits {
		text, ok := texts[e.file]
		if !ok {
			body, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				t.Fatal(err)
			}
			text = string(body)
		}
		if n := strings.Count(text, e.old); n != 1 {
			t.Fatalf("%s has this text %d times, not once: the variant must follow the code\n%s", e.file, n, e.old)
		}
		texts[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for file, text := range texts {
		patched := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(patched, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(root, file)] = patched
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), list, 0o600); err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "sim.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, "-overlay", filepath.Join(dir, "overlay.json"), ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the variant does not compile: %v\n%s", err, out)
	}
	return binary
}
