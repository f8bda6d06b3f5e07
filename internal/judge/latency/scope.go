package latency

import (
	"math"

	"soakd/internal/judge/finding"
)

// scope is whom a change is about: all traffic, a class, or a case.
type scope struct {
	all   bool
	class string
	one   *traffic
}

func (s *scope) covers(c *traffic) bool {
	return s.all || s.one == c || (s.class != "" && s.class == c.class)
}

func (s *scope) subject() finding.Subject {
	switch {
	case s.all:
		return finding.Subject{Class: finding.AllTraffic}
	case s.class != "":
		return finding.Subject{Class: s.class}
	}
	return finding.Subject{Case: s.one.name}
}

const (
	// mostTraffic is the share of classes, and of requests, that makes "all".
	mostTraffic = 0.6
	// alike is which part of a common change makes a case one of those that changed:
	// more than half, for the noise of all traffic adds to what only some have.
	alike = 0.6
	// before is over how many minutes before a change the level is taken.
	before = 30
	// settled is after how many minutes a change of the tail is said to be of one case
	// though it cannot be told yet whether it is of others too.
	settled = 20
	// settledDrift is the same for a drift: as long as others seem to begin to drift.
	settledDrift = 6 * 60
)

// effect is what a change did to one case.
type effect struct {
	c *traffic
	// size is the change, decided whether it can be told from none.
	size    float64
	decided bool
	// apart is the same of what sets the case apart, noise the standard error of what
	// all have in common.
	apart, noise float64
	// open is set when it will be decided before long.
	open bool
	n    float64 // requests
}

// scopeOf tells whom a change is about; ok is false when what all have in common
// changed, but neither most classes did, nor one as a whole.
func (d *Detector) scopeOf(s *suspicion) (scope, bool) {
	effects, wanted := d.effects(s)
	var all, own vote
	outside, open := false, false
	byClass := map[string]*vote{}
	lead := d.leader(s, effects, wanted)
	ownWanted := s.rise
	for _, e := range effects {
		if e.c == s.trigger {
			ownWanted = e.apart
		}
	}
	for _, e := range effects {
		open = open || e.open && !e.c.invalid
		if !e.decided || e.c.invalid && (lead == nil || e.c.class != lead.class) {
			continue
		}
		hit := e.size >= wanted/2
		if s.trigger == nil {
			hit = e.size >= alike*wanted
		}
		if byClass[e.c.class] == nil {
			byClass[e.c.class] = &vote{}
		}
		mine := lead != nil && e.c.class == lead.class
		if s.trigger != nil && s.kind != finding.LatencyTail {
			// It was seen by what sets the case apart from others, so they are told by that
			// too: what all have in common may have moved by as much meanwhile.
			hit = e.apart >= ownWanted/2
			// Drifts show early in one case and later in the others of its class.
			open = open || s.kind == finding.LatencyDrift && mine && !hit && e.apart >= ownWanted/4
			outside = outside || hit && !mine
			if !mine {
				hit = e.size >= max(wanted/2, 3*e.noise)
			}
		}
		byClass[e.c.class].add(hit, e.n)
		if mine {
			own.add(hit, e.n)
		} else if hit {
			outside = true
		}
		all.add(hit, e.n)
	}
	classes := vote{}
	for _, v := range byClass {
		classes.add(v.weightHit > v.weight/2, 1)
	}
	switch {
	case classes.hit >= 2 && all.most() && classes.most():
		return scope{all: true}, true
	case own.of >= 2 && own.hit == own.of && !outside:
		return scope{class: lead.class}, true
	case s.trigger != nil:
		// Better a few minutes later than to speak of one case and then of others.
		wait := float64(settled)
		if s.kind == finding.LatencyDrift {
			wait = settledDrift
		}
		return scope{one: s.trigger}, !open || float64(d.now)-s.at > wait
	}
	return scope{}, false
}

