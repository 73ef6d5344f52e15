package zkregistry

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/zkmodel"
	"github.com/highlander-go/highlander/object"
)

func TestAJoinWhoseAnswerIsLostIsFound(t *testing.T) {
	for _, fate := range []zkmodel.Fate{zkmodel.LoseAnswer, zkmodel.LoseRequest} {
		inWorld(t, func(t *testing.T, w *world) {
			n := w.node(Options{})
			trap := w.gate.lose(fate, func(p zkmodel.Point) bool { return !p.Answer && p.Op == "multi" })
			a := n.join("a")
			<-trap.caught
			if !a.Lease().Valid() {
				t.Error("its lease is not valid")
			}
			if member, live := w.is(a); !member || !live {
				t.Error("it is not in the registry")
			}
		})
	}
}

func TestAPairIsJoinedOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(Options{})
		m := n.join("a").Member()
		for _, r := range []*modelNode{n, w.node(Options{})} {
			if _, err := r.Join(t.Context(), m); err == nil {
				t.Error("it is let in twice")
			}
		}
		if !strings.HasSuffix(w.children("/todo/live")[0], ".0") || len(w.children("/todo/live")) != 1 {
			t.Error(w.children("/todo/live"))
		}
	})
}

func TestATimeoutThatIsNotGrantedIsRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(Options{Lease: 30 * time.Second, SessionTimeout: time.Hour})
		_, err := n.Join(t.Context(), object.Member{Incarnation: uuid.New(), Name: "a"})
		if err == nil || !strings.Contains(err.Error(), "maxSessionTimeout") {
			t.Error(err)
		}
		if names := w.children("/todo/members"); len(names) > 0 {
			t.Errorf("it has left %v", names)
		}
	})
}

func TestBadOptionsAreRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		client, err := w.model.Client("x")
		w.must(err)
		for _, o := range []Options{{Root: ""}, {Root: "todo"}, {Root: "/todo/"}, {Root: "/a//b"}, {Root: "/" + strings.Repeat("x", 100)},
			{Root: "/a", Lease: time.Millisecond}, {Root: "/a", Lease: 7 * time.Second}, {Root: "/a", Lease: 2 * time.Second, SessionTimeout: 2 * time.Second},
			{Root: "/a", Lease: maxLease + 1, SessionTimeout: time.Hour}} {
			if r, err := Open(t.Context(), client, o); err == nil {
				t.Errorf("%+v is accepted", o)
				r.Close()
			}
		}
	})
}

func TestAnEnsembleThatDoesNotAnswerIsNamed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for i := range 3 {
			w.model.Kill(i)
		}
		client, err := w.model.Client("x")
		w.must(err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = Open(ctx, client, Options{Root: "/todo"})
		if !errors.Is(err, object.ErrUnavailable) || !strings.Contains(err.Error(), "ZooKeeper") {
			t.Error(err)
		}
	})
}

// A session that others took for dead learns it at its next renewal.
func TestTheEvictedLearnIt(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.session("a")
		w.must(w.peek().Delete(t.Context(), "/todo/live/"+pairName(a.Member()), zk.AnyVersion))
		<-a.Lease().Done()
		if err := a.Lease().Err(); !strings.Contains(err.Error(), "took it for dead") {
			t.Error(err)
		}
	})
}

// A leader that dies silently costs more than a session timeout: the session stays, and its lease is renewed when there is one again.
func TestASessionOutlivesAnOutage(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.session("a")
		c := w.claim(a, "k")
		for i := range 3 {
			w.model.Pause(i)
		}
		time.Sleep(time.Minute)
		if err := a.Lease().Err(); err != nil {
			t.Fatal(err)
		}
		if err := a.Lease().Wait(t.Context()); !errors.Is(err, object.ErrUnavailable) {
			t.Error(err)
		}
		for i := range 3 {
			w.model.Kill(i)
			w.model.Start(i)
		}
		w.soon("the lease is valid again", a.Lease().Valid)
		w.must(c.Release(t.Context()))
	})
}

