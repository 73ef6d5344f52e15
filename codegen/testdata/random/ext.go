// Package ext has types as other modules export them.
package ext

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Point is a struct of exported fields, one of which has a default, and another.
type Point struct {
	X, Y   int
	Label  string `default:"here"`
	hidden []int
}

// Tree can hold itself.
type Tree struct {
	Name string
	Kids []Tree
	Next *Tree
	ByID map[string]*Tree
	At   Point
}

// Listing is generic.
type Listing[T any] []T

// Short is a key with marshalers, which keys do not use.
type Short uint16

func (s Short) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "short %d", uint16(s)), nil }
func (s *Short) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "short %d", (*uint16)(s))
	return err
}
func (s *Short) Random(r *rand.Rand) { *s = Short(r.Uint32()) }

// Version has text marshalers, one with a pointer receiver, and no references.
type Version struct{ major, minor int }

func (v *Version) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d.%d", v.major, v.minor), nil
}
func (v *Version) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "%d.%d", &v.major, &v.minor)
	return err
}
func (v *Version) Random(r *rand.Rand) { v.major, v.minor = r.IntN(10), r.IntN(10) }

// Opaque can only be copied by its marshalers. It prefers the binary ones.
type Opaque struct {
	numbers map[uint32]*uint32
}

func (o Opaque) MarshalBinary() ([]byte, error) {
	b := []byte{1}
	for n := range uint32(5) {
		if p := o.numbers[n]; p != nil {
			b = binary.BigEndian.AppendUint32(append(b, byte(n)), *p)
		}
	}
	return b, nil
}

func (o *Opaque) UnmarshalBinary(data []byte) error {
	if len(data)%5 != 1 || data[0] != 1 {
		return errors.New("no Opaque")
	}
	o.numbers = nil
	for data = data[1:]; len(data) > 0; data = data[5:] {
		if o.numbers == nil {
			o.numbers = map[uint32]*uint32{}
		}
		o.numbers[uint32(data[0])] = new(binary.BigEndian.Uint32(data[1:]))
	}
	return nil
}

func (o Opaque) MarshalText() ([]byte, error)     { return nil, errors.New("binary is preferred") }
func (o *Opaque) UnmarshalText(text []byte) error { return errors.New("binary is preferred") }

func (o *Opaque) Random(r *rand.Rand) {
	o.numbers = map[uint32]*uint32{}
	for n := range uint32(5) {
		if r.IntN(2) == 0 {
			o.numbers[n] = new(r.Uint32())
		}
	}
}

// Cloned has a method that copies it.
type Cloned struct{ words []byte }

func (c Cloned) MarshalText() ([]byte, error)     { return c.words, nil }
func (c *Cloned) UnmarshalText(text []byte) error { c.words = append([]byte{}, text...); return nil }
func (c Cloned) Clone() Cloned                    { return Cloned{append([]byte{}, c.words...)} }
func (c *Cloned) Random(r *rand.Rand)             { c.words = []byte{byte(r.Uint32()), 1, 2} }

// Fixed is an array with marshalers.
type Fixed [3]uint16

func (f Fixed) MarshalBinary() ([]byte, error) {
	return []byte{byte(f[0]), byte(f[1]), byte(f[2])}, nil
}
func (f *Fixed) UnmarshalBinary(data []byte) error {
	if len(data) != 3 {
		return errors.New("no Fixed")
	}
	f[0], f[1], f[2] = uint16(data[0]), uint16(data[1]), uint16(data[2])
	return nil
}
func (f *Fixed) Random(r *rand.Rand) { f[0], f[1], f[2] = uint16(r.IntN(256)), 2, 3 }

// Words and Times are composites with names.
type Words map[string][]string

type Times [2][]time.Time
