package codegen

import (
	"fmt"
	"go/types"
	"strings"
)

// scalars are the parts of the names of codec's functions for kinds that have one each.
var scalars = map[kind]string{
	boolKind: "Bool", intKind: "Int", uintKind: "Uint", float32Kind: "Float32", float64Kind: "Float64", stringKind: "String", bytesKind: "Bytes",
}

// structCodec writes the functions of a struct that are needed.
func (f *source) structCodec(s *structType) {
	f.fallbackFunc(s)
	f.appendFunc(s)
	f.readFunc(s)
	f.cloneFunc(s)
	f.shapeFunc(s)
}

// structName is the struct's type as the file names it.
func (f *source) structName(s *structType) string {
	if s.named == nil {
		return s.name
	}
	return f.typ(s.named)
}

// fallbackFunc writes the function that returns the struct with its defaults.
func (f *source) fallbackFunc(s *structType) {
	if s.funcs.fallback == "" {
		return
	}
	name := f.structName(s)
	f.p("// %s returns %s %s with the defaults of its tags.", s.funcs.fallback, article(name), name)
	f.p("func %s() %s {", s.funcs.fallback, name)
	var fields, arrays []string
	for _, field := range s.fields {
		switch {
		case field.fallback != "":
			if strings.Contains(field.fallback, "time.") {
				f.pkg("time", "")
			}
			fields = append(fields, field.name+": "+field.fallback)
		case field.form.kind == structKind && field.form.hasDefaults():
			fields = append(fields, field.name+": "+field.form.named.funcs.fallback+"()")
		case field.form.hasDefaults():
			arrays = append(arrays, fallbackStmt(field.form, "v."+field.name, 0))
		}
	}
	if len(arrays) == 0 {
		f.p("return %s\n}\n", literal(name, fields))
		return
	}
	f.p("v := %s\n%s\nreturn v\n}\n", literal(name, fields), strings.Join(arrays, "\n"))
}

// fallbackStmt returns the statement that gives the structs in an array their defaults. nested is the number of loops around it.
func fallbackStmt(form *form, v string, nested int) string {
	if form.kind == structKind {
		return fmt.Sprintf("%s = %s()", v, form.named.funcs.fallback)
	}
	i := string(rune('i' + nested))
	return fmt.Sprintf("for %s := range %s {\n%s\n}", i, v, fallbackStmt(form.elem, v+"["+i+"]", nested+1))
}

// literal returns a composite literal: on one line, if that is not long.
func literal(name string, fields []string) string {
	text := name + "{" + strings.Join(fields, ", ") + "}"
	if len(text) > 100 || strings.Contains(text, "\n") {
		text = name + "{\n" + strings.Join(fields, ",\n") + ",\n}"
	}
	return text
}

// appendFunc writes the function that encodes the struct.
func (f *source) appendFunc(s *structType) {
	if s.funcs.append == "" {
		return
	}
	depth := "0"
	if s.recursive {
		depth = "depth"
		f.p("func %s(b []byte, v %s, depth int) []byte {", s.funcs.append, f.structName(s))
		f.p("depth = %s(depth)", f.codec("Deeper"))
	} else {
		f.p("func %s(b []byte, v %s) []byte {", s.funcs.append, f.structName(s))
	}
	lines := []string{fmt.Sprintf("b = %s(b, %d)", f.codec("AppendArray"), len(s.slots))}
	for _, slot := range s.slots {
		if slot.field == nil {
			lines = append(lines, fmt.Sprintf("b = %s(b)", f.codec("AppendNil")))
			continue
		}
		lines = append(lines, f.appendStmts(slot.field.form, "v."+slot.field.name, depth, 0)...)
	}
	f.p("%s\n}\n", returning(lines))
}

// returning joins statements that end with one that sets b, and returns b.
func returning(lines []string) string {
	last := len(lines) - 1
	if expr, ok := strings.CutPrefix(lines[last], "b = "); ok {
		lines[last] = "return " + expr
	} else {
		lines = append(lines, "return b")
	}
	return strings.Join(lines, "\n")
}

