package codegen

import (
	"fmt"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// A kind is a way to encode values.
type kind int

const (
	boolKind kind = iota
	intKind
	uintKind
	float32Kind
	float64Kind
	stringKind
	bytesKind
	timeKind
	binaryKind // by encoding.BinaryMarshaler
	textKind   // by encoding.TextMarshaler
	arrayKind
	sliceKind
	mapKind
	pointerKind
	structKind
)

// A form says how values of a type are encoded and copied.
type form struct {
	kind  kind
	typ   types.Type
	key   *form       // of maps
	elem  *form       // of arrays, slices, maps and pointers
	named *structType // of structs

	clone      cloning // of types with marshalers
	marshaler  string  // their name in locks
	marshalPtr bool    // the marshaler has a pointer receiver
}

// A place is where a type stands in the user's source, for messages.
type place struct {
	pos    token.Pos
	what   string     // "field Todos of List"
	remedy string     // for what cannot be encoded at all
	named  types.Type // the type, if it has a name of its own that its underlying type lacks
}

const (
	unexport = "unexport the field, which is then neither stored nor copied"
	passElse = "pass something that can be"
)

// form returns how values of the type are encoded, or nil, with a problem reported, if they cannot be.
func (g *generator) form(t types.Type, at place) *form {
	t = types.Unalias(t)
	if named, ok := t.(*types.Named); ok {
		return g.namedForm(named, at)
	}
	return g.plainForm(t, at)
}

func (g *generator) namedForm(t *types.Named, at place) *form {
	if isTime(t) {
		return &form{kind: timeKind, typ: t}
	}
	if !g.isMarked(t) {
		if f := g.marshaled(t); f != nil {
			return g.accessible(f, t, at)
		}
	}
	if isTimeStruct(t.Underlying()) {
		return g.accessible(&form{kind: timeKind, typ: t}, t, at)
	}
	if _, ok := t.Underlying().(*types.Struct); ok {
		if t.TypeArgs().Len() > 0 || t.TypeParams().Len() > 0 {
			g.problem(at.pos, "%s has the generic type %s, for which no codec can be named: declare a type for it, as in type Name %[2]s", at.what, g.typeName(t))
			return nil
		}
		s := g.structType(t, at)
		if s == nil {
			return nil
		}
		return g.accessible(&form{kind: structKind, typ: t, named: s}, t, at)
	}
	if g.open[t.Obj()] {
		g.problem(at.pos, "%s has type %s, which contains itself without a struct in between: make it a struct with a field", at.what, g.typeName(t))
		return nil
	}
	g.open[t.Obj()] = true
	defer delete(g.open, t.Obj())
	at.named = t
	f := g.plainForm(t.Underlying(), at)
	if f == nil {
		return nil
	}
	named := *f
	named.typ = t
	return g.accessible(&named, t, at)
}

// plainForm is the form of a type without a name.
func (g *generator) plainForm(t types.Type, at place) *form {
	switch t := t.(type) {
	case *types.Basic:
		return g.basicForm(t, at)
	case *types.Slice:
		if types.Identical(t.Elem(), types.Typ[types.Byte]) {
			return &form{kind: bytesKind, typ: t}
		}
		return g.composite(sliceKind, t, t.Elem(), at)
	case *types.Array:
		return g.composite(arrayKind, t, t.Elem(), at)
	case *types.Pointer:
		return g.pointerForm(t, at)
	case *types.Map:
		return g.mapForm(t, at)
	case *types.Chan:
		g.refuse(t, "a channel", at)
	case *types.Signature:
		g.refuse(t, "a function", at)
	case *types.Interface:
		at.remedy = "use a concrete type, or " + at.remedy
		g.refuse(t, "an interface", at)
	case *types.Struct:
		if t.NumFields() == 0 {
			g.problem(at.pos, "%s contains struct{}, which has nothing to store: use bool", at.what)
		} else {
			g.problem(at.pos, "%s has a struct type without a name, whose fields could not keep their positions: declare a type for it", at.what)
		}
	case *types.TypeParam:
		g.problem(at.pos, "%s has the type parameter %s as its type: use a concrete type", at.what, t)
	default:
		g.refuse(t, "of a kind that objgen does not know", at)
	}
	return nil
}

// refuse reports a type that cannot be encoded.
func (g *generator) refuse(t types.Type, what string, at place) {
	if at.named != nil {
		t = at.named
	}
	g.problem(at.pos, "%s cannot be encoded, it is %s (%s): %s", at.what, what, g.typeName(t), at.remedy)
}

func (g *generator) basicForm(t *types.Basic, at place) *form {
	switch t.Kind() {
	case types.Bool:
		return &form{kind: boolKind, typ: t}
	case types.Int, types.Int8, types.Int16, types.Int32, types.Int64:
		return &form{kind: intKind, typ: t}
	case types.Uint, types.Uint8, types.Uint16, types.Uint32, types.Uint64:
		return &form{kind: uintKind, typ: t}
	case types.Float32:
		return &form{kind: float32Kind, typ: t}
	case types.Float64:
		return &form{kind: float64Kind, typ: t}
	case types.String:
		return &form{kind: stringKind, typ: t}
	case types.Complex64, types.Complex128:
		at.remedy = "use two floats"
		g.refuse(t, "a complex number", at)
	case types.Uintptr:
		at.remedy = "use uint64"
		g.refuse(t, "an address of this process", at)
	case types.UnsafePointer:
		g.refuse(t, "an address of this process", at)
	case types.Invalid:
		g.problem(at.pos, "%s has a type that is not valid: %s", at.what, g.whyInvalid(at.pos))
	default:
		g.refuse(t, "of a kind that objgen does not know", at)
	}
	return nil
}

func (g *generator) composite(k kind, t, elem types.Type, at place) *form {
	at.named = nil
	e := g.form(elem, at)
	if e == nil {
		return nil
	}
	return &form{kind: k, typ: t, elem: e}
}

func (g *generator) pointerForm(t *types.Pointer, at place) *form {
	switch t.Elem().Underlying().(type) {
	case *types.Pointer, *types.Slice, *types.Map:
		if named, ok := types.Unalias(t.Elem()).(*types.Named); !ok || g.marshaled(named) == nil {
			g.problem(at.pos, "%s has type %s, whose nil and whose pointer to nil would be encoded alike: use %s", at.what, g.typeName(t), g.typeName(t.Elem()))
			return nil
		}
	}
	return g.composite(pointerKind, t, t.Elem(), at)
}

func (g *generator) mapForm(t *types.Map, at place) *form {
	basic, ok := t.Key().Underlying().(*types.Basic)
	if ok && basic.Kind() == types.Invalid {
		g.basicForm(basic, at)
		return nil
	}
	if !ok || basic.Info()&types.IsOrdered == 0 || basic.Kind() == types.Uintptr {
		g.problem(at.pos, "%s has type %s, whose keys have no order: use keys that are strings, integers or floats", at.what, g.typeName(t))
		return nil
	}
	key := g.basicForm(basic, at)
	key.typ = t.Key()
	if s, ok := types.Unalias(t.Elem()).(*types.Struct); ok && s.NumFields() == 0 {
		g.problem(at.pos, "%s has type %s, whose values have nothing to store: use map[%s]bool", at.what, g.typeName(t), g.typeName(t.Key()))
		return nil
	}
	f := g.composite(mapKind, t, t.Elem(), at)
	if f == nil || g.accessible(key, t.Key(), at) == nil {
		return nil
	}
	f.key = key
	return f
}

// locals are variables of generated functions in which types are named. Few types have such names: they are refused, and the functions stay readable.
var locals = []string{"b", "v", "r", "e", "i", "j", "k", "depth"}

// accessible returns the form, if this package can name the type.
func (g *generator) accessible(f *form, t types.Type, at place) *form {
	named, ok := types.Unalias(t).(*types.Named)
	if ok && named.Obj().Pkg() == g.Types && slices.Contains(locals, named.Obj().Name()) {
		g.problem(at.pos, "%s has type %s, a name that variables of generated functions have: give the type another", at.what, g.typeName(t))
		return nil
	}
	if !ok || named.Obj().Pkg() == nil || named.Obj().Pkg() == g.Types {
		return f
	}
	if !named.Obj().Exported() || !mayImport(g.PkgPath, named.Obj().Pkg().Path()) {
		g.problem(at.pos, "%s has type %s, which this package may not use: %s", at.what, g.typeName(t), at.remedy)
		return nil
	}
	return f
}

// mayImport tells whether the rule of internal packages lets one import the other.
func mayImport(from, path string) bool {
	parent, ok := "", strings.HasPrefix(path, "internal/")
	if i := strings.LastIndex(path, "/internal/"); i >= 0 {
		parent, ok = path[:i], true
	} else if s, cut := strings.CutSuffix(path, "/internal"); cut {
		parent, ok = s, true
	}
	return !ok || from == parent || strings.HasPrefix(from, parent+"/")
}

// typeName is the type as messages name it.
func (g *generator) typeName(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if p == g.Types {
			return ""
		}
		return p.Name()
	})
}

