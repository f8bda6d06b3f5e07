package baseline

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/stats"
)

// Gate compares a run with an earlier one, or with any other profile, as a pipeline
// needs it after some minutes: did it get worse? A difference of the machines, or of
// their other work, between two short runs cannot be seen within either, so how large it
// is is assumed: see compareRuns. What follows from that differs from [Compare]:
//
//   - Worse and Improved take the same least changes, and that they are more than such
//     a difference. A case is compared with the rest of the traffic where there is a rest, and
//     all traffic as it is.
//   - Same is that the time did not rise by more than Margin times the least change, as
//     far as its 95 % interval goes: 40 % for a median. Two runs of three minutes cannot
//     tell more, and the interval says what they do tell.
//   - The times of all traffic, those of the cases, and the failures are three families
//     of rows; each is corrected for its own number. Half of the risk is that of all traffic, of
//     which a real change is the hardest to tell.
//   - The whole is Worse when one row is, and else the same when all traffic is and the
//     cases of three requests in four are. What is too rare to tell is in
//     Unknown and does not keep the whole from being the same.
//
// The profiles may be of windows of 10 s or of a minute. The p99 is left out where
// they differ in that: it lies higher the more requests it is of.
func Gate(base, current *Profile, limits Limits) Comparison {
	base, current = orEmpty(base), orEmpty(current)
	c := comparer{limits: limits.forRuns().withDefaults(), base: base, current: current, gate: true}
	return c.compare()
}

// forRuns has the defaults that are others for a comparison of runs: a row takes six
// values and forty requests.
func (l Limits) forRuns() Limits {
	l.Windows, l.Requests = cmp.Or(l.Windows, 6), cmp.Or(l.Requests, 40)
	return l
}

// difference is what is assumed to make two runs differ without a reason, as standard
// deviations of the logarithm: wander is what goes on with the time constant [memory], as other
// work on a machine does, and fixed what stays for the whole run, as another
// machine of the same kind or another order of the data in memory does.
type difference struct{ wander, fixed float64 }

func assumedDifference(of kind) difference {
	if of == together {
		return difference{assumedTogether, 0.025}
	}
	return difference{0.02, 0.015}
}

// believed is with how many degrees of freedom the assumed variance enters a test: as if it had been
// estimated from so many pairs of runs.
const believed = 30

// compareRuns is compareSeries for runs that are too short to show how they wander:
//
//	variance of the difference = own(before) + own(after) + wander^2 (r(T before) + r(T after)) + 2 fixed^2
//
// own is the variance of the mean of values that scatter as those of the run do,
// raised by (1+a)/(1-a) for their autocorrelation a at the next value, and r(T) the
// variance of the mean of an Ornstein-Uhlenbeck process over the time T as a part of its own,
// r(T) = 2m/T (1 - m/T (1 - exp(-T/m))) with m = [memory]. The degrees of freedom are those
// of Satterthwaite (1946). p is that of Student's t or of the rank test (Mann and
// Whitney 1947), whichever is greater.
func (c *comparer) compareRuns(before, after []point, of kind, minimum float64) shift {
	s := shift{p: 1, low: math.Inf(-1), high: math.Inf(1)}
	if len(before) < c.limits.Windows || len(after) < c.limits.Windows {
		return s
	}
	a, b := values(before), values(after)
	spanBefore, spanAfter := spanOf(before, c.base), spanOf(after, c.current)
	s.known, s.minutes = true, int(math.Ceil(spanAfter))
	s.by = stats.Shift(a, b)
	assumed := assumedDifference(of)
	between := assumed.wander*assumed.wander*(wandered(spanBefore)+wandered(spanAfter)) + 2*assumed.fixed*assumed.fixed + 2*bucket*bucket/12
	own := [2]float64{ownVariance(before), ownVariance(after)}
	// A tenth of the values at either end does not count in their deviation.
	const kept = 0.6
	variance := between + own[0] + own[1]
	freedom := variance * variance / (between*between/believed +
		own[0]*own[0]/(kept*float64(len(before)-1)) + own[1]*own[1]/(kept*float64(len(after)-1)))
	s.test(a, b, freedom, math.Sqrt(variance))
	s.count(a, b, minimum)
	return s
}

// spanOf is how many minutes the points of a profile take from the first to the last.
func spanOf(points []point, p *Profile) float64 {
	return float64(points[len(points)-1].at-points[0].at+1) * p.Window.Minutes()
}

// wandered is the variance of the mean over some minutes as a part of that of a moment.
func wandered(minutes float64) float64 {
	x := minutes / memory
	if x < 1e-6 {
		return 1
	}
	return 2 / x * (1 - (1-math.Exp(-x))/x)
}

