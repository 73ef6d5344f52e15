package codegen

import (
	"fmt"
	"strings"
)

// typeVariable writes the object.Type.
func (f *source) typeVariable(o *object) {
	f.p("var %s = %s[%s]{", o.idents.typ, f.object("Type"), o.goName)
	f.p("Name: %q,", o.name)
	if o.state.funcs.fallback != "" {
		f.p("Default: %s,", o.state.funcs.fallback)
	}
	if o.init {
		f.p("Init: func(s *%s, ctx %s) error { return %s(s).Init(ctx) },", o.goName, f.in("context", "Context"), o.idents.methods)
	}
	if len(o.methods) > 0 {
		var methods []string
		for _, m := range o.methods {
			methods = append(methods, "&"+m.variable)
		}
		list := strings.Join(methods, ", ")
		if len(list) > 80 {
			list = "\n" + strings.Join(methods, ",\n") + ",\n"
		}
		f.p("Methods: []%s[%s]{%s},", f.object("Method"), o.goName, list)
	}
	f.p("Layout: %d,", o.layout)
	if len(o.upgrades) > 0 {
		var upgrades []string
		for _, u := range o.upgrades {
			upgrades = append(upgrades, fmt.Sprintf("{From: %d, Read: %s}", u.from, u.read))
		}
		f.p("Upgrades: []%s[%s]{%s},", f.object("Upgrade"), o.goName, strings.Join(upgrades, ", "))
	}
	f.p("Codec: %s,", f.codecOf(o.state))
	if o.hasUpdates() {
		f.p("Check: %s,", o.idents.check)
	}
	f.p("}\n")
}

func (o *object) hasUpdates() bool {
	for _, m := range o.methods {
		if !m.read {
			return true
		}
	}
	return false
}

// methodsInterface writes the interface through which the variables call the user's methods. Were they to call them directly, a method that uses
// the collection, as methods do that call other objects, would be an initialization cycle.
func (f *source) methodsInterface(o *object) {
	if len(o.methods) == 0 && !o.init {
		return
	}
	f.p("// %s are the methods of [%s]. The variables below call them through it: a method may itself refer to these", o.idents.methods, o.goName)
	f.p("// variables, when it calls other objects, and Go allows no variable that refers to itself.")
	f.p("type %s interface {", o.idents.methods)
	if o.init {
		f.p("Init(ctx %s) error", f.in("context", "Context"))
	}
	for _, m := range o.methods {
		f.p("%s%s", m.name, f.signature(m))
	}
	f.p("}\n")
}

// signature returns what follows the method's name, as the user wrote it.
func (f *source) signature(m *method) string {
	sig := m.fn.Signature()
	var params, results []string
	for v := range sig.Params().Variables() {
		params = append(params, f.typ(v.Type()))
	}
	for v := range sig.Results().Variables() {
		results = append(results, f.typ(v.Type()))
	}
	text := "(" + strings.Join(params, ", ") + ")"
	switch len(results) {
	case 0:
		return text
	case 1:
		return text + " " + results[0]
	}
	return text + " (" + strings.Join(results, ", ") + ")"
}

// checkFunc writes the function that notices an update whose receiver is no pointer any more, which the compiler does not: pointers have the methods of values.
func (f *source) checkFunc(o *object) {
	if !o.hasUpdates() {
		return
	}
	f.p("// %s notices an update that has lost its pointer receiver since this was generated: it would change a copy.", o.idents.check)
	f.p("func %s() error {", o.idents.check)
	f.p("switch any(%s{}).(type) {", o.goName)
	for _, m := range o.methods {
		if !m.read {
			f.p("case interface{ %s%s }:", m.name, f.signature(m))
			f.p("return %s(%q)", f.in("errors", "New"), fmt.Sprintf("%s has become a read, as its receiver is no pointer any more: run go generate", m.doc()))
		}
	}
	f.p("}\nreturn nil\n}\n")
}

// methodVariable writes the object.UpdateMethod or object.ReadMethod, and the structs that carry its arguments and results.
func (f *source) methodVariable(m *method) {
	kind := "UpdateMethod"
	if m.read {
		kind = "ReadMethod"
	}
	args, results := f.tupleType(m.args), f.tupleType(m.results)
	f.p("var %s = %s[%s, %s, %s]{", m.variable, f.object(kind), m.object.goName, args, results)
	f.p("Name: %q,", m.name)
	f.p("Run: %s,", f.runFunc(m, args, results))
	for _, part := range []struct {
		name  string
		tuple *structType
	}{{"Args", m.args}, {"Results", m.results}} {
		if !part.tuple.empty() {
			f.p("%s: %s,", part.name, f.codecOf(part.tuple))
		}
	}
	f.p("}\n")
	for _, tuple := range []*structType{m.args, m.results} {
		if !tuple.empty() {
			f.p("type %s struct {", tuple.name)
			for _, field := range tuple.fields {
				f.p("%s %s", field.name, f.typ(field.form.typ))
			}
			f.p("}\n")
			f.structCodec(tuple)
		}
	}
}

// runFunc returns the function literal that calls the user's method.
func (f *source) runFunc(m *method, args, results string) string {
	s := universe()
	for _, name := range []string{"ctx", "args", "err"} {
		s[name] = true
	}
	for name := range f.g.idents {
		s[name] = true
	}
	state := s.pick(m.object.letter(), "state")
	argsName := "args"
	if m.args.empty() {
		argsName = "_"
	}
	call := []string{"ctx"}
	for _, field := range m.args.fields {
		call = append(call, "args."+field.name)
	}
	run := fmt.Sprintf("%s(%s).%s(%s)", m.object.idents.methods, state, m.name, strings.Join(call, ", "))
	var names []string
	for _, field := range m.results.fields {
		names = append(names, s.pick(field.name, field.name+"Result"))
	}
	var body string
	switch {
	case len(names) == 0 && m.hasError:
		body = fmt.Sprintf("return %s{}, %s", results, run)
	case len(names) == 0:
		body = fmt.Sprintf("%s\nreturn %s{}, nil", run, results)
	case !m.hasError && len(names) == 1:
		body = fmt.Sprintf("return %s{%s}, nil", results, run)
	case !m.hasError:
		body = fmt.Sprintf("%s := %s\nreturn %s{%[1]s}, nil", strings.Join(names, ", "), run, results)
	default:
		body = fmt.Sprintf("%s, err := %s\nreturn %s{%[1]s}, err", strings.Join(names, ", "), run, results)
	}
	return fmt.Sprintf("func(ctx %s, %s *%s, %s %s) (%s, error) {\n%s\n}", f.in("context", "Context"), state, m.object.goName, argsName, args, results, body)
}

// upgradeFunc writes the function that reads a state of an older layout.
func (f *source) upgradeFunc(o *object, u *upgrade) {
	f.p("// %s reads a state of layout %d, with [%s].", u.read, u.from, u.fn.Name())
	f.p("func %s(r *%s, v *%s) error {", u.read, f.codec("Reader"), o.goName)
	f.p("var old %s\n%s(r, &old)", f.typ(u.old.named), u.old.funcs.read)
	f.p("if err := r.Err(); err != nil {\nreturn err\n}")
	if u.hasError {
		f.p("state, err := %s(old)\n*v = state\nreturn err\n}\n", u.fn.Name())
	} else {
		f.p("*v = %s(old)\nreturn nil\n}\n", u.fn.Name())
	}
}
