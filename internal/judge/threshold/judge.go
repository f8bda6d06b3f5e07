package threshold

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// windowSlack is by how much the rate of a window may miss its limit: requests in
// flight at its edges belong to its neighbours.
const windowSlack = 0.05

// span is between what a figure certainly lies.
type span struct{ low, high float64 }

// certain is a figure that is known.
func certain(value float64) span { return span{value, value} }

// known reports whether the figure is known at all.
func (s span) known() bool { return s.high < math.Inf(1) || s.low > 0 }

// measure returns the figure of the threshold, and false where there is nothing of it.
func (t *Threshold) measure(f *Figures) (span, bool) {
	switch t.figure.name {
	case "rate":
		if f.Length <= 0 {
			return span{}, false
		}
		return certain(float64(f.Requests) / f.Length.Seconds()), true
	case "error_rate":
		if f.Requests == 0 {
			return span{}, false
		}
		return certain(float64(f.Failed) / float64(f.Requests)), true
	case "requests":
		return certain(float64(f.Requests)), true
	case "failures":
		return certain(float64(f.Failed)), true
	case "dropped":
		return certain(float64(f.Missing)), true
	}
	if f.Times.Count == 0 {
		return span{}, false
	}
	return t.timeOf(f), true
}

// timeOf returns a time. Missing requests may all have been slower than any other.
func (t *Threshold) timeOf(f *Figures) span {
	times := &f.Times
	one := func(at time.Duration) span {
		if at < 0 {
			return span{0, math.Inf(1)}
		}
		s := certain(at.Seconds())
		if f.Missing > 0 && t.figure.name != "min" {
			s.high = math.Inf(1)
		}
		return s
	}
	switch t.figure.name {
	case "mean":
		return one(times.Mean)
	case "min":
		return one(times.Min)
	case "max":
		return one(times.Max)
	}
	low, high := times.Bounds(t.q)
	s := span{low.Seconds(), high.Seconds()}
	if f.Missing > 0 {
		rank := math.Ceil(t.q * float64(times.Count+f.Missing))
		if rank > float64(times.Count) {
			s.high = math.Inf(1)
		} else if _, worst := times.Bounds(rank / float64(times.Count)); true {
			s.high = worst.Seconds()
		}
	}
	if s.high >= time.Duration(math.MaxInt64).Seconds() {
		s.high = math.Inf(1)
	}
	return s
}

// keeps reports whether a value keeps the limit.
func (t *Threshold) keeps(value float64) bool {
	switch t.op {
	case "<=":
		return value <= t.limit
	case "<":
		return value < t.limit
	case ">=":
		return value >= t.limit
	default:
		return value > t.limit
	}
}

// eased moves a rate by what its measurement cannot tell: one request over the run,
// whose schedule does not begin and end exactly with its windows, and those in flight
// at the edges of a window.
func (t *Threshold) eased(value float64, f *Figures, over Over) float64 {
	if t.figure.name != "rate" {
		return value
	}
	slack := 1 / f.Length.Seconds()
	if over == WorstWindow {
		slack = windowSlack * t.limit
	}
	if t.upper() {
		return value - slack
	}
	return value + slack
}

// judge holds figures against the threshold. found tells that there are some.
func (t *Threshold) judge(f *Figures, found bool, over Over) Judged {
	j := Judged{Threshold: t.String(), Over: over, Result: Unknown, Limit: t.limit, Unit: string(t.figure.unit)}
	if found {
		j.From, j.To, j.Requests = f.Start, f.Start.Add(f.Length), f.Requests
	}
	s, measured := span{}, false
	if found {
		s, measured = t.measure(f)
	}
	if !measured {
		j.Text = fmt.Sprintf("%s of %s is not known: there was no request to measure", t.figureText(), t.traffic())
		if found && f.Requests > 0 {
			j.Text = fmt.Sprintf("%s of %s is not known: none of %d requests was timed while soakd was fit", t.figureText(), t.traffic(), f.Requests)
		}
		return j
	}
	low, high := t.keeps(t.eased(s.low, f, over)), t.keeps(t.eased(s.high, f, over))
	switch {
	case low && high:
		j.Result = Met
	case !low && !high:
		j.Result = Missed
	}
	if s.known() {
		value := s.low
		j.Measured = &value
	}
	j.Text = t.sentence(&j, f, s)
	return j
}

// traffic names what is selected.
func (t *Threshold) traffic() string {
	switch {
	case t.class != "":
		return "class " + t.class
	case t.name != "":
		return "case " + t.name
	}
	return "all traffic"
}

