package codegen

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// A readCheck looks for writes in the body of a read, which runs on the committed state that others read at the same time. It follows the state
// through plain local variables, in the order of the text. What happens in functions that are handed parts of it is not seen: nodes for tests check that.
type readCheck struct {
	g        *generator
	read     *method
	receiver types.Object
	via      string                // ", which List.Open calls," when it is not the read's own body
	shared   map[types.Object]bool // local variables with references into the state
	seen     map[*ast.FuncDecl]bool
}

// checkReads refuses reads that assign through their receiver.
func (g *generator) checkReads(o *object) {
	for _, m := range o.methods {
		if m.read {
			c := &readCheck{g: g, read: m, shared: map[types.Object]bool{}, seen: map[*ast.FuncDecl]bool{}}
			c.body(m.decl)
		}
	}
}

// body checks a method of the state.
func (c *readCheck) body(decl *ast.FuncDecl) {
	if decl.Body == nil || len(decl.Recv.List) == 0 || len(decl.Recv.List[0].Names) == 0 || c.seen[decl] {
		return
	}
	c.seen[decl] = true
	c.receiver = c.g.TypesInfo.Defs[decl.Recv.List[0].Names[0]]
	if c.receiver == nil {
		return
	}
	ast.Inspect(decl.Body, c.visit)
}

func (c *readCheck) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.AssignStmt:
		for _, e := range append(slices.Clone(n.Rhs), n.Lhs...) {
			ast.Inspect(e, c.visit) // before the variables on the left stand for something else
		}
		c.assign(n)
		return false
	case *ast.ValueSpec:
		for _, e := range n.Values {
			ast.Inspect(e, c.visit)
		}
		for i, name := range n.Names {
			c.alias(name, valueAt(n.Values, i, len(n.Names)))
		}
		return false
	case *ast.IncDecStmt:
		c.write(n.X)
	case *ast.RangeStmt:
		c.rangeOver(n)
	case *ast.CallExpr:
		c.call(n)
	}
	return true
}

// valueAt is the value that the i-th of n variables is given: of the two-valued forms of an expression the first one. Nil: that of a call, or none.
func valueAt(values []ast.Expr, i, n int) ast.Expr {
	switch {
	case len(values) == n:
		return values[i]
	case len(values) == 1 && i == 0:
		return values[0]
	}
	return nil
}

func (c *readCheck) assign(n *ast.AssignStmt) {
	for i, left := range n.Lhs {
		if n.Tok != token.DEFINE {
			c.write(left)
		}
		if n.Tok == token.DEFINE || n.Tok == token.ASSIGN {
			c.alias(left, valueAt(n.Rhs, i, len(n.Lhs)))
		}
	}
}

func (c *readCheck) rangeOver(n *ast.RangeStmt) {
	for _, left := range []ast.Expr{n.Key, n.Value} {
		if left != nil && n.Tok == token.ASSIGN {
			c.write(left)
		}
	}
	if id, ok := n.Value.(*ast.Ident); ok && n.Tok == token.DEFINE {
		if v := c.g.TypesInfo.Defs[id]; v != nil {
			c.shared[v] = c.reaches(n.X) && hasReferences(v.Type())
		}
	}
}

// alias notes whether a local variable shares memory with the state from here on.
func (c *readCheck) alias(left, value ast.Expr) {
	id, ok := left.(*ast.Ident)
	if !ok {
		return
	}
	v := c.g.TypesInfo.ObjectOf(id)
	if v == nil || v == c.receiver {
		return
	}
	c.shared[v] = value != nil && hasReferences(v.Type()) && c.reaches(value)
}

// reaches tells whether the expression is the state, a part of it, or a pointer to one.
func (c *readCheck) reaches(e ast.Expr) bool {
	root, _ := c.root(e)
	return root != nil && (root == c.receiver || c.shared[root])
}

// root returns the variable that the expression begins with, and whether a slice, map or pointer lies between the two.
func (c *readCheck) root(e ast.Expr) (root types.Object, indirect bool) {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return c.g.TypesInfo.Uses[x], indirect
		case *ast.ParenExpr:
			e = x.X
		case *ast.StarExpr:
			e, indirect = x.X, true
		case *ast.TypeAssertExpr:
			e = x.X
		case *ast.SliceExpr:
			e, indirect = x.X, true
		case *ast.IndexExpr:
			if t := c.g.TypesInfo.TypeOf(x.X); t != nil {
				if _, array := t.Underlying().(*types.Array); !array {
					indirect = true
				}
			}
			e = x.X
		case *ast.SelectorExpr:
			selection := c.g.TypesInfo.Selections[x]
			if selection == nil || selection.Kind() != types.FieldVal {
				return nil, false
			}
			indirect = indirect || selection.Indirect()
			e = x.X
		case *ast.UnaryExpr:
			if x.Op != token.AND {
				return nil, false
			}
			e = x.X
		case *ast.CallExpr:
			if !c.passes(x) {
				return nil, false
			}
			e = x.Args[0]
		default:
			return nil, false
		}
	}
}

