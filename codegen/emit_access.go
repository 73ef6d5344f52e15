package codegen

import (
	"fmt"
	"go/types"
	"slices"
	"strings"
)

// objectFile returns the generated file of one object.
func (g *generator) objectFile(o *object) File {
	f := g.newSource()
	f.collection(o)
	for _, m := range o.methods {
		f.refMethod(m)
	}
	f.typeVariable(o)
	f.methodsInterface(o)
	f.checkFunc(o)
	for _, m := range o.methods {
		f.methodVariable(m)
	}
	f.structCodec(o.state)
	for _, u := range o.upgrades {
		f.upgradeFunc(o, u)
	}
	return f.file(snake(o.goName) + goSuffix)
}

// prose is a type's name as words of a sentence.
func prose(name string) string { return strings.ReplaceAll(kebab(name), "-", " ") }

// collection writes the types through which the object's users reach it.
func (f *source) collection(o *object) {
	id := "string"
	if o.id != nil {
		id = f.typ(o.id)
	}
	collection, ref := o.idents.collection, o.idents.ref
	f.p("// %s returns the objects of type [%s], as seen through a node. It does no I/O.", o.plural, o.goName)
	f.p("func %s(n %s) %s {\nreturn %[3]s{%s[%s](&%s, n)}\n}\n", o.plural, f.object("Node"), collection, f.object("On"), id, o.idents.typ)
	f.p("// %s %s is all objects of type [%s]. Its other methods are those of [object.Collection].", strings.ToUpper(article(collection)[:1])+article(collection)[1:], collection, o.goName)
	f.p("type %s struct {\n%s[%s, %s]\n}\n", collection, f.object("Collection"), o.goName, id)
	if len(o.methods) == 0 {
		return
	}
	f.p("// Ref names one %s, to call its methods. It need not exist.", prose(o.goName))
	f.p("func (c %s) Ref(id %s) %s {\nreturn %[3]s{c.Collection.Ref(id)}\n}\n", collection, id, ref)
	f.p("// %s %s names one object of type [%s]. It is a value.", strings.ToUpper(article(ref)[:1])+article(ref)[1:], ref, o.goName)
	f.p("type %s struct {\nref %s[%s]\n}\n", ref, f.object("Ref"), o.goName)
}

// A call is the names of variables in the reference's method.
type call struct {
	scope    scope
	receiver string
	ctx      string
	args     []string
	results  []string
	err      string
}

// newCall picks the names: the user's own, as far as they hide nothing that is used.
func (f *source) newCall(m *method) call {
	s := f.g.taken(f.imports)
	for _, name := range []string{"context", "codec", "object", "slices", "maps", "time", "i", "j", "k"} {
		s[name] = true
	}
	c := call{scope: s}
	for _, field := range m.args.fields {
		c.args = append(c.args, s.pick(field.name, field.name+"Arg"))
	}
	for _, field := range m.results.fields {
		c.results = append(c.results, s.pick(field.name, field.name+"Result"))
	}
	c.ctx = s.pick("ctx", "callContext")
	c.err = s.pick("err", "callErr")
	c.receiver = s.pick("r", "ref", "self")
	return c
}

// refMethod writes the method of the reference that calls the object's.
func (f *source) refMethod(m *method) {
	params := append([]string{f.in("context", "Context")}, f.types(m.args)...)
	results := append(f.types(m.results), "error")
	c := f.newCall(m) // when all that the signature imports is known
	kind := "an update, durable when it returns"
	if m.read {
		kind = "a read, answered from memory there"
	}
	f.p("// %s calls [%s] at the object's owner: %s.", m.name, m.doc(), kind)
	f.p("func (%s %s) %s(%s) %s {", c.receiver, m.object.idents.ref, m.name, declare(append([]string{c.ctx}, c.args...), params), f.results(m, c, results))
	if m.read {
		f.readHere(m, c)
	}
	f.callOwner(m, c)
	f.p("}\n")
}

// results returns the reference's results: those of the method, and an error. They have names where the user gave them some, or code needs them.
func (f *source) results(m *method, c call, types []string) string {
	named := m.read
	for v := range m.fn.Signature().Results().Variables() {
		named = named || v.Name() != "" && v.Name() != "_" && m.results.uses(v.Name())
	}
	switch {
	case named:
		return "(" + declare(append(slices.Clip(c.results), c.err), types) + ")"
	case len(types) == 1:
		return "error"
	}
	return "(" + strings.Join(types, ", ") + ")"
}

