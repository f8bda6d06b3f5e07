package load

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// RetryPolicy says how a target that asks to be left alone is obeyed.
type RetryPolicy struct {
	// Max is the longest hold: a target that asks for more is left alone for
	// this long, and the hold says that it was capped; 0 obeys nothing.
	Max time.Duration
	// Default is the hold after a 429 that does not say for how long.
	Default time.Duration
}

// DefaultRetryPolicy holds 5 minutes at most, and 1 s after a bare 429.
func DefaultRetryPolicy() RetryPolicy { return RetryPolicy{Max: 5 * time.Minute, Default: time.Second} }

// Hold is how long somebody is to be left alone.
type Hold struct {
	// For is counted from the answer; > 0.
	For time.Duration
	// Everybody means all virtual users, not only the one that was answered.
	Everybody bool
	// Capped means that the target asked for more than the maximum.
	Capped bool
}

// HoldFor decides whom an answer asks to hold back, and for how long:
//
//	429 (RFC 6585, 4): the identity that was answered; everybody when all virtual
//	    users share it. Without a usable Retry-After for the default time.
//	503 (RFC 9110, 15.6.4): everybody, but only with a Retry-After.
//
// It is false when nothing is to be held: Retry-After on any other status (301
// and 413 may have it) speaks of one request, which soakd does not repeat.
// wall is when the answer was made by the target's own clock, its Date header,
// so that the clocks need not agree; the time of its arrival when it has none.
func (p RetryPolicy) HoldFor(status int, retryAfter string, wall time.Time, shared bool) (Hold, bool) {
	if p.Max <= 0 || (status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable) {
		return Hold{}, false
	}
	asked, said := ParseRetryAfter(retryAfter, wall)
	everybody := shared || status == http.StatusServiceUnavailable
	if !said {
		if status == http.StatusServiceUnavailable {
			return Hold{}, false
		}
		asked = min(p.Default, p.Max)
	}
	hold := Hold{For: min(asked, p.Max), Everybody: everybody, Capped: asked > p.Max}
	if hold.For <= 0 {
		return Hold{}, false
	}
	return hold, true
}

// ParseRetryAfter reads the value of a Retry-After header (RFC 9110, 10.2.3): a
// number of seconds, or a date in any of the three formats of HTTP, counted from
// now. It is false for anything else and for a date that is not in the future.
// More than 292 years count as that.
func ParseRetryAfter(value string, now time.Time) (time.Duration, bool) {
	value = strings.Trim(value, " \t")
	if value == "" {
		return 0, false
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(math.MaxInt64/time.Second) {
			return math.MaxInt64, true // digits alone: too many of them is all that can be wrong
		}
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	wait := at.Sub(now) // saturates
	return wait, wait > 0
}

// Holds knows who must be left alone until when, in time since the start of the
// run. It may be used by many goroutines at the same time and takes no lock.
type Holds struct {
	users []atomic.Int64
	// everybody is until when all are held, latest until when anybody is: while
	// nobody is held, one load that no core disputes answers for all.
	everybody, latest atomic.Int64

	single, general, capped atomic.Int64
}

// HoldCounts counts the holds since the start.
type HoldCounts struct {
	// User and Everybody count the holds of one user and of all.
	User, Everybody int64
	// Capped counts those of both that the target wanted longer.
	Capped int64
}

// NewHolds returns the holds of a number of virtual users: nobody is held.
func NewHolds(users int) *Holds { return &Holds{users: make([]atomic.Int64, users)} }

// Apply holds back whom a decision names, from now on, and counts it.
func (h *Holds) Apply(hold Hold, user int, now time.Duration) {
	until := now + min(hold.For, math.MaxInt64-now)
	if hold.Everybody {
		h.HoldAll(until)
	} else {
		h.Hold(user, until)
	}
	if hold.Capped {
		h.capped.Add(1)
	}
}

// Hold holds one user back until a time. It never shortens a hold.
func (h *Holds) Hold(user int, until time.Duration) {
	h.single.Add(1)
	raise(&h.users[user], until)
	raise(&h.latest, until)
}

// HoldAll holds everybody back until a time. It never shortens a hold.
func (h *Holds) HoldAll(until time.Duration) {
	h.general.Add(1)
	raise(&h.everybody, until)
	raise(&h.latest, until)
}

// raise sets a time to a later one; an earlier one leaves it.
func raise(at *atomic.Int64, to time.Duration) {
	for {
		old := at.Load()
		if int64(to) <= old || at.CompareAndSwap(old, int64(to)) {
			return
		}
	}
}

// Held reports whether a user must be left alone at a time. At the end of a hold
// it is false.
func (h *Holds) Held(user int, now time.Duration) bool {
	return h.latest.Load() > int64(now) && h.Until(user) > now
}

// Until returns when a user may be called again; 0 or a time that has passed when
// it may be now.
func (h *Holds) Until(user int) time.Duration {
	return time.Duration(max(h.everybody.Load(), h.users[user].Load()))
}

// HeldAll reports whether everybody must be left alone at a time.
func (h *Holds) HeldAll(now time.Duration) bool { return h.everybody.Load() > int64(now) }

// Users returns how many users are held at a time. It costs nothing while nobody
// is, and some 0.1 ms for 100 000 users otherwise.
func (h *Holds) Users(now time.Duration) int {
	if h.latest.Load() <= int64(now) {
		return 0
	}
	if h.HeldAll(now) {
		return len(h.users)
	}
	held := 0
	for i := range h.users {
		if h.users[i].Load() > int64(now) {
			held++
		}
	}
	return held
}

// Counts returns how often somebody was held.
func (h *Holds) Counts() HoldCounts {
	return HoldCounts{User: h.single.Load(), Everybody: h.general.Load(), Capped: h.capped.Load()}
}
