package registrytest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// A scene is one check at work.
type scene struct {
	T
	Cluster
	ctx   context.Context
	clock object.Clock // of all leases; known after the first join
}

func newScene(t T, c Cluster) *scene {
	return &scene{T: t, Cluster: c, ctx: context.Background()}
}

// step is how often a condition is looked at: what a check can see of time is no finer.
func (s *scene) step() time.Duration { return s.Lease() / 200 }

// patience is how long a condition is waited for before the check fails. Nothing is concluded from it
// otherwise, so it is generous.
func (s *scene) patience() time.Duration { return 3*s.SessionTimeout() + 10*time.Second }

// soon waits until cond holds.
func (s *scene) soon(what string, cond func() bool) {
	s.Helper()
	for end := time.Now().Add(s.patience()); !cond(); time.Sleep(s.step()) {
		if time.Now().After(end) {
			s.Fatalf("%s: not so after %v", what, s.patience())
		}
	}
}

// within is ctx with the check's patience, for calls that should return soon.
func (s *scene) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.ctx, s.patience())
}

// must ends the check when an action that all else rests on fails.
func (s *scene) must(what string, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

// join opens a session of a new node with the default lease.
func (s *scene) join(name string) object.Session {
	s.Helper()
	return s.joinWithLease(name, s.Lease())
}

func (s *scene) joinWithLease(name string, lease time.Duration) object.Session {
	s.Helper()
	return s.joinAs(object.Member{Incarnation: uuid.New(), Session: 1, Name: name, Address: name + ".example:7400", Types: types}, lease)
}

// types are what all members of checks can own.
var types = []object.Served{{Type: "list", Layout: 3, Methods: []string{"Add", "Open"}}, {Type: "user", Methods: []string{"Rename"}}}

func (s *scene) joinAs(m object.Member, lease time.Duration) object.Session {
	s.Helper()
	node, err := s.Node(lease)
	s.must("a node for "+m.Name, err)
	ctx, cancel := s.within()
	defer cancel()
	session, err := node.Join(ctx, m)
	s.must("join "+m.Name, err)
	if got := session.Member(); !reflect.DeepEqual(got, m) {
		s.Fatalf("session of %+v says that its member is %+v", m, got)
	}
	s.clock = session.Lease().Clock()
	return session
}

// claim claims what must be free, at once.
func (s *scene) claim(by object.Session, key object.Key) object.Claim {
	s.Helper()
	c, err := s.tryClaim(by, key)
	if err != nil {
		s.Fatalf("%s claims %v, which nobody owns: %v", by.Member().Name, key, err)
	}
	return c
}

// claimSoon claims what is about to become free, or fails the check. It gives up on any refusal but NotOwner.
func (s *scene) claimSoon(by object.Session, key object.Key) (c object.Claim) {
	s.Helper()
	s.soon(fmt.Sprintf("%s can claim %v", by.Member().Name, key), func() bool {
		var err error
		c, err = s.tryClaim(by, key)
		if notOwner := new(object.NotOwnerError); err != nil && !errors.As(err, &notOwner) {
			s.Fatalf("%s claims %v: %v; want success or a NotOwnerError", by.Member().Name, key, err)
		}
		return err == nil
	})
	return c
}

func (s *scene) tryClaim(by object.Session, key object.Key) (object.Claim, error) {
	ctx, cancel := s.within()
	defer cancel()
	return by.Claim(ctx, key)
}

// refused checks that by cannot claim what owner owns, and is told so.
func (s *scene) refused(by object.Session, key object.Key, owner object.Session) {
	s.Helper()
	_, err := s.tryClaim(by, key)
	s.checkRefusal(by, key, owner, err)
}

func (s *scene) checkRefusal(by object.Session, key object.Key, owner object.Session, err error) {
	s.Helper()
	var notOwner *object.NotOwnerError
	switch {
	case err == nil:
		s.Errorf("%s claims %v and gets it, though %s owns it", by.Member().Name, key, owner.Member().Name)
	case !errors.As(err, &notOwner):
		s.Errorf("%s claims %v, which %s owns: got error %v; want a NotOwnerError", by.Member().Name, key, owner.Member().Name, err)
	case !reflect.DeepEqual(notOwner.Owner, owner.Member()) || notOwner.Key != key:
		s.Errorf("%s claims %v, which %+v owns: the NotOwnerError says key %v, owner %+v",
			by.Member().Name, key, owner.Member(), notOwner.Key, notOwner.Owner)
	}
}

// ends checks that a session learns of its end, and that nothing can be done with it any more.
func (s *scene) ends(session object.Session) {
	s.Helper()
	name, lease := session.Member().Name, session.Lease()
	s.soon("the lease of "+name+" ends", func() bool {
		select {
		case <-lease.Done():
			return true
		default:
			return false
		}
	})
	if lease.Valid() {
		s.Errorf("the lease of %s is valid after its end", name)
	}
	if lease.Err() == nil {
		s.Errorf("the lease of %s has ended and does not say why", name)
	}
	c, err := s.tryClaim(session, key("after-the-end-of-"+name))
	switch {
	case err == nil:
		s.Errorf("%s claims %v after its session has ended, and gets it", name, c)
	case !errors.Is(err, object.ErrUnavailable):
		s.Errorf("%s claims after its session has ended: error %q does not match object.ErrUnavailable", name, err)
	}
}

// ownerIs waits until the registry shows owner as the one who owns key, nil for nobody. What Owner says may be
// older than what Claim decides, so a short while of the old answer is no error.
func (s *scene) ownerIs(key object.Key, owner object.Session) {
	s.Helper()
	node, err := s.Node(s.Lease())
	s.must("a node", err)
	what := fmt.Sprintf("nobody owns %v", key)
	if owner != nil {
		what = fmt.Sprintf("%s owns %v", owner.Member().Name, key)
	}
	s.soon(what, func() bool {
		ctx, cancel := s.within()
		defer cancel()
		m, ok, err := node.Owner(ctx, key)
		s.must(fmt.Sprintf("look up the owner of %v", key), err)
		return ok == (owner != nil) && (!ok || reflect.DeepEqual(m, owner.Member()))
	})
}

func (s *scene) release(c object.Claim) {
	s.Helper()
	ctx, cancel := s.within()
	defer cancel()
	s.must("release", c.Release(ctx))
}

func (s *scene) retire(session object.Session) {
	s.Helper()
	ctx, cancel := s.within()
	defer cancel()
	s.must("retire "+session.Member().Name, session.Retire(ctx))
}

func (s *scene) disconnect(session object.Session) {
	s.Helper()
	s.must("disconnect "+session.Member().Name, s.Disconnect(session.Member()))
}

func (s *scene) reconnect(session object.Session) {
	s.Helper()
	s.must("reconnect "+session.Member().Name, s.Reconnect(session.Member()))
}

func (s *scene) expire(session object.Session) {
	s.Helper()
	s.must("expire "+session.Member().Name, s.Expire(session.Member()))
}

// servesFrom is the moment from which c's owner may serve: what the registry said, and not before it said it.
// Call it right after the claim.
func (s *scene) servesFrom(c object.Claim) time.Duration { return max(c.ServeAt(), s.clock()) }

// noWait checks that c may serve as soon as it was won.
func (s *scene) noWait(c object.Claim, why string) {
	s.Helper()
	if now := s.clock(); c.ServeAt() > now {
		s.Errorf("the claim may serve only %v from now, though %s", c.ServeAt()-now, why)
	}
}

func key(id string) object.Key { return object.Key{Type: "list", ID: id} }
