package zkregistry

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/object"
)

// liveData is what a pair's live node says, anew with each renewal: JSON, so that a person can read it with any client. Nothing at all: unknown.
type liveData struct {
	Store string `json:"store"`
}

func encodeLive(s object.StoreState) []byte {
	if s == object.StoreUnknown {
		return nil
	}
	data, _ := json.Marshal(liveData{s.String()}) // a string does not fail
	return data
}

// decodeLive takes what another version of the program may have written for unknown.
func decodeLive(data []byte) object.StoreState {
	var d liveData
	if json.Unmarshal(data, &d) == nil {
		for _, s := range []object.StoreState{object.StoreAnswers, object.StoreFails} {
			if d.Store == s.String() {
				return s
			}
		}
	}
	return object.StoreUnknown
}

// ReportStore implements [object.StoreReporter].
func (s *session) ReportStore(state object.StoreState) { s.store.Store(int64(state)) }

// StoreReports implements [object.StoreReporter]. It reads the live node of each other session.
func (s *session) StoreReports(ctx context.Context) ([]object.StoreReport, error) {
	reports, err := s.registry.storeReports(ctx, s.member)
	if err != nil {
		return nil, unavailable("ask how other nodes' stores do", err)
	}
	return reports, nil
}

func (r *Registry) storeReports(ctx context.Context, self object.Member) (reports []object.StoreReport, err error) {
	c, err := r.connection(ctx)
	if err != nil {
		return nil, err
	}
	p, err := c.presence(ctx)
	if err != nil {
		return nil, err
	}
	for _, pair := range p.members {
		if !p.live[pair] {
			continue
		}
		m, ok, err := r.member(ctx, c, pair)
		if err != nil {
			return nil, err
		} else if !ok || m.Incarnation == self.Incarnation {
			continue
		}
		var data []byte
		err = persistently(ctx, func() error {
			data, _, err = c.Get(ctx, r.paths.liveOf(pair))
			return err
		})
		if errors.Is(err, zk.ErrNoNode) {
			continue
		} else if err != nil {
			return nil, err
		}
		reports = append(reports, object.StoreReport{Member: m.Member, State: decodeLive(data)})
	}
	return reports, nil
}

var _ object.StoreReporter = (*session)(nil)
