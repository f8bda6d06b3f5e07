package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"soakd/internal/judge"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/threshold"
)

// MaxHTML is the size in bytes that [HTML] stays below, whatever it is given.
const MaxHTML = 1 << 20

//go:embed report.html
var htmlText string

// detail says how much of a run the page lists. Charts are bounded by the windows.
type detail struct {
	rows, small, findings, examples, text, curl int
	charts                                      bool
}

// details are tried in this order until the page is below [MaxHTML]: names of cases and
// texts of a target may be of any length.
func details() []detail {
	return []detail{
		{rows: 200, small: 24, findings: 60, examples: 20, text: 500, curl: 6000, charts: true},
		{rows: 80, small: 12, findings: 30, examples: 10, text: 200, curl: 2000, charts: true},
		{rows: 30, small: 6, findings: 10, examples: 3, text: 100, curl: 500, charts: true},
		{rows: 20, findings: 5, examples: 1, text: 80, curl: 300},
	}
}

// HTML writes the report of a run as one page that needs nothing else: no script, no
// font and no picture from elsewhere. It is below [MaxHTML]; what is left out for that
// is counted in the page. Errors are those of w.
func HTML(w io.Writer, r *Run) error {
	for _, d := range details() {
		var b bytes.Buffer
		if err := newHTMLPage(r, d).render(&b); err != nil {
			return err
		}
		if b.Len() < MaxHTML {
			_, err := w.Write(b.Bytes())
			return err
		}
	}
	return errors.New("the page of the run is above 1 MiB with the least detail; report.json has it all")
}

// htmlPage is what the template writes.
type htmlPage struct {
	*Run
	detail detail
	// Charts show the traffic, Small one case each, Signals what the probes read.
	Charts, Small, Signals []*chart
	points                 []Point
}

func newHTMLPage(r *Run, d detail) *htmlPage {
	p := &htmlPage{Run: r, detail: d, points: r.Points}
	if len(p.points) == 0 {
		p.points = Points(r.Windows)
	}
	if !d.charts || len(p.points) == 0 {
		return p
	}
	for _, c := range []*chart{rateChart(r, p.points), timesChart(r, p.points), outcomeChart(r, p.points), errorChart(r, p.points), heatmap(r, p.points)} {
		if c != nil {
			p.Charts = append(p.Charts, c)
		}
	}
	for _, row := range p.ordered() {
		if c := caseChart(r, p.points, row.Name, len(p.Small)); c != nil && len(p.Small) < d.small {
			p.Small = append(p.Small, c)
		}
	}
	p.Signals = signalCharts(r, p.points)
	return p
}

func (p *htmlPage) render(w io.Writer) error {
	functions := template.FuncMap{
		"text": func(s any) string { return shorten(oneLine(fmt.Sprint(s)), p.detail.text) },
		"name": func(s any) string { return shorten(oneLine(fmt.Sprint(s)), 120) },
		"when": when, "clock": clock, "span": span, "inUnit": inUnit, "percent": percent, "letter": letter, "words": func(s any) string { return strings.ReplaceAll(fmt.Sprint(s), "_", " ") },
		"first": func(list []string) []string { return list[:min(len(list), p.detail.rows)] },
		"more":  func(all, shown int) int { return max(all-shown, 0) },
		"sub":   func(a, b int) int { return a - b },
		"cut":   func(x float64) string { return strconv.FormatFloat(significant(x, 3), 'f', -1, 64) },
	}
	t, err := template.New("report").Funcs(functions).Parse(htmlText)
	if err != nil {
		return fmt.Errorf("read the template of the page: %w", err)
	}
	return t.Execute(w, p)
}

// Title says the target and the result.
func (p *htmlPage) Title() string {
	name := cmp.Or(p.Target, p.Workload, p.Tool, "a run")
	return p.ResultText() + ": " + shorten(oneLine(name), 120)
}

