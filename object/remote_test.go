package object_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/highlander-go/highlander/object"
)

// An UnreachableError never says both that a call did not run and that it may have.
func TestAnUnreachableErrorSaysOneThing(t *testing.T) {
	for _, cause := range []error{errors.New("refused"), context.DeadlineExceeded,
		fmt.Errorf("%w: no connection", object.ErrUnavailable), fmt.Errorf("the node is %w", object.ErrClosed)} {
		for _, sent := range []bool{false, true} {
			var err error = &object.UnreachableError{Member: object.Member{Name: "b"}, How: object.Gone, Sent: sent, Err: cause}
			if errors.Is(err, object.ErrUnknownOutcome) != sent || errors.Is(err, object.ErrUnavailable) == sent {
				t.Errorf("sent %v: %v", sent, err)
			}
			if sent && errors.Is(err, object.ErrClosed) {
				t.Errorf("it says that nothing was changed: %v", err)
			}
			if cause == context.DeadlineExceeded && !errors.Is(err, cause) {
				t.Errorf("%v does not match its cause", err)
			}
		}
	}
}