// passes tells whether a call returns what it is given: a conversion, or append.
func (c *readCheck) passes(x *ast.CallExpr) bool {
	if len(x.Args) == 0 {
		return false
	}
	if t, ok := c.g.TypesInfo.Types[x.Fun]; ok && t.IsType() {
		from := c.g.TypesInfo.TypeOf(x.Args[0])
		return from != nil && hasReferences(t.Type) && hasReferences(from) // not string([]byte)
	}
	return c.builtin(x.Fun) == "append" && !isClipped(x.Args[0])
}

// write reports an assignment to a part of the state. A variable that holds a copy of a part may be changed, but not what that refers to.
func (c *readCheck) write(left ast.Expr) {
	root, indirect := c.root(left)
	if root != nil && (root == c.receiver || c.shared[root] && indirect) {
		c.report(left, "assigns to "+types.ExprString(left), "")
	}
}

// writers are functions that change what their first argument refers to.
var writers = map[string]string{
	"slices": "Sort SortFunc SortStableFunc Reverse Insert Delete DeleteFunc Compact CompactFunc Replace AppendSeq",
	"maps":   "Copy DeleteFunc Insert",
	"sort":   "Sort Stable Slice SliceStable Strings Ints Float64s",
}

// call reports calls that change the state.
func (c *readCheck) call(n *ast.CallExpr) {
	switch name := c.builtin(n.Fun); name {
	case "delete", "clear", "copy", "append":
		if len(n.Args) > 0 && c.reaches(n.Args[0]) && !isClipped(n.Args[0]) {
			c.changes(name, n.Args[0])
		}
		return
	}
	fun := n.Fun
	if x, ok := fun.(*ast.IndexExpr); ok {
		fun = x.X // a generic function that is instantiated
	}
	selector, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return
	}
	fn, ok := c.g.TypesInfo.Uses[selector.Sel].(*types.Func)
	if !ok {
		return
	}
	if fn.Signature().Recv() != nil {
		c.methodCall(selector, fn)
		return
	}
	for _, writer := range strings.Fields(writers[fn.Pkg().Path()]) {
		if writer == fn.Name() && len(n.Args) > 0 && c.reaches(n.Args[0]) {
			c.changes(fn.Pkg().Name()+"."+fn.Name(), n.Args[0])
		}
	}
}

// isClipped tells whether the expression is a slice without room behind it, like s[:n:n]: append copies it.
func isClipped(e ast.Expr) bool {
	s, ok := e.(*ast.SliceExpr)
	return ok && s.Slice3 && types.ExprString(s.High) == types.ExprString(s.Max)
}

// builtin is the name of the built-in function, or "".
func (c *readCheck) builtin(fun ast.Expr) string {
	if id, ok := fun.(*ast.Ident); ok {
		if b, ok := c.g.TypesInfo.Uses[id].(*types.Builtin); ok {
			return b.Name()
		}
	}
	return ""
}

// methodCall looks into methods of the state that are called on it.
func (c *readCheck) methodCall(selector *ast.SelectorExpr, fn *types.Func) {
	id, ok := selector.X.(*ast.Ident)
	if !ok || c.g.TypesInfo.Uses[id] != c.receiver || receiverType(fn) != c.read.object.named.Obj() {
		return
	}
	for _, m := range c.read.object.methods {
		if m.fn == fn {
			if !m.read {
				c.report(selector, "calls the update "+m.doc(), "")
			}
			return // a read is checked by itself
		}
	}
	for _, file := range c.g.Syntax {
		for _, decl := range file.Decls {
			if decl, ok := decl.(*ast.FuncDecl); ok && c.g.TypesInfo.Defs[decl.Name] == fn {
				inner := *c
				inner.via = ", which calls " + c.read.object.goName + "." + fn.Name() + ","
				inner.body(decl)
			}
		}
	}
}

func (c *readCheck) changes(function string, arg ast.Expr) {
	text := types.ExprString(arg)
	remedy := ", or pass slices.Clone(" + text + ")"
	if t := c.g.TypesInfo.TypeOf(arg); t != nil {
		if _, ok := t.Underlying().(*types.Map); ok {
			remedy = ", or pass maps.Clone(" + text + ")"
		}
	}
	c.report(arg, "changes "+text+" by "+function, remedy)
}

func (c *readCheck) report(at ast.Expr, does, remedy string) {
	if remedy == "" {
		remedy = ", or change a copy"
	}
	update := "give it a pointer receiver, which makes it an update"
	if c.read.pointer {
		update = "delete " + directivePrefix + "read, which makes it an update"
	}
	c.g.problem(at.Pos(), "read %s%s %s, but what a read changes is never stored, and others read it: %s%s", c.read.doc(), c.via, does, update, remedy)
}