// sentence says what was measured.
func (t *Threshold) sentence(j *Judged, f *Figures, s span) string {
	value := t.rounded(s.low)
	switch {
	case s.low == s.high:
	case math.IsInf(s.high, 1):
		value += " or more"
	default:
		value += " to " + t.rounded(s.high)
	}
	text := fmt.Sprintf("%s of %s was %s", t.figureText(), t.traffic(), value)
	if j.Over == WorstWindow {
		text += fmt.Sprintf(" in the window %s to %s", f.Start.UTC().Format("15:04:05"), f.Start.Add(f.Length).UTC().Format("15:04:05"))
	}
	requests := fmt.Sprintf("%d requests", f.Requests)
	if f.Missing > 0 && t.figure.name != "dropped" {
		requests += fmt.Sprintf(", %d arrivals missing", f.Missing)
	}
	text += " (" + requests + ")"
	limit := t.amount(t.limit)
	switch {
	case j.Result == Unknown:
		return text + ", which does not tell whether it keeps " + t.op + " " + limit
	case j.Result == Missed && t.upper():
		return text + ", above " + limit
	case j.Result == Missed:
		return text + ", below " + limit
	case t.upper():
		return text + ", within " + limit
	}
	return text + ", at least " + limit
}

// rounded writes a measured value with three or four digits.
func (t *Threshold) rounded(value float64) string {
	switch {
	case t.figure.unit == seconds && value < 1:
		return fmt.Sprintf("%.3g ms", 1000*value)
	case t.figure.unit == seconds:
		return fmt.Sprintf("%.3g s", value)
	case t.figure.unit == ratio:
		return fmt.Sprintf("%.3g %%", 100*value)
	case t.figure.unit == perSecond:
		return fmt.Sprintf("%.4g a second", value)
	}
	return fmt.Sprintf("%.0f", value)
}

// mostNeeded bounds how many requests a window has to have.
const mostNeeded = 10_000

// needed is how many requests a window has to have so that one alone does not decide:
// the quantile of fewer is their maximum, and a share of errors of fewer is above the limit
// with the first.
func (t *Threshold) needed() int64 {
	n := 1.0
	switch {
	case t.figure.name == quantileName:
		n = math.Ceil(1/(1-t.q) - 1e-9)
	case t.figure.name == "error_rate" && t.limit > 0:
		n = math.Ceil(1/t.limit - 1e-9)
	case t.figure.name == "mean":
		n = 20
	}
	return int64(min(n, mostNeeded))
}

// enough reports whether figures have what a window needs.
func (t *Threshold) enough(f *Figures) bool {
	if t.figure.unit == seconds {
		return f.Times.Count+f.Missing >= t.needed()
	}
	return t.figure.name == "rate" || f.Requests >= t.needed()
}

// worse orders what a threshold came to in windows: missed before unknown before met,
// then by how far it is off.
func (t *Threshold) worse(a, b *Judged) bool {
	rank := map[Result]int{Met: 0, Unknown: 1, Missed: 2}
	if by := cmp.Compare(rank[a.Result], rank[b.Result]); by != 0 {
		return by > 0
	}
	if a.Measured == nil || b.Measured == nil {
		return a.Measured != nil
	}
	if t.upper() {
		return *a.Measured > *b.Measured
	}
	return *a.Measured < *b.Measured
}

// JudgeAll holds results that are there as a whole against thresholds: first each over
// the run, then over the worst of the windows, which do not overlap. A window with too
// few requests for a figure says nothing about it; windows may be none.
func JudgeAll(list List, run Stretch, windows []Stretch) []Judged {
	var all []Judged
	for i := range list {
		t := &list[i]
		if t.over != WorstWindow {
			f, found := run.Of(t.name, t.class)
			all = append(all, t.judge(&f, found, Run))
		}
		if t.over == Run || !t.figure.windows || len(windows) < 2 {
			continue
		}
		var worst *Judged
		for _, window := range windows {
			f, found := window.Of(t.name, t.class)
			if !found || !t.enough(&f) {
				continue
			}
			if j := t.judge(&f, true, WorstWindow); worst == nil || t.worse(&j, worst) {
				worst = &j
			}
		}
		all = t.addWindows(all, worst)
	}
	return all
}

// addWindows adds what the worst window came to. Where there is none with enough
// requests the run alone is judged, unless windows were asked for.
func (t *Threshold) addWindows(all []Judged, worst *Judged) []Judged {
	switch {
	case worst != nil:
		return append(all, *worst)
	case t.over == WorstWindow:
		return append(all, Judged{
			Threshold: t.String(), Over: WorstWindow, Result: Unknown, Limit: t.limit, Unit: string(t.figure.unit),
			Text: fmt.Sprintf("%s of %s is not known for windows: there are no two with the %d requests that it needs", t.figureText(), t.traffic(), t.needed()),
		})
	}
	return all
}

// own reports whether a window was not fit by soakd's own trouble; see load.UnfitReasons.
func own(unfit []string) bool {
	return slices.ContainsFunc(unfit, func(reason string) bool { return reason == "stalled" || reason == "late" || reason == "cpu" }) || wanting(unfit)
}

// wanting tells that soakd's own machine had no port, file or memory left.
func wanting(unfit []string) bool {
	return slices.ContainsFunc(unfit, func(reason string) bool { return reason == "ports" || reason == "files" || reason == "memory" })
}
