package object

import (
	"fmt"
	"testing"
	"time"
)

func TestTakeoverWaitIsTheLeaseAFifthOfATenthAndATenthOfASecond(t *testing.T) {
	for lease, want := range map[time.Duration]time.Duration{
		0:               100 * time.Millisecond,
		2 * time.Second: 2200 * time.Millisecond,
		time.Minute:     63*time.Second + 100*time.Millisecond,
	} {
		if got := TakeoverWait(lease); got != want {
			t.Errorf("TakeoverWait(%v) = %v, want %v", lease, got, want)
		}
	}
}

func TestServeAt(t *testing.T) {
	s := time.Second
	for _, c := range []struct {
		lost []LostMember
		want time.Duration
	}{
		{nil, 0},
		{[]LostMember{{Seen: 10 * s, Lease: 2 * s}}, 12200 * time.Millisecond},
		{[]LostMember{{Seen: 10 * s, Lease: 2 * s}, {Seen: 11 * s, Lease: 2 * s}}, 13200 * time.Millisecond},
		{[]LostMember{{Seen: 10 * s, Lease: 20 * s}, {Seen: 15 * s, Lease: 2 * s}}, 31100 * time.Millisecond}, // a longer lease of another version
	} {
		if got := ServeAt(c.lost); got != c.want {
			t.Errorf("ServeAt(%v) = %v, want %v", c.lost, got, c.want)
		}
	}
}

func TestMayAnswer(t *testing.T) {
	const validUntil, unavailableAt = 20, 60
	for _, c := range []struct {
		now   time.Duration
		ended bool
		want  answer
	}{
		{19, false, answerNow},
		{20, false, answerWait}, // the lease is over at its end
		{59, false, answerWait},
		{60, false, answerUnavailable},
		{19, true, answerEnded},
		{30, true, answerEnded},
		{60, true, answerEnded},
	} {
		if got := mayAnswer(c.now, validUntil, unavailableAt, c.ended); got != c.want {
			t.Errorf("mayAnswer(now %v, ended %v) = %v, want %v", c.now, c.ended, got, c.want)
		}
	}
}

func TestAfterPut(t *testing.T) {
	for _, c := range []struct {
		result putResult
		doubt  bool
		want   putStep
	}{
		{putOK, false, stepDone},
		{putOK, true, stepDone},
		{putCondition, false, stepLook},
		{putCondition, true, stepLook},
		{putNoBlob, false, stepGone},
		{putNoBlob, true, stepClash}, // ours may have been written, and then deleted
		{putRefused, false, stepRefuse},
		{putRefused, true, stepAgain}, // an earlier attempt may have succeeded
		{putUnknown, false, stepAgain},
		{putUnknown, true, stepAgain},
	} {
		if got := afterPut(c.result, c.doubt); got != c.want {
			t.Errorf("afterPut(%v, doubt %v) = %v, want %v", c.result, c.doubt, got, c.want)
		}
	}
}

func TestAfterLook(t *testing.T) {
	for _, c := range []struct {
		found             found
		leaseValid, wrote bool
		doubt             bool
		want              putStep
	}{
		{foundOurs, true, false, false, stepDone},
		{foundOurs, false, false, false, stepDone},
		{foundOurs, true, true, false, stepDone},
		{foundOurs, false, true, false, stepDone},
		{foundOther, true, false, false, stepAdopt},
		{foundOther, false, false, false, stepWait},
		{foundOther, true, true, false, stepClash},
		{foundOther, false, true, false, stepWait}, // overtaken, it seems: for the registry to say
		{foundOlder, true, false, false, stepClash},
		{foundOlder, true, true, false, stepClash},
		{foundNone, true, false, false, stepGone},
		{foundNone, true, true, false, stepGone},
		{foundNone, true, false, true, stepClash},
		{foundUnreadable, true, false, false, stepClash},
		{foundUnreadable, false, true, true, stepClash},
	} {
		if got := afterLook(c.found, c.leaseValid, c.wrote, c.doubt); got != c.want {
			t.Errorf("afterLook(%v, lease %v, wrote %v, doubt %v) = %v, want %v", c.found, c.leaseValid, c.wrote, c.doubt, got, c.want)
		}
	}
}

func TestNextEpoch(t *testing.T) {
	for _, c := range []struct {
		last uint64
		same bool
		want uint64
	}{{0, false, 1}, {1, true, 1}, {1, false, 2}, {7, true, 7}, {7, false, 8}} {
		if got := nextEpoch(c.last, c.same); got != c.want {
			t.Errorf("nextEpoch(%d, %v) = %d, want %d", c.last, c.same, got, c.want)
		}
	}
}

func TestNewer(t *testing.T) {
	r := func(epoch, version uint64) *Record { return &Record{Epoch: epoch, Version: version} }
	for _, c := range []struct {
		a, b *Record
		want bool
	}{
		{r(1, 2), r(1, 1), true},
		{r(1, 1), r(1, 2), false},
		{r(2, 1), r(1, 9), true},
		{r(1, 9), r(2, 1), false},
		{r(1, 1), r(1, 1), false},
		{r(1, 1), nil, true},
		{nil, r(1, 1), false},
		{nil, nil, false},
	} {
		if got := c.a.Newer(c.b); got != c.want {
			t.Errorf("%+v newer than %+v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestResultOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want putResult
	}{
		{nil, putOK},
		{fmt.Errorf("put: %w", ErrConditionFailed), putCondition},
		{fmt.Errorf("put: %w", ErrNoBlob), putNoBlob},
		{fmt.Errorf("put: %w", ErrRefused), putRefused},
		{fmt.Errorf("connection reset"), putUnknown},
	} {
		if got := resultOf(c.err); got != c.want {
			t.Errorf("resultOf(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}
