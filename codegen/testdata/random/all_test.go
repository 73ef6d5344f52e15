package randomtypes

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/internal/codectest"
	"github.com/highlander-go/highlander/object"
	// imports
)

var seed = flag.Uint64("seed", 1, "")

func TestAll(t *testing.T) {
	for i, p := range []struct {
		name    string
		objects object.Set
		cases   []codectest.Case
	}{
		// packages
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			node := highlander.OpenTest(t, p.objects)
			for j, c := range p.cases {
				t.Run(fmt.Sprintf("%T", c.Type), func(t *testing.T) {
					c.Check(t, rand.New(rand.NewPCG(*seed, uint64(1000*i+j))), node)
				})
			}
		})
	}
}
