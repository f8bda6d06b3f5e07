package baseline

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/stats"
)

// errorCounts are failed and all requests before and after, as they count: divided
// by how much more than by chance they scatter.
type errorCounts struct {
	badBefore, allBefore, badAfter, allAfter float64
	// failing is in how many windows requests failed after.
	failing int
}

// failures are the failed of n requests of a window.
type failures struct{ n, failed float64 }

// errorRows compares the failures of all valid traffic and of each class with
// several cases.
func (c *comparer) errorRows() []row {
	var valid []*matchedCase
	classes := map[string][]*matchedCase{}
	for i := range c.cases {
		m := &c.cases[i]
		if !m.Invalid {
			valid = append(valid, m)
			classes[m.Class] = append(classes[m.Class], m)
		}
	}
	if len(valid) < 2 {
		return nil
	}
	rows := []row{c.errorRow("", finding.AllTraffic, false, valid)}
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		if len(classes[class]) > 1 && len(classes) > 1 {
			rows = append(rows, c.errorRow("", class, false, classes[class]))
		}
	}
	return rows
}

// errorRow compares the failures of some cases together.
func (c *comparer) errorRow(name, class string, invalid bool, cases []*matchedCase) row {
	r := row{figure: numFigures, Row: Row{Case: name, Class: class, Invalid: invalid, Signal: ErrorRatio, P: 1}}
	before, after := map[int32]failures{}, map[int32]failures{}
	var counts errorCounts
	for _, m := range cases {
		r.Bands = union(r.Bands, m.bands)
		for _, s := range m.strata {
			counts.add(s, before, after)
		}
	}
	r.Windows, r.Requests = len(after), int64(counts.allAfter)
	if len(before) < c.limits.Windows || len(after) < c.limits.Windows || r.Requests < c.limits.Requests {
		r.reason = c.shortage(len(before), len(after), r.Requests)
		return r
	}
	r.Before, r.After = counts.badBefore/counts.allBefore, counts.badAfter/counts.allAfter
	for _, one := range after {
		if one.failed > 0 {
			counts.failing++
		}
	}
	scatter := max(dispersion(before), dispersion(after))
	r.errors = errorCounts{counts.badBefore / scatter, counts.allBefore / scatter, counts.badAfter / scatter, counts.allAfter / scatter, counts.failing}
	r.P = stats.Proportions(whole(r.errors.badAfter), whole(r.errors.allAfter), whole(r.errors.badBefore), whole(r.errors.allBefore))
	return r
}

func whole(n float64) int64 { return int64(math.Round(n)) }

// add takes a stratum in. What was before is weighted as what came after is spread
// over the strata, so that a rate at which more fails does not count for more.
func (e *errorCounts) add(s match, before, after map[int32]failures) {
	all, failed := s.current.requests()
	e.allAfter += float64(all)
	e.badAfter += float64(failed)
	gather(after, s.current.failures.list)
	var allBefore, failedBefore int64
	for _, like := range s.base {
		n, bad := like.requests()
		allBefore += n
		failedBefore += bad
		gather(before, like.failures.list)
	}
	if allBefore == 0 {
		return
	}
	// The older stratum counts as many requests as it has, at most ten times those of the newer:
	// more would not make the answer surer.
	weight := min(float64(allBefore), 10*float64(all))
	e.allBefore += weight
	e.badBefore += weight * float64(failedBefore) / float64(allBefore)
}

// gather adds up the failures of several cases by window.
func gather(by map[int32]failures, list []sample) {
	for _, s := range list {
		sum := by[s.at]
		sum.n += float64(s.n)
		sum.failed += float64(s.value)
		by[s.at] = sum
	}
}

// dispersion is how much more failures scatter from window to window than
// independent ones would: Pearson's chi-squared by its degrees of freedom
// (McCullagh & Nelder 1989, section 4.5), at least 1.
func dispersion(by map[int32]failures) float64 {
	all, bad := 0.0, 0.0
	for _, s := range by {
		all += s.n // whole numbers: the order does not matter
		bad += s.failed
	}
	share := bad / all
	if len(by) < 2 || !(share > 0 && share < 1) {
		return 1
	}
	sum := 0.0
	for _, at := range slices.Sorted(maps.Keys(by)) { // in one order: here it does
		n := by[at].n
		away := by[at].failed - n*share
		sum += away * away / (n * share * (1 - share))
	}
	return max(1, sum/float64(len(by)-1))
}

