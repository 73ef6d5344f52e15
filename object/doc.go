// Package object is what a durable object is.
package object
