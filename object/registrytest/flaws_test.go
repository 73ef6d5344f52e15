package registrytest_test

import (
	"context"
	"errors"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/highlander-go/highlander/object"
)

// A flaw is one way in which a registry can be wrong: the parts of a sound one that it replaces.
type flaw struct {
	name     string
	caughtBy []string // the checks that must complain

	timeout    time.Duration // of sessions, when longer than it should be
	renewal    *wrongRenewal
	claim      func(*session, context.Context, object.Key) (object.Claim, error)
	retire     func(*session, context.Context) error
	owner      func(object.Registry, context.Context, object.Key) (object.Member, bool, error)
	expire     func(*world, object.Member) error
	disconnect func(*world, object.Member) error
	members    func(*world, []object.Member) []object.Member
	suspect    func(*world, object.Member)
	report     func(object.StoreState) object.StoreState
	reports    func(*session, []object.StoreReport) []object.StoreReport
}

var flaws = []flaw{
	{
		name:     "members are listed although they have gone",
		caughtBy: []string{"MembersAreListed"},
		members: func(w *world, sound []object.Member) []object.Member {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, m := range sound {
				if !slices.ContainsFunc(w.listed, func(o object.Member) bool { return o.Incarnation == m.Incarnation }) {
					w.listed = append(w.listed, m)
				}
			}
			return slices.Clone(w.listed)
		},
	},
	{
		name:     "members are listed without their types",
		caughtBy: []string{"MembersAreListed"},
		members: func(_ *world, sound []object.Member) []object.Member {
			for i := range sound {
				sound[i].Types = nil
			}
			return sound
		},
	},
	{
		name:     "new members are not listed",
		caughtBy: []string{"MembersAreListed"},
		members:  func(*world, []object.Member) []object.Member { return nil },
	},
	{
		name:     "a store that fails is not reported",
		caughtBy: []string{"StoreReportsReachOthers"},
		report: func(state object.StoreState) object.StoreState {
			if state == object.StoreFails {
				return object.StoreUnknown
			}
			return state
		},
	},
	{
		name:     "a session is told its own report",
		caughtBy: []string{"StoreReportsReachOthers"},
		reports: func(s *session, sound []object.StoreReport) []object.StoreReport {
			return append(sound, object.StoreReport{Member: s.Member()})
		},
	},
	{
		name:     "whom one node suspects is lost",
		caughtBy: []string{"SuspicionTakesNothingFromTheHealthy"},
		suspect:  func(w *world, m object.Member) { w.registry.Expire(m.Incarnation) },
	},
	{
		name:     "lease is not valid at first",
		caughtBy: []string{"JoinGivesAValidLease"},
		renewal:  &wrongRenewal{late: true},
	},
	{
		name:     "lease is never renewed",
		caughtBy: []string{"LeaseIsRenewed"},
		renewal:  &wrongRenewal{once: true},
	},
	{
		name:     "lease is a twentieth too long",
		caughtBy: []string{"LeaseEndsALeaseAfterTheLastWord", "LeaseCountsFromTheSending"},
		renewal:  &wrongRenewal{extra: lease / 20},
	},
	{
		name:     "lease counts from the acknowledgement",
		caughtBy: []string{"LeaseCountsFromTheSending"},
		renewal:  &wrongRenewal{fromAcknowledgement: true},
	},
	{
		name:     "disconnected session stays valid",
		caughtBy: []string{"LeaseEndsALeaseAfterTheLastWord", "TakeoverWaitsForTheLostLease", "LongDisconnectEndsTheSession"},
		renewal:  &wrongRenewal{deaf: true},
	},
	{
		name:     "expiry is not told",
		caughtBy: []string{"ExpiryIsTold", "RetireHandsOverAtOnce"},
		renewal:  &wrongRenewal{untold: true},
	},
	{
		name:     "connection goes on with a new session after expiry",
		caughtBy: []string{"ExpiryIsTold", "LongDisconnectEndsTheSession"},
		renewal:  &wrongRenewal{untold: true},
		claim:    claimOnNewSession,
	},
	{
		name:     "two owners",
		caughtBy: []string{"OneOfManyClaimersWins", "ShortDisconnectKeepsTheSession", "ReleaseHandsOverAtOnce"},
		claim: func(s *session, ctx context.Context, key object.Key) (object.Claim, error) {
			c, err := s.Session.Claim(ctx, key)
			if notOwner := new(object.NotOwnerError); errors.As(err, &notOwner) {
				return claim{release: func(context.Context) error { return nil }}, nil
			}
			return c, err
		},
	},
	{
		name:     "loser is told that it is the owner",
		caughtBy: []string{"OneOfManyClaimersWins", "ReleaseHandsOverAtOnce"},
		claim: func(s *session, ctx context.Context, key object.Key) (object.Claim, error) {
			c, err := s.Session.Claim(ctx, key)
			if notOwner := new(object.NotOwnerError); errors.As(err, &notOwner) {
				return nil, &object.NotOwnerError{Key: key, Owner: s.Member()}
			}
			return c, err
		},
	},
	{
		name:     "loser is told no address",
		caughtBy: []string{"OneOfManyClaimersWins"},
		claim: func(s *session, ctx context.Context, key object.Key) (object.Claim, error) {
			c, err := s.Session.Claim(ctx, key)
			if notOwner := new(object.NotOwnerError); errors.As(err, &notOwner) {
				return nil, &object.NotOwnerError{Key: key, Owner: object.Member{Incarnation: notOwner.Owner.Incarnation}}
			}
			return c, err
		},
	},
	{
		name:     "a session may claim twice",
		caughtBy: []string{"ClaimingTwiceIsRefused"},
		claim: func(s *session, ctx context.Context, key object.Key) (object.Claim, error) {
			c, err := s.Session.Claim(ctx, key)
			if m, ok, _ := s.world.registry.Owner(ctx, key); err != nil && ok && reflect.DeepEqual(m, s.Member()) {
				return claim{}, nil
			}
			return c, err
		},
	},
	{
		name:     "sessions of an incarnation are taken for one",
		caughtBy: []string{"OneIncarnationsSessionsAreTwoOwners"},
		claim: func(s *session, ctx context.Context, key object.Key) (object.Claim, error) {
			c, err := s.Session.Claim(ctx, key)
			if notOwner := new(object.NotOwnerError); errors.As(err, &notOwner) && notOwner.Owner.Incarnation == s.Member().Incarnation {
				return claim{}, nil
			}
			return c, err
		},
	},
	{
		name:     "claim that was given up is kept",
		caughtBy: []string{"CancelledClaimLeavesNothing"},
		claim: func(s *session, ctx context.Context, key object.Key) (object.Claim, error) {
			c, err := s.Session.Claim(context.WithoutCancel(ctx), key)
			if err == nil && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return c, err
		},
	},
	{name: "ids are taken for paths", caughtBy: []string{"OddIDsAreDistinct"}, claim: confuse(path.Clean)},
	{name: "ids are folded", caughtBy: []string{"OddIDsAreDistinct"}, claim: confuse(strings.ToLower)},
	{name: "ids are trimmed", caughtBy: []string{"OddIDsAreDistinct"}, claim: confuse(strings.TrimSpace)},
	{
		name:     "ids are cut at 255 bytes",
		caughtBy: []string{"OddIDsAreDistinct"},
		claim:    confuse(func(id string) string { return id[:min(len(id), 255)] }),
	},
	{
		name:     "type and id run together",
		caughtBy: []string{"OddIDsAreDistinct"},
		claim: func(s *session, ctx context.Context, key object.Key) (object.Claim, error) {
			return s.Session.Claim(ctx, object.Key{Type: "all", ID: key.Type + "-" + key.ID})
		},
	},
	{
		name:     "owner is never found",
		caughtBy: []string{"OwnerIsFound"},
		owner: func(object.Registry, context.Context, object.Key) (object.Member, bool, error) {
			return object.Member{}, false, nil
		},
	},
	{
		name:     "release makes the next owner wait",
		caughtBy: []string{"ReleaseHandsOverAtOnce", "OneOfManyClaimersWins", "RetireHandsOverAtOnce"},
		claim:    serveAt(func(s *session, _ object.Key, _ time.Duration) time.Duration { return s.world.clock() + lease }),
	},
	{
		name:     "release takes a newer claim",
		caughtBy: []string{"ReleaseIsOfOneClaim", "ExpiryIsTold", "LongDisconnectEndsTheSession"},
		claim:    releaseOfWhatIsThere,
	},
	{
		name:     "release after the end is an error",
		caughtBy: []string{"ExpiryIsTold", "RetireHandsOverAtOnce"},
		claim: func(s *session, ctx context.Context, key object.Key) (object.Claim, error) {
			c, err := s.Session.Claim(ctx, key)
			if err != nil {
				return nil, err
			}
			return claim{Claim: c, serveAt: c.ServeAt(), release: func(ctx context.Context) error {
				return errors.Join(c.Release(ctx), s.Session.Lease().Err())
			}}, nil
		},
	},
	{
		name:     "claim after the end has an error of its own",
		caughtBy: []string{"ExpiryIsTold", "RetireHandsOverAtOnce"},
		claim: func(s *session, ctx context.Context, key object.Key) (object.Claim, error) {
			if err := s.Session.Lease().Err(); err != nil {
				return nil, errors.New("session is over")
			}
			return s.Session.Claim(ctx, key)
		},
	},
	{
		name:     "retired member is waited for",
		caughtBy: []string{"RetireHandsOverAtOnce"},
		retire: func(s *session, _ context.Context) error {
			s.world.registry.Expire(s.Member().Incarnation)
			return nil
		},
	},
	{
		name:     "retired member keeps its claims",
		caughtBy: []string{"RetireHandsOverAtOnce"},
		retire: func(s *session, _ context.Context) error {
			s.Session.Lease().End(errors.New("retired"))
			return nil
		},
	},
	{
		name:     "member that retires after its loss is waited for",
		caughtBy: []string{"RetireAfterLossEndsTheWait"},
		retire: func(s *session, ctx context.Context) error {
			if s.Session.Lease().Err() != nil {
				return nil
			}
			return s.Session.Retire(ctx)
		},
	},
	{
		name:     "goroutine outlives its session",
		caughtBy: []string{"NoGoroutineStays"},
		retire: func(s *session, ctx context.Context) error {
			s.world.stopped.Go(func() { <-s.world.stop })
			return s.Session.Retire(ctx)
		},
	},
	{
		name:     "claims outlive their session",
		caughtBy: []string{"ExpiryIsTold"},
		renewal:  &wrongRenewal{},
		expire:   func(*world, object.Member) error { return nil },
	},
	{
		name:     "takeover does not wait",
		caughtBy: []string{"TakeoverWaitsForTheLostLease", "LaterNodesWaitToo", "WaitIsOfTheLostMembersLease"},
		claim:    serveAt(func(*session, object.Key, time.Duration) time.Duration { return 0 }),
	},
	{
		name:     "only keys that the lost member owned wait",
		caughtBy: []string{"TakeoverWaitsForTheLostLease"},
		claim: serveAt(func(_ *session, key object.Key, sound time.Duration) time.Duration {
			if key.ID == "never owned" {
				return 0
			}
			return sound
		}),
	},
	{
		name:     "node that joins later knows of no loss",
		caughtBy: []string{"LaterNodesWaitToo"},
		claim: serveAt(func(s *session, _ object.Key, sound time.Duration) time.Duration {
			if s.joined >= s.world.lastLoss() {
				return 0
			}
			return sound
		}),
	},
	{
		name:     "wait is computed from one's own lease",
		caughtBy: []string{"WaitIsOfTheLostMembersLease"},
		claim: serveAt(func(s *session, _ object.Key, sound time.Duration) time.Duration {
			return min(sound, s.world.lastLoss()+object.TakeoverWait(s.length))
		}),
	},
	{
		name:     "wait is computed from the longest lease",
		caughtBy: []string{"WaitIsOfTheLostMembersLease"},
		claim: serveAt(func(s *session, _ object.Key, _ time.Duration) time.Duration {
			return s.world.lastLoss() + object.TakeoverWait(lease)
		}),
	},
	{
		name:     "every claim waits anew",
		caughtBy: []string{"WaitEnds"},
		claim: serveAt(func(s *session, _ object.Key, _ time.Duration) time.Duration {
			return s.world.clock() + object.TakeoverWait(lease)
		}),
	},
	{
		name:       "disconnected session is given up at once",
		caughtBy:   []string{"ShortDisconnectKeepsTheSession"},
		disconnect: func(w *world, m object.Member) error { w.registry.Expire(m.Incarnation); return nil },
	},
	{
		name:     "disconnected session is never given up",
		caughtBy: []string{"LongDisconnectEndsTheSession"},
		timeout:  time.Hour,
	},
}

