package codegen

import (
	"go/types"
	"slices"
)

// cloning is how values of a type with marshalers are copied.
type cloning int

const (
	byAssignment cloning = iota
	byCloneMethod
	byMarshaler
)

// immutable are types with pointers inside that nobody can write through.
var immutable = []string{"time.Time", "net/netip.Addr", "net/netip.Prefix", "net/netip.AddrPort"}

// marshaled returns the form of a type that encodes itself, or nil. Methods that it has by embedding do not count: they encode a part.
func (g *generator) marshaled(t *types.Named) *form {
	for _, way := range []struct {
		name string
		kind kind
	}{{"Binary", binaryKind}, {"Text", textKind}} {
		marshal, unmarshal := ownMethod(t, "Marshal"+way.name), ownMethod(t, "Unmarshal"+way.name)
		if !isMarshal(marshal) || !isUnmarshal(unmarshal) {
			continue
		}
		f := &form{kind: way.kind, typ: t, marshaler: g.lockName(t), marshalPtr: hasPointerReceiver(marshal), clone: byMarshaler}
		switch {
		case slices.Contains(immutable, wireName(t)) || !hasReferences(t.Underlying()):
			f.clone = byAssignment
		case hasClone(t):
			f.clone = byCloneMethod
		}
		return f
	}
	return nil
}

// ownMethod is the method of that name that is declared on the type itself, or nil.
func ownMethod(t *types.Named, name string) *types.Func {
	for m := range t.Methods() {
		if m.Name() == name {
			return m
		}
	}
	return nil
}

func hasPointerReceiver(m *types.Func) bool {
	_, ok := m.Signature().Recv().Type().(*types.Pointer)
	return ok
}

// isMarshal tells whether the method is func() ([]byte, error).
func isMarshal(m *types.Func) bool {
	if m == nil {
		return false
	}
	s := m.Signature()
	return s.Params().Len() == 0 && s.Results().Len() == 2 && isBytes(s.Results().At(0).Type()) && isError(s.Results().At(1).Type())
}

// isUnmarshal tells whether the method is func([]byte) error.
func isUnmarshal(m *types.Func) bool {
	if m == nil {
		return false
	}
	s := m.Signature()
	return s.Params().Len() == 1 && s.Results().Len() == 1 && isBytes(s.Params().At(0).Type()) && isError(s.Results().At(0).Type())
}

// hasClone tells whether the type has a method Clone that returns another.
func hasClone(t *types.Named) bool {
	m := ownMethod(t, "Clone")
	if m == nil {
		return false
	}
	s := m.Signature()
	return s.Params().Len() == 0 && s.Results().Len() == 1 && types.Identical(s.Results().At(0).Type(), t)
}

// hasReferences tells whether copies of a value can share memory.
func hasReferences(t types.Type) bool {
	switch t := t.Underlying().(type) {
	case *types.Basic:
		return t.Kind() == types.UnsafePointer || t.Kind() == types.Invalid // who knows
	case *types.Array:
		return hasReferences(t.Elem())
	case *types.Struct:
		for field := range t.Fields() {
			if !isImmutable(field.Type()) && hasReferences(field.Type()) {
				return true
			}
		}
		return false
	}
	return true
}

func isImmutable(t types.Type) bool { return slices.Contains(immutable, wireName(types.Unalias(t))) }

func isTime(t types.Type) bool {
	named, ok := types.Unalias(t).(*types.Named)
	return ok && wireName(named) == "time.Time"
}

// isTimeStruct tells whether the type is what time.Time, and types declared as one, are underneath.
func isTimeStruct(t types.Type) bool {
	s, ok := t.(*types.Struct)
	return ok && s.NumFields() > 0 && s.Field(0).Pkg().Path() == "time" && s.Field(0).Name() == "wall"
}

func isDuration(t types.Type) bool {
	named, ok := types.Unalias(t).(*types.Named)
	return ok && wireName(named) == "time.Duration"
}

// isContext tells whether the type is context.Context.
func isContext(t types.Type) bool {
	named, ok := types.Unalias(t).(*types.Named)
	return ok && wireName(named) == "context.Context"
}

func isError(t types.Type) bool { return types.Identical(t, types.Universe.Lookup("error").Type()) }

func isBytes(t types.Type) bool {
	return types.Identical(t, types.NewSlice(types.Typ[types.Byte]))
}