// ResultText says the result in a word or two.
func (p *htmlPage) ResultText() string {
	switch p.Conclusion.Result {
	case judge.Pass:
		return "Passed"
	case judge.Fail:
		return "Failed"
	}
	return "Not judged"
}

// Sign is the result as a sign beside the colour.
func (p *htmlPage) Sign() string { return signOf(string(p.Conclusion.Result)) }

func signOf(result string) string {
	switch result {
	case "pass":
		return "✓"
	case "fail":
		return "✗"
	}
	return "?"
}

// Asked says what was asked of the run, in one line.
func (p *htmlPage) Asked() string {
	var parts []string
	if p.Tool != "" && p.Tool != "soakd" {
		parts = append(parts, "measured by "+shorten(oneLine(strings.TrimSpace(p.Tool+" "+p.ToolVersion)), 60))
	}
	if p.Workload != "" {
		parts = append(parts, "workload "+shorten(oneLine(p.Workload), 100))
	}
	if p.TargetVersion != "" {
		parts = append(parts, "version "+shorten(oneLine(p.TargetVersion), 100))
	}
	switch {
	case p.Model == "open" && p.Rate > 0:
		parts = append(parts, "open model, "+number(significant(p.Rate, 4))+" arrivals a second")
	case p.Model == "closed" && p.Users > 0:
		parts = append(parts, fmt.Sprintf("closed model, %d users", p.Users))
	case p.Users > 0:
		parts = append(parts, fmt.Sprintf("%d users", p.Users))
	}
	took := "took " + clock(p.Elapsed)
	if p.Duration > 0 {
		took += ", asked for " + clock(p.Duration)
	}
	parts = append(parts, took)
	if p.WarmUp > 0 {
		parts = append(parts, "thresholds leave out the first "+clock(p.WarmUp))
	}
	if !p.Start.IsZero() {
		parts = append(parts, "from "+when(p.Start)+" to "+when(p.Start.Add(p.Elapsed)))
	}
	return strings.Join(parts, "; ")
}

// Account says what became of the arrivals, "" where nobody counted them.
func (p *htmlPage) Account() string {
	if p.Status == nil {
		return ""
	}
	c := &p.Status.Counts
	text := fmt.Sprintf("%d scheduled = %d sent + %d waiting + %d dropped", c.Scheduled, c.Sent, c.Waiting, c.TotalDropped())
	if c.Cut > 0 {
		text += fmt.Sprintf("; %d sent requests were cut at the end", c.Cut)
	}
	return text
}

// Incomplete tells that times are lower bounds.
func (p *htmlPage) Incomplete() bool { return p.All.ResponseTime.AtLeast }

// Fitness says how fit soakd itself was.
func (p *htmlPage) Fitness() string {
	if p.Status == nil {
		return ""
	}
	return cmp.Or(strings.ReplaceAll(strings.TrimSpace(fitness(p.Status.Fitness)+manners(p.Status.Throttle)), "\n", "; "), "no window of soakd's own work was over")
}

// thresholdRow is a threshold with its bar: Bar is how long the measured one is, the
// limit being at 80 of 120.
type thresholdRow struct {
	threshold.Judged
	Sign, Figure, At string
	Bar              string
}

// ThresholdRows have what was missed first.
func (p *htmlPage) ThresholdRows() []thresholdRow {
	list := slices.Clone(p.Thresholds)
	rank := map[threshold.Result]int{threshold.Missed: 0, threshold.Unknown: 1, threshold.Met: 2}
	slices.SortStableFunc(list, func(a, b threshold.Judged) int { return rank[a.Result] - rank[b.Result] })
	rows := make([]thresholdRow, min(len(list), p.detail.rows))
	for i := range rows {
		one := list[i]
		rows[i] = thresholdRow{Judged: one, Sign: signOf(string(one.Result)), Figure: "-", At: inUnit(one.Limit, one.Unit)}
		if one.Measured == nil {
			continue
		}
		rows[i].Figure = inUnit(*one.Measured, one.Unit)
		if one.Limit > 0 && *one.Measured >= 0 {
			rows[i].Bar = short(min(80**one.Measured/one.Limit, 120))
		}
	}
	return rows
}

