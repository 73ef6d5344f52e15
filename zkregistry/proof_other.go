//go:build !linux

package zkregistry

import (
	"errors"

	"github.com/google/uuid"
)

// A proof needs Linux: nowhere else is there a boot id that tells one boot of a kernel from another.
type proof struct{}

func (r *Registry) openProof(string) ([]uuid.UUID, error) {
	return nil, errors.New("a state directory is supported on Linux only: leave it away, a restarted process then waits for its predecessor's lease")
}

func (p *proof) record(uuid.UUID) error { return nil }
func (p *proof) forget(uuid.UUID)       {}
func (p *proof) close()                 {}
