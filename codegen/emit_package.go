package codegen

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const packageFile = "package" + goSuffix

// goFiles returns all generated files of the package.
func (g *generator) goFiles() []File {
	if len(g.objects) == 0 {
		return nil
	}
	var files []File
	for _, o := range g.objects {
		files = append(files, g.objectFile(o))
	}
	return append(files, g.packageFile())
}

// leftovers returns the files that were generated for types that are none any more.
func (g *generator) leftovers() []File {
	wanted := map[string]bool{}
	if len(g.objects) > 0 {
		wanted[packageFile] = true
	}
	for _, o := range g.objects {
		wanted[snake(o.goName)+goSuffix] = true
	}
	var files []File
	generated, err := generatedFiles(g.Dir)
	if err != nil {
		g.add(at(g.Dir, 0), "%v", err)
	}
	for _, path := range generated {
		if !wanted[filepath.Base(path)] {
			files = append(files, File{Path: path})
		}
	}
	return files
}

// checkFiles refuses to write over what the user wrote.
func (g *generator) checkFiles() {
	if len(g.objects) == 0 {
		return
	}
	names := []string{packageFile}
	for _, o := range g.objects {
		names = append(names, snake(o.goName)+goSuffix)
	}
	for _, name := range names {
		path := filepath.Join(g.Dir, name)
		if src, err := os.ReadFile(path); err == nil && !isGenerated(string(src)) {
			g.add(at(path, 1), "objgen writes a file of this name, and this one is not objgen's: give it another name")
		}
	}
}

// packageFile returns the generated file that is about no single type.
func (g *generator) packageFile() File {
	f := g.newSource()
	f.p("// Objects are the types of this package whose values are objects, for highlander.Open, and the errors that cross nodes as themselves.")
	f.p("var Objects = %s{", f.object("Set"))
	f.p("Types: []%s{", f.object("Definition"))
	objects := slices.Clone(g.objects)
	slices.SortFunc(objects, func(a, b *object) int { return strings.Compare(a.goName, b.goName) })
	for _, o := range objects {
		f.p("&%s,", o.idents.typ)
	}
	f.p("},")
	if len(g.crossing) > 0 {
		f.p("Errors: []%s{", f.object("CrossingError"))
		for _, e := range g.crossing {
			f.crossingError(e)
		}
		f.p("},")
	}
	f.p("}\n")
	for _, s := range g.structsByName() {
		f.structCodec(s)
	}
	return f.file(packageFile)
}

// crossingError writes an element of Objects.Errors.
func (f *source) crossingError(e crossingError) {
	name := f.g.PkgPath + "." + e.name
	if e.form == nil {
		f.p("{Name: %q, Value: &%s},", name, e.name)
		return
	}
	target, value, addr := e.name, "e", "e"
	if e.pointer {
		name, target, value = "*"+name, "*"+target, "*e"
	} else {
		addr = "&e"
	}
	f.p("{\nName: %q,", name)
	f.p("Append: func(b []byte, err error) ([]byte, bool) {")
	f.p("e, ok := %s[%s](err)\nif !ok {\nreturn b, false\n}", f.in("errors", "AsType"), target)
	if e.form.kind == structKind {
		f.p("%s\nreturn b, true\n},", strings.Join(f.appendStmts(e.form, value, "0", 0), "\n"))
	} else {
		if e.form.marshalPtr && e.pointer {
			value = "e"
		} else if e.form.marshalPtr {
			value = "&e"
		}
		f.p("return %s(b, %s), true\n},", f.codec("Append"+marshalers[e.form.kind]), value)
	}
	f.p("Read: func(r *%s) error {", f.codec("Reader"))
	if e.pointer {
		f.p("e := new(%s)", e.name)
	} else {
		f.p("var e %s", e.name)
	}
	f.p("%s\nreturn e\n},\n},", f.readStmt(e.form, addr, "e"))
}
