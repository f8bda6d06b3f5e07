package terminal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge"
	"soakd/internal/judge/threshold"
	"soakd/internal/load"
	"soakd/internal/report"
)

// The ranks of parts, the most important first.
const (
	rankHead = iota
	rankTraffic
	rankVerdict
	rankProbes
	rankThresholds
	rankFitness
	rankSparks
	rankFindings
	rankCases
)

// maxFindings bounds the findings in the table: the latest.
const maxFindings = 5

// parts are the parts of the table from the top.
func (f *Frame) parts(width int) []part {
	return []part{
		{lines: f.head(width), least: 2, rank: rankHead},
		f.traffic(width),
		{lines: f.sparks(width), least: 0, rank: rankSparks},
		{lines: f.probes(width), least: 1, rank: rankProbes},
		{lines: f.fitness(width), least: 1, rank: rankFitness},
		f.thresholds(),
		f.cases(width),
		{lines: f.verdict(), least: 1, rank: rankVerdict},
		{lines: f.findings(), least: 1, rank: rankFindings},
	}
}

// head says what is sent to whom for how long.
func (f *Frame) head(width int) []line {
	s := &f.Status
	title := line{{text: "soakd ", style: bold}, {text: s.Target}, {text: "  " + s.Workload, style: faint}}
	elapsed := report.Clock(s.Elapsed)
	fields := []line{}
	if s.Duration > 0 {
		const cells = 20
		done := s.Elapsed.Seconds() / s.Duration.Seconds()
		fields = append(fields, say(bar(done, min(cells, width/4))), line{{text: elapsed, style: bold}, {text: " of " + report.Clock(s.Duration)}})
	} else {
		fields = append(fields, line{{text: elapsed, style: bold}, {text: " until stopped"}})
	}
	if s.Phase != "" {
		fields = append(fields, say(string(s.Phase)))
	}
	return append([]line{title}, flow(width, fields...)...)
}

// traffic says what was sent and how it was answered.
func (f *Frame) traffic(width int) part {
	s, w := &f.Status, &f.Window
	rate := "-"
	if w.Length > 0 {
		rate = fmt.Sprintf("%.1f/s", float64(w.Finished)/w.Length.Seconds())
	}
	set := fmt.Sprintf("set %.1f/s", s.TargetRate)
	if s.Closed {
		set = fmt.Sprintf("%d users", s.Users)
	}
	groups := [][]line{flow(
		width,
		line{{text: "rate "}, {text: rate, style: bold}}, say(set), say(fmt.Sprintf("in flight %d", s.Counts.InFlight)),
		say(fmt.Sprintf("waiting %d", s.Counts.Waiting)), count("dropped", s.Counts.TotalDropped()), cutCount(s.Counts.Cut),
	), flow(width, times(w)...), flow(width, errorFields(s)...)}
	return part{
		lines: slices.Concat(groups...), least: len(groups), rank: rankTraffic,
		cut: func(n int) []line { return first(groups, n) },
	}
}

// first returns n lines of several groups: the first of each, then the second of each
// and so on, in the order that they have.
func first(groups [][]line, n int) []line {
	taken := make([]int, len(groups))
	for round := 0; n > 0 && slices.ContainsFunc(groups, func(g []line) bool { return round < len(g) }); round++ {
		for i, group := range groups {
			if round < len(group) && n > 0 {
				taken[i]++
				n--
			}
		}
	}
	var lines []line
	for i, group := range groups {
		lines = append(lines, group[:taken[i]]...)
	}
	return lines
}

// count says how often something happened that should not.
func count(name string, n int64) line {
	if n == 0 {
		return say(name + " 0")
	}
	return line{{text: fmt.Sprintf("%s %d", name, n), style: warn}}
}

func cutCount(n int64) line {
	if n == 0 {
		return nil
	}
	return count("cut", n)
}

// times are the quantiles of the latest window.
func times(w *load.Window) []line {
	q := w.ResponseTime
	if q.Timed == 0 {
		return []line{say("p50 -"), say("p95 -"), say("p99 -")}
	}
	bound := ""
	if q.AtLeast {
		bound = "≥"
	}
	var fields []line
	for _, one := range []struct {
		name string
		at   time.Duration
	}{{"p50 ", q.P50}, {"p95 ", q.P95}, {"p99 ", q.P99}, {"max ", q.Max}} {
		fields = append(fields, line{{text: one.name}, {text: bound + report.Span(one.at), style: bold}})
	}
	return append(fields, line{{text: "in the last " + w.Length.Round(100*time.Millisecond).String(), style: faint}})
}

