package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write what the commands of scripts print and make into the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"objgen": main})
}

// Each script in testdata is a package or two, what objgen says about them, and what it makes of them.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Setup:               setup,
		UpdateScripts:       *update,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
	})
}

// setup makes the script's directory a module that can be built against this one, without a network.
func setup(env *testscript.Env) error {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		return err
	}
	text := strings.Replace(string(mod), "module github.com/highlander-go/highlander", "module example.com", 1) +
		"\nrequire github.com/highlander-go/highlander v0.0.0\nreplace github.com/highlander-go/highlander => " + root + "\n"
	if err := os.WriteFile(filepath.Join(env.WorkDir, "go.mod"), []byte(text), 0o666); err != nil {
		return err
	}
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			return err
		}
		env.Setenv(name, strings.TrimSpace(string(value)))
	}
	env.Setenv("GOPROXY", "off")
	env.Setenv("GOFLAGS", "-mod=mod")
	return os.WriteFile(filepath.Join(env.WorkDir, "go.sum"), sum, 0o666)
}
