package codegen

import (
	"go/types"
)

// A crossingError is an error of the package that reaches callers on other nodes as itself.
type crossingError struct {
	name string // in Go
	form *form  // of a type; nil for a variable
	// pointer tells whether it is *name that is the error.
	pointer bool
}

// findCrossingErrors finds the exported variables of type error, and the exported structs that are errors. A struct with a field that cannot be
// encoded, like the error that it wraps, does not cross: its callers get its text.
func (g *generator) findCrossingErrors() {
	if len(g.objects) == 0 {
		return
	}
	scope := g.Types.Scope()
	for _, name := range scope.Names() {
		switch obj := scope.Lookup(name).(type) {
		case *types.Var:
			if obj.Exported() && isError(obj.Type()) {
				g.crossing = append(g.crossing, crossingError{name: name})
			}
		case *types.TypeName:
			if obj.Exported() && !obj.IsAlias() {
				g.findErrorType(obj)
			}
		}
	}
}

func (g *generator) findErrorType(obj *types.TypeName) {
	named, ok := obj.Type().(*types.Named)
	if !ok || named.TypeParams().Len() > 0 || g.isMarked(named) || !isErrorMethod(ownMethod(named, "Error")) {
		return
	}
	underlying, ok := named.Underlying().(*types.Struct)
	if !ok || !hasExportedField(underlying) {
		return
	}
	f := g.trialForm(named)
	if f == nil {
		return
	}
	if !hasPointerReceiver(ownMethod(named, "Error")) {
		g.crossing = append(g.crossing, crossingError{name: obj.Name(), form: f})
	}
	g.crossing = append(g.crossing, crossingError{name: obj.Name(), form: f, pointer: true})
}

// trialForm is the type's form, or nil: that it has none is no problem.
func (g *generator) trialForm(named *types.Named) *form {
	problems, order := len(g.problems), len(g.order)
	f := g.form(named, place{pos: named.Obj().Pos()})
	if len(g.problems) == problems {
		return f
	}
	g.problems = g.problems[:problems]
	for _, s := range g.order[order:] {
		delete(g.structs, s.named.Obj())
	}
	g.order = g.order[:order]
	return nil
}

func hasExportedField(s *types.Struct) bool {
	for f := range s.Fields() {
		if f.Exported() {
			return true
		}
	}
	return false
}

// isErrorMethod tells whether the method is func() string.
func isErrorMethod(m *types.Func) bool {
	return m != nil && m.Signature().Params().Len() == 0 && m.Signature().Results().Len() == 1 &&
		types.Identical(m.Signature().Results().At(0).Type(), types.Typ[types.String])
}