// errorFields count the outcomes of the whole run other than ok.
func errorFields(s *report.Status) []line {
	if len(s.All.Failures) == 0 {
		return []line{say("errors 0"), say(fmt.Sprintf("of %d requests", s.All.Finished))}
	}
	fields := []line{
		{{text: fmt.Sprintf("errors %d", s.All.Failed()), style: bad}},
		say(fmt.Sprintf("of %d requests", s.All.Finished)),
	}
	for _, failure := range s.All.Failures {
		fields = append(fields, line{{text: fmt.Sprintf("%s=%d", failure.Outcome, failure.Count), style: bad}})
	}
	return fields
}

// sparks draw the latest windows.
func (f *Frame) sparks(width int) []line {
	const name = 7
	cells := min(width-name-1, maxSamples)
	if len(f.Samples) < 2 || cells < 5 {
		return nil
	}
	rate, slow, failed := []float64{}, []float64{}, []float64{}
	for _, s := range f.Samples {
		rate, slow, failed = append(rate, s.Rate), append(slow, s.P95.Seconds()), append(failed, s.Failed)
	}
	draw := func(what string, values []float64, top string, look style) line {
		drawn := spark(values, cells)
		return line{{text: pad(what, name, false)}, {text: drawn, style: look}, {text: "  max " + top, style: faint}}
	}
	shown := min(cells, len(f.Samples))
	look := plain
	if most(failed, shown) > 0 {
		look = bad
	}
	return []line{
		draw("rate", rate, fmt.Sprintf("%.1f/s", most(rate, shown)), good),
		draw("p95", slow, report.Span(time.Duration(most(slow, shown)*float64(time.Second))), good),
		draw("errors", failed, fmt.Sprintf("%.1f/s", most(failed, shown)), look),
	}
}

// most is the greatest of the last values, at least 0.
func most(values []float64, last int) float64 {
	top := 0.0
	for _, v := range values[max(0, len(values)-last):] {
		top = max(top, v)
	}
	return top
}

// probes say which probes are up, and the figures that one looks at first.
func (f *Frame) probes(width int) []line {
	s := &f.Status
	var fields []line
	for i := range s.Probes {
		if !s.Probes[i].Success && s.Probes[i].Known { // what is down comes first
			fields = append(fields, line{{text: fmt.Sprintf("%s DOWN (%s)", s.Probes[i].Probe, cmp.Or(string(s.Probes[i].Reason), "failed")), style: bad}})
		}
	}
	for i := range s.Probes {
		switch {
		case !s.Probes[i].Known:
			fields = append(fields, say(s.Probes[i].Probe+" -"))
		case s.Probes[i].Success:
			fields = append(fields, line{{text: s.Probes[i].Probe + " "}, {text: "up", style: good}})
		}
	}
	if len(fields) == 0 {
		return nil
	}
	lines := flow(width, append([]line{{{text: "probes", style: faint}}}, fields...)...)
	var figures []line
	for _, one := range []struct{ name, value string }{
		{"hit ratio", report.HitRatioText(*s)}, {"pool", report.PoolText(*s)}, {"Postgres connections", connections(s)},
	} {
		if one.value != "-" {
			figures = append(figures, say(one.name+" "+one.value))
		}
	}
	return append(lines, flow(width, figures...)...)
}

// connections is how much of Postgres' connections the sessions of clients take, "-"
// when it is not known.
func connections(s *report.Status) string {
	ratio, ok := s.Sum("soakd_postgres_connection_saturation_ratio")
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*ratio)
}

// fitness says whether soakd itself is fit to judge, and what holds the load back.
func (f *Frame) fitness(width int) []line {
	s := &f.Status.Fitness
	var fields []line
	switch {
	case s.Windows == 0:
		fields = append(fields, say("soakd: no window of 10s yet"))
	case len(s.Latest) > 0:
		reasons := make([]string, len(s.Latest))
		for i, reason := range s.Latest {
			reasons[i] = string(reason)
		}
		fields = append(fields, line{{text: "soakd: NOT FIT to judge (" + strings.Join(reasons, ", ") + ")", style: bad}})
	default:
		fields = append(fields, line{{text: "soakd: "}, {text: "fit to judge", style: good}})
	}
	if s.Windows > 0 {
		fields = append(fields, say(fmt.Sprintf("%d of %d windows fit", s.Windows-s.Unfit, s.Windows)))
	}
	if held := report.HeldBack(f.Status.Throttle); held != "" {
		fields = append(fields, line{{text: "held back: " + held, style: warn}})
	}
	return flow(width, fields...)
}