// types returns the types of a struct's fields.
func (f *source) types(s *structType) []string {
	var types []string
	for _, field := range s.fields {
		types = append(types, f.typ(field.form.typ))
	}
	return types
}

// declare returns a list of parameters: those of one type that follow one another name it once.
func declare(names, types []string) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name)
		if i+1 == len(names) || types[i] != types[i+1] {
			b.WriteString(" " + types[i])
		}
	}
	return b.String()
}

func (s *structType) uses(name string) bool {
	return slices.ContainsFunc(s.fields, func(f *field) bool { return f.name == name })
}

// readHere writes the call on the committed state in this process's memory, where it is there.
func (f *source) readHere(m *method, c call) {
	reading := c.scope.pick("reading", "readingHere")
	state := c.scope.pick(m.object.letter(), "state")
	f.p("var %s %s", reading, f.object("Reading"))
	f.p("if %s := %s.ref.Read(%s, &%s, %q); %[1]s != nil {", state, c.receiver, c.ctx, reading, m.name)
	f.p("defer %s.End(&%s)", reading, c.err)
	args := []string{"*" + state, "&" + reading}
	fn := m.object.goName + "." + m.name // does not compile when the receiver becomes a pointer
	if m.pointer {
		args[0] = state
		fn = "(*" + m.object.goName + ")." + m.name
	}
	for i, field := range m.args.fields {
		args = append(args, f.copyOf(field.form, c.args[i]))
	}
	run := fmt.Sprintf("%s(%s)", fn, strings.Join(args, ", "))
	var zeros []string
	flat := true
	for _, field := range m.results.fields {
		zeros = append(zeros, f.zero(field.form.typ))
		flat = flat && field.form.flat()
	}
	switch {
	case len(c.results) == 0 && m.hasError:
		f.p("return %s", run)
	case len(c.results) == 0:
		f.p("%s\nreturn nil", run)
	case !m.hasError && flat && len(c.results) == 1:
		f.p("return %s, nil", run)
	case !m.hasError:
		f.p("%s = %s", strings.Join(c.results, ", "), run)
		f.p("return %s, nil", f.copies(m.results, c.results))
	default:
		f.p("%s, %s = %s", strings.Join(c.results, ", "), c.err, run)
		f.p("if %s != nil {\nreturn %s, %[1]s\n}", c.err, strings.Join(zeros, ", "))
		f.p("return %s, nil", f.copies(m.results, c.results))
	}
	f.p("}")
}

// copies returns expressions for copies of variables.
func (f *source) copies(s *structType, variables []string) string {
	var copies []string
	for i, field := range s.fields {
		copies = append(copies, f.copyOf(field.form, variables[i]))
	}
	return strings.Join(copies, ", ")
}

// copyOf returns an expression for a copy of the variable. An array is copied where it is, by statements: it shares only what its elements refer to.
func (f *source) copyOf(form *form, variable string) string {
	if form.kind == arrayKind && !form.flat() {
		f.p("%s", f.cloneStmt(form, variable, "0", 0))
		return variable
	}
	return f.cloneExpr(form, variable, "0")
}

// callOwner writes the call at the object's owner, wherever it is.
func (f *source) callOwner(m *method, c call) {
	run := fmt.Sprintf("%s.Call(%s, %s.ref, %s)", m.variable, c.ctx, c.receiver, f.tupleOf(m.args, c.args))
	switch len(c.results) {
	case 0:
		assign := ":="
		if m.read {
			assign = "=" // err is a result with a name
		}
		f.p("_, %s %s %s\nreturn %[1]s", c.err, assign, run)
	default:
		results := c.scope.pick("results", "called")
		var values []string
		for _, field := range m.results.fields {
			values = append(values, results+"."+field.name)
		}
		f.p("%s, %s := %s\nreturn %s, %[2]s", results, c.err, run, strings.Join(values, ", "))
	}
}

// tupleOf returns the arguments or results as one value.
func (f *source) tupleOf(s *structType, values []string) string {
	if s.empty() {
		return f.object("None") + "{}"
	}
	return s.name + "{" + strings.Join(values, ", ") + "}"
}

// tupleType returns its type.
func (f *source) tupleType(s *structType) string {
	if s.empty() {
		return f.object("None")
	}
	return s.name
}

// zero returns the zero value of a type.
func (f *source) zero(t types.Type) string {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		switch {
		case u.Info()&types.IsBoolean != 0:
			return "false"
		case u.Info()&types.IsString != 0:
			return `""`
		default:
			return "0"
		}
	case *types.Struct, *types.Array:
		return f.typ(t) + "{}"
	}
	return "nil"
}
