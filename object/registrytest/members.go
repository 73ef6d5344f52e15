package registrytest

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// A member is listed from its first session to the end of its last one, whichever way that ends.
func membersAreListed(t T, c Cluster) {
	s := newScene(t, c)
	s.membersAre()
	m := object.Member{Incarnation: uuid.New(), Session: 1, Name: "a", Address: "a.example:7400", Types: types}
	first := s.joinAs(m, s.Lease())
	m.Session = 2
	second := s.joinAs(m, s.Lease())
	lost, cut := s.join("lost"), s.join("cut off")
	s.membersAre(first, lost, cut)
	s.retire(first)
	s.membersAre(second, lost, cut)
	s.expire(lost)
	s.membersAre(second, cut)
	s.disconnect(cut)
	s.membersAre(second)
	s.reconnect(cut)
	s.retire(second)
	s.membersAre()
}

// membersAre waits until the registry lists the sessions' members and no others.
func (s *scene) membersAre(sessions ...object.Session) {
	s.Helper()
	node, err := s.Node(s.Lease())
	s.must("a node", err)
	want := make([]object.Member, 0, len(sessions))
	for _, session := range sessions {
		want = append(want, session.Member())
	}
	byName := func(a, b object.Member) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(want, byName)
	s.soon(fmt.Sprintf("the members are %v", want), func() bool {
		ctx, cancel := s.within()
		defer cancel()
		listed, err := node.Members(ctx)
		s.must("list the members", err)
		got := slices.Clone(listed)
		slices.SortFunc(got, byName)
		return len(got) == len(want) && (len(got) == 0 || reflect.DeepEqual(got, want))
	})
}

// A suspicion that is wrong takes nothing from a member that renews its lease.
func suspicionTakesNothingFromTheHealthy(t T, c Cluster) {
	s := newScene(t, c)
	a, b := s.join("a"), s.join("b")
	s.claim(a, key("k"))
	node, err := s.Node(s.Lease())
	s.must("a node", err)
	s.membersAre(a, b)
	for end := s.clock() + 6*s.Lease(); s.clock() < end; time.Sleep(s.Lease() / 20) {
		node.Suspect(a.Member(), object.Gone)
		node.Suspect(a.Member(), object.Silent)
		node.Suspect(object.Member{Incarnation: uuid.New(), Session: 1, Name: "nobody"}, object.Gone)
	}
	if err := a.Lease().Err(); err != nil {
		s.Errorf("the session of a has ended: %v", err)
	}
	s.refused(b, key("k"), a)
	s.noWait(s.claim(b, key("other")), "nobody was lost")
}

// What a member reports of its store reaches the other nodes with its renewals, while it is live, and not itself.
func storeReportsReachOthers(t T, c Cluster) {
	s := newScene(t, c)
	a, b := s.join("a"), s.join("b")
	reporter, ok := a.(object.StoreReporter)
	if !ok {
		s.Skipf("sessions are no object.StoreReporter")
	}
	s.storesAre(b, object.StoreReport{Member: a.Member()})
	for _, state := range []object.StoreState{object.StoreAnswers, object.StoreFails, object.StoreUnknown, object.StoreFails} {
		reporter.ReportStore(state)
		s.storesAre(b, object.StoreReport{Member: a.Member(), State: state})
	}
	s.storesAre(a, object.StoreReport{Member: b.Member()})
	s.retire(a)
	s.storesAre(b)
}

// storesAre waits until the session is told these reports.
func (s *scene) storesAre(session object.Session, want ...object.StoreReport) {
	s.Helper()
	s.soon(fmt.Sprintf("the reports are %v", want), func() bool {
		ctx, cancel := s.within()
		defer cancel()
		got, err := session.(object.StoreReporter).StoreReports(ctx)
		s.must("ask how stores do", err)
		return len(got) == len(want) && (len(got) == 0 || reflect.DeepEqual(got, want))
	})
}