// thresholds say what each comes to, what is against the run first.
func (f *Frame) thresholds() part {
	order := func(j threshold.Judged) int {
		return slices.Index([]threshold.Result{threshold.Missed, threshold.Unknown, threshold.Met}, j.Result)
	}
	list := slices.Clone(f.Thresholds)
	slices.SortStableFunc(list, func(a, b threshold.Judged) int { return cmp.Compare(order(a), order(b)) })
	p := part{rank: rankThresholds, least: 1}
	for _, one := range list {
		look := map[threshold.Result]style{threshold.Missed: bad, threshold.Met: good}[one.Result]
		p.lines = append(p.lines, line{
			{text: pad(string(one.Result), 8, false), style: look},
			{text: one.Threshold, style: bold},
			{text: " (" + string(one.Over) + "): " + one.Text},
		})
	}
	p.cut = func(n int) []line {
		if n < 2 {
			return p.lines[:n]
		}
		return append(p.lines[:n-1:n-1], line{{text: fmt.Sprintf("and %d more", len(p.lines)-n+1), style: faint}})
	}
	return p
}

// cases have a row a case that had requests: those with failures first where there is
// no room for all, then the most frequent.
func (f *Frame) cases(width int) part {
	rows := slices.DeleteFunc(slices.Clone(f.Status.Cases), func(c load.CaseSummary) bool { return c.Finished == 0 })
	if len(rows) == 0 {
		return part{rank: rankCases}
	}
	const figures = 10 + 10 + 9 // requests, failed, p95
	name := 4
	for i := range rows {
		name = max(name, say(rows[i].Name).width())
	}
	name = min(name, max(8, width-figures))
	table := func(rows []load.CaseSummary) []line {
		lines := []line{{{text: pad("case", name, false) + pad("requests", 10, true) + pad("failed", 10, true) + pad("p95", 9, true), style: faint}}}
		for i := range rows {
			lines = append(lines, caseLine(&rows[i], name))
		}
		return lines
	}
	return part{lines: table(rows), least: 3, rank: rankCases, cut: func(n int) []line {
		if n < 3 { // no room for a head, a row and the rest
			return table(rows)[:0]
		}
		shown := n - 2
		lines := table(worst(rows, shown))
		return append(lines, line{{text: fmt.Sprintf("and %d more cases", len(rows)-shown), style: faint}})
	}}
}

func caseLine(c *load.CaseSummary, name int) line {
	failed := span{text: pad(fmt.Sprint(c.Failed()), 10, true)}
	if c.Failed() > 0 {
		failed.style = bad
	}
	slow := "-"
	if c.ResponseTime.Timed > 0 {
		slow = report.Span(c.ResponseTime.P95)
	}
	return line{{text: pad(c.Name, name, false)}, {text: pad(fmt.Sprint(c.Finished), 10, true)}, failed, {text: pad(slow, 9, true)}}
}

// worst are the n rows that matter most, in the order that they have.
func worst(rows []load.CaseSummary, n int) []load.CaseSummary {
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(rows[b].Failed(), rows[a].Failed()), cmp.Compare(rows[b].Finished, rows[a].Finished))
	})
	order = order[:min(n, len(order))]
	slices.Sort(order)
	chosen := make([]load.CaseSummary, len(order))
	for i, at := range order {
		chosen[i] = rows[at]
	}
	return chosen
}

// verdict is what was judged so far.
func (f *Frame) verdict() []line {
	v := &f.Status.Verdict
	if v.Result == "" {
		return nil
	}
	look := map[judge.Result]style{judge.Pass: good, judge.Fail: bad}[v.Result]
	return []line{{{text: "verdict so far: "}, {text: string(v.Result), style: look}, {text: "  " + v.Text, style: faint}}}
}

// findings are those that last, the latest first.
func (f *Frame) findings() []line {
	var lines []line
	open := 0
	for i := len(f.Status.Findings) - 1; i >= 0; i-- {
		one := &f.Status.Findings[i]
		if !one.Open() {
			continue
		}
		if open++; open > maxFindings {
			continue
		}
		lines = append(lines, line{
			{text: "found ", style: warn}, {text: string(one.Kind), style: bold}, {text: " since " + one.Onset.UTC().Format("15:04:05Z") + ": " + one.Text},
		})
	}
	if open > maxFindings {
		lines = append(lines, line{{text: fmt.Sprintf("and %d more findings that last", open-maxFindings), style: faint}})
	}
	return lines
}
