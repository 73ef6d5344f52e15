package highlander

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Who may import whom within the module, as ARCHITECTURE.md says. Tests may import more.
var mayImport = map[string][]string{
	".":                       {"object", "persist", "memregistry", "supervisor", "transport", "zkregistry", "internal/parts", "internal/zk/client"},
	"highlandertest":          {".", "memregistry", "object", "persist", "internal/parts"},
	"internal/msgpack":        {},
	"codec":                   {"internal/msgpack"},
	"object":                  {"codec", "internal/reflectcodec"},
	"object/storetest":        {"object"},
	"object/registrytest":     {"object"},
	"persist":                 {"object", "internal/msgpack"},
	"memregistry":             {"object"},
	"supervisor":              {},
	"transport":               {"object"},
	"codegen":                 {},
	"cmd/objgen":              {"codegen"},
	"internal/zk":             {},
	"internal/zk/zkmodel":     {"internal/zk"},
	"internal/zk/zktest":      {"internal/zk"},
	"zkregistry":              {"object", "internal/zk"},
	"internal/sim":            {"codec", "object", "persist", "zkregistry", "internal/zk", "internal/zk/zkmodel"},
	"internal/zk/client":      {"internal/zk"},
	"internal/zk/zkserver":    {},
	"internal/parts":          {"object"},
	"internal/reflectcodec":   {"codec", "internal/msgpack"},
	"internal/suitetest":      {},
	"internal/codectest":      {"codec", "object"},
	"internal/sample":         {"codec", "object"},
	"internal/upgradetest":    {"object", "internal/upgradetest/v1", "internal/upgradetest/v2", "internal/upgradetest/v3"},
	"internal/upgradetest/v1": {"codec", "object"},
	"internal/upgradetest/v2": {"codec", "object"},
	"internal/upgradetest/v3": {"codec", "object"},
	"examples/todo":           {".", "object", "examples/todo/todo"},
	"examples/todo/todo":      {"codec", "object"},
	"integration/faults":      {},
	"integration/servers":     {"internal/zk/zkserver"},
	"integration/torture":     {".", "object"},
	"integration/upgrade":     {".", "internal/upgradetest"},
}

func TestImportsKeepTheirDirection(t *testing.T) {
	const module = "github.com/highlander-go/highlander"
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && d.Name() == "testdata" {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(file))
		allowed, known := mayImport[pkg]
		if !known {
			t.Errorf("package %s is not in the table: say what it may import, here and in ARCHITECTURE.md", pkg)
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			imported := strings.Trim(i.Path.Value, `"`)
			within := strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")
			if within == "" {
				within = "."
			}
			if strings.HasPrefix(imported, module) && !slices.Contains(allowed, within) {
				t.Errorf("%s imports %s, which package %s may not", file, imported, pkg)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
