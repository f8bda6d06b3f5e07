package answers

import (
	"fmt"
	"math"
	"slices"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/stats"
)

const (
	// looksAWeek is how often a week of minutes is looked at.
	looksAWeek = 7 * 24 * 60
	// enoughPast is how much time there must be to compare with, in slots: ten minutes.
	enoughPast = 60
	// firstAlpha is for the absolute level of the first minutes: there are few of them.
	firstAlpha = 1e-6
	// clearly is how many bad requests show which cases are concerned, and patience
	// for how many slots at most they are waited for: three minutes.
	clearly  = 20
	patience = 18
	// together is within which time what begins is one and the same problem.
	together = 5 * time.Minute
	// restChance is how unlikely the bad requests of the other cases must be by
	// chance for these to be part of the problem.
	restChance = 1e-3
)

// horizons are the stretches that are held against the past, in slots: 3, 10 and
// 30 minutes.
func horizons() []int { return []int{18, 60, slots} }

// problem is a share of bad requests that is too high.
type problem struct {
	// cases are those that it covers, own those of them that its figures are about.
	cases, own []*series
	subject    finding.Subject
	// since is the number of the slot in which it seemed to be there first.
	since    int64
	reported bool
	// usual is what there was before, level the share that was found.
	usual ratio
	level float64
	p     float64 // corrected
	// onset and the stretch in which it lies.
	onset, from, to time.Time
	// sum counts since the onset.
	sum     ratio
	windows int
}

// add counts requests of a case.
func (p *problem) add(c *series, r ratio) {
	if slices.Contains(p.own, c) {
		p.sum.add(r.bad, r.n)
	}
}

// judge looks for problems, reports those that are clear, and ends those that are
// over: it returns the latter.
func (d *shares) judge(now time.Time) (over []finding.Symptom) {
	if p := d.find(); p != nil {
		d.open(p)
	}
	for _, p := range slices.Clone(d.problems) {
		if !p.reported && !d.report(p) {
			continue
		}
		if ended, is := d.ended(p, now); is {
			s := p.symptom(d)
			s.Over, s.Ended = true, ended
			over = append(over, s)
			d.close(p, ended)
		}
	}
	return over
}

// free are the cases that no problem covers.
func (d *shares) free() []*series {
	var list []*series
	for _, c := range d.cases {
		if c.problem == nil {
			list = append(list, c)
		}
	}
	return list
}

// find looks for a problem of all free cases together, of a class or of one case.
func (d *shares) find() *problem {
	free := d.free()
	if p := d.test(free); p != nil {
		return p
	}
	classes := map[string][]*series{}
	for _, c := range free {
		classes[c.class] = append(classes[c.class], c)
	}
	for _, c := range free {
		if c.bad < d.MinFailed {
			continue
		}
		if p := d.test([]*series{c}); p != nil {
			return p
		}
		if p := d.test(classes[c.class]); p != nil {
			return p
		}
	}
	return nil
}

// test holds the last minutes of some cases against their past.
func (d *shares) test(cases []*series) *problem {
	bad := int64(0)
	for _, c := range cases {
		bad += c.bad
	}
	if bad < d.MinFailed {
		return nil
	}
	for _, last := range horizons() {
		left, spread := d.steady(cases, last)
		now := d.sum(cases, last, left)
		if now.bad < d.MinFailed || spread < d.spread {
			continue
		}
		usual, covered := d.before(cases, last)
		if p, is := d.high(now, usual, covered); is {
			return &problem{cases: cases, since: d.latest, usual: usual, level: now.share(), p: p}
		}
	}
	return nil
}

// steady returns those of the last slots that are left out because bursts are no
// level, and in how many of the others there are bad requests. These are the bursts
// of all traffic, such as a restart brings, unless they come all the time; and of
// the rest the stretch with most bad requests.
func (d *shares) steady(cases []*series, last int) (left []int, spread int) {
	bad := make([]int64, last)
	bursts := d.rareBursts(last)
	for back := range bad {
		if bursts[back] {
			left = append(left, mod(d.latest-int64(back)))
			continue
		}
		for _, c := range cases {
			bad[back] += int64(c.recent[mod(d.latest-int64(back))].bad)
		}
		if bad[back] > 0 {
			spread++
		}
	}
	worst, most := 0, int64(-1)
	for first := 0; first+d.burstLength <= last; first++ {
		sum := int64(0)
		for _, n := range bad[first : first+d.burstLength] {
			sum += n
		}
		if sum > most {
			worst, most = first, sum
		}
	}
	for back := worst; back < worst+d.burstLength; back++ {
		left = append(left, mod(d.latest-int64(back)))
		if bad[back] > 0 {
			spread--
		}
	}
	return left, spread
}

// recurring is how many bursts in half an hour are a level.
const recurring = 5

