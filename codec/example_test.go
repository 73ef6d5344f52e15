package codec_test

import (
	"fmt"

	"github.com/highlander-go/highlander/codec"
)

type point struct{ X, Y int }

func appendPoint(b []byte, v point) []byte {
	b = codec.AppendArray(b, 2)
	b = codec.AppendInt(b, v.X)
	return codec.AppendInt(b, v.Y)
}

func readPoint(r *codec.Reader, v *point) {
	for i := range r.Fields() {
		switch i {
		case 0:
			codec.ReadInt(r, &v.X)
		case 1:
			codec.ReadInt(r, &v.Y)
		default: // a newer version has added it
			r.Skip()
		}
	}
}

func Example() {
	b, err := codec.Encode(nil, point{3, 500}, appendPoint)
	fmt.Printf("%x %v\n", b, err)

	var p point
	fmt.Println(codec.Decode(b, &p, readPoint), p)
	fmt.Println(codec.Decode([]byte("\x92\x03\xa1x"), &p, readPoint))
	// Output:
	// 9203cd01f4 <nil>
	// <nil> {3 500}
	// byte 2: wanted int, found str
}

func ExampleCarry() {
	// A newer version has given points a colour, which this one does not know.
	stored := []byte("\x93\x01\x02\xa3red")
	shape := func() codec.Shape { return codec.StructOf(codec.Leaf, codec.Leaf) }

	next, _ := codec.Encode(nil, point{1, 7}, appendPoint)
	b, err := codec.Carry(nil, stored, next, shape)
	fmt.Printf("%q %v\n", b, err)
	// Output: "\x93\x01\a\xa3red" <nil>
}
