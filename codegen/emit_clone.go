package codegen

import (
	"fmt"
)

// cloneFunc writes the function that copies the struct: its argument is a copy already, but for what it refers to.
func (f *source) cloneFunc(s *structType) {
	if s.funcs.clone == "" {
		return
	}
	depth, name := "0", f.structName(s)
	if s.recursive {
		depth = "depth"
		f.p("func %s(v %s, depth int) %[2]s {", s.funcs.clone, name)
		f.p("depth = %s(depth)", f.codec("Deeper"))
	} else {
		f.p("func %s(v %s) %[2]s {", s.funcs.clone, name)
	}
	if s.hidden {
		var parts []string
		for _, field := range s.fields {
			parts = append(parts, fmt.Sprintf("%s: v.%[1]s", field.name))
		}
		f.p("v = %s // without unexported fields", literal(name, parts))
	}
	for _, field := range s.fields {
		if !field.form.flat() {
			f.p("%s", f.cloneStmt(field.form, "v."+field.name, depth, 0))
		}
	}
	f.p("return v\n}\n")
}

// cloneStmt returns the statement that makes v, which is not flat, a copy. nested is the number of loops around it.
func (f *source) cloneStmt(form *form, v, depth string, nested int) string {
	if form.kind != arrayKind {
		return v + " = " + f.cloneExpr(form, v, depth)
	}
	i := string(rune('i' + nested))
	return fmt.Sprintf("for %s := range %s {\n%s\n}", i, v, f.cloneStmt(form.elem, v+"["+i+"]", depth, nested+1))
}

// cloneExpr returns an expression for a copy of v, which is no array: v itself if it is flat.
func (f *source) cloneExpr(form *form, v, depth string) string {
	if form.flat() {
		return v
	}
	switch form.kind {
	case bytesKind:
		return fmt.Sprintf("%s(%s)", f.in("slices", "Clone"), v)
	case sliceKind:
		if form.elem.flat() {
			return fmt.Sprintf("%s(%s)", f.in("slices", "Clone"), v)
		}
		return fmt.Sprintf("%s(%s, %s)", f.codec("CloneSlice"), v, f.cloner(form.elem, depth))
	case mapKind:
		if form.elem.flat() {
			return fmt.Sprintf("%s(%s)", f.in("maps", "Clone"), v)
		}
		return fmt.Sprintf("%s(%s, %s)", f.codec("CloneMap"), v, f.cloner(form.elem, depth))
	case pointerKind:
		if form.elem.flat() {
			return fmt.Sprintf("%s(%s)", f.codec("CloneFlat"), v)
		}
		return fmt.Sprintf("%s(%s, %s)", f.codec("ClonePointer"), v, f.cloner(form.elem, depth))
	case structKind:
		if form.named.recursive {
			return fmt.Sprintf("%s(%s, %s)", form.named.funcs.clone, v, depth)
		}
		return fmt.Sprintf("%s(%s)", form.named.funcs.clone, v)
	case binaryKind, textKind:
		if form.clone == byCloneMethod {
			return v + ".Clone()"
		}
	}
	return fmt.Sprintf("%s(%s)", f.codec("Clone"+marshalers[form.kind]), v)
}

// cloner returns a func(T) T for a form that is not flat.
func (f *source) cloner(form *form, depth string) string {
	if form.kind == structKind && !form.named.recursive {
		return form.named.funcs.clone
	}
	t := f.typ(form.typ)
	switch {
	case form.kind == bytesKind || form.kind == sliceKind && form.elem.flat():
		return f.in("slices", "Clone")
	case form.kind == mapKind && form.elem.flat():
		return f.in("maps", "Clone")
	case form.kind == pointerKind && form.elem.flat() && !form.hasName():
		return f.codec("CloneFlat")
	case marshalers[form.kind] != "" && form.clone == byMarshaler:
		return f.codec("Clone" + marshalers[form.kind])
	case form.kind == arrayKind:
		return fmt.Sprintf("func(v %s) %[1]s {\n%s\nreturn v\n}", t, f.cloneStmt(form, "v", depth, 0))
	}
	return fmt.Sprintf("func(v %s) %[1]s {\nreturn %s\n}", t, f.cloneExpr(form, "v", depth))
}
