package codegen

import (
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// objectIdents are the package-level names of what is generated for an object.
type objectIdents struct {
	collection, ref, typ, methods, check string
}

// nameAll names all that is generated at package level, and reports names that the package uses already.
func (g *generator) nameAll() {
	if len(g.objects) == 0 {
		return
	}
	g.findNeeds()
	g.exported("Objects", "for the package", g.objects[0].pos, "rename it")
	for _, o := range g.objects {
		lower := lowerFirst(o.goName)
		g.exported(o.plural, "for "+o.goName, o.pos, "rename it, or set plural=")
		o.idents = objectIdents{
			collection: g.exported(o.goName+"Collection", "for "+o.goName, o.pos, "rename it"),
			ref:        g.exported(o.goName+"Ref", "for "+o.goName, o.pos, "rename it"),
			typ:        g.unexported(lower+"Type", "for "+o.goName, o.pos),
			methods:    g.unexported(lower+"Methods", "for "+o.goName, o.pos),
			check:      g.unexported("check"+o.goName, "for "+o.goName, o.pos),
		}
	}
	for _, s := range g.order {
		g.nameFuncs(s, s.named.Obj().Pos(), s.wire)
	}
	for _, o := range g.objects {
		for _, m := range o.methods {
			pos := m.decl.Name.Pos()
			m.variable = g.unexported(lowerFirst(o.goName)+m.name, "for "+m.doc(), pos)
			for _, s := range []*structType{m.args, m.results} {
				if !s.empty() {
					s.name = g.unexported(s.name, "for "+m.doc(), pos)
					g.nameFuncs(s, pos, m.doc())
				}
			}
		}
		for _, u := range o.upgrades {
			u.read = g.unexported("upgrade"+upperFirst(u.old.name), "for "+u.fn.Name(), u.decl.Name.Pos())
		}
	}
}

// nameFuncs names the functions of a struct that are needed.
func (g *generator) nameFuncs(s *structType, pos token.Pos, what string) {
	if s.named != nil && s.named.Obj().Pkg() != g.Types {
		pos = g.objects[0].pos
	}
	name := func(needed bool, name string) string {
		if !needed {
			return ""
		}
		return g.unexported(name, "for "+what, pos)
	}
	base := upperFirst(s.name)
	s.funcs = funcs{
		append:   name(s.emits.append, "append"+base),
		read:     name(s.emits.read, "read"+base),
		clone:    name(s.emits.clone, "clone"+base),
		shape:    name(s.emits.shape, lowerFirst(s.name)+"Shape"),
		fallback: name(s.emits.read && s.named != nil && s.hasDefaults(), "default"+base), // what of arguments and results is not sent is zero
	}
}

// exported takes an exported name.
func (g *generator) exported(name, what string, pos token.Pos, remedy string) string {
	if g.idents[name] {
		g.problem(pos, "objgen would make %s %s, and has made one already: set plural= to another name", name, what)
	}
	return g.take(name, what, pos, remedy)
}

// unexported takes an unexported name, with a digit at its end if it is generated already.
func (g *generator) unexported(name, what string, pos token.Pos) string {
	for g.idents[name] {
		name += "2"
	}
	return g.take(name, what, pos, "rename it")
}

func (g *generator) take(name, what string, pos token.Pos, remedy string) string {
	if other := g.Types.Scope().Lookup(name); other != nil {
		g.problem(pos, "objgen makes %s %s, but the package declares %s itself (%v): %s", name, what, name, g.short(other.Pos()), remedy)
	}
	g.idents[name] = true
	return name
}

// findNeeds finds out which functions of which structs are needed.
func (g *generator) findNeeds() {
	for _, o := range g.objects {
		o.state.need(emits{append: true, read: true, clone: true, shape: true})
		for _, m := range o.methods {
			m.args.need(emits{append: true, read: true, clone: true})
			m.results.need(emits{append: true, read: true, clone: true})
		}
		for _, u := range o.upgrades {
			u.old.need(emits{read: true})
		}
	}
	for _, e := range g.crossing {
		if e.form != nil {
			e.form.eachStruct(func(s *structType) { s.need(emits{append: true, read: true}) })
		}
	}
}

// need notes that functions of s are needed, and so those of what it contains.
func (s *structType) need(n emits) {
	if s.flat() {
		n.clone = false
	}
	had := s.emits
	s.emits.append = had.append || n.append
	s.emits.read = had.read || n.read
	s.emits.clone = had.clone || n.clone
	s.emits.shape = had.shape || n.shape
	if s.emits != had {
		for _, f := range s.fields {
			f.form.eachStruct(func(inner *structType) { inner.need(n) })
		}
	}
}

// structsByName returns the structs that are encoded and are no object's state, by name.
func (g *generator) structsByName() []*structType {
	var structs []*structType
	for _, s := range g.order {
		if s.object == nil && s.emits != (emits{}) {
			structs = append(structs, s)
		}
	}
	slices.SortFunc(structs, func(a, b *structType) int { return strings.Compare(a.wire, b.wire) })
	return structs
}

// taken returns the names that variables of generated functions must not hide.
func (g *generator) taken(imports map[string]string) scope {
	s := universe()
	for name := range g.idents {
		s[name] = true
	}
	for name := range maps.Values(imports) {
		s[name] = true
	}
	for _, name := range g.Types.Scope().Names() {
		s[name] = true
	}
	return s
}

// A scope is the names that are taken in a function.
type scope map[string]bool

// universe is the scope of the names that are declared everywhere.
func universe() scope {
	s := scope{}
	for _, name := range types.Universe.Names() {
		s[name] = true
	}
	return s
}

// pick takes the first of the names that is free.
func (s scope) pick(names ...string) string {
	for _, name := range names {
		if !s[name] {
			s[name] = true
			return name
		}
	}
	return s.pick(names[len(names)-1] + "_")
}
