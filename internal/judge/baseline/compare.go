package baseline

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/stats"
	"soakd/internal/judge/window"
)

// Result is what a comparison says.
type Result string

// The results. Same is earned by an interval that lies within the minimum effect;
// what is neither is NotEnoughData.
const (
	Improved      Result = "improved"
	Same          Result = "same"
	Worse         Result = "worse"
	NotEnoughData Result = "not_enough_data"
)

// Limits say from when on a difference counts. Zero values stand for the defaults.
type Limits struct {
	// Median, P95 and P99 are the least relative changes of a response time: 0.10,
	// 0.15 and 0.25 by default.
	Median, P95, P99 float64
	// ErrorPoints and ErrorFactor are the least change of a share of failed requests,
	// both at once: by 0.002 and to twice as much by default.
	ErrorPoints, ErrorFactor float64
	// Windows and Requests are how many values, and requests, the newer profile has to
	// have: 8 and 100 by default.
	Windows  int
	Requests int64
	// Significance is the greatest corrected p that counts: 0.01 by default.
	Significance float64
	// Margin is how many times the least change a response time, or a share of failed
	// requests, may have risen at the most for two runs to be called the same, 4 by
	// default; see [Gate]. Other comparisons do not use it.
	Margin float64
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Median: cmp.Or(l.Median, 0.10), P95: cmp.Or(l.P95, 0.15), P99: cmp.Or(l.P99, 0.25),
		ErrorPoints: cmp.Or(l.ErrorPoints, 0.002), ErrorFactor: cmp.Or(l.ErrorFactor, 2),
		Windows: cmp.Or(l.Windows, 8), Requests: cmp.Or(l.Requests, 100), Significance: cmp.Or(l.Significance, 0.01),
		Margin: cmp.Or(l.Margin, 4),
	}
}

// effect is the least change of a figure as a logarithm.
func (l Limits) effect(f int) float64 {
	return math.Log1p([numFigures]float64{median: l.Median, p95: l.P95, p99: l.P99}[f])
}

// consistent is the share of the newer windows that have to show half of the
// minimum effect: six of eight, so that no burst of a few minutes decides.
const consistent = 0.75

// untilCalm is how many minutes it takes before what all traffic does counts: a
// machine may have other things to do for five.
const untilCalm = 15

// Comparison says how the profile of Version compares with that of BaseVersion.
type Comparison struct {
	BaseVersion string `json:"base_version"`
	Version     string `json:"version"`
	Result      Result `json:"result"`
	// Rows have those of all traffic first, then of classes, then of cases.
	Rows []Row `json:"rows"`
	// Unknown is what is not known, and why; at most maxUnknown lines.
	Unknown []string `json:"unknown"`
}

const maxUnknown = 200

