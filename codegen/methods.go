package codegen

import (
	"fmt"
	"go/ast"
	"go/types"
	"strings"
)

// A method is one that can be called on an object.
type method struct {
	object   *object
	name     string
	fn       *types.Func
	decl     *ast.FuncDecl
	read     bool
	pointer  bool // its receiver is a pointer
	args     *structType
	results  *structType
	hasError bool
	variable string // the one of its UpdateMethod or ReadMethod
}

// findMethods reads the methods that are declared on the type, in the order of files and lines.
func (g *generator) findMethods(o *object) {
	for _, file := range g.Syntax {
		for _, decl := range file.Decls {
			decl, ok := decl.(*ast.FuncDecl)
			if !ok || decl.Recv == nil {
				continue
			}
			fn, _ := g.TypesInfo.Defs[decl.Name].(*types.Func)
			if fn == nil || receiverType(fn) != o.named.Obj() || !fn.Exported() {
				continue
			}
			if m := g.method(o, fn, decl); m != nil {
				o.methods = append(o.methods, m)
			}
		}
	}
	g.checkReads(o)
}

// receiverType is the name of the type that a method is declared on.
func receiverType(fn *types.Func) *types.TypeName {
	t := fn.Signature().Recv().Type()
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	if named, ok := types.Unalias(t).(*types.Named); ok {
		return named.Obj()
	}
	return nil
}

// method reads one exported method. It returns nil for those that are not called through references, and for wrong ones.
func (g *generator) method(o *object, fn *types.Func, decl *ast.FuncDecl) *method {
	sig := fn.Signature()
	pos, full := decl.Name.Pos(), o.goName+"."+fn.Name()
	marked := g.directive(decl.Doc, "read") != nil
	m := &method{object: o, name: fn.Name(), fn: fn, decl: decl, pointer: hasPointerReceiver(fn)}
	m.read = marked || !m.pointer
	if fn.Name() == "Init" {
		g.readInit(o, m)
		return nil
	}
	if sig.Params().Len() == 0 || !isContext(sig.Params().At(0).Type()) {
		if !isPlainMethod(fn.Name()) || marked {
			g.problem(pos, "method %s has no context: make ctx context.Context its first parameter, or unexport it if it is not to be called from outside", full)
		}
		return nil
	}
	if sig.Variadic() {
		g.problem(pos, "method %s is variadic: make its last parameter a slice", full)
		return nil
	}
	results := sig.Results().Len()
	if results > 0 && isError(sig.Results().At(results-1).Type()) {
		m.hasError = true
		results--
	}
	m.args = g.tuple(m, "argument", "Args", sig.Params(), 1, sig.Params().Len())
	m.results = g.tuple(m, "result", "Results", sig.Results(), 0, results)
	if m.args == nil || m.results == nil {
		return nil
	}
	return m
}

// readInit reads the hook that makes the state of a new object.
func (g *generator) readInit(o *object, m *method) {
	sig := m.fn.Signature()
	ok := m.pointer && sig.Params().Len() == 1 && isContext(sig.Params().At(0).Type()) && !sig.Variadic() &&
		sig.Results().Len() == 1 && isError(sig.Results().At(0).Type())
	if !ok {
		g.problem(m.decl.Name.Pos(), "method %s.Init is the hook for new objects and must be func (*%[1]s) Init(ctx context.Context) error: give it that signature, or another name", o.goName)
	}
	o.init = true
}

// tuple makes the arguments or the results of a method a struct, which is encoded as an array, so that some can be added at the end.
func (g *generator) tuple(m *method, noun, suffix string, vars *types.Tuple, from, to int) *structType {
	s := &structType{name: lowerFirst(m.object.goName) + m.name + suffix}
	taken := map[string]bool{}
	ok := true
	for i := from; i < to; i++ {
		v := vars.At(i)
		name := v.Name()
		if name == "" || name == "_" {
			name = fmt.Sprintf("%s%d", strings.TrimSuffix(noun, "ument"), i-from+1)
			if to-from == 1 {
				name = strings.TrimSuffix(noun, "ument")
			}
		}
		for taken[name] {
			name += "_"
		}
		taken[name] = true
		what := fmt.Sprintf("%s %s of %s.%s", noun, name, m.object.goName, m.name)
		if isError(v.Type()) {
			g.problem(v.Pos(), "%s is an error, which only the last result may be: move it there, or use a string", what)
			ok = false
			continue
		}
		f := g.form(v.Type(), place{pos: v.Pos(), what: what, remedy: passElse})
		if f == nil {
			ok = false
			continue
		}
		s.fields = append(s.fields, &field{name: name, form: f, pos: v.Pos()})
	}
	if !ok {
		return nil
	}
	for _, f := range s.fields {
		s.slots = append(s.slots, slot{field: f})
	}
	return s
}

// doc is what a sentence about the method calls it.
func (m *method) doc() string { return m.object.goName + "." + m.name }

// empty tells whether there are no arguments, or no results: then they are an object.None.
func (s *structType) empty() bool { return s.named == nil && len(s.fields) == 0 }