// whyInvalid is what the type checker says about the line.
func (g *generator) whyInvalid(pos token.Pos) string {
	at := g.position(pos)
	for _, e := range g.TypeErrors {
		if p := e.Fset.Position(e.Pos); p.Filename == at.Filename && p.Line == at.Line {
			return e.Msg
		}
	}
	return "correct what the compiler reports about it"
}

// hasName tells whether the type is a declared one.
func (f *form) hasName() bool {
	_, ok := types.Unalias(f.typ).(*types.Named)
	return ok
}

// length is that of arrays.
func (f *form) length() int64 { return f.typ.Underlying().(*types.Array).Len() }

// flat tells whether assigning a value copies it.
func (f *form) flat() bool {
	switch f.kind {
	case bytesKind, sliceKind, mapKind, pointerKind:
		return false
	case arrayKind:
		return f.length() == 0 || f.elem.flat() // Go 1.26 does not compile assignments to elements of none
	case structKind:
		return f.named.flat()
	case binaryKind, textKind:
		return f.clone == byAssignment
	}
	return true
}

// eachStruct calls visit with each struct that values of the form contain, not with those within those.
func (f *form) eachStruct(visit func(*structType)) {
	if f.elem != nil {
		f.elem.eachStruct(visit)
	}
	if f.kind == structKind {
		visit(f.named)
	}
}

