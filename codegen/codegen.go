// Package codegen writes the typed API of durable objects. Command objgen is its command line.
//
// # What it reads
//
// An exported struct with a line //highlander:object in its doc comment is the state of a type of object. Options stand behind it: name=, the
// type's name in keys (TodoList is todo-list); plural=, the name of the function that returns its collection (Lists); id=, a string type of the package for its ids.
//
// The struct's exported fields are stored. A tag default:"…" says what a bool, number, string or time.Duration is before anybody has written it.
//
// The struct's exported methods are what can be called: func (l *List) Add(ctx context.Context, t Todo) (int, error), with any number of arguments and results that can be
// stored, and an error at the end or none. A pointer receiver makes an update, a value receiver or a line //highlander:read a read. Init(ctx) error makes
// new states. Methods of well-known interfaces, such as String and MarshalJSON, are left alone.
//
// A function with the line //highlander:upgrade N, func(old ListV1) (List, error), makes states of layout N ones of today: see below.
//
// # What it writes
//
// For a type List list_object.go, with its collection, its references and its codec, and list_object.lock; package_object.go and package_object.lock for what is about no
// single type: Objects, with which nodes are opened, and the codecs of other structs. Objects has the package's errors too, which then cross nodes as themselves:
// exported variables of type error, and exported structs that are errors and all of whose exported fields can be encoded.
//
// What is generated depends on the source and on the locks alone. Files that were generated before are not looked at: that they
// are missing, stale or broken never matters.
//
// # Locks
//
// A lock has a line for each field, with its position in the encoded struct, and for each method, with its signature. Lines are only added, and changed where that is
// compatible; all else is an error that says what to do. Locks are committed with the source, and merge line by line.
//
// A field of another type needs a new layout: a copy of the old struct, whose fields are found in the lock by name and type, and an upgrade function. What such a
// field was is read by upgrades only; what was a field that is just gone is carried for programs that have it still.
package codegen

import (
	"bytes"
	"cmp"
	"errors"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/tools/go/packages"
)

// A File is a file as it should be.
type File struct {
	Path    string // absolute
	Content []byte // nil: there should be no such file
}

// Stale tells whether the file on disk differs from f.
func (f File) Stale() bool {
	have, err := os.ReadFile(f.Path)
	if f.Content == nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	return err != nil || !bytes.Equal(have, f.Content)
}

// Write makes the file on disk what f says.
func (f File) Write() error {
	if f.Content == nil {
		return os.Remove(f.Path)
	}
	return os.WriteFile(f.Path, f.Content, 0o666)
}

// Generate returns the files that belong to the packages that the patterns name, as seen from the directory. The patterns are those of
// the go command; none stands for the directory's own package. It writes nothing.
//
// The error joins all that is wrong with the packages, sorted by position, each as "file:line:column: what is wrong: what to change",
// with names of files relative to the directory.
func Generate(dir string, patterns ...string) ([]File, error) {
	if len(patterns) == 0 {
		patterns = []string{"."}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	loaded, err := load(dir, patterns)
	if err != nil {
		return nil, err
	}
	var files []File
	var found problems
	for _, pkg := range loaded {
		g := newGenerator(pkg)
		files = append(files, g.generate()...)
		found = append(found, g.problems...)
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return files, found.err(dir)
}

// A generator makes the files of one package.
type generator struct {
	*packages.Package
	problems

	directives map[*ast.Comment]*directive
	idents     map[string]bool // package-level identifiers of generated code
	objects    []*object
	marked     map[*types.TypeName]*object
	structs    map[*types.TypeName]*structType // all that were met, marked or not
	order      []*structType                   // structs in the order in which they were met
	open       map[*types.TypeName]bool        // named types that are not structs, whose forms are being made
	crossing   []crossingError
	locks      *locks
}

func (g *generator) position(pos token.Pos) token.Position { return g.Fset.Position(pos) }

// problem adds what is wrong at a place in the source.
func (g *generator) problem(pos token.Pos, format string, args ...any) {
	g.add(g.position(pos), format, args...)
}

// generate returns the package's files, if nothing is wrong with it.
func (g *generator) generate() []File {
	g.readDirectives()
	g.readLocks()
	g.findObjects()
	g.findCrossingErrors()
	g.findUpgrades()
	g.unusedDirectives()
	g.findRecursion()
	g.checkFiles()
	g.settleLocks()
	if len(g.problems) > 0 {
		return nil
	}
	g.nameAll()
	if len(g.problems) > 0 {
		return nil
	}
	return slices.Concat(g.goFiles(), g.lockFiles(), g.leftovers())
}