// leader is the case that stands for the change: the trigger, or the one with the
// most requests that were hit.
func (d *Detector) leader(s *suspicion, effects []effect, wanted float64) *traffic {
	if s.trigger != nil {
		return s.trigger
	}
	var lead *effect
	for i := range effects {
		if e := &effects[i]; e.decided && e.size >= wanted/2 && (lead == nil || e.n > lead.n) {
			lead = e
		}
	}
	if lead == nil {
		return nil
	}
	return lead.c
}

// vote counts what was hit.
type vote struct {
	of, hit           int
	weight, weightHit float64
}

func (v *vote) add(hit bool, weight float64) {
	v.of++
	v.weight += weight
	if hit {
		v.hit++
		v.weightHit += weight
	}
}

func (v *vote) most() bool {
	return v.weightHit >= mostTraffic*v.weight && float64(v.hit) >= mostTraffic*float64(v.of)
}

// effects tells what a change did to each case, and how large it is where it was seen.
func (d *Detector) effects(s *suspicion) (effects []effect, wanted float64) {
	wanted = s.rise
	for _, c := range d.cases {
		if c != s.trigger && d.setAside(c) {
			continue
		}
		e := effect{c: c}
		if s.kind == finding.LatencyTail {
			d.tailEffect(s, &e)
		} else {
			d.levelEffect(s, &e)
		}
		if c == s.trigger {
			e.decided, wanted = true, e.size
		}
		effects = append(effects, e)
	}
	if s.trigger == nil {
		wanted = max(commonEffect(effects), s.rise/2)
	}
	return effects, wanted
}

// commonEffect is the median over the requests of cases that can be told.
func commonEffect(effects []effect) float64 {
	var all []apart
	for _, e := range effects {
		if e.decided && !e.c.invalid {
			all = append(all, apart{x: e.size, weight: e.n / (e.n + 2000)})
		}
	}
	sortApart(all)
	median, _ := weightedMedian(all, "")
	return median
}

func (d *Detector) tailEffect(s *suspicion, e *effect) {
	j, ok := e.c.tail.threshold()
	if !ok {
		return
	}
	sum := e.c.tail.since(int64(s.at)-2, j)
	e.size, e.n = sum.share(), float64(sum.n)
	if sum.expected <= 0 {
		return
	}
	// The logarithm of the likelihood ratio of Poisson counts with and without the change.
	more := s.rise * float64(sum.n)
	ratio := (float64(sum.slow)*math.Log1p(more/sum.expected) - more) / sum.dispersion
	e.decided = math.Abs(ratio) >= 2.5
	e.size = 0
	if ratio > 0 {
		e.size = s.rise
	}
	e.open = !e.decided
}

// levelEffect compares the points after a change with those before it: what the
// noise of all traffic does in between, it does to all cases alike.
func (d *Detector) levelEffect(s *suspicion, e *effect) {
	from, pre := int64(math.Ceil(s.at)), int64(math.Floor(s.at))-1
	back := int64(before)
	if step := e.c.raw.noise.step; step > 3 {
		back = int64(10 * step)
		from += int64(step)
	}
	if s.kind == finding.LatencyDrift {
		from = max(from, d.now-back)
	}
	after, n := e.c.raw.mean(from, d.now)
	was, m := e.c.raw.mean(pre-back, pre)
	if n == 0 || !e.c.raw.noise.ok {
		return
	}
	if m < 3 {
		was = 0 // a change at the very beginning: the reference is all there is
	}
	own := &e.c.raw.noise
	e.size, e.apart = after-was, after-was
	if e.c.apart.noise.ok {
		own = &e.c.apart.noise
		now, _ := e.c.apart.mean(from, d.now)
		then, _ := e.c.apart.mean(pre-back, pre)
		e.apart = now - then
	}
	e.noise = math.Sqrt2 * d.all.noise.meanError(float64(d.now-from+1))
	e.n = float64(e.c.n[slot(e.c.latest)]) / max(e.c.spans, 1) * float64(d.now-from+1)
	e.decided = n >= 3 && own.spread*math.Sqrt(1/float64(n)+1/float64(max(m, 10))) < s.rise/5
}
