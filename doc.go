// Package highlander embeds durable objects into a program: each user, list or document is a typed goroutine
// server of which there is only ever one, whose state is loaded when it wakes and persisted before an update is
// answered. [Open] makes the program a node.
//
// What an object is, and how its methods are written and called, is in package object.
package highlander
