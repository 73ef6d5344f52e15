package codec

import (
	"bytes"
	"testing"
)

// Bytes of any kind are an error at worst, and what can be read can be written so that it reads the same.
func FuzzDecode(f *testing.F) {
	for _, v := range []everything{{}, {Todos: []todo{milk}, ByName: map[name][]int{"a": {1}}, Next: &everything{Secret: secret{1}}}} {
		b, err := Encode(nil, v, appendEverything)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\xdd\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, src []byte) {
		var v, again everything
		if Decode(bytes.Clone(src), &v, readEverything) != nil {
			return
		}
		for e := &v; e != nil; e = e.Next {
			e.URL = nil // not all that parse are written so that they parse
		}
		b, err := Encode(nil, v, appendEverything)
		if err != nil {
			t.Fatal(err)
		}
		if err := Decode(b, &again, readEverything); err != nil {
			t.Fatal(err)
		}
		if b2, err := Encode(nil, again, appendEverything); err != nil || !bytes.Equal(b, b2) {
			t.Fatalf("%x, and again %x, %v", b, b2, err)
		}
	})
}

// Every read function alone, since FuzzDecode reaches the later ones only by way of the earlier ones.
func FuzzRead(f *testing.F) {
	f.Add([]byte("\xc7\x0c\xff\x00\x00\x00\x00"))
	f.Add([]byte("\xd7\xff\xff\xff\xff\xff\x00\x00\x00\x00"))
	f.Add([]byte("\xdb\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, src []byte) {
		var e everything
		for i, read := range []func(r *Reader, e *everything){
			func(r *Reader, e *everything) { ReadBool(r, &e.Flag) },
			func(r *Reader, e *everything) { ReadInt(r, &e.Small) },
			func(r *Reader, e *everything) { ReadUint(r, &e.Count) },
			func(r *Reader, e *everything) { ReadFloat32(r, &e.Ratio) },
			func(r *Reader, e *everything) { ReadFloat64(r, &e.Float) },
			func(r *Reader, e *everything) { ReadString(r, &e.Name) },
			func(r *Reader, e *everything) { ReadBytes(r, &e.Secret) },
			func(r *Reader, e *everything) { ReadTime(r, &e.Time) },
			func(r *Reader, e *everything) { ReadSlice(r, &e.Todos, readTodo) },
			func(r *Reader, e *everything) { ReadArray(r, e.Pair[:], ReadInt) },
			func(r *Reader, e *everything) { ReadMap(r, &e.ByName, ReadString, readInts) },
			func(r *Reader, e *everything) { ReadPointer(r, &e.Next, readEverything) },
			func(r *Reader, e *everything) { ReadText(r, &e.Level) },
			func(r *Reader, e *everything) { ReadBinary(r, &e.Addr) },
		} {
			// What is read, if it can be, is what is skipped.
			err := Decode(src, &e, read)
			if _, whole := skip(src); err == nil && !whole {
				t.Errorf("%x is read by function %d and cannot be skipped", src, i)
			}
		}
	})
}

// shapeOf makes a shape of some bytes.
func shapeOf(src *[]byte, depth int) func() Shape {
	if len(*src) == 0 || depth > 5 {
		return Leaf
	}
	c := (*src)[0]
	*src = (*src)[1:]
	switch c % 5 {
	case 1:
		return Unknown
	case 2:
		return SliceOf(shapeOf(src, depth+1))
	case 3:
		return MapOf(shapeOf(src, depth+1))
	case 4:
		fields := make([]func() Shape, c/5%6)
		for i := range fields {
			fields[i] = shapeOf(src, depth+1)
		}
		return func() Shape { return StructOf(fields...) }
	}
	return Leaf
}

// Bytes of any kind are an error at worst. What is carried is of the shape again, and nothing is in it twice.
func FuzzCarry(f *testing.F) {
	f.Add([]byte("\x92\x93\x01\x02\x03\x93\x04\x05\x06"), []byte("\x92\x92\x04\xc0\x92\x01\xc0"), []byte{2, 14, 0, 1})
	f.Add([]byte("\x81\xa1a\x91\x92\x01\x02"), []byte("\x81\xa1a\x91\x91\x05"), []byte{3, 2, 9, 0})
	f.Add([]byte("\x93\x01\x91\x92\x01\x07\x05"), []byte("\x92\x01\x91\x91\x03"), []byte{14, 0, 2, 9})
	f.Fuzz(func(t *testing.T, base, next, shape []byte) {
		s := shapeOf(&shape, 0)
		got, err := Carry([]byte("dst"), base, next, s)
		if err != nil {
			if string(got) != "dst" {
				t.Fatalf("%x with %v", got, err)
			}
			return
		}
		if len(got) > 3+len(base)+len(next) {
			t.Fatalf("%x is more than there was", got)
		}
		if _, err := parse(next, s(), false); err != nil {
			return // what shape does not concern is not looked at
		}
		if _, err := parse(got[3:], s(), false); err != nil {
			t.Fatalf("%x: %v", got[3:], err)
		}
	})
}
