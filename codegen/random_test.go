package codegen

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var (
	firstSeed = flag.Uint64("seed", 1, "the first seed of TestRandomTypes")
	seeds     = flag.Uint64("seeds", 1, "how many seeds TestRandomTypes has")
	keep      = flag.String("keep", "", "a directory where TestRandomTypes leaves what it generates; empty: nowhere")
)

const (
	randomModule    = "github.com/highlander-go/highlander/randomtypes" // below the module, whose internal packages it uses
	randomPackages  = 10
	typesPerPackage = 100
)

// What is generated for a thousand random types compiles, and does what package codectest says. It is compiled in a module of its own, without a
// network. A failure names its seed: go test ./codegen -run TestRandomTypes -seed N -keep DIR.
func TestRandomTypes(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a thousand types")
	}
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) { testRandomTypes(t, seed) })
	}
}

func testRandomTypes(t *testing.T, seed uint64) {
	dir := *keep
	if dir == "" {
		dir = t.TempDir()
	}
	writeRandomModule(t, dir, rand.New(rand.NewPCG(seed, 0)))
	t.Setenv("GOFLAGS", "-mod=mod")
	t.Setenv("GOPROXY", "off")
	files, err := Generate(dir, "./p...")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := f.Write(); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Generate(dir, "./p0")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range again {
		if f.Stale() {
			t.Errorf("%s changes when it is generated again", f.Path)
		}
	}
	// Without paths in what is compiled, the next run with the seed finds it in the build cache.
	run := exec.CommandContext(t.Context(), "go", "test", "-trimpath", "-vet=off", "-gcflags="+randomModule+"/...=-l", "-timeout", "5m", ".", "-seed", fmt.Sprint(seed))
	run.Dir = dir
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// writeRandomModule writes a module of packages of random types, one of types as other modules have them, and the test.
func writeRandomModule(t *testing.T, dir string, r *rand.Rand) {
	t.Helper()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	mod := strings.Replace(read(filepath.Join(root, "go.mod")), "module "+modulePath, "module "+randomModule, 1)
	write("go.mod", fmt.Sprintf("%s\nrequire %s v0.0.0\n\nreplace %[2]s => %s\n", mod, modulePath, root))
	write("go.sum", read(filepath.Join(root, "go.sum")))
	write("ext/ext.go", read("testdata/random/ext.go"))
	var imports, packages []string
	for i := range randomPackages {
		name := fmt.Sprint("p", i)
		src, cases := newRandomPackage(r, name, typesPerPackage)
		write(name+"/types.go", src)
		write(name+"/cases.go", cases)
		imports = append(imports, fmt.Sprintf("%q", randomModule+"/"+name))
		packages = append(packages, fmt.Sprintf("{%q, %s.Objects, %[2]s.AllCases},", name, name))
	}
	test := strings.Replace(read("testdata/random/all_test.go"), "// imports", strings.Join(imports, "\n"), 1)
	write("all_test.go", strings.Replace(test, "// packages", strings.Join(packages, "\n"), 1))
}
