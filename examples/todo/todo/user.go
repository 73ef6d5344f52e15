package todo

import (
	"context"
	"slices"

	"github.com/highlander-go/highlander/object"
)

// A User is what is kept of somebody. Its id is the one that calls carry as their caller.
//
//highlander:object
type User struct {
	Name       string
	Email      string
	KnownLists []ListID // in the order in which the user came to know them
}

// Profile returns all of the user, to the user alone.
func (u User) Profile(ctx context.Context) (User, error) {
	if !isSelf(ctx) {
		return User{}, ErrForbidden
	}
	return u, nil
}

// Update changes name and email, for the user alone, and returns all of the user.
func (u *User) Update(ctx context.Context, name, email string) (User, error) {
	if !isSelf(ctx) {
		return User{}, ErrForbidden
	}
	u.Name, u.Email = name, email
	return *u, nil
}

// Learn adds a list to those that the user knows, unless it is among them. It is for whoever shares the list: to know one admits to nothing.
func (u *User) Learn(_ context.Context, list ListID) error {
	if !slices.Contains(u.KnownLists, list) {
		u.KnownLists = append(u.KnownLists, list)
	}
	return nil
}

// isSelf tells whether the caller is the user that is called.
func isSelf(ctx context.Context) bool {
	info := object.From(ctx)
	return info.Caller.ID == info.Key.ID
}