// Row compares one figure of a case, of a class, or of all valid traffic.
type Row struct {
	// Case is "" for a class; Class is "all" for all traffic.
	Case  string `json:"case,omitempty"`
	Class string `json:"class"`
	// Invalid marks deliberately invalid input.
	Invalid bool `json:"invalid,omitempty"`
	// Signal is "median_response_time", "p95_response_time", "p99_response_time" or "error_ratio".
	Signal string `json:"signal"`
	Result Result `json:"result"`
	// Before and After are seconds, or shares of failed requests; of all traffic the
	// geometric mean over the cases. Ratio is
	// After / Before and Low..High its interval at 95 %; all 0 when nothing is known.
	// Where no request failed before, half a request is taken to have.
	Before float64 `json:"before"`
	After  float64 `json:"after"`
	Ratio  float64 `json:"ratio"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	// P is two-sided, PAdjusted corrected for all rows (Holm).
	P         float64 `json:"p"`
	PAdjusted float64 `json:"p_adjusted"`
	// Windows and Requests are those of the newer profile that were compared.
	Windows  int   `json:"windows"`
	Requests int64 `json:"requests"`
	// Relative tells that what all cases did alike was taken out: the case is compared with
	// the rest of the traffic.
	Relative bool `json:"relative,omitempty"`
	// together tells that it changed as the rest of the traffic did.
	together bool
	// Text is one sentence with the figures.
	Text string `json:"text"`
	// Bands are the rate bands that both have, with the phase.
	Bands []string `json:"bands"`
}

// row is a row under way.
type row struct {
	Row
	figure   int // numFigures for errors
	absolute shift
	relative shift
	errors   errorCounts
	// reason is what there is too little of, "" when the row was compared.
	reason string
}

// Compare compares two profiles; nil stands for one of nothing.
//
// Only what both have at the same rates and in the same phase is compared. A
// response time is compared twice: as it is, and less what all cases did alike in the
// same minutes. Other load on the machine moves all cases together, so the
// second comparison is much sharper for a single case, and the first alone
// speaks for all of them; both count in the correction. See compareSeries for the test.
//
// Shares of failed requests are compared by Fisher's exact test, with counts
// divided by how much more they scatter from window to window than chance would
// have them, so that one burst of failures is one event.
//
// Where one of the two is of a short run, with windows of 10 s, it compares as
// [Gate] does.
func Compare(base, current *Profile, limits Limits) Comparison {
	base, current = orEmpty(base), orEmpty(current)
	c := comparer{limits: limits, base: base, current: current}
	if base.Window == window.Short || current.Window == window.Short {
		c.gate, c.limits = true, limits.forRuns()
	}
	c.limits = c.limits.withDefaults()
	return c.compare()
}

func orEmpty(p *Profile) *Profile {
	if p == nil {
		return new(Profile)
	}
	return p
}

// compare makes the comparison.
func (c *comparer) compare() Comparison {
	c.match()
	for f := range numFigures {
		c.common[f] = c.commonFactor(f)
	}
	c.addRows()
	result := Comparison{BaseVersion: c.base.Version, Version: c.current.Version, Rows: c.finish()}
	result.Result = c.overall(result.Rows)
	result.Unknown = slices.Concat(c.unknown, c.openRows(result.Rows))
	result.Unknown = result.Unknown[:min(len(result.Unknown), maxUnknown)]
	return result
}

// comparer is one comparison under way.
type comparer struct {
	limits        Limits
	base, current *Profile
	// gate compares runs as wholes, see [Gate].
	gate  bool
	cases []matchedCase
	// common is, by figure, by how much the cases lay above the baseline.
	common  [numFigures]factors
	rows    []row
	unknown []string
}

// matchedCase is a case that both profiles have, with the strata that can be compared.
type matchedCase struct {
	*CaseProfile // of the newer profile
	strata       []match
	bands        []string
	// mixed tells that the profiles are of windows of different lengths.
	mixed bool
}

// match is a stratum of the newer profile with its like in the older one.
type match struct {
	current *Stratum
	base    []*Stratum
}

// match finds what can be compared.
func (c *comparer) match() {
	for i := range c.current.Cases {
		now := &c.current.Cases[i]
		before := c.base.Case(now.Name)
		if before == nil {
			c.unknown = append(c.unknown, fmt.Sprintf("%s: only %s has it", now.Name, versionText(c.current.Version)))
			continue
		}
		m := matchedCase{CaseProfile: now, mixed: c.base.Window != c.current.Window}
		for j := range now.Strata {
			s := &now.Strata[j]
			if like := c.like(before, s); like != nil {
				m.strata = append(m.strata, match{s, like})
				m.bands = append(m.bands, bandText(s.Band, s.Phase))
			}
		}
		if m.strata == nil {
			c.unknown = append(c.unknown, fmt.Sprintf("%s: %s and %s have no rate and phase in common", now.Name, versionText(c.base.Version), versionText(c.current.Version)))
			continue
		}
		c.cases = append(c.cases, m)
	}
	for i := range c.base.Cases {
		if name := c.base.Cases[i].Name; c.current.Case(name) == nil {
			c.unknown = append(c.unknown, fmt.Sprintf("%s: only %s has it", name, versionText(c.base.Version)))
		}
	}
}

// like returns the strata of a case in the older profile that are like one of the
// newer: the same band alone when it has enough windows, else its neighbours too.
func (c *comparer) like(before *CaseProfile, s *Stratum) []*Stratum {
	var like []*Stratum
	windows := 0
	for _, apart := range []int{0, -1, 1} {
		if apart != 0 && (s.Band == noRate || (apart == -1 && windows >= 2*c.limits.Windows)) {
			break
		}
		if old := before.stratum(s.Band+apart, s.Phase); old != nil {
			like = append(like, old)
			windows += old.Windows
		}
	}
	return like
}

// value is a logarithm of a time less the middle of what was before, of n requests
// from at on, in the units of its profile; so are all times here.
type value struct {
	at, length int32
	n          int64
	log        float64
}

// pair returns the values of a figure of a case, before and after, each less the
// middle of what was before at that rate; and that middle, the mean over what came after.
func (m *matchedCase) pair(f int) (before, after []value, middle float64) {
	if m.mixed && f == p99 {
		return nil, nil, 0 // see Gate
	}
	for _, s := range m.strata {
		var old []sample
		for _, like := range s.base {
			old = append(old, like.figures[f].list...)
		}
		if len(old) == 0 {
			continue
		}
		center := centerOf(old)
		before = append(before, centered(old, center)...)
		now := centered(s.current.figures[f].list, center)
		after = append(after, now...)
		middle += center * float64(len(now))
	}
	byTime := func(a, b value) int { return cmp.Compare(a.at, b.at) }
	slices.SortStableFunc(before, byTime)
	slices.SortStableFunc(after, byTime)
	return before, after, middle / float64(max(1, len(after)))
}

func centerOf(list []sample) float64 {
	y := make([]float64, len(list))
	for i, s := range list {
		y[i] = s.log()
	}
	return stats.Median(y)
}

func centered(list []sample, center float64) []value {
	moved := make([]value, len(list))
	for i, s := range list {
		moved[i] = value{s.at, s.length, int64(s.n), s.log() - center}
	}
	return moved
}

// factors are by how much the valid cases lay above the baseline, by unit of time, each
// ascending: of the cases that have a value for that one.
type factors struct{ before, after map[int32][]float64 }

// fewCases is how many cases it takes to speak of all, or of the others.
const fewCases = 3

// commonFactor collects the values of a figure of all valid cases.
func (c *comparer) commonFactor(f int) factors {
	all := factors{map[int32][]float64{}, map[int32][]float64{}}
	for i := range c.cases {
		if c.cases[i].Invalid {
			continue
		}
		before, after, _ := c.cases[i].pair(f)
		for at, v := range byMinute(before) {
			all.before[at] = append(all.before[at], v)
		}
		for at, v := range byMinute(after) {
			all.after[at] = append(all.after[at], v)
		}
	}
	for _, by := range []map[int32][]float64{all.before, all.after} {
		for _, y := range by {
			slices.Sort(y)
		}
	}
	return all
}

// byMinute returns the values that are of a few units of time at most: others say little
// of one.
func byMinute(list []value) map[int32]float64 {
	const long = 5
	by := make(map[int32]float64, len(list))
	for _, s := range list {
		if s.length <= long {
			by[s.at] = s.log
		}
	}
	return by
}

// points returns the medians over the cases in the order of time, of the minutes
// that have enough.
func points(by map[int32][]float64) []point {
	list := make([]point, 0, len(by))
	for at, y := range by {
		if len(y) >= fewCases {
			list = append(list, point{at, (y[(len(y)-1)/2] + y[len(y)/2]) / 2})
		}
	}
	sortPoints(list)
	return list
}

// less returns the values of a case less what the other cases did in the same
// minutes, as far as that is known. own are its values that are among the factors.
func less(list []value, common map[int32][]float64, own map[int32]float64) []point {
	var kept []point
	for _, s := range list {
		sum, n := 0.0, 0
		for at := s.at; at < s.at+s.length; at++ {
			mine, among := own[at]
			if v, known := others(common[at], mine, among); known {
				sum += v
				n++
			}
		}
		if n > 0 {
			kept = append(kept, point{s.at, s.log - sum/float64(n)})
		}
	}
	return kept
}

// others is the median of ascending values without one of them, if it is among
// them; known when there are enough.
func others(y []float64, mine float64, among bool) (middle float64, known bool) {
	n, gone := len(y), len(y)
	if among {
		gone, _ = slices.BinarySearch(y, mine)
		n--
	}
	if n < fewCases {
		return 0, false
	}
	at := func(i int) float64 {
		if i >= gone {
			i++
		}
		return y[i]
	}
	return (at((n-1)/2) + at(n/2)) / 2, true
}

func asPoints(list []value) []point {
	y := make([]point, len(list))
	for i, s := range list {
		y[i] = point{s.at, s.log}
	}
	return y
}

// addRows makes all rows, without their results.
func (c *comparer) addRows() {
	valid := 0
	for i := range c.cases {
		if !c.cases[i].Invalid {
			valid++
		}
	}
	// Of fewer cases each speaks for itself.
	if valid >= fewCases {
		for f := range numFigures {
			c.rows = append(c.rows, c.allRow(f))
		}
	}
	c.rows = append(c.rows, c.errorRows()...)
	for i := range c.cases {
		m := &c.cases[i]
		for f := range numFigures {
			c.rows = append(c.rows, c.caseRow(m, f))
		}
		c.rows = append(c.rows, c.errorRow(m.Name, m.Class, m.Invalid, []*matchedCase{m}))
	}
}

// The standard deviations of the noise that is assumed as long as there is little data:
// of all traffic together, as other load on a machine makes it, and of one case
// beside the others.
const (
	assumedTogether = 0.05
	assumedAlone    = 0.025
)

// kind is what a series is of: what all do together, or one case beside the others.
type kind int

const (
	together kind = iota
	alone
)

// series compares two series of a figure.
func (c *comparer) series(before, after []point, of kind, f int) shift {
	assumed := [...]float64{together: assumedTogether, alone: assumedAlone}[of]
	if c.gate {
		return c.compareRuns(before, after, of, c.limits.effect(f))
	}
	return compareSeries(before, after, assumed, c.limits.effect(f), c.limits.Windows)
}

func (c *comparer) caseRow(m *matchedCase, f int) row {
	before, after, middle := m.pair(f)
	r := row{figure: f, Row: Row{Case: m.Name, Class: m.Class, Invalid: m.Invalid, Signal: figures()[f].signal, Bands: m.bands, P: 1, Windows: len(after)}}
	for _, s := range after {
		r.Requests += s.n
	}
	r.absolute = c.series(asPoints(before), asPoints(after), together, f)
	// The tail of a few requests says less of what all cases do than their median.
	var ownBefore, ownAfter map[int32]float64
	if !m.Invalid {
		b, a, _ := m.pair(median)
		ownBefore, ownAfter = byMinute(b), byMinute(a)
	}
	r.relative = c.series(less(before, c.common[median].before, ownBefore), less(after, c.common[median].after, ownAfter), alone, f)
	if r.Requests < c.limits.Requests {
		r.absolute.known = false
	}
	if !r.absolute.known {
		r.reason = c.shortage(len(before), len(after), r.Requests)
		return r
	}
	r.Before = math.Exp(middle)
	switch {
	case !r.relative.known:
		r.P = r.absolute.p
	case c.gate:
		r.P = r.relative.p
	default:
		r.P = min(1, 2*min(r.absolute.p, r.relative.p))
	}
	return r
}

// allRow compares all valid traffic.
func (c *comparer) allRow(f int) row {
	r := row{figure: f, Row: Row{Class: finding.AllTraffic, Signal: figures()[f].signal, P: 1}}
	before, after := points(c.common[f].before), points(c.common[f].after)
	r.Windows = len(after)
	middle, weight := 0.0, 0.0
	for i := range c.cases {
		m := &c.cases[i]
		if m.Invalid {
			continue
		}
		_, now, center := m.pair(f)
		if len(now) == 0 {
			continue
		}
		middle, weight = middle+center, weight+1
		for _, s := range now {
			r.Requests += s.n
		}
		r.Bands = union(r.Bands, m.bands)
	}
	r.absolute = c.series(before, after, together, f)
	if !r.absolute.known {
		r.reason = c.shortage(len(before), len(after), r.Requests)
		return r
	}
	r.Before = math.Exp(middle / weight)
	r.P = r.absolute.p
	return r
}

func union(a, b []string) []string {
	for _, one := range b {
		if !slices.Contains(a, one) {
			a = append(a, one)
		}
	}
	return a
}

// shortage says what there is too little of.
func (c *comparer) shortage(before, after int, requests int64) string {
	switch {
	case before < c.limits.Windows:
		return fmt.Sprintf("%s has %d of the %d windows that it takes", versionText(c.base.Version), before, c.limits.Windows)
	case after < c.limits.Windows:
		return fmt.Sprintf("%s has %d of the %d windows that it takes", versionText(c.current.Version), after, c.limits.Windows)
	}
	return fmt.Sprintf("%d of the %d requests that it takes", requests, c.limits.Requests)
}

// finish corrects for the number of rows and decides each.
func (c *comparer) finish() []Row {
	p := make([]float64, len(c.rows))
	for i := range c.rows {
		p[i] = c.rows[i].P
		if c.rows[i].reason != "" {
			p[i] = math.NaN() // was not compared
		}
	}
	adjusted := c.corrected(p)
	done := make([]Row, 0, len(c.rows))
	for i := range c.rows {
		r := &c.rows[i]
		r.PAdjusted = 1
		if r.reason == "" {
			r.PAdjusted = adjusted[i]
		}
		switch {
		case r.reason != "":
			r.Result = NotEnoughData
		case r.figure == numFigures:
			c.decideErrors(r)
		case c.gate:
			c.decideRun(r)
		default:
			c.decideTime(r)
		}
	}
	c.deferToAll()
	for i := range c.rows {
		c.rows[i].Text = c.rows[i].sentence(c)
		done = append(done, c.rows[i].Row)
	}
	return done
}

// corrected are the p of the rows corrected for their number.
func (c *comparer) corrected(p []float64) []float64 {
	if c.gate {
		return c.byFamily(p)
	}
	return stats.Holm(p)
}

// deferToAll takes back what was said of a case that changed as the rest of the traffic
// did, while nothing can be said of all traffic: the one is as uncertain as the other.
func (c *comparer) deferToAll() {
	var all [numFigures]Result
	for i := range c.rows {
		if r := &c.rows[i]; r.figure < numFigures && r.Case == "" && r.reason == "" {
			all[r.figure] = r.Result
		}
	}
	for i := range c.rows {
		r := &c.rows[i]
		if r.together && all[r.figure] != "" && all[r.figure] != r.Result {
			r.Result = NotEnoughData
		}
	}
}

// decideTime decides a row of a response time.
func (c *comparer) decideTime(r *row) {
	effect := c.limits.effect(r.figure)
	// By how much the correction raised p, for either way of comparing.
	raised := 1.0
	if r.P > 0 {
		raised = r.PAdjusted / r.P
	}
	if r.relative.known {
		raised *= 2
	}
	significant := func(s *shift) bool { return s.p*raised < c.limits.Significance }
	a, b := &r.absolute, &r.relative
	if a.minutes < untilCalm {
		significant = func(s *shift) bool { return s == b && s.p*raised < c.limits.Significance }
	}
	r.Result = NotEnoughData
	chosen := a
	switch {
	case significant(a) && a.by >= effect && a.above >= consistent:
		r.Result = Worse
	case significant(a) && a.by <= -effect && a.below >= consistent:
		r.Result = Improved
	case b.known && significant(b) && b.by >= effect && b.above >= consistent && a.by >= effect/2:
		r.Result, chosen = Worse, b
	case b.known && significant(b) && b.by <= -effect && b.below >= consistent && a.by <= -effect/2:
		r.Result, chosen = Improved, b
	case a.low > -effect && a.high < effect:
		r.Result = Same
	case b.known && b.low > -effect && b.high < effect && math.Abs(a.by) < effect:
		// The rest is what all traffic did, and has rows of its own.
		r.Result, chosen = Same, b
	}
	r.Relative = chosen == b
	changed := r.Result == Worse || r.Result == Improved
	r.together = changed && b.known && math.Abs(b.by) < effect/2
	r.Ratio, r.Low, r.High = math.Exp(chosen.by), math.Exp(chosen.low), math.Exp(min(chosen.high, 100))
	r.After = r.Before * r.Ratio
}

// openRows says what of the rows is not known.
func (c *comparer) openRows(rows []Row) []string {
	if c.gate {
		return openOfRuns(rows)
	}
	var open []string
	for i := range rows {
		if rows[i].Result == NotEnoughData {
			open = append(open, rows[i].Text)
		}
	}
	return open
}

// overall is the result of all rows.
func (c *comparer) overall(rows []Row) Result {
	if c.gate {
		return overallOfRuns(rows)
	}
	return overall(rows)
}

// overall is the result of all rows. Same takes that all traffic, its errors, and
// the cases of nine requests in ten are the same.
func overall(rows []Row) Result {
	var requests, same int64
	count := map[Result]int{}
	all := true
	for i := range rows {
		r := &rows[i]
		count[r.Result]++
		switch {
		case r.Signal != MedianTime && r.Signal != ErrorRatio:
		case r.Case != "":
			requests += r.Requests
			if r.Result == Same || r.Result == Improved {
				same += r.Requests
			}
		case r.Class == finding.AllTraffic && r.Result != Same && r.Result != Improved:
			all = false
		}
	}
	switch {
	case count[Worse] > 0:
		return Worse
	case !all || requests == 0 || float64(same) < 0.9*float64(requests):
		return NotEnoughData
	case count[Improved] > 0:
		return Improved
	}
	return Same
}
