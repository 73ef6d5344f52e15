package codegen

import (
	"bytes"
	"fmt"
	"go/format"
	"go/types"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	modulePath = "github.com/highlander-go/highlander"
	codecPath  = modulePath + "/codec"
	objectPath = modulePath + "/object"
)

// A source is a Go file being written.
type source struct {
	g       *generator
	body    bytes.Buffer
	imports map[string]string // names by path
}

func (g *generator) newSource() *source { return &source{g: g, imports: map[string]string{}} }

// p writes a line.
func (f *source) p(format string, args ...any) { fmt.Fprintf(&f.body, format+"\n", args...) }

// in returns a name of an imported package, qualified.
func (f *source) in(path, name string) string { return f.pkg(path, "") + "." + name }

func (f *source) codec(name string) string  { return f.in(codecPath, name) }
func (f *source) object(name string) string { return f.in(objectPath, name) }

// pkg returns the name under which the file imports the package. It differs from the package's own where another, or a declaration of the
// user's, has that.
func (f *source) pkg(importPath, name string) string {
	if known, ok := f.imports[importPath]; ok {
		return known
	}
	if name == "" {
		name = path.Base(importPath)
	}
	for f.nameTaken(name) {
		name += "pkg"
	}
	f.imports[importPath] = name
	return name
}

func (f *source) nameTaken(name string) bool {
	if f.g.Types.Scope().Lookup(name) != nil || f.g.idents[name] {
		return true
	}
	return slices.Contains(slices.Collect(maps.Values(f.imports)), name)
}

// typ writes a type.
func (f *source) typ(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if p == f.g.Types {
			return ""
		}
		return f.pkg(p.Path(), p.Name())
	})
}

// file returns the finished file.
func (f *source) file(name string) File {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\npackage %s\n\n", header, f.g.Types.Name())
	var standard, others []string
	for importPath, name := range f.imports {
		line := fmt.Sprintf("%q", importPath)
		if name != path.Base(importPath) {
			line = name + " " + line
		}
		if strings.Contains(strings.Split(importPath, "/")[0], ".") {
			others = append(others, line)
		} else {
			standard = append(standard, line)
		}
	}
	byPath := func(a, b string) int {
		return strings.Compare(a[strings.IndexByte(a, '"'):], b[strings.IndexByte(b, '"'):])
	}
	slices.SortFunc(standard, byPath)
	slices.SortFunc(others, byPath)
	if len(f.imports) > 0 {
		fmt.Fprintf(&b, "import (\n%s\n\n%s\n)\n\n", strings.Join(standard, "\n"), strings.Join(others, "\n"))
	}
	b.Write(f.body.Bytes())
	path := filepath.Join(f.g.Dir, name)
	text, err := format.Source(b.Bytes())
	if err != nil {
		f.g.add(at(path, 0), "objgen has made something that is not Go (%v): please report it, with the declarations of the package", err)
	}
	return File{path, text}
}
