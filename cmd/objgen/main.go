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
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

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