// serveAt makes claims that may serve at another time than the sound one.
func serveAt(at func(s *session, key object.Key, sound time.Duration) time.Duration) func(*session, context.Context, object.Key) (object.Claim, error) {
	return func(s *session, ctx context.Context, key object.Key) (object.Claim, error) {
		c, err := s.Session.Claim(ctx, key)
		if err != nil {
			return nil, err
		}
		return claim{Claim: c, serveAt: at(s, key, c.ServeAt())}, nil
	}
}

// confuse claims another id than the one asked for.
func confuse(ids func(string) string) func(*session, context.Context, object.Key) (object.Claim, error) {
	return func(s *session, ctx context.Context, key object.Key) (object.Claim, error) {
		return s.Session.Claim(ctx, object.Key{Type: key.Type, ID: ids(key.ID)})
	}
}

// claimOnNewSession claims on a session that was silently made when the first one has ended.
func claimOnNewSession(s *session, ctx context.Context, key object.Key) (object.Claim, error) {
	if s.Session.Lease().Err() == nil {
		return s.Session.Claim(ctx, key)
	}
	m := s.Member()
	m.Session += 100
	fresh, err := s.world.registry.Join(ctx, m)
	if err != nil {
		return nil, err
	}
	return fresh.Claim(ctx, key)
}

// releaseOfWhatIsThere makes claims whose release takes whatever claim the key has by then.
func releaseOfWhatIsThere(s *session, ctx context.Context, key object.Key) (object.Claim, error) {
	c, err := s.Session.Claim(ctx, key)
	if err != nil {
		return nil, err
	}
	s.world.claims.Store(key, c)
	return claim{Claim: c, serveAt: c.ServeAt(), release: func(ctx context.Context) error {
		there, _ := s.world.claims.Load(key)
		return there.(object.Claim).Release(ctx)
	}}, nil
}
