package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/highlander-go/highlander/supervisor"
)

// The lease needs the session, and the host the lease. When the lease is lost, the host stops, and both start again.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	lost := make(chan struct{}, 1)
	hosts := 0
	child := func(name string, ends <-chan struct{}) supervisor.Child {
		return supervisor.Child{Name: name, Run: func(ctx context.Context, ready func()) error {
			fmt.Println(name, "starts")
			defer fmt.Println(name, "stops")
			if name == "host" {
				if hosts++; hosts == 2 {
					cancel() // enough seen
				}
			}
			ready()
			select {
			case <-ctx.Done():
				return nil
			case <-ends:
				return errors.New("lost")
			}
		}}
	}
	branch, err := supervisor.New(supervisor.Spec{
		Strategy: supervisor.RestForOne,
		Children: []supervisor.Child{child("session", nil), child("lease", lost), child("host", nil)},
		Backoff:  time.Millisecond,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	root, err := supervisor.New(supervisor.Spec{Children: []supervisor.Child{
		child("listener", nil),
		{Name: "branch", Run: branch.Run, StopTimeout: supervisor.NoStopTimeout},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}

	err = root.Run(ctx, func() {
		fmt.Println("all are up")
		lost <- struct{}{}
	})
	fmt.Println("root returns", err)
	// Output:
	// listener starts
	// session starts
	// lease starts
	// host starts
	// all are up
	// lease stops
	// host stops
	// lease starts
	// host starts
	// host stops
	// lease stops
	// session stops
	// listener stops
	// root returns <nil>
}