// wire is the type as locks name it: by what decides about the encoding.
func (f *form) wire() string {
	switch f.kind {
	case timeKind:
		return "time.Time"
	case bytesKind:
		return "[]byte"
	case binaryKind:
		return "binary " + f.marshaler
	case textKind:
		return "text " + f.marshaler
	case arrayKind:
		if f.byteArray() {
			return fmt.Sprintf("[%d]byte", f.typ.Underlying().(*types.Array).Len())
		}
		return fmt.Sprintf("[%d]%s", f.length(), f.elem.wire())
	case sliceKind:
		return "[]" + f.elem.wire()
	case mapKind:
		return "map[" + f.key.wire() + "]" + f.elem.wire()
	case pointerKind:
		return "*" + f.elem.wire()
	case structKind:
		return f.named.wire
	}
	switch basic := f.typ.Underlying().(*types.Basic); basic.Kind() {
	case types.Int:
		return "int64"
	case types.Uint:
		return "uint64"
	default:
		return types.Typ[basic.Kind()].Name()
	}
}

// wireName is the type with its package's path.
func wireName(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string { return p.Path() })
}

// lockName is the type as locks name it: those of this package without its path, so that it can move.
func (g *generator) lockName(t types.Type) string {
	return types.TypeString(t, types.RelativeTo(g.Types))
}
