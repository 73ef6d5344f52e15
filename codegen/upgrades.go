package codegen

import (
	"cmp"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"
)

// An upgrade is a function with //highlander:upgrade N, which makes states of layout N ones of the current layout.
type upgrade struct {
	from     uint32
	fn       *types.Func
	decl     *ast.FuncDecl
	old      *structType
	hasError bool
	read     string // the name of the generated function around it
}

// findUpgrades reads the upgrade functions of the package.
func (g *generator) findUpgrades() {
	for _, file := range g.Syntax {
		for _, decl := range file.Decls {
			decl, ok := decl.(*ast.FuncDecl)
			if !ok || decl.Recv != nil {
				continue
			}
			if d := g.directive(decl.Doc, "upgrade"); d != nil {
				g.findUpgrade(decl, d)
			}
		}
	}
	for _, o := range g.objects {
		slices.SortFunc(o.upgrades, func(a, b *upgrade) int { return cmp.Compare(a.from, b.from) })
		for i, u := range o.upgrades {
			if i > 0 && o.upgrades[i-1].from == u.from {
				g.problem(u.decl.Name.Pos(), "%s and %s both upgrade layout %d of %s: delete one", o.upgrades[i-1].fn.Name(), u.fn.Name(), u.from, o.goName)
			}
		}
	}
	g.findOld()
}

func (g *generator) findUpgrade(decl *ast.FuncDecl, d *directive) {
	fn, _ := g.TypesInfo.Defs[decl.Name].(*types.Func)
	if fn == nil {
		return
	}
	from, err := strconv.ParseUint(strings.Join(d.args, " "), 10, 31)
	if err != nil || from == 0 {
		g.problem(d.pos, "%supgrade wants the number of the layout that the function reads, from 1: write one, as in %[1]supgrade 1", directivePrefix)
		return
	}
	u := &upgrade{from: uint32(from), fn: fn, decl: decl}
	o, old := g.upgradeTypes(u)
	if o == nil {
		g.problem(decl.Name.Pos(), "upgrade function %s must be func(old T) (S, error) or func(old T) S, T a struct of this package that is the state as it was, S a type with %sobject", fn.Name(), directivePrefix)
		return
	}
	u.old = g.structType(old, place{pos: decl.Name.Pos(), what: "the argument of " + fn.Name(), remedy: "give it the fields of the old state"})
	if u.old != nil {
		o.upgrades = append(o.upgrades, u)
	}
}

// upgradeTypes returns the types that the function is about, or nil if its signature is wrong.
func (g *generator) upgradeTypes(u *upgrade) (*object, *types.Named) {
	sig := u.fn.Signature()
	if sig.Params().Len() != 1 || sig.Variadic() || sig.TypeParams().Len() > 0 || sig.Results().Len() == 0 || sig.Results().Len() > 2 {
		return nil, nil
	}
	u.hasError = sig.Results().Len() == 2
	if u.hasError && !isError(sig.Results().At(1).Type()) {
		return nil, nil
	}
	old, ok := types.Unalias(sig.Params().At(0).Type()).(*types.Named)
	if !ok || old.Obj().Pkg() != g.Types || old.TypeArgs().Len() > 0 || g.isMarked(old) {
		return nil, nil
	}
	if _, ok := old.Underlying().(*types.Struct); !ok {
		return nil, nil
	}
	now, ok := types.Unalias(sig.Results().At(0).Type()).(*types.Named)
	if !ok {
		return nil, nil
	}
	return g.marked[now.Obj()], old
}

// findOld finds the structs that are only read by upgrades: they have the positions of others.
func (g *generator) findOld() {
	current := map[*structType]bool{}
	mark := func(s *structType) { current[s] = true }
	for _, o := range g.objects {
		if o.state != nil {
			o.state.reaches(mark)
		}
		for _, m := range o.methods {
			m.args.reaches(mark)
			m.results.reaches(mark)
		}
	}
	for _, e := range g.crossing {
		if e.form != nil {
			e.form.eachStruct(func(s *structType) { s.reaches(mark) })
		}
	}
	for _, s := range g.order {
		s.old = !current[s]
	}
}

// matchUpgrades gives the structs of upgrades the positions of what they were.
func (g *generator) matchUpgrades() {
	for _, o := range g.objects {
		for _, u := range o.upgrades {
			g.matchOld(u.old, o.state.wire, u.from)
		}
	}
}

// matchOld matches the fields of s with the lines of the struct that it was.
func (g *generator) matchOld(s *structType, wire string, layout uint32) {
	if s.of != "" {
		if s.of != wire {
			g.problem(s.named.Obj().Pos(), "%s stands for the old %s and for the old %s: declare a struct for each", s.name, s.of, wire)
		}
		return
	}
	s.of = wire
	lines := g.locks.fields[wire]
	s.slots = make([]slot, nextPosition(lines))
	for _, f := range s.fields {
		l := lineOf(lines, f, layout)
		if l == nil {
			g.problem(f.pos, "field %s of %s, of type %s, is none that the locks know of %s: give it the name and type that it had", f.name, s.name, f.form.wire(), wire)
			continue
		}
		s.slots[l.position].field = f
		f.form.match(l.wire, func(inner *structType, wire string) { g.matchOld(inner, wire, layout) })
	}
}

// lineOf returns the line of a field of states of the layout: of several with the name and the type, the one that was written then.
func lineOf(lines []*lockedField, f *field, layout uint32) *lockedField {
	rank := func(l *lockedField) int {
		switch {
		case l.until >= layout:
			return int(l.until)
		case l.live():
			return 1 << 40
		}
		return 1<<41 - l.position
	}
	var best *lockedField
	for _, l := range lines {
		if l.name == f.name && f.form.match(l.wire, nil) && (best == nil || rank(l) < rank(best)) {
			best = l
		}
	}
	return best
}

// match tells whether values that were written as the locked type can be read into the form. It calls visit with each old struct and with what it was.
func (f *form) match(wire string, visit func(old *structType, wire string)) bool {
	prefix := ""
	switch f.kind {
	case structKind:
		if !f.named.old {
			return f.named.wire == wire
		}
		if visit != nil {
			visit(f.named, wire)
		}
		return token.IsIdentifier(wire[strings.LastIndexByte(wire, '.')+1:])
	case arrayKind, sliceKind, mapKind, pointerKind:
		prefix = strings.TrimSuffix(f.wire(), f.elem.wire())
	default:
		return f.wire() == wire
	}
	rest, ok := strings.CutPrefix(wire, prefix)
	return ok && f.elem.match(rest, visit)
}