// appendStmts returns the statements that encode v. nested is the number of loops around them.
func (f *source) appendStmts(form *form, v, depth string, nested int) []string {
	if form.kind != arrayKind {
		return []string{"b = " + f.appendExpr(form, v, depth)}
	}
	if form.byteArray() {
		return []string{fmt.Sprintf("b = %s(b, %s[:])", f.codec("AppendBytes"), v)}
	}
	i := string(rune('i' + nested))
	elem := f.appendStmts(form.elem, v+"["+i+"]", depth, nested+1)
	return []string{
		fmt.Sprintf("b = %s(b, len(%s))", f.codec("AppendArray"), v),
		fmt.Sprintf("for %s := range %s {\n%s\n}", i, v, strings.Join(elem, "\n")),
	}
}

// appendExpr returns the expression that encodes v, which is not an array.
func (f *source) appendExpr(form *form, v, depth string) string {
	switch form.kind {
	case timeKind:
		if !isTime(form.typ) {
			v = f.in("time", "Time") + "(" + v + ")"
		}
		return fmt.Sprintf("%s(b, %s)", f.codec("AppendTime"), v)
	case binaryKind, textKind:
		if form.marshalPtr {
			v = "&" + v
		}
		return fmt.Sprintf("%s(b, %s)", f.codec("Append"+marshalers[form.kind]), v)
	case sliceKind:
		return fmt.Sprintf("%s(b, %s, %s)", f.codec("AppendSlice"), v, f.appender(form.elem, depth))
	case mapKind:
		return fmt.Sprintf("%s(b, %s, %s, %s)", f.codec("AppendMap"), v, f.appender(form.key, depth), f.appender(form.elem, depth))
	case pointerKind:
		return fmt.Sprintf("%s(b, %s, %s)", f.codec("AppendPointer"), v, f.appender(form.elem, depth))
	case structKind:
		if form.named.recursive {
			return fmt.Sprintf("%s(b, %s, %s)", form.named.funcs.append, v, depth)
		}
		return fmt.Sprintf("%s(b, %s)", form.named.funcs.append, v)
	}
	return fmt.Sprintf("%s(b, %s)", f.codec("Append"+scalars[form.kind]), v)
}

var marshalers = map[kind]string{binaryKind: "Binary", textKind: "Text"}

// appender returns a func([]byte, T) []byte.
func (f *source) appender(form *form, depth string) string {
	if name, ok := scalars[form.kind]; ok {
		return f.codec("Append" + name)
	}
	if form.kind == timeKind && isTime(form.typ) {
		return f.codec("AppendTime")
	}
	if form.kind == structKind && !form.named.recursive {
		return form.named.funcs.append
	}
	if name, ok := marshalers[form.kind]; ok && !form.marshalPtr {
		return f.codec("Append" + name)
	}
	return fmt.Sprintf("func(b []byte, v %s) []byte {\n%s\n}", f.typ(form.typ), returning(f.appendStmts(form, "v", depth, 0)))
}

// byteArray tells whether the form is an array of bytes, which is encoded as bytes.
func (form *form) byteArray() bool {
	a, ok := form.typ.Underlying().(*types.Array)
	return form.kind == arrayKind && ok && types.Identical(a.Elem(), types.Typ[types.Byte])
}

// readFunc writes the function that decodes the struct.
func (f *source) readFunc(s *structType) {
	if s.funcs.read == "" {
		return
	}
	if s.old {
		f.p("// %s reads what was a %s in older states.", s.funcs.read, s.of)
	}
	f.p("func %s(r *%s, v *%s) {", s.funcs.read, f.codec("Reader"), f.structName(s))
	if s.recursive {
		f.p("if !r.Enter() {\nreturn\n}\ndefer r.Leave()")
	}
	if s.funcs.fallback != "" {
		f.p("*v = %s()", s.funcs.fallback)
	}
	f.p("for i := range r.Fields() {\nswitch i {")
	for i, slot := range s.slots {
		if slot.field != nil {
			f.p("case %d:\n%s", i, f.readStmt(slot.field.form, "&v."+slot.field.name, "v."+slot.field.name))
		}
	}
	f.p("default:\nr.Skip()\n}\n}\n}\n")
}

