package persist

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test binary runs itself as a child process with one of these words in the variable childRole.
const childRole = "HIGHLANDER_PERSIST_TEST_CHILD"

var childRoles = map[string]func(args []string) error{
	"open":  childOpens,
	"write": childWrites,
}

func TestMain(m *testing.M) {
	if role := childRoles[os.Getenv(childRole)]; role != nil {
		if err := role(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
