package codegen

import (
	"go/token"
	"go/types"
	"reflect"
)

// A structType is a struct that is encoded field by field: as an array, each value at its field's position.
type structType struct {
	named  *types.Named // nil for the arguments or results of a method
	name   string       // what names of generated functions end with: Todo, GeoPoint, listOpenArgs
	wire   string       // its name in locks: Todo, example.com/geo.Point
	object *object      // that it is the state of, or nil
	fields []*field     // exported ones, as declared
	hidden bool         // there are unexported ones
	slots  []slot       // by position
	old    bool         // it is only what older states are read into
	of     string       // then: the struct that it was, as locks name it

	recursive bool // it can contain another of itself
	emits     emits
	funcs     funcs
}

// A field is one that is stored.
type field struct {
	name     string
	form     *form
	pos      token.Pos
	fallback string // the expression of its default, or ""
}

// A slot is a position of a struct.
type slot struct {
	field *field // nil: of a field that is gone
	until bool   // of one that an upgrade has replaced: it is not carried
}

// emits says which functions of a struct are needed.
type emits struct{ append, read, clone, shape bool }

// funcs are their names.
type funcs struct{ append, read, clone, shape, fallback string }

// structType returns the struct, or nil if it cannot be encoded at all.
func (g *generator) structType(t *types.Named, at place) *structType {
	if !hasExportedField(t.Underlying().(*types.Struct)) && !(g.isMarked(t) && t.Underlying().(*types.Struct).NumFields() == 0) {
		g.refuseEmpty(t, at)
		return nil
	}
	if s := g.structs[t.Obj()]; s != nil {
		return s
	}
	s := &structType{named: t, name: t.Obj().Name(), wire: g.lockName(t)}
	if t.Obj().Pkg() != g.Types {
		s.name = upperFirst(t.Obj().Pkg().Name()) + s.name
	}
	g.structs[t.Obj()] = s
	g.order = append(g.order, s)
	g.readFields(s, at)
	return s
}

// refuseEmpty reports a struct of which nothing would be stored.
func (g *generator) refuseEmpty(t *types.Named, at place) {
	if g.isMarked(t) {
		g.problem(at.pos, "%s has no exported fields, so nothing of it would be stored: export what is to be", at.what)
		return
	}
	if t.Obj().Pkg() != nil && t.Obj().Pkg().Path() == "sync" {
		g.problem(at.pos, "%s has type %s: delete it, updates run one at a time and nobody changes what reads are given", at.what, g.typeName(t))
		return
	}
	g.problem(at.pos, "%s has type %s, a struct without exported fields or marshalers (MarshalBinary and UnmarshalBinary, or MarshalText and UnmarshalText): %s",
		at.what, g.typeName(t), at.remedy)
}

func (g *generator) readFields(s *structType, at place) {
	underlying := s.named.Underlying().(*types.Struct)
	for i := range underlying.NumFields() {
		v := underlying.Field(i)
		where := place{pos: v.Pos(), what: "field " + v.Name() + " of " + g.typeName(s.named), remedy: unexport}
		if v.Pkg() != g.Types {
			where = place{pos: at.pos, what: "field " + v.Name() + " of " + g.typeName(s.named) + ", in " + at.what + ",", remedy: at.remedy}
		}
		if !v.Exported() {
			s.hidden = s.hidden || v.Name() != "_"
			g.checkEmbedded(v, where)
			continue
		}
		f := &field{name: v.Name(), pos: where.pos, form: g.form(v.Type(), where)}
		if f.form == nil {
			continue
		}
		if text, ok := reflect.StructTag(underlying.Tag(i)).Lookup("default"); ok {
			f.fallback = g.fallback(f.form, text, where)
		}
		s.fields = append(s.fields, f)
	}
}

// checkEmbedded refuses an embedded struct that is not stored although fields of it seem to be exported.
func (g *generator) checkEmbedded(v *types.Var, at place) {
	if !v.Embedded() || v.Pkg() != g.Types {
		return
	}
	embedded := v.Type()
	if p, ok := embedded.(*types.Pointer); ok {
		embedded = p.Elem()
	}
	if s, ok := embedded.Underlying().(*types.Struct); ok {
		for f := range s.Fields() {
			if f.Exported() {
				g.problem(at.pos, "%s is embedded but not exported, so its field %s would not be stored: export the type, or give the field a name", at.what, f.Name())
				return
			}
		}
	}
}

// flat tells whether assigning a value copies what is stored of it, and nothing else.
func (s *structType) flat() bool {
	if s.hidden {
		return false
	}
	if s.recursive {
		return false // through a pointer, slice or map
	}
	for _, f := range s.fields {
		if !f.form.flat() {
			return false
		}
	}
	return true
}

// hasDefaults tells whether a field of it has a default.
func (s *structType) hasDefaults() bool {
	for _, f := range s.fields {
		if f.fallback != "" || f.form.hasDefaults() {
			return true
		}
	}
	return false
}

// hasDefaults tells whether a zero value differs from one with the defaults of the structs in it.
func (f *form) hasDefaults() bool {
	switch f.kind {
	case structKind:
		return f.named.hasDefaults()
	case arrayKind:
		return f.length() > 0 && f.elem.hasDefaults()
	}
	return false
}

// reaches calls visit with s and each struct within it, each once.
func (s *structType) reaches(visit func(*structType)) {
	seen := map[*structType]bool{}
	var walk func(*structType)
	walk = func(s *structType) {
		if !seen[s] {
			seen[s] = true
			visit(s)
			for _, f := range s.fields {
				f.form.eachStruct(walk)
			}
		}
	}
	walk(s)
}

// findRecursion marks the structs that can contain another of themselves.
func (g *generator) findRecursion() {
	for _, s := range g.order {
		for _, f := range s.fields {
			f.form.eachStruct(func(inner *structType) {
				inner.reaches(func(r *structType) { s.recursive = s.recursive || r == s })
			})
		}
	}
}
