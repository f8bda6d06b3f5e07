package answers

import (
	"slices"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

const (
	// slotLength is the resolution, slots how many are kept one by one (half an hour),
	// and block and blocks are for the time before that: ten minutes, and a day of them.
	slotLength = window.Short
	slots      = 180
	blockSlots = 60
	blocks     = 144
	// maxCases bounds the cases that are told apart.
	maxCases = 128
)

// watch is a share of requests that is watched.
type watch struct {
	Config
	kind finding.Kind
	what string // the figure, for people
	// counts returns what counts of a case in a window: bad of n, nothing when the case does not.
	counts func(w *window.Window, c *window.Case) ratio
	// burstLength is how long a burst may be, in slots, that is no level: the worst
	// such stretch is left out. A minute may lie across seven slots.
	burstLength int
	// spread is in how many slots at least there must be bad ones besides.
	spread int
	// outage is the share of bad requests of all from which on a slot does not count
	// at all, because that is an outage; above 1 for never.
	outage float64
	// anyNew tells that what was never seen before needs no minimum effect.
	anyNew bool
	// end is over how long a time the share must be back before it is over.
	end int // slots
	// say writes the symptom's text.
	say func(p *problem) string
}

// shares compares the share of bad requests with the run's own past.
type shares struct {
	watch
	cases []*series
	// latest is the number of the latest slot, counted from the Unix epoch.
	latest int64
	// seen tells which of the kept slots had requests, burst which of them are no
	// measure of what is usual.
	seen, burst [slots]bool
	problems    []*problem
}

// series is one case.
type series struct {
	name, class string
	recent      [slots]cell
	past        [blocks]block
	// bad is the sum of the bad ones in recent.
	bad int64
	// problem is the one that covers the case, nil for none.
	problem *problem
}

// cell is bad of n in one slot.
type cell struct{ bad, n uint32 }

// block is ten minutes of the past.
type block struct {
	number int64
	sum    ratio
}

func newShares(w watch) *shares { return &shares{watch: w} }

// observe takes the next window in.
func (d *shares) observe(w *window.Window) []finding.Symptom {
	slot := w.Start.Unix() / int64(slotLength/time.Second)
	minute := d.advance(slot)
	d.add(w, slot)
	var list []finding.Symptom
	if minute || w.Length >= window.Minute {
		list = d.judge(w.End())
	}
	for _, p := range d.problems {
		if p.reported {
			list = append(list, p.symptom(d))
		}
	}
	return list
}

// advance makes room for a slot. It reports whether a minute or more has passed
// since the slots were judged: that is when the slot is the last of a minute.
func (d *shares) advance(slot int64) bool {
	if len(d.cases) == 0 {
		d.latest = slot
	}
	for ; d.latest < slot; d.latest++ {
		if slot-d.latest > 2*slots { // a long gap: all slots fall out, one turn of the ring will do
			d.turnTo(d.latest + slots)
			d.latest = slot - slots - 1
			continue
		}
		d.drop(d.latest + 1)
	}
	const minute = int64(window.Minute / slotLength)
	return slot%minute == minute-1
}

// turnTo drops all slots up to the given one.
func (d *shares) turnTo(slot int64) {
	for n := d.latest + 1; n <= slot; n++ {
		d.drop(n)
	}
}

// drop makes room for the slot with that number: what was in its place becomes
// part of the past, unless it was no usual time.
func (d *shares) drop(slot int64) {
	at := slot % slots
	usual := d.seen[at] && !d.burst[at]
	d.seen[at], d.burst[at] = false, false
	number := (slot - slots) / blockSlots
	for _, c := range d.cases {
		gone := c.recent[at]
		if gone.n == 0 {
			continue
		}
		c.recent[at] = cell{}
		c.bad -= int64(gone.bad)
		if !usual || c.problem != nil {
			continue
		}
		b := &c.past[number%blocks]
		if b.number != number {
			*b = block{number: number}
		}
		b.sum.add(int64(gone.bad), int64(gone.n))
	}
}

// add counts the requests of a window.
func (d *shares) add(w *window.Window, slot int64) {
	var all ratio
	for i := range w.Cases {
		one := d.counts(w, &w.Cases[i])
		all.add(one.bad, one.n)
	}
	if all.n == 0 || (all.n >= 10 && all.share() >= d.outage) {
		return
	}
	at := slot % slots
	d.seen[at] = true
	d.burst[at] = all.share() > burstShare
	for i := range w.Cases {
		c := &w.Cases[i]
		one := d.counts(w, c)
		if one.n == 0 {
			continue
		}
		if s := d.series(c); s != nil {
			s.recent[at].bad += uint32(one.bad)
			s.recent[at].n += uint32(one.n)
			s.bad += one.bad
			if s.problem != nil {
				s.problem.add(s, one)
			}
		}
	}
	for _, p := range d.problems {
		p.windows++
	}
}

// burstShare is the share of bad requests from which on a slot is no measure of
// what is usual, though it may be part of what is wrong.
const burstShare = 0.05

// series returns that of a case, nil when there are too many.
func (d *shares) series(c *window.Case) *series {
	i, found := slices.BinarySearchFunc(d.cases, c.Name, func(s *series, name string) int {
		switch {
		case s.name < name:
			return -1
		case s.name > name:
			return 1
		}
		return 0
	})
	if found {
		return d.cases[i]
	}
	if len(d.cases) >= maxCases {
		return nil
	}
	s := &series{name: c.Name, class: c.Class}
	d.cases = slices.Insert(d.cases, i, s)
	return s
}

// before sums what is usual of some cases: the day before the last so many slots.
// covered is how much time with requests that is, in slots.
func (d *shares) before(cases []*series, last int) (usual ratio, covered int) {
	for n := d.latest - slots + 1; n <= d.latest-int64(last); n++ {
		if at := mod(n); d.seen[at] && !d.burst[at] {
			covered++
			for _, c := range cases {
				usual.add(int64(c.recent[at].bad), int64(c.recent[at].n))
			}
		}
	}
	oldest := (d.latest-slots)/blockSlots - blocks
	for i := range blocks {
		some := false
		for _, c := range cases {
			if b := &c.past[i]; b.number > oldest && b.sum.n > 0 {
				usual.add(b.sum.bad, b.sum.n)
				some = true
			}
		}
		if some {
			covered += blockSlots
		}
	}
	return usual, covered
}

// mod is the place of a slot.
func mod(slot int64) int { return int((slot%slots + slots) % slots) }
