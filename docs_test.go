package highlander

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/consistency.md names is there: as a test function, or as a check of a contract suite. So is every broken variant, of the model or of the simulation.
func TestDocsNameTestsThatExist(t *testing.T) {
	doc, err := os.ReadFile("docs/consistency.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	err = filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(file, ".go") {
			var source []byte
			source, err = os.ReadFile(file)
			tests.Write(source)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\b[A-Z][a-z]*(?:[A-Z][a-z]+){2,}(?:[A-Z][A-Za-z]*)?\b`).FindAllString(string(doc), -1) // three words at least
	if len(names) < 40 {
		t.Errorf("%d names: is the pattern still right?", len(names))
	}
	for _, name := range names {
		if strings.HasPrefix(name, "Err") {
			continue
		}
		if !strings.Contains(tests.String(), "func Test"+name+"(") && !strings.Contains(tests.String(), `"`+name+`"`) {
			t.Errorf("there is no test %s", name)
		}
	}
	variants := 0
	for line := range strings.Lines(string(doc)) {
		if !strings.Contains(line, "variant") {
			continue
		}
		for _, name := range regexp.MustCompile(`[^*]\*([a-z0-9][^*]{8,})\*[^*]`).FindAllStringSubmatch(line, -1) {
			if variants++; !strings.Contains(tests.String(), `"`+name[1]+`"`) {
				t.Errorf("there is no broken variant %q", name[1])
			}
		}
	}
	if variants < 20 {
		t.Errorf("%d variants: is the pattern still right?", variants)
	}
}
