package object

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of names.
const (
	MaxIDBytes   = 256 // of an object's id, in bytes of UTF-8
	MaxTypeBytes = 64  // of a type's name
)

// Key names one object of the cluster.
type Key struct {
	Type string // lower-case letters, digits, '_' and '-', at most [MaxTypeBytes], a letter first
	ID   string // any UTF-8, 1 to [MaxIDBytes] bytes
}

// String is the key as it stands in logs and errors: type/id, the id quoted where it is not plain.
func (k Key) String() string {
	q := fmt.Sprintf("%q", k.ID)
	if strings.ContainsAny(k.ID, " /") || len(q) != len(k.ID)+2 {
		return k.Type + "/" + q
	}
	return k.Type + "/" + k.ID
}

// Validate reports what is wrong with the key: an error that matches [ErrBadID], or [ErrUnknownType] when
// it is the type's name that no type can have.
func (k Key) Validate() error {
	if err := validateTypeName(k.Type); err != nil {
		return fmt.Errorf("%w: %w", ErrUnknownType, err)
	}
	return validateID(k.ID)
}

func validateID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%w: it is empty; give an id of 1 to %d bytes", ErrBadID, MaxIDBytes)
	case len(id) > MaxIDBytes:
		return fmt.Errorf("%w: it has %d bytes; the limit is %d", ErrBadID, len(id), MaxIDBytes)
	case !utf8.ValidString(id):
		return fmt.Errorf("%w: %q is not valid UTF-8", ErrBadID, id)
	}
	return nil
}

func validateTypeName(name string) error {
	if name == "" || len(name) > MaxTypeBytes {
		return fmt.Errorf("type name %q has %d bytes; give it 1 to %d", name, len(name), MaxTypeBytes)
	}
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || !('0' <= c && c <= '9' || c == '_' || c == '-')) {
			return fmt.Errorf("type name %q: use lower-case letters, digits, '_' and '-', a letter first", name)
		}
	}
	return nil
}

// hashOf is the same for a key on every machine and in every version: nodes agree on where to place an object by it.
func hashOf(k Key) uint64 { return hashString(hashString(0, k.Type), k.ID) }

// hashString continues h by s: FNV-1a, begun with its length so that parts keep their boundaries, and mixed.
func hashString(h uint64, s string) uint64 {
	h ^= 14695981039346656037 + uint64(len(s))
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// mix spreads every bit of h over all of the result: the finalizer of SplitMix64.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
