package threshold

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// By how much a rate may miss its limit, because its measurement cannot tell: over the
// run, whose windows do not begin and end with the schedule to the millisecond, by what
// comes in runSlack and at least by one request; over a window, at whose edges requests are in
// flight that belong to its neighbours, by a share of it and at least by one request.
const (
	runSlack    = 20 * time.Millisecond
	windowSlack = 0.05
	// rounding is far more than sums and quotients lose.
	rounding = 1e-9
)

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
		if f.sending() <= 0 {
			return span{}, false
		}
		return certain(float64(f.Requests) / f.sending().Seconds()), true
	case "error_rate":
		if f.Requests == 0 || f.FailedUnknown {
			return span{}, false
		}
		return certain(float64(f.Failed) / float64(f.Requests)), true
	case "requests":
		return certain(float64(f.Requests)), true
	case "failures":
		return certain(float64(f.Failed)), !f.FailedUnknown
	case "dropped":
		return certain(float64(f.Missing)), true
	}
	if f.Times.Count == 0 {
		return span{}, false
	}
	s := t.timeOf(f)
	return s, s.known()
}

// timeOf returns a time. Arrivals that are missing may all have been slower than any
// other: then a quantile is at least that of the others, and at most the one of the same
// rank with them at the end; mean and maximum have no upper bound.
func (t *Threshold) timeOf(f *Figures) span {
	times := &f.Times
	switch t.figure.name {
	case "mean":
		return f.atLeast(times.Mean)
	case "max":
		return f.atLeast(times.Max)
	case "min":
		if times.Min < 0 {
			return span{0, math.Inf(1)}
		}
		return certain(times.Min.Seconds())
	}
	low, high := times.Bounds(t.q)
	if f.Missing > 0 {
		high = math.MaxInt64
		if rank := math.Ceil(t.q * float64(times.Count+f.Missing)); rank <= float64(times.Count) {
			_, high = times.Bounds(rank / float64(times.Count))
		}
	}
	s := span{low.Seconds(), high.Seconds()}
	if high == math.MaxInt64 || (times.AtLeast && f.Missing == 0) {
		s.high = math.Inf(1) // how many are missing is not known, or too many are
	}
	return s
}

