package load

import (
	"math"
	"sync"
	"testing"
	"time"
)

// noon is when the answers of these tests come.
var noon = time.Date(1994, 11, 6, 12, 0, 0, 0, time.UTC)

func TestParseRetryAfter(t *testing.T) {
	for _, c := range []struct {
		value string
		want  time.Duration
		ok    bool
	}{
		{"120", 2 * time.Minute, true},
		{"0", 0, true},
		{" 7\t", 7 * time.Second, true},
		{"007", 7 * time.Second, true},
		{"99999999999999999999999999", math.MaxInt64, true},
		{"9300000000", math.MaxInt64, true}, // above 292 years
		{"Sun, 06 Nov 1994 12:00:37 GMT", 37 * time.Second, true},
		{"Sunday, 06-Nov-94 12:00:37 GMT", 37 * time.Second, true},
		{"Sun Nov  6 12:00:37 1994", 37 * time.Second, true},
		{"Sun, 06 Nov 1994 12:00:00 GMT", 0, false},
		{"Sun, 06 Nov 1994 11:59:59 GMT", 0, false},
		{"Fri, 31 Dec 9999 23:59:59 GMT", math.MaxInt64, true},
		{"", 0, false},
		{"-1", 0, false},
		{"+1", 0, false},
		{"1.5", 0, false},
		{"10s", 0, false},
		{"1e3", 0, false},
		{"soon", 0, false},
		{"1994-11-06T12:00:37Z", 0, false},
	} {
		got, ok := ParseRetryAfter(c.value, noon)
		if ok != c.ok || (ok && got != c.want) {
			t.Errorf("%q: got %v, %v; want %v, %v", c.value, got, ok, c.want, c.ok)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, seed := range []string{"120", "Sun, 06 Nov 1994 12:00:37 GMT", "-1", "9223372036854775808"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if d, ok := ParseRetryAfter(value, noon); ok && d < 0 {
			t.Errorf("%q gives %v", value, d)
		}
		if hold, ok := DefaultRetryPolicy().HoldFor(429, value, noon, false); ok && (hold.For <= 0 || hold.For > 5*time.Minute) {
			t.Errorf("%q holds %v", value, hold.For)
		}
	})
}

func TestHoldFor(t *testing.T) {
	const minute = time.Minute
	for _, c := range []struct {
		name       string
		status     int
		retryAfter string
		shared     bool
		want       Hold
		ok         bool
	}{
		{"429 for one", 429, "60", false, Hold{For: minute}, true},
		{"429 for a shared identity", 429, "60", true, Hold{For: minute, Everybody: true}, true},
		{"429 with a date", 429, "Sun, 06 Nov 1994 12:01:00 GMT", false, Hold{For: minute}, true},
		{"429 alone", 429, "", false, Hold{For: time.Second}, true},
		{"429 with nonsense", 429, "later", false, Hold{For: time.Second}, true},
		{"429 with a date in the past", 429, "Sun, 06 Nov 1994 11:00:00 GMT", false, Hold{For: time.Second}, true},
		{"429 with no wait", 429, "0", false, Hold{}, false},
		{"429 at the maximum", 429, "300", false, Hold{For: 5 * minute}, true},
		{"429 above the maximum", 429, "301", false, Hold{For: 5 * minute, Capped: true}, true},
		{"503", 503, "60", false, Hold{For: minute, Everybody: true}, true},
		{"503 above the maximum", 503, "86400", false, Hold{For: 5 * minute, Everybody: true, Capped: true}, true},
		{"503 alone", 503, "", false, Hold{}, false},
		{"503 with nonsense", 503, "later", true, Hold{}, false},
		{"200", 200, "60", false, Hold{}, false},
		{"301", 301, "60", false, Hold{}, false},
		{"413", 413, "60", false, Hold{}, false},
		{"500", 500, "60", true, Hold{}, false},
		{"no answer", 0, "60", true, Hold{}, false},
	} {
		got, ok := DefaultRetryPolicy().HoldFor(c.status, c.retryAfter, noon, c.shared)
		if got != c.want || ok != c.ok {
			t.Errorf("%s: got %+v, %v; want %+v, %v", c.name, got, ok, c.want, c.ok)
		}
	}
	if got, ok := (RetryPolicy{}).HoldFor(429, "60", noon, false); ok {
		t.Errorf("a policy without a maximum obeys nothing, and holds %+v", got)
	}
	if got, _ := (RetryPolicy{Max: time.Second, Default: time.Hour}).HoldFor(429, "", noon, false); got != (Hold{For: time.Second}) {
		t.Errorf("a default above the maximum holds %+v, want 1s, which the target did not ask for", got)
	}
}

func TestHolds(t *testing.T) {
	holds := NewHolds(3)
	check := func(now time.Duration, users int, held ...bool) {
		t.Helper()
		for user, want := range held {
			if got := holds.Held(user, now); got != want {
				t.Errorf("at %v user %d is held: %v, want %v", now, user, got, want)
			}
		}
		if got := holds.Users(now); got != users {
			t.Errorf("at %v %d users are held, want %d", now, got, users)
		}
	}
	check(0, 0, false, false, false)
	holds.Hold(1, 10*time.Second)
	check(0, 1, false, true, false)
	check(10*time.Second-1, 1, false, true, false)
	check(10*time.Second, 0, false, false, false)

	holds.Hold(1, 5*time.Second) // never shortens
	check(9*time.Second, 1, false, true, false)

	holds.HoldAll(20 * time.Second)
	holds.Hold(2, 30*time.Second)
	check(15*time.Second, 3, true, true, true)
	check(20*time.Second, 1, false, false, true)
	check(30*time.Second, 0, false, false, false)
	if got := holds.Until(0); got != 20*time.Second {
		t.Errorf("user 0 is held until %v, want 20s", got)
	}
	if got := holds.Until(2); got != 30*time.Second {
		t.Errorf("user 2 is held until %v, want 30s", got)
	}

	holds.Apply(Hold{For: time.Minute, Capped: true}, 0, 40*time.Second)
	check(99*time.Second, 1, true, false, false)
	holds.Apply(Hold{For: time.Minute, Everybody: true}, 0, 60*time.Second)
	check(119*time.Second, 3, true, true, true)
	if !holds.HeldAll(119*time.Second) || holds.HeldAll(120*time.Second) {
		t.Error("everybody must be held up to 2m0s")
	}
	holds.Apply(Hold{For: math.MaxInt64}, 2, time.Minute) // does not overflow
	check(math.MaxInt64-1, 1, false, false, true)
	if got, want := holds.Counts(), (HoldCounts{User: 5, Everybody: 2, Capped: 1}); got != want {
		t.Errorf("counts are %+v, want %+v", got, want)
	}
}

// Of many holds at the same time the latest end wins.
func TestHoldsAtTheSameTime(t *testing.T) {
	const callers, rounds = 8, 1000
	holds := NewHolds(2)
	var callersDone sync.WaitGroup
	for caller := range callers {
		callersDone.Go(func() {
			for round := range rounds {
				holds.Hold(caller%2, time.Duration(round*callers+caller))
				holds.Held(caller%2, time.Duration(round))
				holds.Users(time.Duration(round))
			}
		})
	}
	callersDone.Wait()
	for user := range 2 {
		if got, want := holds.Until(user), time.Duration((rounds-1)*callers+callers-2+user); got != want {
			t.Errorf("user %d is held until %d, want %d", user, got, want)
		}
	}
	if got := holds.Counts().User; got != callers*rounds {
		t.Errorf("%d holds counted, want %d", got, callers*rounds)
	}
}

func BenchmarkHeld(b *testing.B) {
	holds := NewHolds(100_000)
	b.Run("nobody is held", func(b *testing.B) {
		b.ReportAllocs()
		for user := 0; b.Loop(); user = (user + 1) % 100_000 {
			holds.Held(user, time.Second)
		}
	})
	b.Run("gauge of 100000 users, one held", func(b *testing.B) {
		holds.Hold(5, time.Minute)
		b.ReportAllocs()
		for b.Loop() {
			holds.Users(time.Second)
		}
	})
}