// readStmt returns the statement that decodes into a place, given its address and its name.
func (f *source) readStmt(form *form, addr, name string) string {
	switch form.kind {
	case timeKind:
		if !isTime(form.typ) {
			addr = "(*" + f.in("time", "Time") + ")(" + addr + ")"
		}
		return fmt.Sprintf("%s(r, %s)", f.codec("ReadTime"), addr)
	case binaryKind, textKind:
		return fmt.Sprintf("%s(r, %s)", f.codec("Read"+marshalers[form.kind]), addr)
	case arrayKind:
		if form.byteArray() {
			return fmt.Sprintf("%s(r, %s[:])", f.codec("ReadByteArray"), name)
		}
		return fmt.Sprintf("%s(r, %s[:], %s)", f.codec("ReadArray"), name, f.reader(form.elem))
	case sliceKind:
		return fmt.Sprintf("%s(r, %s, %s)", f.codec("ReadSlice"), addr, f.reader(form.elem))
	case mapKind:
		return fmt.Sprintf("%s(r, %s, %s, %s)", f.codec("ReadMap"), addr, f.reader(form.key), f.reader(form.elem))
	case pointerKind:
		if form.hasName() { // functions of codec take pointers as such
			addr = "(**" + f.typ(form.elem.typ) + ")(" + addr + ")"
		}
		return fmt.Sprintf("%s(r, %s, %s)", f.codec("ReadPointer"), addr, f.reader(form.elem))
	case structKind:
		return fmt.Sprintf("%s(r, %s)", form.named.funcs.read, addr)
	}
	return fmt.Sprintf("%s(r, %s)", f.codec("Read"+scalars[form.kind]), addr)
}

// reader returns a func(*codec.Reader, *T).
func (f *source) reader(form *form) string {
	if name, ok := scalars[form.kind]; ok {
		return f.codec("Read" + name)
	}
	if form.kind == timeKind && isTime(form.typ) {
		return f.codec("ReadTime")
	}
	if form.kind == structKind {
		return form.named.funcs.read
	}
	return fmt.Sprintf("func(r *%s, v *%s) {\n%s\n}", f.codec("Reader"), f.typ(form.typ), f.readStmt(form, "v", "v"))
}

// shapeFunc writes the function that says where values of the struct contain other structs.
func (f *source) shapeFunc(s *structType) {
	if s.funcs.shape == "" {
		return
	}
	var fields []string
	for _, slot := range s.slots {
		switch {
		case slot.field != nil:
			fields = append(fields, f.shape(slot.field.form))
		case slot.until:
			fields = append(fields, f.codec("Leaf"))
		default:
			fields = append(fields, f.codec("Unknown"))
		}
	}
	f.p("func %s() %s {\nreturn %s(%s)\n}\n", s.funcs.shape, f.codec("Shape"), f.codec("StructOf"), wrap(fields))
}

// wrap joins arguments, in lines that are not long.
func wrap(args []string) string {
	var b strings.Builder
	line := 0
	for i, arg := range args {
		switch {
		case i > 0 && line+len(arg) > 100:
			b.WriteString(",\n")
			line = 0
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(arg)
		line += len(arg) + 2
	}
	return b.String()
}

// shape returns a func() codec.Shape.
func (f *source) shape(form *form) string {
	switch form.kind {
	case structKind:
		return form.named.funcs.shape
	case pointerKind:
		return f.shape(form.elem)
	case sliceKind:
		if inner := f.shape(form.elem); inner != f.codec("Leaf") {
			return fmt.Sprintf("%s(%s)", f.codec("SliceOf"), inner)
		}
	case arrayKind: // its elements have their places, as the fields of a struct have
		if inner := f.shape(form.elem); inner != f.codec("Leaf") {
			length := form.length()
			return fmt.Sprintf("func() %s {\nreturn %s(%s([]func() %[1]s{%[4]s}, %[5]d)...)\n}",
				f.codec("Shape"), f.codec("StructOf"), f.in("slices", "Repeat"), inner, length)
		}
	case mapKind:
		if inner := f.shape(form.elem); inner != f.codec("Leaf") {
			return fmt.Sprintf("%s(%s)", f.codec("MapOf"), inner)
		}
	}
	return f.codec("Leaf")
}

// codecOf returns the object.Codec of a struct: for states with its shape.
func (f *source) codecOf(s *structType) string {
	form := &form{kind: structKind, named: s}
	if s.named != nil {
		form.typ = s.named
	}
	parts := []string{"Append: " + f.appender(form, "0"), "Read: " + s.funcs.read}
	if s.funcs.clone != "" {
		parts = append(parts, "Clone: "+f.cloner(form, "0"))
	}
	if s.object != nil {
		parts = append(parts, "Shape: "+s.funcs.shape)
	}
	return literal(f.object("Codec")+"["+f.structName(s)+"]", parts)
}
