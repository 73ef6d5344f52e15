package msgpack_test

import (
	"bytes"
	"errors"
	"testing"

	library "github.com/vmihailenco/msgpack/v5"

	"github.com/highlander-go/highlander/internal/msgpack"
)

// The library's decoder and ours agree on how long a value is.
func FuzzSize(f *testing.F) {
	for first := range 256 { // of each form, with contents of several lengths
		for _, rest := range [...]byte{0, 1, 2, 0x91, 0xff} {
			f.Add(append([]byte{byte(first)}, bytes.Repeat([]byte{rest}, 40)...))
			f.Add(append([]byte{byte(first), 0, rest}, bytes.Repeat([]byte{rest}, 700)...))
			f.Add(append([]byte{byte(first), 0, 0, 0, rest}, bytes.Repeat([]byte{0xc0}, 300)...))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := msgpack.Size(b)
		if err != nil {
			if n != 0 || !errors.Is(err, msgpack.ErrTruncated) && !errors.Is(err, msgpack.ErrMalformed) {
				t.Errorf("%x: %d, %v", b, n, err)
			}
			return
		}
		in := bytes.NewReader(b)
		if err := library.NewDecoder(in).Skip(); err == nil && len(b)-in.Len() != n {
			t.Errorf("%x: the first value has %d bytes, we say %d", b, len(b)-in.Len(), n)
		}
	})
}
