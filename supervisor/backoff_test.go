package supervisor

import (
	"math"
	"testing"
	"time"
)

func TestBackoffDoesNotOverflow(t *testing.T) {
	const longest = time.Duration(math.MaxInt64)
	for _, earlier := range []int{1, 2, 3, 100, math.MaxInt} {
		if got, want := backoff(1<<62, longest, earlier, 0), longest/2; got != want {
			t.Errorf("after %d earlier endings: %v, want %v", earlier, got, want)
		}
	}
}