// rareBursts tells which of the last slots, by how many ago, are in a burst or beside
// one; none when bursts recur or fill more than a quarter of the slots.
func (d *shares) rareBursts(last int) []bool {
	in := make([]bool, slots)
	if d.burstLength == 0 {
		return in
	}
	bursts, filled := 0, 0
	for back := range slots {
		if !d.burst[mod(d.latest-int64(back))] {
			continue
		}
		if back < last {
			filled++
		}
		if back < 2 || (!in[back-1] && !in[back-2]) {
			bursts++
		}
		in[max(0, back-1)], in[back], in[min(back+1, slots-1)] = true, true, true
	}
	if bursts >= recurring || filled > last/4 {
		return make([]bool, slots)
	}
	return in
}

// sum adds up the last slots of some cases, without those left out.
func (d *shares) sum(cases []*series, last int, left []int) (sum ratio) {
	for n := d.latest - int64(last) + 1; n <= d.latest; n++ {
		at := mod(n)
		if slices.Contains(left, at) {
			continue
		}
		for _, c := range cases {
			sum.add(int64(c.recent[at].bad), int64(c.recent[at].n))
		}
	}
	return sum
}

// high reports whether a share is higher than usual by chance in less than one of
// very many looks, and by enough; with the probability, corrected for the looks of
// a week at all cases and classes. Looks that follow one another share most of
// their minutes, so the correction (Bonferroni's) is too strict rather than too weak.
func (d *shares) high(now, usual ratio, covered int) (p float64, is bool) {
	if covered < enoughPast {
		p = stats.PoissonAtLeast(now.bad, float64(now.n)*d.AbsoluteShare)
		return p, p < firstAlpha
	}
	share, before := now.share(), usual.share()
	much := share >= before+d.Points || (usual.bad > 0 && share >= d.Factor*before) || (usual.bad == 0 && d.anyNew)
	if !much || share <= before {
		return 1, false
	}
	p = stats.Proportions(now.bad, now.n, usual.bad, usual.n) * looksAWeek * float64(len(horizons())*(len(d.cases)+1))
	return p, p < d.Alpha
}

// open begins to watch a problem, or adds it to one that began with it.
func (d *shares) open(p *problem) {
	for _, known := range d.problems {
		if (p.since-known.since)*int64(slotLength) > int64(together) {
			continue
		}
		if known.reported {
			last := horizons()[0]
			left, _ := d.steady(p.cases, last)
			p.cases = d.scope(p.cases, last, left)
		}
		known.cover(append(slices.Clone(known.cases), p.cases...))
		return
	}
	d.problems = append(d.problems, p)
	p.cover(p.cases)
}

// cover makes the problem one of these cases and no others.
func (p *problem) cover(cases []*series) {
	for _, c := range p.cases {
		c.problem = nil
	}
	for _, c := range cases {
		c.problem = p
	}
	p.cases = cases
}

// close ends a problem. What it brought does not become part of what is usual.
func (d *shares) close(p *problem, ended time.Time) {
	from, to := d.latest-slots+1, ended.Unix()/int64(slotLength/time.Second)
	for n := max(from, p.onset.Unix()/int64(slotLength/time.Second)); n <= to; n++ {
		for _, c := range p.cases {
			c.bad -= int64(c.recent[mod(n)].bad)
			c.recent[mod(n)] = cell{}
		}
	}
	p.cover(nil)
	d.problems = slices.DeleteFunc(d.problems, func(other *problem) bool { return other == p })
}

// report settles what a problem is about, for good, as soon as that is clear.
func (d *shares) report(p *problem) bool {
	candidates := append(d.free(), p.cases...)
	last := horizons()[0]
	for _, longer := range horizons()[1:] {
		if d.sum(candidates, last, nil).bad < clearly {
			last = longer
		}
	}
	left, _ := d.steady(candidates, last)
	if d.sum(candidates, last, left).bad < clearly && d.latest-p.since < patience {
		return false
	}
	p.cover(d.scope(candidates, last, left))
	p.own = p.cases
	p.subject = subjectOf(p.own, d.cases)
	p.usual, _ = d.before(p.own, last)
	p.usual, _ = d.before(p.own, d.date(p))
	p.level = p.sum.share()
	p.reported = true
	return true
}

// scope returns the narrowest of the case with most bad requests, its class and
// all, besides which there are no more bad requests than usual.
func (d *shares) scope(candidates []*series, last int, left []int) []*series {
	bad := func(c *series) int64 { return d.sum([]*series{c}, last, left).bad }
	worst := slices.MaxFunc(candidates, func(a, b *series) int { return int(bad(a) - bad(b)) })
	for _, narrow := range []func(c *series) bool{
		func(c *series) bool { return c == worst },
		func(c *series) bool { return c.class == worst.class },
	} {
		var within, rest []*series
		for _, c := range candidates {
			if narrow(c) {
				within = append(within, c)
			} else {
				rest = append(rest, c)
			}
		}
		if !d.raised(rest, last, left) {
			return within
		}
	}
	return candidates
}

// raised reports whether some cases have more bad requests than usual too.
func (d *shares) raised(cases []*series, last int, left []int) bool {
	now := d.sum(cases, last, left)
	usual, covered := d.before(cases, last)
	expected := float64(usual.bad+1) / float64(usual.n+1)
	if covered < enoughPast { // as good as nothing is known
		expected = d.AbsoluteShare / 10
	}
	return now.bad >= 2 && stats.PoissonAtLeast(now.bad, expected*float64(now.n)) < restChance
}

