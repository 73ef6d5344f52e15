package highlandertest_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander/highlandertest"
	"github.com/highlander-go/highlander/object"
)

func TestWhatLosesAnAnswerOrARequestIsPutAgainWithOneEffect(t *testing.T) {
	for name, x := range map[string]struct {
		fault highlandertest.Fault
		want  highlandertest.Cost
	}{
		"nothing":        {highlandertest.Fault{}, highlandertest.Cost{PUTs: 1}},
		"a lost answer":  {highlandertest.LoseAnswer(), highlandertest.Cost{PUTs: 2, GETs: 1}},
		"a lost request": {highlandertest.LoseRequest(), highlandertest.Cost{PUTs: 2}},
		"a slow request": {highlandertest.Slow(time.Second), highlandertest.Cost{PUTs: 1}},
		"a late one":     {highlandertest.LandLate(time.Minute), highlandertest.Cost{PUTs: 2}},
		"not a late one": {highlandertest.LandLate(0), highlandertest.Cost{PUTs: 2, GETs: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, 2, func(t *testing.T, c *highlandertest.Cluster, owner int) {
				c.ResetCost()
				c.Store().Next(1, x.fault)
				start := time.Now()
				mustBump(t, c, 0, 2)
				if got := c.Cost(); got != x.want {
					t.Errorf("it cost %+v, want %+v", got, x.want)
				}
				if name == "a slow request" && time.Since(start) != time.Second {
					t.Errorf("it took %v", time.Since(start))
				}
				time.Sleep(2 * time.Minute) // what lands late changes nothing
				mustBump(t, c, 1, 3)
			})
		})
	}
}

func TestARefusedPutHasNoEffect(t *testing.T) {
	within(t, 2, func(t *testing.T, c *highlandertest.Cluster, owner int) {
		c.Store().Next(1, highlandertest.Refuse())
		if _, err := bumpFor(t, c, 0, time.Minute); !errors.Is(err, object.ErrUnavailable) {
			t.Errorf("it was refused: %v", err)
		}
		mustBump(t, c, 0, 2)
	})
}

// A put lands when its sender is dead and another owner has loaded the object: the other one adopts what it finds.
func TestAPutThatLandsAfterItsSenderHasDied(t *testing.T) {
	within(t, 2, func(t *testing.T, c *highlandertest.Cluster, owner int) {
		c.Store().Next(10, highlandertest.LandLate(10*time.Second))
		go bumpFor(t, c, owner, time.Minute)
		synctest.Wait()
		c.Kill(owner)
		c.Store().Next(0, highlandertest.Fault{})
		if n, err := get(t, c, other(c, owner), time.Minute); n != 1 || err != nil {
			t.Fatalf("before it has landed: %d, %v", n, err)
		}
		time.Sleep(20 * time.Second)
		if n, err := bumpFor(t, c, other(c, owner), time.Minute); n != 3 || err != nil {
			t.Errorf("an update after it has landed: %d, %v; want 3", n, err)
		}
	})
}

func TestWhenSaysWhatBecomesOfEachRequest(t *testing.T) {
	within(t, 2, func(t *testing.T, c *highlandertest.Cluster, owner int) {
		var seen []highlandertest.Request
		c.Store().When(func(r highlandertest.Request) highlandertest.Fault {
			if seen = append(seen, r); r.Method == "GET" && len(seen) == 1 {
				return highlandertest.LoseAnswer()
			}
			return highlandertest.Fault{}
		})
		if _, err := tallies.On(c.Node(0)).Get(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		want := highlandertest.Request{Node: c.Owner("tally", "b"), Method: "GET", Key: object.Key{Type: "tally", ID: "b"}}
		if len(seen) != 2 || seen[1] != want {
			t.Errorf("requests: %v", seen)
		}
		c.Store().When(nil)
		for range tallies.On(c.Node(0)).IDs(t.Context(), "") {
		}
		if err := tallies.On(c.Node(0)).Delete(t.Context(), "a"); err != nil || len(seen) != 2 {
			t.Error(err, seen)
		}
		if cost := c.Cost(); cost.LISTs != 1 {
			t.Errorf("a listing cost %+v", cost)
		}
	})
}
