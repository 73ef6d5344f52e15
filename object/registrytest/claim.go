package registrytest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

func oneOfManyClaimersWins(t T, c Cluster) {
	const rounds, keys = 5, 20
	s := newScene(t, c)
	sessions := s.joinMany(5)
	for range rounds {
		var claims [keys][]object.Claim
		var errs [keys][]error
		var racers sync.WaitGroup
		start := make(chan struct{})
		for k := range keys {
			claims[k], errs[k] = make([]object.Claim, len(sessions)), make([]error, len(sessions))
			for i, session := range sessions {
				racers.Go(func() {
					<-start
					claims[k][i], errs[k][i] = s.tryClaim(session, key(fmt.Sprint(k)))
				})
			}
		}
		close(start)
		racers.Wait()
		for k := range keys {
			s.checkRace(key(fmt.Sprint(k)), sessions, claims[k], errs[k])
		}
	}
}

// checkRace checks that one session has got the key and the others were told which, and releases it.
func (s *scene) checkRace(key object.Key, sessions []object.Session, claims []object.Claim, errs []error) {
	s.Helper()
	var winner object.Session
	for i, session := range sessions {
		switch {
		case errs[i] != nil:
		case winner != nil:
			s.Errorf("%s and %s both claim %v and get it", winner.Member().Name, session.Member().Name, key)
		default:
			winner = session
			s.noWait(claims[i], "nobody was lost")
		}
	}
	if winner == nil {
		s.Fatalf("%d sessions claim %v, which is free, and none gets it: %v", len(sessions), key, errors.Join(errs...))
	}
	for i, session := range sessions {
		if errs[i] != nil {
			s.checkRefusal(session, key, winner, errs[i])
		}
	}
	for i := range sessions {
		if errs[i] == nil {
			s.release(claims[i])
		}
	}
}

func ownerIsFound(t T, c Cluster) {
	s := newScene(t, c)
	a, b := s.join("a"), s.join("b")
	s.ownerIs(key("k"), nil)
	claim := s.claim(a, key("k"))
	s.claim(b, key("other"))
	s.ownerIs(key("k"), a)
	s.ownerIs(key("other"), b)
	s.ownerIs(key("third"), nil)
	s.release(claim)
	s.ownerIs(key("k"), nil)
	s.claim(b, key("k"))
	s.ownerIs(key("k"), b)
}

// A session that claims what it holds is told so, but not that it must go to somebody else, and holds it on.
func claimingTwiceIsRefused(t T, c Cluster) {
	s := newScene(t, c)
	a, b := s.join("a"), s.join("b")
	claim := s.claim(a, key("k"))
	_, err := s.tryClaim(a, key("k"))
	var notOwner *object.NotOwnerError
	if err == nil || errors.As(err, &notOwner) {
		s.Errorf("a claims what it holds: got error %v; want one that is no NotOwnerError", err)
	}
	s.refused(b, key("k"), a)
	s.release(claim)
	s.noWait(s.claim(b, key("k")), "it was released")
}

func oneIncarnationsSessionsAreTwoOwners(t T, c Cluster) {
	s := newScene(t, c)
	m := object.Member{Incarnation: uuid.New(), Session: 1, Name: "a", Address: "a.example:7400"}
	first := s.joinAs(m, s.Lease())
	m.Session = 2
	second := s.joinAs(m, s.Lease())
	s.claim(first, key("k"))
	s.refused(second, key("k"), first)
	s.ownerIs(key("k"), first)
	s.retire(first)
	s.noWait(s.claim(second, key("k")), "the owner has retired")
	if err := second.Lease().Err(); err != nil {
		s.Errorf("the second session has ended when the first one retired: %v", err)
	}
}

func oddIDsAreDistinct(t T, c Cluster) {
	s := newScene(t, c)
	owners := []object.Session{s.join("a"), s.join("b")}
	other := s.join("c")
	keys := oddKeys()
	for i, k := range keys {
		if err := k.Validate(); err != nil {
			s.Fatalf("%v: %v", k, err)
		}
		s.claim(owners[i%2], k)
	}
	for i, k := range keys {
		s.refused(other, k, owners[i%2])
		s.ownerIs(k, owners[i%2])
	}
}

// oddKeys are keys that paths, escapes, case folding, normal forms and limits may take for one another.
func oddKeys() []object.Key {
	long := strings.Repeat("x", object.MaxIDBytes-1)
	ids := []string{
		"a", "A", "a ", " a", "b/c", "/", "//", "a/", "/a", "a//b", "a/b", "a/./b", "a/c/../b", ".", "..", "...", "../a",
		"a%2fb", "a%2Fb", "%", "%%", "%61", "%00", "\x00", "a\x00", "\n", "\r\n", "\t", "a\\b", "\\", "a:b", "a_b", "a-b",
		"-0000000001", "a-0000000001", "zookeeper", "~", "*", "?", "a?b=c#d", "'", "\"", "+", "$HOME",
		"é", "e\u0301", "日本", "\u200b", "\ufeffa", "\U0001f600", "ß", "ss", "\uffff",
		long, long + "x", long + "y", "y" + long, strings.Repeat("é", object.MaxIDBytes/2), strings.Repeat("/", object.MaxIDBytes),
	}
	keys := []object.Key{
		{Type: "a", ID: "b-c"}, {Type: "a-b", ID: "c"}, {Type: "a", ID: "-b-c"}, {Type: "a_b", ID: "c"},
		{Type: "lis", ID: "ta"}, {Type: "other", ID: "a"}, {Type: strings.Repeat("t", object.MaxTypeBytes), ID: long + "x"},
	}
	for _, id := range ids {
		keys = append(keys, key(id))
	}
	return keys
}

// A claim that its caller gave up may have been won or not. When the caller was told of an error, nothing of it
// stays that others would have to wait for, beyond the moment that taking it back may need.
func cancelledClaimLeavesNothing(t T, c Cluster) {
	s := newScene(t, c)
	a, b := s.join("a"), s.join("b")
	checkFree := func(k object.Key) {
		claim := s.claimSoon(b, k)
		s.noWait(claim, "nobody was lost")
		s.release(claim)
		s.release(s.claim(a, k))
	}

	cancelled, cancel := context.WithCancel(s.ctx)
	cancel()
	if claim, err := a.Claim(cancelled, key("before")); err == nil {
		s.release(claim)
	}
	checkFree(key("before"))

	for i := range 20 {
		k := key(fmt.Sprintf("during/%d", i))
		ctx, cancel := context.WithCancel(s.ctx)
		var canceller sync.WaitGroup
		canceller.Go(cancel)
		claim, err := a.Claim(ctx, k)
		canceller.Wait()
		if err == nil {
			s.release(claim)
		}
		checkFree(k)
	}

	s.disconnect(a)
	short, cancel := context.WithTimeout(s.ctx, s.Lease()/4)
	defer cancel()
	if _, err := a.Claim(short, key("cut off")); err == nil {
		s.Errorf("a claims while it is cut off, and gets it")
	}
	s.reconnect(a)
	s.soon("the lease of a is valid again", a.Lease().Valid)
	checkFree(key("cut off"))
}
