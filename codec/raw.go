package codec

// Raw reads the next value, of any form, and returns its bytes, which are those of what [Decode] was given: they must be copied to be kept.
func (r *Reader) Raw() []byte {
	before := r.rest
	if r.Skip(); r.err != nil {
		return nil
	}
	return before[:len(before)-len(r.rest)]
}

// Fail ends the [Encode] that has called the append function which calls Fail: it returns err.
func Fail(err error) { panic(failure{err}) }