func TestASessionEndsAfterMinutesOfSilence(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.session("a")
		w.must(w.Disconnect(a.Member()))
		for i := range 3 {
			w.model.Pause(i)
		}
		time.Sleep(silence - 10*time.Second)
		if err := a.Lease().Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if err := a.Lease().Err(); err == nil {
			t.Error("the session goes on")
		}
	})
}

// Servers that are restarted one by one end no session.
func TestASessionSurvivesARollingRestart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.session("a"), w.session("b")
		for i := range 3 {
			w.model.Kill(i)
			time.Sleep(2 * time.Second)
			w.model.Start(i)
			for _, s := range []object.Session{a, b} {
				w.soon("the lease is valid", s.Lease().Valid)
			}
		}
		w.claim(a, "k")
		if err := errors.Join(a.Lease().Err(), b.Lease().Err()); err != nil {
			t.Error(err)
		}
	})
}

// The lease is that of the last renewal's sending, whatever comes back from the ensemble otherwise.
func TestPingsRenewNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.session("a")
		trap := w.gate.hold(request(a, "set", ""))
		<-trap.caught
		time.Sleep(DefaultLease)
		if a.Lease().Valid() {
			t.Error("the lease is valid although no renewal was acknowledged")
		}
		if err := a.Lease().Err(); err != nil {
			t.Error(err)
		}
		close(trap.release)
		w.soon("the lease is valid again", a.Lease().Valid)
	})
}

// A retirement that ZooKeeper has not answered can be tried again.
func TestARetirementIsTriedAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.session("a"), w.session("b")
		w.claim(a, "k")
		w.must(w.Disconnect(a.Member()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Retire(ctx); !errors.Is(err, object.ErrUnavailable) {
			t.Fatal(err)
		}
		w.must(w.Reconnect(a.Member()))
		w.must(a.Retire(t.Context()))
		if member, live := w.is(a); member || live {
			t.Error("the pair is still there")
		}
		w.noWait(w.claim(b, "k"))
	})
}

// It is deleted at once, by the node that has torn it down, also when ZooKeeper has ended it before.
func TestALostSessionThatWasTornDownIsBuriedAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.session("a"), w.session("b")
		w.claim(a, "k")
		w.must(w.Expire(a.Member()))
		<-a.Lease().Done()
		w.must(a.Retire(t.Context()))
		if member, _ := w.is(a); member {
			t.Error("it is still a member")
		}
		w.noWait(w.claim(b, "k"))
	})
}

func TestMembersAreThoseThatLive(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(Options{})
		names := func() string {
			members, err := n.Members(t.Context())
			w.must(err)
			var names []string
			for _, m := range members {
				names = append(names, m.Name)
			}
			return strings.Join(names, " ")
		}
		if names() != "" {
			t.Error(names())
		}
		a := w.session("a")
		w.soon("a is there", func() bool { return names() == "a" })
		second := a.Member()
		second.Session = 1
		s, err := w.node(Options{}).Join(t.Context(), second)
		w.must(err)
		time.Sleep(time.Second)
		if names() != "a" {
			t.Errorf("%q; want each incarnation once", names())
		}
		w.must(a.Retire(t.Context()))
		time.Sleep(time.Second)
		if names() != "a" {
			t.Errorf("%q; its second session lives", names())
		}
		w.must(w.Expire(s.Member()))
		w.soon("nobody is there", func() bool { return names() == "" })
	})
}

// A session that could not retire in time is over all the same: the registry keeps nothing of it.
func TestASessionThatCouldNotRetireIsForgotten(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(Options{})
		a := n.join("a")
		w.must(w.Disconnect(a.Member()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Retire(ctx); err == nil {
			t.Fatal("it has retired")
		}
		w.must(w.Reconnect(a.Member()))
		w.soon("its pair is gone", func() bool { member, live := w.is(a); return !member && !live })
		n.mu.Lock()
		defer n.mu.Unlock()
		if len(n.sessions) > 0 {
			t.Errorf("%d sessions are kept", len(n.sessions))
		}
	})
}
