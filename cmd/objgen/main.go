// Command objgen writes the typed API of durable objects next to their types:
//
//	//go:generate go tool objgen
//
// Usage:
//
//	objgen [-check] [packages]
//
// Without packages it looks at the one in the current directory. What it reads and writes is described at package codegen. With -check it
// writes nothing, lists the files that are stale, and fails if there are any. What is wrong with the source is reported as file:line:column, and then nothing is written.
// That no type has //highlander:object is said, and is no error.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/highlander-go/highlander/codegen"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// run returns the exit status: 0, 1 if something is wrong with the source or stale, or 2 for a wrong command line.
func run(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("objgen", flag.ContinueOnError)
	flags.SetOutput(stderr)
	check := flags.Bool("check", false, "write nothing; list files that are stale, and exit with status 1 if there are any")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: objgen [-check] [packages]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err == flag.ErrHelp {
		return 0
	} else if err != nil {
		return 2
	}
	files, err := codegen.Generate(".", flags.Args()...)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	if !slices.ContainsFunc(files, isCode) {
		fmt.Fprintln(stderr, "no type has //highlander:object: put it into the doc comment of each struct that is the state of durable objects")
	}
	status := 0
	for _, f := range files {
		if !f.Stale() {
			continue
		}
		if *check {
			fmt.Fprintf(stderr, "%s is stale: run go generate\n", relative(f.Path))
			status = 1
		} else if err := f.Write(); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
	}
	return status
}

// isCode tells whether the file is Go code, which there is for each object, and not a lock or to be removed.
func isCode(f codegen.File) bool { return f.Content != nil && filepath.Ext(f.Path) == ".go" }

// relative is the path as seen from the current directory.
func relative(path string) string {
	dir, err := os.Getwd()
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return path
	}
	return rel
}