// trafficRow is a case, a class or all traffic as a row of the table.
type trafficRow struct {
	Traffic
	Title    string
	Response []string
	Service  []string
}

// trafficQuantiles are the columns of the table; 1 is the maximum.
func trafficQuantiles() []float64 { return []float64{0.5, 0.9, 0.95, 0.99, 0.999, 1} }

func (p *htmlPage) TrafficRows() []trafficRow {
	rows := []trafficRow{rowOf("all traffic", &p.All)}
	for i := range p.Classes[:min(len(p.Classes), 20)] {
		rows = append(rows, rowOf("class "+p.Classes[i].Class, &p.Classes[i]))
	}
	list := p.ordered()
	for i := range list[:min(len(list), p.detail.rows)] {
		rows = append(rows, rowOf(strings.TrimSpace(list[i].Method+" "+list[i].Name), &list[i]))
	}
	return rows
}

// ordered are the cases, those with the most failures first, then the slowest.
func (p *htmlPage) ordered() []Traffic {
	list := slices.Clone(p.Cases)
	slices.SortStableFunc(list, func(a, b Traffic) int {
		x, _ := a.ResponseTime.Bounds(0.95)
		y, _ := b.ResponseTime.Bounds(0.95)
		return cmp.Or(cmp.Compare(b.Failed, a.Failed), cmp.Compare(y, x), cmp.Compare(a.Name, b.Name))
	})
	return list
}

func rowOf(title string, t *Traffic) trafficRow {
	row := trafficRow{Traffic: *t, Title: title}
	for _, q := range trafficQuantiles() {
		row.Response = append(row.Response, timeText(&t.ResponseTime, q))
		if q == 0.5 || q == 0.95 || q == 0.99 {
			row.Service = append(row.Service, timeText(&t.ServiceTime, q))
		}
	}
	return row
}

// timeText is a quantile, "-" where it is not known; 1 is the maximum.
func timeText(t *threshold.Times, q float64) string {
	at, known := t.Quantile(q)
	if q == 1 && !known {
		at, known = t.Max, t.Count > 0 && t.Max >= 0
	}
	if !known {
		return "-"
	}
	return bounded(t, at)
}

// failureRow is one kind of failure of a case.
type failureRow struct {
	Failure
	Case string
}

// FailureRows have the most frequent first.
func (p *htmlPage) FailureRows() []failureRow {
	list := p.failures()
	return list[:min(len(list), p.detail.rows/2)]
}

// MoreFailures is how many are not listed.
func (p *htmlPage) MoreFailures() int { return len(p.failures()) - len(p.FailureRows()) }

func (p *htmlPage) failures() []failureRow {
	var list []failureRow
	for i := range p.Cases {
		for _, f := range p.Cases[i].Failures {
			list = append(list, failureRow{f, p.Cases[i].Name})
		}
	}
	slices.SortStableFunc(list, func(a, b failureRow) int { return cmp.Compare(b.Count, a.Count) })
	return list
}

// findingRow is a finding with its letter and a failed request of it.
type findingRow struct {
	judge.Finding
	Letter  string
	Example *exampleRow
}

// FindingRows are in the order of their letters.
func (p *htmlPage) FindingRows() []findingRow {
	rows := make([]findingRow, min(len(p.Findings), p.detail.findings))
	for i := range rows {
		f := p.Findings[i]
		f.Nearby, f.Hints = f.Nearby[:min(len(f.Nearby), 3)], f.Hints[:min(len(f.Hints), 3)]
		rows[i] = findingRow{Finding: f, Letter: letter(i), Example: p.exampleOf(&f)}
	}
	return rows
}

// exampleOf is a failed request of the case that a finding, or one of its symptoms, is about.
func (p *htmlPage) exampleOf(f *judge.Finding) *exampleRow {
	about := map[string]bool{f.Subject.Case: true}
	for i := range f.Symptoms {
		about[f.Symptoms[i].Subject.Case] = true
	}
	list := p.ExampleRows()
	for i := range list {
		if list[i].Case != "" && about[list[i].Case] {
			return &list[i]
		}
	}
	return nil
}