// subjectOf names cases: one by its name and class, one class, or all.
func subjectOf(cases, all []*series) finding.Subject {
	if len(cases) == 1 && len(all) > 1 {
		return finding.Subject{Case: cases[0].name, Class: cases[0].class}
	}
	classes, other := map[string]bool{}, false
	for _, c := range cases {
		classes[c.class] = true
	}
	for _, c := range all {
		other = other || !classes[c.class]
	}
	if len(classes) == 1 && other {
		return finding.Subject{Class: cases[0].class}
	}
	return finding.Subject{Class: finding.AllTraffic}
}

// date finds when a problem began: the slot from which on the counts are most
// likely to have another mean, by the likelihood of two Poisson rates, of which the
// one before is known; and the stretch of those that are nearly as likely (by less
// than 2 in the logarithm, about 95 %: Wilks 1938). It returns how many slots ago.
func (d *shares) date(p *problem) int {
	before := d.expected(p.usual)
	var likely [slots]float64
	var sums [slots]ratio
	var sum ratio
	best := 0
	for back := range slots { // the slot is latest - back
		at := mod(d.latest - int64(back))
		for _, c := range p.own {
			sum.add(int64(c.recent[at].bad), int64(c.recent[at].n))
		}
		sums[back] = sum
		likely[back] = math.Inf(-1)
		if share := sum.share(); share > before && d.badAt(p.own, at) && sum.bad >= d.MinFailed {
			likely[back] = float64(sum.bad)*math.Log(share/before) - float64(sum.n)*(share-before)
		}
		if likely[back] > likely[best] {
			best = back
		}
	}
	start := func(back int) time.Time {
		return time.Unix((d.latest-int64(back))*int64(slotLength/time.Second), 0).UTC()
	}
	p.onset, p.sum, p.windows = start(best), sums[best], best+1
	p.from, p.to = p.onset, p.onset.Add(slotLength)
	for back := range slots {
		if likely[back] >= likely[best]-2 {
			if s := start(back); s.Before(p.from) {
				p.from = s
			} else if e := s.Add(slotLength); e.After(p.to) {
				p.to = e
			}
		}
	}
	return best + 1
}

// expected is the share that is to be expected after what was usual, above 0: by
// Laplace's rule, but no more than a tenth of what is too much when little is known.
func (d *shares) expected(usual ratio) float64 {
	return min(float64(usual.bad+1)/float64(usual.n+1), max(usual.share(), d.AbsoluteShare/10))
}

// badAt reports whether some of the cases had bad requests in that slot.
func (d *shares) badAt(cases []*series, at int) bool {
	return slices.ContainsFunc(cases, func(c *series) bool { return c.recent[at].bad > 0 })
}

// ended reports whether a problem is over, and since when: its share was as before
// for some minutes in which it would have shown.
func (d *shares) ended(p *problem, now time.Time) (time.Time, bool) {
	before := d.expected(p.usual)
	for last := d.end; last <= slots; last *= 2 {
		sum := d.sum(p.cases, last, nil)
		if float64(sum.n)*p.level < float64(d.MinFailed) {
			continue // too few requests to tell
		}
		back := sum.share() <= before+d.Points/4 || stats.PoissonAtLeast(sum.bad, float64(sum.n)*before) > 0.05
		if !back || p.onset.After(now.Add(-time.Duration(last)*slotLength)) {
			return time.Time{}, false
		}
		return d.lastBad(p, now, last), true
	}
	return time.Time{}, false
}

// lastBad is the end of the last slot with bad requests before the quiet ones.
func (d *shares) lastBad(p *problem, now time.Time, quiet int) time.Time {
	for n := d.latest - int64(quiet); n > d.latest-slots; n-- {
		if d.badAt(p.cases, mod(n)) {
			return time.Unix((n+1)*int64(slotLength/time.Second), 0).UTC()
		}
	}
	return now.Add(-time.Duration(quiet) * slotLength)
}

// symptom is what is to be said of a problem now.
func (p *problem) symptom(d *shares) finding.Symptom {
	s := finding.Symptom{
		Kind: d.kind, Subject: p.subject, Onset: p.onset, OnsetFrom: p.from, OnsetTo: p.to,
		Before: p.usual.share(), After: p.sum.share(), Unit: "ratio", What: d.what, Confidence: 1 - min(1, p.p),
		Windows: p.windows, Requests: p.sum.n,
	}
	if p.usual.n > 0 {
		s.Against = "earlier in this run"
	}
	s.Text = d.say(p)
	return s
}

// against says what a share was before.
func (p *problem) against() string {
	if p.usual.n == 0 {
		return "there is nothing to compare with yet"
	}
	return fmt.Sprintf("before that %.3g %%", 100*p.usual.share())
}

// whom names the traffic that a problem is about.
func (p *problem) whom() string {
	switch {
	case p.subject.Case != "":
		return "of " + p.subject.Case
	case p.subject.Class != finding.AllTraffic:
		return "of the class " + p.subject.Class
	}
	return "of all traffic"
}
