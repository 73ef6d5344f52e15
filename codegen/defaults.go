package codegen

import (
	"fmt"
	"go/types"
	"math"
	"strconv"
	"time"
)

// fallback returns the default of a field as a Go expression, or "", with a problem reported.
func (g *generator) fallback(f *form, text string, at place) string {
	expr, err := defaultExpr(f, text)
	if err != nil {
		g.problem(at.pos, "the default %q of %s %v", text, at.what, err)
	}
	return expr
}

// defaultExpr checks the default against the type. Types with a name need no conversion: the expressions are untyped constants.
func defaultExpr(f *form, text string) (string, error) {
	switch f.kind {
	case boolKind:
		if text != "true" && text != "false" {
			return "", fmt.Errorf("is not a bool: write true or false")
		}
		return text, nil
	case stringKind:
		return strconv.Quote(text), nil
	case intKind:
		if isDuration(f.typ) {
			return durationExpr(text)
		}
		n, err := strconv.ParseInt(text, 10, bits(f.typ))
		return strconv.FormatInt(n, 10), inRange(f, err)
	case uintKind:
		n, err := strconv.ParseUint(text, 10, bits(f.typ))
		return strconv.FormatUint(n, 10), inRange(f, err)
	case float32Kind, float64Kind:
		v, err := strconv.ParseFloat(text, bits(f.typ))
		if math.IsInf(v, 0) || math.IsNaN(v) {
			err = strconv.ErrRange
		}
		return strconv.FormatFloat(v, 'g', -1, bits(f.typ)), inRange(f, err)
	}
	return "", fmt.Errorf("cannot stand in a tag, as it can for bools, numbers, strings and durations: set it in a method Init(ctx context.Context) error")
}

func inRange(f *form, err error) error {
	if err == nil {
		return nil
	}
	name := types.Typ[f.typ.Underlying().(*types.Basic).Kind()].Name()
	return fmt.Errorf("does not fit into %s %s: write a number that does", article(name), name)
}

// bits is the size of a number's type. Those of int and uint are 64, as states are for machines of all kinds.
func bits(t types.Type) int {
	switch t.Underlying().(*types.Basic).Kind() {
	case types.Int8, types.Uint8:
		return 8
	case types.Int16, types.Uint16:
		return 16
	case types.Int32, types.Uint32, types.Float32:
		return 32
	}
	return 64
}

// durationExpr writes a duration as one does by hand: 10 * time.Minute.
func durationExpr(text string) (string, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return "", fmt.Errorf("is not a duration: write one like 90s or 10m")
	}
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"Hour", time.Hour}, {"Minute", time.Minute}, {"Second", time.Second}, {"Millisecond", time.Millisecond}, {"Microsecond", time.Microsecond}} {
		switch {
		case d == unit.size:
			return "time." + unit.name, nil
		case d != 0 && d%unit.size == 0:
			return fmt.Sprintf("%d * time.%s", d/unit.size, unit.name), nil
		}
	}
	return strconv.FormatInt(int64(d), 10), nil
}
