package object

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// A Set is the types of object of one package, and its errors that cross nodes. objgen writes one as the package's Objects, which is what
// highlander.Open is given.
type Set struct {
	Types  []Definition
	Errors []CrossingError

	options map[string]Options
}

// Options are what an application sets of the types that it uses. Zero: as the type has it.
type Options struct {
	Idle     time.Duration // see [Type]
	MaxState int           // in bytes, see [Type]
	MaxQueue int           // see [Type]
}

// With returns the set with other options for the type of that name. A node is not opened with options for a type that the set does not have.
func (s Set) With(name string, o Options) Set {
	s.options = maps.Clone(s.options)
	if s.options == nil {
		s.options = make(map[string]Options)
	}
	s.options[name] = o
	return s
}

func (s Set) define(all *definitions) error {
	var own definitions
	for _, d := range s.Types {
		if err := d.define(&own); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.options)) {
		i := slices.IndexFunc(own.types, func(d *definition) bool { return d.name == name })
		if i < 0 {
			return fmt.Errorf("object: options for type %q: %w: its set has no type of that name", name, ErrUnknownType)
		}
		if err := own.types[i].set(s.options[name]); err != nil {
			return err
		}
	}
	all.types = append(all.types, own.types...)
	all.errors = append(append(all.errors, own.errors...), s.Errors...)
	return nil
}

// set overrides what o has.
func (d *definition) set(o Options) error {
	if o.MaxState < 0 || o.MaxQueue < 0 {
		return fmt.Errorf("object: type %s: MaxState %d and MaxQueue %d must not be negative; 0 stands for the default", d.name, o.MaxState, o.MaxQueue)
	}
	d.idle = orDefault(o.Idle, d.idle)
	d.maxState = orDefault(o.MaxState, d.maxState)
	d.maxQueue = orDefault(o.MaxQueue, d.maxQueue)
	return nil
}
