package cause

import (
	"math"
	"slices"
	"time"

	"soakd/internal/judge/stats"
	"soakd/internal/judge/window"
)

const (
	// pastSize is how many minutes of the past are remembered; with every third, that
	// is a day.
	pastSize = 480
	// closely is how many are remembered one after the other at first.
	closely = 60
	// sampled is the distance of the others.
	sampled = 3
	// alike is by how much the load of a minute may differ to be compared, as a share.
	alike = 0.15
	// enough is how many such minutes there must be, else all are taken.
	enough = 20
	// lost is after which time without a reading nothing can be said any more.
	lost = time.Hour
)

// past is what a figure used to be: minutes without a symptom.
type past struct {
	values, rates []float64
	next, seen    int
	room          []float64
}

// put remembers a minute.
func (p *past) put(value, rate float64, minute int) {
	p.seen++
	if len(p.values) >= closely && minute%sampled != 0 {
		return
	}
	if len(p.values) < pastSize {
		p.values, p.rates = append(p.values, value), append(p.rates, rate)
		return
	}
	p.values[p.next], p.rates[p.next] = value, rate
	p.next = (p.next + 1) % pastSize
}

// at returns the values at a similar load, or all when there are too few of these,
// those of a lower load scaled up to this one when the figure grows with it. They
// are valid until the next call.
func (p *past) at(rate float64, loaded bool) []float64 {
	p.room = p.room[:0]
	for i, r := range p.rates {
		if math.Abs(r-rate) <= alike*rate {
			p.room = append(p.room, p.values[i])
		}
	}
	if len(p.room) >= enough {
		return p.room
	}
	p.room = append(p.room[:0], p.values...)
	for i, r := range p.rates {
		if loaded && r > 0 && rate > r {
			p.room[i] *= rate / r
		}
	}
	return p.room
}

// track is one series of a row.
type track struct {
	row *row
	id  string
	past
	// recent are the latest minutes that were read, the latest last.
	recent []minute
	// active tells that it shows its cause now, since onset.
	active         bool
	onset, lastBad time.Time
	lastRead       time.Time
	badMinutes     int
	// usual is what it used to be, as of the onset, compared whether that is known.
	usual      float64
	compared   bool
	confidence float64
	// ref is what reference found last, for that minute and load.
	ref     float64
	refAt   int
	refRate float64
	// quiet is for how long it was read and not bad.
	quiet time.Duration
}

// minute is one reading.
type minute struct {
	start time.Time
	value float64
	bad   bool
}

// see takes the figure of a minute in. While the target settles after a start its
// figures are neither judged nor usual.
func (t *track) see(w *window.Window, value float64, settling bool, number int) {
	t.lastRead = w.End()
	if settling {
		t.quiet += w.Length
		return
	}
	bad := false
	// Most minutes are below the floor: no need to look at the past.
	if t.seen >= t.row.minPast && (t.row.falls || value >= t.row.floor) {
		bad = t.bad(value, t.reference(w.Rate, number))
	}
	t.recent = append(t.recent, minute{w.Start, value, bad})
	if over := len(t.recent) - t.row.of; over > 0 {
		t.recent = slices.Delete(t.recent, 0, over)
	}
	switch {
	case bad:
		t.lastBad, t.quiet = w.End(), 0
		t.badMinutes++
	default:
		t.quiet += w.Length
		if !t.active && w.IsFit() {
			t.put(value, w.Rate, number)
		}
	}
	if !t.active {
		t.decide(w)
	}
}

// reference is the quantile of the past that a figure is held against, NaN without
// a past. It is looked up anew every ten minutes, and when the load has changed.
func (t *track) reference(rate float64, number int) float64 {
	const fresh, same = 10, alike / 3
	if t.seen >= closely && number-t.refAt < fresh && math.Abs(rate-t.refRate) <= same*t.refRate {
		return t.ref
	}
	t.ref, t.refAt, t.refRate = stats.Quantile(t.at(rate, t.row.loaded), t.row.quantile), number, rate
	return t.ref
}

// bad reports whether a figure is one that counts, beside what was usual.
func (t *track) bad(value, usual float64) bool {
	r := t.row
	if math.IsNaN(usual) {
		return !r.falls && value >= r.floor
	}
	switch {
	case r.falls:
		return usual >= r.floor && value <= r.factor*usual
	case r.fresh:
		return value >= r.floor && usual == 0
	}
	return value >= r.floor && value >= r.factor*usual
}

// decide makes it active when enough of the latest minutes were bad. What is a
// coincidence then: with a share f of usual minutes as bad as these, k of n are so
// with at most C(n,k) f^k.
func (t *track) decide(w *window.Window) {
	var first *minute
	bad := 0
	for i := range t.recent {
		if t.recent[i].bad {
			bad++
			if first == nil {
				first = &t.recent[i]
			}
		}
	}
	if bad < t.row.need {
		return
	}
	t.active, t.onset, t.badMinutes = true, first.start, bad
	past := t.at(w.Rate, t.row.loaded)
	t.compared = len(past) > 0
	t.usual, t.confidence = 0, 1
	if !t.compared {
		return
	}
	t.usual = stats.Median(past)
	if !t.row.fact {
		f := float64(t.asBad(past)+1) / float64(len(past)+1)
		t.confidence = max(0, 1-float64(choose(t.row.of, t.row.need))*math.Pow(f, float64(t.row.need)))
	}
}

// asBad counts the values of the past that are as bad as the least of the bad ones.
func (t *track) asBad(past []float64) (count int) {
	mild := math.NaN()
	for _, m := range t.recent {
		if m.bad && !(t.row.falls && m.value < mild) && !(!t.row.falls && m.value > mild) {
			mild = m.value
		}
	}
	for _, v := range past {
		if (t.row.falls && v <= mild) || (!t.row.falls && v >= mild) {
			count++
		}
	}
	return count
}

// choose is n over k.
func choose(n, k int) int {
	c := 1
	for i := range k {
		c = c * (n - i) / (i + 1)
	}
	return c
}

// stale reports whether it has shown nothing for long enough to be over, or can no
// longer be read.
func (t *track) stale(now time.Time, quiet time.Duration) bool {
	return t.quiet >= quiet || now.Sub(t.lastRead) >= lost
}

// rest ends it.
func (t *track) rest() { t.active, t.recent = false, nil }

// before reports whether it leads the other.
func (t *track) before(other *track) bool {
	if !t.onset.Equal(other.onset) {
		return t.onset.Before(other.onset)
	}
	if t.badMinutes != other.badMinutes {
		return t.badMinutes > other.badMinutes
	}
	if t.row != other.row { // the rows of a kind are ordered by how much they say
		return t.row.order < other.row.order
	}
	return t.id < other.id
}

// shown is the figure now: the median of the latest bad minutes; false when none of
// the latest is bad.
func (t *track) shown() (figure float64, bad bool) {
	var values []float64
	for _, m := range t.recent {
		if m.bad {
			values = append(values, m.value)
		}
	}
	if len(values) == 0 {
		return 0, false
	}
	return stats.Median(values), true
}
