package zkregistry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/zkmodel"
	"github.com/highlander-go/highlander/object"
)

// What a node says of its store is in its live node, for people too, and costs no request of its own.
func TestAStoreReportTravelsWithTheRenewal(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(Options{})
		a, b := n.join("a"), w.session("b")
		data := func() string {
			data, _, err := w.peek().Get(t.Context(), "/todo/live/"+pairName(a.Member()))
			w.must(err)
			return string(data)
		}
		if data() != "" {
			t.Errorf("it says %s at first", data())
		}
		time.Sleep(time.Second)
		reads := func(p zkmodel.Point) bool {
			return !p.Answer && (p.Op == "get" || p.Op == "children" || p.Op == "multi" || p.Op == "create")
		}
		all := func(p zkmodel.Point) bool { return !p.Answer && p.Op == "set" && p.Session == a.(*session).ID() }
		before, renewals := w.gate.count(reads), w.gate.count(all)
		for i := range 20 {
			a.(object.StoreReporter).ReportStore([]object.StoreState{object.StoreFails, object.StoreAnswers}[i%2])
			time.Sleep(time.Second)
		}
		if made := w.gate.count(reads) - before; made > 0 {
			t.Errorf("%d requests besides renewals", made)
		}
		if made := w.gate.count(all) - renewals; made > 20*renewalsInLease/2+2 {
			t.Errorf("%d renewals in 20 s", made)
		}
		if data() != `{"store":"answers"}` {
			t.Errorf("it says %s", data())
		}
		reports, err := b.(object.StoreReporter).StoreReports(t.Context())
		if err != nil || len(reports) != 1 || reports[0].State != object.StoreAnswers {
			t.Error(reports, err)
		}
	})
}

// Another version of the program may write more there, or something else.
func TestReportsOfOtherVersions(t *testing.T) {
	for data, want := range map[string]object.StoreState{
		"": object.StoreUnknown, "{}": object.StoreUnknown, "7": object.StoreUnknown, "{": object.StoreUnknown, `{"store":"limps"}`: object.StoreUnknown,
		`{"load":0.5,"store":"fails"}`: object.StoreFails,
	} {
		if got := decodeLive([]byte(data)); got != want {
			t.Errorf("%s: %v", data, got)
		}
	}
	for _, s := range []object.StoreState{object.StoreUnknown, object.StoreAnswers, object.StoreFails} {
		if got := decodeLive(encodeLive(s)); got != s {
			t.Errorf("%v comes back as %v", s, got)
		}
	}
}

func TestAReportOfALostSessionCountsNoMore(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.session("a"), w.session("b")
		a.(object.StoreReporter).ReportStore(object.StoreAnswers)
		reports := func() string {
			reports, err := b.(object.StoreReporter).StoreReports(t.Context())
			w.must(err)
			var all []string
			for _, r := range reports {
				all = append(all, fmt.Sprint(r.Member.Name, " ", r.State))
			}
			return strings.Join(all, ", ")
		}
		w.soon("the report is there", func() bool { return reports() == "a answers" })
		w.must(w.peek().Delete(t.Context(), "/todo/live/"+pairName(a.Member()), zk.AnyVersion))
		w.soon("the report is gone", func() bool { return reports() == "" })
	})
}

func TestASessionStopsOnDisconnectIfItIsToldTo(t *testing.T) {
	for _, stops := range []bool{false, true} {
		inWorld(t, func(t *testing.T, w *world) {
			a := w.node(Options{StopOnDisconnect: stops}).join("a")
			time.Sleep(10 * time.Second)
			if err := a.Lease().Err(); err != nil {
				t.Fatal(err)
			}
			for i := range 3 { // whichever it is connected to
				w.model.Kill(i)
				w.model.Start(i)
			}
			time.Sleep(DefaultLease / 2)
			err := a.Lease().Err()
			if ended := err != nil; ended != stops || a.Lease().Valid() == stops {
				t.Errorf("StopOnDisconnect %v: %v", stops, err)
			}
			if stops && !strings.Contains(err.Error(), "StopOnDisconnect") {
				t.Error(err)
			}
			time.Sleep(20 * time.Second)
			w.must(a.Retire(t.Context()))
		})
	}
}