// atLeast is a time that is exact when nothing is missing; below 0 it is not known.
func (f *Figures) atLeast(at time.Duration) span {
	switch {
	case at < 0:
		return span{0, math.Inf(1)}
	case f.Missing > 0 || f.Times.AtLeast:
		return span{at.Seconds(), math.Inf(1)}
	}
	return certain(at.Seconds())
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

// eased moves a rate by what its measurement cannot tell.
func (t *Threshold) eased(value float64, f *Figures, over Over) float64 {
	if t.figure.name != "rate" {
		return value
	}
	one := 1 / f.sending().Seconds()
	slack := max(one, one*runSlack.Seconds()*t.limit)
	if over == WorstWindow {
		slack = max(one, windowSlack*t.limit)
	}
	slack += rounding * t.limit
	if t.upper() {
		return value - slack
	}
	return value + slack
}

// judge holds figures against the threshold. found tells that there are some. A run in
// which no request of the selected traffic came to an end says nothing, whatever the
// figure: also no failures of no requests are no pass.
func (t *Threshold) judge(f *Figures, found bool, over Over) Judged {
	j := Judged{Threshold: t.String(), Over: over, Result: Unknown, Limit: t.limit, Unit: string(t.figure.unit)}
	empty := !found || (over == Run && f.Requests == 0 && (t.figure.name != "dropped" || f.Missing == 0))
	if found {
		j.From, j.To, j.Requests = f.Start, f.Start.Add(f.Length), f.Requests
		if t.figure.unit == seconds {
			j.Requests = f.Times.Count
		}
	}
	s, measured := span{}, false
	if !empty {
		s, measured = t.measure(f)
	}
	if !measured {
		j.Text = fmt.Sprintf("%s of %s is not known: %s", t.figureText(), t.traffic(), t.absent(f, empty))
		return j
	}
	low, high := t.keeps(t.eased(s.low, f, over)), t.keeps(t.eased(s.high, f, over))
	switch {
	case low && high:
		j.Result = Met
	case !low && !high:
		j.Result = Missed
	}
	value := s.low
	j.Measured = &value
	j.Text = t.sentence(&j, f, s)
	return j
}

// absent says why there is no figure.
func (t *Threshold) absent(f *Figures, empty bool) string {
	switch {
	case empty:
		return "no request of it came to an end"
	case t.figure.name == "rate":
		return "there was no time in which it could be measured: the load was paused, or soakd itself in trouble"
	case t.figure.unit != seconds:
		return fmt.Sprintf("it is not told which of %d requests failed", f.Requests)
	case f.Times.Count == 0:
		return fmt.Sprintf("none of %d requests was answered or timed out while soakd was fit", f.Requests)
	}
	return fmt.Sprintf("the results of %d requests do not tell it", f.Requests)
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
	if j.Requests != f.Requests {
		requests = fmt.Sprintf("%d timed of %d requests", j.Requests, f.Requests)
	}
	if f.Missing > 0 && t.figure.name != "dropped" {
		requests += fmt.Sprintf(", %d arrivals missing", f.Missing)
	}
	text += " (" + requests + ")" + t.against(j, s)
	if few := t.needed(); j.Over == Run && t.figure.name == quantileName && f.Times.Count < few {
		text += fmt.Sprintf("; it rests on %d times, and needs %d to be more than the longest", f.Times.Count, few)
	}
	return text
}

// against says how what was measured is to the limit.
func (t *Threshold) against(j *Judged, s span) string {
	limit := t.limitText()
	switch {
	case j.Result == Unknown:
		return fmt.Sprintf(", which does not tell whether it is %s %s", t.op, limit)
	case j.Result == Met && !t.keeps(s.low):
		return fmt.Sprintf(", which is %s but for requests at the edges", limit)
	}
	words := map[string][2]string{"<=": {"within", "above"}, "<": {"below", "not below"}, ">=": {"at least", "below"}, ">": {"above", "not above"}}[t.op]
	if j.Result == Met {
		return ", " + words[0] + " " + limit
	}
	return ", " + words[1] + " " + limit
}

// limitText writes the limit for people.
func (t *Threshold) limitText() string {
	switch t.figure.unit {
	case ratio:
		return strconv.FormatFloat(100*t.limit, 'g', 6, 64) + " %"
	case perSecond:
		return t.amount(t.limit) + " a second"
	}
	return t.amount(t.limit)
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

// needed is how many requests a window has to have so that one alone does not decide:
// the quantile q of fewer than 1/(1-q) is their maximum, the share of errors of fewer than
// 1/limit is above the limit with the first failure, and the mean of a few is that of
// its slowest.
func (t *Threshold) needed() int64 {
	const fewest, most = 20, 1e15
	n := 1.0
	switch {
	case t.figure.name == quantileName:
		n = math.Ceil(1/(1-t.q) - rounding/(1-t.q))
	case t.figure.name == "error_rate" && t.limit > 0 && t.op == "<":
		n = math.Floor(1/t.limit+rounding/t.limit) + 1
	case t.figure.name == "error_rate" && t.limit > 0:
		n = math.Ceil(1/t.limit - rounding/t.limit)
	case t.figure.name == "mean":
		n = fewest
	}
	return int64(min(n, most))
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
// few requests for a figure says nothing about it, and one in which soakd had trouble of
// its own nothing about times and rates; windows may be none. Quantiles that are not
// among the known ones pass when the next higher one keeps the limit, fail when the next lower
// one does not, and are not known in between.
func JudgeAll(list List, run Stretch, windows []Stretch) []Judged {
	var total doubts
	for _, window := range windows {
		if f, found := window.Of("", ""); found {
			total.count(f.Unfit)
		}
	}
	var all []Judged
	for i := range list {
		t := &list[i]
		f, found := run.Of(t.name, t.class)
		var worst *Judged
		if t.overWindows() && found && f.Requests > 0 && len(windows) > 1 {
			worst = t.worstOf(windows)
		}
		if t.over != WorstWindow {
			all = append(all, total.on(t, t.judge(&f, found, Run)))
		}
		if t.overWindows() {
			all = t.addWindows(all, worst, &total, len(windows) > 1 && f.Requests > 0)
		}
	}
	return all
}

// overWindows tells that the threshold is also judged over the worst window.
func (t *Threshold) overWindows() bool { return t.figure.windows && t.over != Run }

// worstOf judges the worst window, nil when none has enough requests.
func (t *Threshold) worstOf(windows []Stretch) *Judged {
	var worst *Judged
	for _, window := range windows {
		f, found := window.Of(t.name, t.class)
		if !found || !t.enough(&f) || (t.doubtful() && own(f.Unfit)) {
			continue
		}
		if j := t.judge(&f, true, WorstWindow); worst == nil || t.worse(&j, worst) {
			worst = &j
		}
	}
	return worst
}

// addWindows adds what the worst window came to. Where there is none with enough
// requests the run alone is judged, which its text says if there were several windows,
// unless the windows alone were asked for.
func (t *Threshold) addWindows(all []Judged, worst *Judged, total *doubts, several bool) []Judged {
	switch {
	case worst != nil:
		return append(all, total.on(t, *worst))
	case t.over == WorstWindow:
		return append(all, Judged{
			Threshold: t.String(), Over: WorstWindow, Result: Unknown, Limit: t.limit, Unit: string(t.figure.unit),
			Text: fmt.Sprintf("%s of %s is not known for windows: %s", t.figureText(), t.traffic(), t.noWindow()),
		})
	case several && len(all) > 0:
		all[len(all)-1].Text += "; " + t.noWindow()
	}
	return all
}

// noWindow says why no window was judged.
func (t *Threshold) noWindow() string {
	if t.needed() <= 1 {
		return "no window alone could be judged"
	}
	return fmt.Sprintf("no windows have the %d requests that it needs", t.needed())
}

// mostOwn is the share of windows in which soakd had trouble of its own above which
// nothing is said about times and rates.
const mostOwn = 0.2

// doubts counts the windows of a run, and those in which soakd had trouble of its own.
type doubts struct{ windows, troubled int64 }

func (d *doubts) count(unfit []string) {
	d.windows++
	if own(unfit) {
		d.troubled++
	}
}

// many tells that nothing is said about times and rates.
func (d *doubts) many() bool {
	return d.troubled > 0 && float64(d.troubled) > mostOwn*float64(d.windows)
}

// on takes back what cannot be said because soakd itself was in trouble. The other windows
// are told of, but not beside the limit, which would read as if it had been missed.
func (d *doubts) on(t *Threshold, j Judged) Judged {
	if !d.many() || !t.doubtful() {
		return j
	}
	j.Result = Unknown
	j.Text = fmt.Sprintf("%s of %s is not known: soakd itself was late or starved in %d of %d windows", t.figureText(), t.traffic(), d.troubled, d.windows)
	if j.Measured == nil || j.Requests == 0 || d.troubled == d.windows {
		j.Measured = nil
		return j
	}
	others := "the others"
	if j.Over == WorstWindow {
		others = "the worst stretch of the others"
	}
	j.Text += fmt.Sprintf("; in %s it was %s", others, t.rounded(*j.Measured))
	return j
}

// doubtful tells that the figure says nothing about the target when soakd is in trouble.
func (t *Threshold) doubtful() bool { return t.figure.unit == seconds || t.figure.unit == perSecond }

// own reports whether a window was not fit by soakd's own trouble; see load.UnfitReasons.
func own(unfit []string) bool {
	return slices.ContainsFunc(unfit, func(reason string) bool { return reason == "stalled" || reason == "late" || reason == "cpu" }) || wanting(unfit)
}

// wanting tells that soakd's own machine had no port, file or memory left.
func wanting(unfit []string) bool {
	return slices.ContainsFunc(unfit, func(reason string) bool { return reason == "ports" || reason == "files" || reason == "memory" })
}