// exampleRow is a failed request; Number is that of its place in the page.
type exampleRow struct {
	Example
	Number int
	// TooLong tells that the command was left out: a part of it would do something else.
	TooLong bool
}

// ExampleRows are the failed requests that can be sent again.
func (p *htmlPage) ExampleRows() []exampleRow {
	rows := make([]exampleRow, min(len(p.Examples), p.detail.examples))
	for i := range rows {
		rows[i] = exampleRow{Example: p.Examples[i], Number: i + 1}
		rows[i].Curl = clean(rows[i].Curl)
		if rows[i].TooLong = len(rows[i].Curl) > p.detail.curl; rows[i].TooLong {
			rows[i].Curl = ""
		}
	}
	return rows
}

// ratioRow is a row of the comparison with its interval drawn on a log axis of ÷4 to ×4,
// 120 wide.
type ratioRow struct {
	baseline.Row
	Subject, Figure        string
	Sign                   string
	Drawn                  bool
	BarX, BarWidth, PointX string
}

// ComparisonRows have what is worse first.
func (p *htmlPage) ComparisonRows() []ratioRow {
	if p.Comparison == nil {
		return nil
	}
	rank := map[baseline.Result]int{baseline.Worse: 0, baseline.Improved: 1, baseline.Same: 2, baseline.NotEnoughData: 3}
	list := slices.Clone(p.Comparison.Rows)
	slices.SortStableFunc(list, func(a, b baseline.Row) int { return rank[a.Result] - rank[b.Result] })
	rows := make([]ratioRow, min(len(list), p.detail.rows))
	for i := range rows {
		one := list[i]
		rows[i] = ratioRow{Row: one, Subject: cmp.Or(one.Case, "class "+one.Class), Figure: strings.ReplaceAll(one.Signal, "_", " "), Sign: comparedSign(one.Result)}
		if one.Case == "" && one.Class == finding.AllTraffic {
			rows[i].Subject = "all traffic"
		}
		if one.Relative {
			rows[i].Figure += ", beside the rest"
		}
		if one.Ratio > 0 && one.Low > 0 && one.High >= one.Low {
			low, high := ratioX(one.Low), ratioX(one.High)
			rows[i].Drawn, rows[i].BarX, rows[i].BarWidth, rows[i].PointX = true, short(low), short(max(high-low, 1)), short(ratioX(one.Ratio))
		}
	}
	return rows
}

// comparedSign is a result with a sign beside the colour.
func comparedSign(result baseline.Result) string {
	switch result {
	case baseline.Worse:
		return "✗ worse"
	case baseline.Improved:
		return "✓ improved"
	case baseline.Same:
		return "= same"
	}
	return "? not enough data"
}

// ratioX is where a ratio is drawn: 1 in the middle of 120, with room for a dot at the ends.
func ratioX(ratio float64) float64 {
	return 60 + 56*min(max(math.Log(ratio)/math.Log(4), -1), 1)
}

// Gaps says what is not known of the run.
func (p *htmlPage) Gaps() []string {
	list := slices.Clone(p.Conclusion.Unknown)
	add := func(texts ...string) {
		for _, text := range texts {
			if !slices.Contains(list, text) {
				list = append(list, text)
			}
		}
	}
	if p.Verdict != nil {
		add(p.Verdict.Unknown...)
	}
	if p.Comparison != nil {
		add(p.Comparison.Unknown...)
	}
	if p.Incomplete() {
		add("arrivals were dropped or requests cut: times with ≥ are lower bounds")
	}
	if len(p.points) == 0 {
		add("how it went over time: only totals are known, so there are no charts")
	}
	return list
}

// Last is how long ago before the end of the run a probe was well, "never" when it was not.
func (p *htmlPage) Last(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return when(t)
}