// ownVariance is the variance of the mean, or median of differences, of values that
// scatter from one to the next.
func ownVariance(points []point) float64 {
	y := values(points)
	deviation := (stats.Quantile(y, 0.9) - stats.Quantile(y, 0.1)) / spread
	// pi/3 is what the median of differences is less efficient than their mean.
	variance := math.Pi / 3 * deviation * deviation / float64(len(y))
	const most = 0.8
	a := min(max(nextCorrelation(y, deviation), 0), most)
	return variance * (1 + a) / (1 - a)
}

// nextCorrelation is the autocorrelation at the next value, of values that may have outliers.
func nextCorrelation(y []float64, deviation float64) float64 {
	if deviation <= 0 {
		return 0
	}
	middle := stats.Median(y)
	rest := make([]float64, len(y))
	square, product := 0.0, 0.0
	for i, v := range y {
		rest[i] = min(max((v-middle)/deviation, -3), 3)
		square += rest[i] * rest[i]
		if i > 0 {
			product += rest[i] * rest[i-1]
		}
	}
	if square == 0 {
		return 0
	}
	return product / square
}

// byFamily corrects each family of rows for its own number (Holm 1979), and the two
// of cases and failures for being two.
func (c *comparer) byFamily(p []float64) []float64 {
	families := map[string][]int{}
	for i := range c.rows {
		families[c.rows[i].family()] = append(families[c.rows[i].family()], i)
	}
	adjusted := make([]float64, len(p))
	for name, rows := range families {
		share := 2.0
		if name == allFamily {
			share = 1
		}
		of := make([]float64, len(rows))
		for i, at := range rows {
			of[i] = p[at]
		}
		for i, v := range stats.Holm(of) {
			adjusted[rows[i]] = min(1, share*v)
		}
	}
	return adjusted
}

// allFamily are the times of all traffic.
const allFamily = "all traffic"

// family is what a row is corrected with.
func (r *row) family() string {
	switch {
	case r.figure == numFigures:
		return "failures"
	case r.Case == "":
		return allFamily
	}
	return "cases"
}

// decideRun decides a row of a response time.
func (c *comparer) decideRun(r *row) {
	effect := c.limits.effect(r.figure)
	margin := math.Log1p(c.limits.Margin * math.Expm1(effect))
	chosen := &r.absolute
	if r.relative.known {
		// The rest is what all traffic did, and has rows of its own.
		chosen, r.Relative = &r.relative, true
	}
	significant := r.PAdjusted < c.limits.Significance
	switch {
	case significant && chosen.by >= effect && chosen.above >= consistent && r.absolute.by >= effect/2:
		r.Result = Worse
	case significant && chosen.by <= -effect && chosen.below >= consistent && r.absolute.by <= -effect/2:
		r.Result = Improved
	case chosen.high < margin:
		r.Result = Same
	default:
		r.Result = NotEnoughData
	}
	r.Ratio, r.Low, r.High = math.Exp(chosen.by), math.Exp(chosen.low), math.Exp(min(chosen.high, 100))
	r.After = r.Before * r.Ratio
}

// overallOfRuns is the result of all rows of a comparison of runs.
func overallOfRuns(rows []Row) Result {
	const most = 0.75
	var requests, same int64
	count := map[Result]int{}
	all := true
	for i := range rows {
		r := &rows[i]
		count[r.Result]++
		fine := r.Result == Same || r.Result == Improved
		switch {
		case r.Case == "" && r.Class == finding.AllTraffic:
			all = all && (fine || (r.Signal != MedianTime && r.Signal != ErrorRatio))
		case r.Case != "" && r.Signal == MedianTime:
			requests += r.Requests
			if fine {
				same += r.Requests
			}
		}
	}
	switch {
	case count[Worse] > 0:
		return Worse
	case !all || requests == 0 || float64(same) < most*float64(requests):
		return NotEnoughData
	case count[Improved] > 0:
		return Improved
	}
	return Same
}

// openOfRuns says what of the rows is not known. The cases of which nothing is known,
// which a short run has dozens of, are in one line, and those of which a figure takes
// more requests in one a figure.
func openOfRuns(rows []Row) []string {
	known := map[string]bool{}
	for i := range rows {
		if rows[i].Result != NotEnoughData {
			known[rows[i].Case] = true
		}
	}
	var rare, open []string
	few := map[string][]string{}
	for i := range rows {
		switch r := &rows[i]; {
		case r.Result != NotEnoughData:
		case r.Case != "" && !known[r.Case]:
			if !slices.Contains(rare, r.Case) {
				rare = append(rare, r.Case)
			}
		case r.Ratio == 0:
			few[r.Signal] = append(few[r.Signal], r.subject())
		default:
			open = append(open, r.Text)
		}
	}
	for _, signal := range slices.Sorted(maps.Keys(few)) {
		open = append(open, signalText(signal)+": too little to compare of "+someNames(few[signal]))
	}
	if len(rare) > 0 {
		open = append(open, "too few requests to tell anything of "+someNames(rare))
	}
	return open
}

// someNames names the first of many.
func someNames(names []string) string {
	const most = 8
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