// decideErrors decides a row of failures.
func (c *comparer) decideErrors(r *row) {
	l, e := c.limits, r.errors
	r.setErrorRatio()
	significant := r.PAdjusted < l.Significance
	_, highest := stats.Wilson(whole(e.badAfter), whole(e.allAfter), 0.95)
	points := l.ErrorPoints
	if c.gate {
		points *= l.Margin
	}
	const severalWindows = 3
	switch {
	case significant && r.After-r.Before >= l.ErrorPoints && r.After >= l.ErrorFactor*r.Before && e.failing >= severalWindows:
		r.Result = Worse
	case significant && r.Before-r.After >= l.ErrorPoints && r.Before >= l.ErrorFactor*r.After:
		r.Result = Improved
	case highest < max(r.Before+points, l.ErrorFactor*r.Before):
		r.Result = Same
	default:
		r.Result = NotEnoughData
	}
}

// setErrorRatio sets the ratio of the shares and its interval at 95 %, by the
// logarithm (Katz et al. 1978), with half a request added to each count (Walter 1976).
func (r *row) setErrorRatio() {
	e := r.errors
	after, before := (e.badAfter+0.5)/(e.allAfter+0.5), (e.badBefore+0.5)/(e.allBefore+0.5)
	deviation := math.Sqrt(max(0, 1/(e.badAfter+0.5)-1/(e.allAfter+0.5)+1/(e.badBefore+0.5)-1/(e.allBefore+0.5)))
	r.Ratio = after / before
	r.Low, r.High = r.Ratio*math.Exp(-1.96*deviation), r.Ratio*math.Exp(1.96*deviation)
	if r.Before > 0 {
		r.Ratio = r.After / r.Before
		r.Low, r.High = min(r.Low, r.Ratio), max(r.High, r.Ratio)
	}
}

// subject writes what a row is about.
func (r *Row) subject() string {
	switch {
	case r.Case != "":
		return r.Case
	case r.Class == finding.AllTraffic:
		return "all traffic"
	}
	return "class " + r.Class
}

// signalText is the figure as a person reads it.
func signalText(signal string) string {
	for _, f := range figures() {
		if f.signal == signal {
			return f.text
		}
	}
	return "share of failed requests"
}

// sentence is the text of a row.
func (r *row) sentence(c *comparer) string {
	what := signalText(r.Signal) + " of " + r.subject()
	if r.reason != "" {
		return what + ": not enough data, " + r.reason
	}
	against := " against " + versionText(c.base.Version)
	if r.Relative {
		against += " beside the rest of the traffic"
	}
	data := fmt.Sprintf(" (%d windows, %d requests)", r.Windows, r.Requests)
	change, before, after := percent(r.Ratio), timeText(r.Before), timeText(r.After)
	if r.figure == numFigures {
		change, before, after = fmt.Sprintf("x%.3g", r.Ratio), share(r.Before), share(r.After)
		_, highest := stats.Wilson(whole(r.errors.badAfter), whole(r.errors.allAfter), 0.95)
		switch r.Result {
		case Same:
			return fmt.Sprintf("%s: the same%s, %s and %s, at most %s%s", what, against, before, after, share(highest), data)
		case NotEnoughData:
			return fmt.Sprintf("%s: not enough data, %s and before %s; could be up to %s%s", what, after, before, share(highest), data)
		}
	}
	switch r.Result {
	case Worse, Improved:
		return fmt.Sprintf("%s: %s%s, from %s to %s (%s, 95 %% interval %s to %s)%s",
			what, r.Result, against, before, after, change, percent(r.Low), percent(r.High), data)
	case Same:
		return fmt.Sprintf("%s: the same%s, %s and %s (95 %% interval %s to %s)%s", what, against, before, after, percent(r.Low), percent(r.High), data)
	}
	return fmt.Sprintf("%s: not enough data, %s%s; could be between %s and %s%s", what, change, against, percent(r.Low), percent(r.High), data)
}

// percent writes a ratio as a change.
func percent(ratio float64) string {
	if ratio >= 10 {
		return fmt.Sprintf("x%.3g", ratio)
	}
	return fmt.Sprintf("%+.1f %%", 100*(ratio-1))
}

func share(v float64) string { return fmt.Sprintf("%.3g %%", 100*v) }

// timeText writes seconds.
func timeText(seconds float64) string {
	if seconds < 1 {
		return fmt.Sprintf("%.3g ms", 1000*seconds)
	}
	return fmt.Sprintf("%.3g s", seconds)
}

// versionText names a version.
func versionText(version string) string { return cmp.Or(version, "an unknown version") }
