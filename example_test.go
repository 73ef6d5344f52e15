package highlander_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/object"
)

// A Cart is the state of a shopping cart.
type Cart struct{ Items []string }

var (
	addItem = object.Update("Add", func(_ context.Context, c *Cart, item string) (int, error) {
		c.Items = append(c.Items, item)
		return len(c.Items), nil
	})
	carts = &object.Type[Cart]{Name: "cart", Methods: []object.Method[Cart]{addItem}}
)

func ExampleOpen() {
	dir, _ := os.MkdirTemp("", "")
	defer os.RemoveAll(dir)
	ctx := context.Background()

	for range 2 { // the second node finds what the first one left
		node, err := highlander.Open(ctx, highlander.Config{Store: "file:" + dir}, carts)
		if err != nil {
			fmt.Println(err)
			return
		}
		n, err := addItem.Call(ctx, carts.On(node).Ref("bob"), "apple")
		fmt.Println(n, err, node.Drain(ctx))
	}
	// Output:
	// 1 <nil> <nil>
	// 2 <nil> <nil>
}

func ExampleNode_Close() {
	node, _ := highlander.Open(context.Background(), highlander.Config{}, carts)
	node.Close()
	_, err := carts.On(node).Get(context.Background(), "bob")
	fmt.Println(errors.Is(err, object.ErrClosed))
	// Output: true
}

func ExampleOpenTest() {
	test := func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			node := highlander.OpenTest(t, carts)
			addItem.Call(t.Context(), carts.On(node).Ref("bob"), "apple")
			time.Sleep(time.Hour) // passes at once: bob's cart is let go, and wakes again
			cart, err := carts.On(node).Get(t.Context(), "bob")
			if err != nil || len(cart.Items) != 1 {
				t.Fatal(cart, err)
			}
		})
	}
	_ = test // run by go test
}

// A node of a cluster, and one that only calls its objects.
func ExampleOpen_cluster() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	config := highlander.Config{
		Registry: "zk://z1:2181,z2:2181,z3:2181/todo",
		Store:    "s3://bucket/todo?region=eu-central-1",
		Listen:   "127.0.0.1:7400",
		StateDir: "/var/lib/todo",
	}
	node, err := highlander.Open(ctx, config, carts)
	if err != nil {
		log.Print(err) // says what to do
		return
	}
	defer node.Close()

	config.ClientOnly, config.StateDir = true, ""
	client, err := highlander.Open(ctx, config, carts)
	if err != nil {
		log.Print(err)
		return
	}
	defer client.Close()
	n, err := addItem.Call(ctx, carts.On(client).Ref("bob"), "apple")
	fmt.Println(n, err)
}
