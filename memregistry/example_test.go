package memregistry_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
)

// Two nodes want the same object, and the one that owns it is lost.
func ExampleRegistry_Expire() {
	ctx := context.Background()
	registry := memregistry.New(memregistry.Options{})
	defer registry.Close()
	a, _ := registry.Join(ctx, object.Member{Incarnation: uuid.New(), Name: "a"})
	b, _ := registry.Join(ctx, object.Member{Incarnation: uuid.New(), Name: "b"})

	groceries := object.Key{Type: "list", ID: "groceries"}
	a.Claim(ctx, groceries)
	_, err := b.Claim(ctx, groceries)
	if notOwner := new(object.NotOwnerError); errors.As(err, &notOwner) {
		fmt.Println("owned by", notOwner.Owner.Name)
	}

	registry.Expire(a.Member().Incarnation)
	claim, err := b.Claim(ctx, groceries)
	fmt.Println("b has claimed it:", err == nil)
	fmt.Println("b must wait for a's lease:", claim.ServeAt() > b.Lease().Clock()())

	// Output:
	// owned by a
	// b has claimed it: true
	// b must wait for a's lease: true
}
