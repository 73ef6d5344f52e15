package codegen

import (
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// An object is a type with //highlander:object.
type object struct {
	goName    string
	named     *types.Named
	pos       token.Pos
	name      string // in keys
	plural    string
	id        *types.Named // of ids; nil: string
	state     *structType
	methods   []*method
	init      bool   // it has the hook Init
	layout    uint32 // that it writes
	locked    uint32 // that it wrote when the lock was written; 0: there was none
	lock      *lockFile
	upgrades  []*upgrade
	idents    objectIdents
	directive *directive
}

func newGenerator(pkg *packages.Package) *generator {
	return &generator{
		Package:    pkg,
		directives: map[*ast.Comment]*directive{},
		idents:     map[string]bool{},
		marked:     map[*types.TypeName]*object{},
		structs:    map[*types.TypeName]*structType{},
		open:       map[*types.TypeName]bool{},
	}
}

// isMarked tells whether the type is one of the package's objects. Their states are encoded by field, whatever methods they have.
func (g *generator) isMarked(t *types.Named) bool { return g.marked[t.Obj()] != nil }

// findObjects reads the marked types, in the order of files and lines, and then what they are made of.
func (g *generator) findObjects() {
	for _, file := range g.Syntax {
		for _, decl := range file.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok || group.Tok != token.TYPE {
				continue
			}
			for _, spec := range group.Specs {
				spec := spec.(*ast.TypeSpec)
				d := g.directive(spec.Doc, "object")
				if d == nil && len(group.Specs) == 1 {
					d = g.directive(group.Doc, "object")
				}
				if d != nil {
					g.findObject(spec, d)
				}
			}
		}
	}
	g.checkNames()
	for _, o := range g.objects {
		o.state = g.structType(o.named, place{pos: o.pos, what: "type " + o.goName})
		if o.state != nil {
			o.state.object = o
		}
	}
	for _, o := range g.objects {
		g.findMethods(o)
	}
}

// findObject checks one marked type.
func (g *generator) findObject(spec *ast.TypeSpec, d *directive) {
	name, pos := spec.Name.Name, spec.Name.Pos()
	obj, _ := g.TypesInfo.Defs[spec.Name].(*types.TypeName)
	if obj == nil {
		return // declared twice, or named _
	}
	named, ok := obj.Type().(*types.Named)
	if !ok || obj.IsAlias() {
		g.problem(pos, "%s is an alias: put %sobject above the declaration of the struct type", name, directivePrefix)
		return
	}
	if named.Underlying() == types.Typ[types.Invalid] {
		g.problem(pos, "%s is not valid: %s", name, g.whyInvalid(pos))
		return
	}
	if _, ok := named.Underlying().(*types.Struct); !ok {
		g.problem(pos, "%s is not a struct: an object's state is one, whose fields can be added to later; declare it as a struct with a field", name)
		return
	}
	if named.TypeParams().Len() > 0 {
		g.problem(pos, "%s is generic: an object's type has no type parameters; declare a struct for each type that you need", name)
		return
	}
	if !obj.Exported() {
		g.problem(pos, "%s is not exported, but its collection is: call it %s", name, upperFirst(name))
		return
	}
	o := &object{goName: name, named: named, pos: pos, name: kebab(name), plural: plural(name), directive: d}
	g.readOptions(o)
	if !validName(o.name) {
		g.problem(d.pos, "%q cannot be the name of %s in keys: set name= to lower-case letters, digits, _ and -, a letter first, at most 64 bytes", o.name, name)
	}
	g.marked[obj] = o
	g.objects = append(g.objects, o)
}

// readOptions reads what follows //highlander:object.
func (g *generator) readOptions(o *object) {
	for _, arg := range o.directive.args {
		key, value, ok := strings.Cut(arg, "=")
		known := []string{"name", "plural", "id"}
		switch {
		case !slices.Contains(known, key):
			g.problem(o.directive.pos, "%sobject has no option %s: %s", directivePrefix, key, didYouMean(key, known))
		case !ok || value == "":
			g.problem(o.directive.pos, "option %s has no value: write %[1]s=…", key)
		case key == "name":
			o.name = value
		case key == "plural":
			o.plural = value
			if !token.IsIdentifier(value) || !token.IsExported(value) {
				g.problem(o.directive.pos, "plural=%s is not an exported Go name: write one like %s", value, plural(o.goName))
			}
		case key == "id":
			g.readID(o, value)
		}
	}
}

// readID reads the option id=.
func (g *generator) readID(o *object, name string) {
	obj, _ := g.Types.Scope().Lookup(name).(*types.TypeName)
	if obj != nil && !obj.IsAlias() {
		named, ok := obj.Type().(*types.Named)
		if basic, isBasic := obj.Type().Underlying().(*types.Basic); ok && isBasic && basic.Kind() == types.String && named.TypeParams().Len() == 0 {
			o.id = named
			return
		}
	}
	g.problem(o.directive.pos, "id=%s is not a string type of this package: declare it, as in type %[1]s string", name)
}

// checkNames refuses two types with one name in keys, or with one file.
func (g *generator) checkNames() {
	names, files := map[string]*object{}, map[string]*object{}
	for _, o := range g.objects {
		if other := names[o.name]; other != nil {
			g.problem(o.pos, "%s has the name %s in keys, as %s has (%v): give one of them another with name=", o.goName, o.name, other.goName, g.short(other.pos))
		} else if other := files[snake(o.goName)]; other != nil {
			g.problem(o.pos, "%s and %s (%v) would be generated into one file, %s: rename one of them", o.goName, other.goName, g.short(other.pos), snake(o.goName)+goSuffix)
		}
		if snake(o.goName)+goSuffix == packageFile {
			g.problem(o.pos, "%s would be generated into %s, which is about the whole package: rename it", o.goName, packageFile)
		}
		names[o.name], files[snake(o.goName)] = o, o
	}
}

// short is a position for use within a message: the file's name without its directory.
func (g *generator) short(pos token.Pos) token.Position {
	at := g.position(pos)
	at.Filename = filepath.Base(at.Filename)
	at.Column = 0
	return at
}

// letter names variables that hold the state.
func (o *object) letter() string { return strings.ToLower(string([]rune(o.goName)[:1])) }
