package report

import (
	"cmp"
	"errors"
	"fmt"
	"html"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/threshold"
)

// The bounds of a report in Markdown. A comment on GitHub holds 65 536 characters; the
// bytes of all text are at least as many as its characters.
const (
	maxMarkdown = 60_000
	// maxSummary is what GitHub takes of a step's summary, in bytes
	// (https://docs.github.com/actions/reference/workflow-commands-for-github-actions).
	maxSummary = 1 << 20
	// How much of a text is shown, and of a command; a longer command would not work.
	maxShown = 400
	maxCurl  = 2000
	// How many of each there are.
	maxThresholdRows, maxCaseRows, maxFindingRows, maxExampleRows, maxComparisonRows, maxReasonRows = 30, 15, 15, 8, 15, 8
)

// Markdown writes report.md, for a comment on a pull request: the result in its first
// line, the thresholds, the cases, what was found, how to send failed requests again, and
// the comparison. It stays below 60 000 bytes whatever the run, and says what it leaves
// out. Text of the target is shown as text: it can neither format, link nor mention.
func Markdown(w io.Writer, r *Run) error {
	_, err := io.WriteString(w, markdown(r, maxMarkdown))
	return err
}

// markdown is the report in at most limit bytes.
func markdown(r *Run, limit int) string {
	p := &page{limit: limit}
	p.add(fmt.Sprintf("## %s\n\n%s\n", headline(r), facts(r)))
	p.add(reasonList("Why:", r.Conclusion.Against))
	p.add(reasonList("Not judged:", r.Conclusion.Unknown))
	p.add(reasonList("Notes:", r.Notes))
	p.table("### Thresholds", "| | threshold | over | measured | limit | |", "|---|---|---|--:|--:|---|", thresholdRows(r), maxThresholdRows)
	p.table("### Cases", "| case | requests | failed | p50 | p95 | p99 | max |", "|---|--:|--:|--:|--:|--:|--:|", caseRows(r), maxCaseRows)
	p.findings(r)
	p.examples(r)
	p.comparison(r)
	return p.text.String()
}

// Summary appends the report in Markdown to the file that GITHUB_STEP_SUMMARY names, and
// does nothing where it names none. It never takes the file beyond the 1 MiB that GitHub
// takes: then it appends the first line alone, or fails when there is no room for that.
func Summary(env func(string) string, r *Run) error {
	path := env("GITHUB_STEP_SUMMARY")
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("open GITHUB_STEP_SUMMARY %s: %w", path, cause(err))
	}
	err = summarise(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write GITHUB_STEP_SUMMARY %s: %w", path, explain(err))
	}
	return nil
}

func summarise(f *os.File, r *Run) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	room := int(maxSummary - min(info.Size(), maxSummary))
	text := "\n" + markdown(r, min(maxMarkdown, max(room-1, 0))) // a line that was begun ends
	if len(text) < 10 {
		return errors.New("the steps before this one filled the 1 MiB that GitHub takes of it")
	}
	_, err = f.WriteString(text)
	return err
}

// page is a text that stays below a limit: a block that does not fit is left out whole.
type page struct {
	text  strings.Builder
	limit int
}

func (p *page) add(block string) bool {
	if block == "" || p.text.Len()+len(block)+1 > p.limit {
		return block == ""
	}
	if p.text.Len() > 0 {
		p.text.WriteByte('\n')
	}
	p.text.WriteString(block)
	return true
}

// table adds a table of as many rows as fit and are wanted, and says how many there are more.
func (p *page) table(title, header, rule string, rows []string, most int) {
	if len(rows) == 0 {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n%s\n", title, header, rule)
	shown := 0
	for _, row := range rows[:min(len(rows), most)] {
		if p.text.Len()+b.Len()+len(row)+100 > p.limit {
			break
		}
		b.WriteString(row + "\n")
		shown++
	}
	if shown < len(rows) {
		fmt.Fprintf(&b, "\nand %d more in report.json\n", len(rows)-shown)
	}
	p.add(b.String())
}

// details adds a part that is folded; it is left out whole where it does not fit. Its
// summary is HTML, in which Markdown's escapes mean nothing.
func (p *page) details(summary, body string) bool {
	summary = unlinked(html.EscapeString(shorten(oneLine(summary), 200)))
	return p.add(fmt.Sprintf("<details><summary>%s</summary>\n\n%s\n</details>\n", summary, strings.TrimRight(body, "\n")+"\n"))
}

// sign marks a result for people who cannot tell colours apart, too.
func sign(result judge.Result) string {
	switch result {
	case judge.Pass:
		return "✅ passed"
	case judge.Fail:
		return "❌ failed"
	}
	return "⚠️ not judged"
}

func headline(r *Run) string {
	title := "soakd " + sign(r.Conclusion.Result)
	if r.Target != "" {
		title += ": " + plain(r.Target, 200)
	}
	return title
}

// facts say what ran, in one line.
func facts(r *Run) string {
	parts := []string{runLine(r)}
	if r.Tool != "soakd" && r.Tool != "" {
		parts = append(parts, "measured by "+plain(strings.TrimSpace(r.Tool+" "+r.ToolVersion), 60))
	}
	if r.Workload != "" {
		parts = append(parts, "workload "+plain(r.Workload, 100))
	}
	if r.TargetVersion != "" {
		parts = append(parts, "version "+plain(r.TargetVersion, 100))
	}
	if !r.Start.IsZero() {
		parts = append(parts, "from "+when(r.Start))
	}
	text := strings.Join(parts, "; ")
	if r.Status != nil {
		c := &r.Status.Counts
		text += fmt.Sprintf(".\nArrivals: %d scheduled = %d sent + %d waiting + %d dropped", c.Scheduled, c.Sent, c.Waiting, c.TotalDropped())
	}
	return text + "."
}

func reasonList(title string, reasons []string) string {
	if len(reasons) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(title + "\n\n")
	for _, reason := range reasons[:min(len(reasons), maxReasonRows)] {
		b.WriteString("- " + plain(reason, maxShown) + "\n")
	}
	if more := len(reasons) - maxReasonRows; more > 0 {
		fmt.Fprintf(&b, "- and %d more in report.json\n", more)
	}
	return b.String()
}

// thresholdRows have what was missed first.
func thresholdRows(r *Run) []string {
	list := slices.Clone(r.Thresholds)
	rank := map[threshold.Result]int{threshold.Missed: 0, threshold.Unknown: 1, threshold.Met: 2}
	slices.SortStableFunc(list, func(a, b threshold.Judged) int { return rank[a.Result] - rank[b.Result] })
	rows := make([]string, len(list))
	for i := range list {
		one := &list[i]
		mark, figure := "⚠️", "-"
		switch one.Result {
		case threshold.Met:
			mark = "✅"
		case threshold.Missed:
			mark = "❌"
		}
		if one.Measured != nil {
			figure = inUnit(*one.Measured, one.Unit)
		}
		rows[i] = fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", mark, plain(one.Threshold, 120), plain(string(one.Over), 40), figure, inUnit(one.Limit, one.Unit), plain(one.Text, maxShown))
	}
	return rows
}

// inUnit writes a figure of a threshold.
func inUnit(x float64, unit string) string {
	switch unit {
	case "seconds":
		if x < 9e9 {
			return span(time.Duration(x * 1e9))
		}
	case "ratio":
		return percentOf(x)
	case "per second":
		return number(significant(x, 4)) + "/s"
	}
	return number(significant(x, 6))
}

// caseRows have all traffic first, then the cases with the most failures, then the slowest.
func caseRows(r *Run) []string {
	if r.All.Requests == 0 && len(r.Cases) == 0 {
		return nil
	}
	list := slices.Clone(r.Cases)
	slices.SortStableFunc(list, func(a, b Traffic) int {
		x, _ := a.ResponseTime.Bounds(0.95)
		y, _ := b.ResponseTime.Bounds(0.95)
		return cmp.Or(cmp.Compare(b.Failed, a.Failed), cmp.Compare(y, x), cmp.Compare(a.Name, b.Name))
	})
	rows := []string{caseRow("**all**", &r.All)}
	for i := range list {
		rows = append(rows, caseRow(plain(list[i].Name, 150), &list[i]))
	}
	return rows
}

func caseRow(name string, t *Traffic) string {
	failed := "0"
	if t.Failed > 0 {
		failed = fmt.Sprintf("%d (%s)", t.Failed, percent(t.Failed, t.Requests))
	}
	row := fmt.Sprintf("| %s | %d | %s |", name, t.Requests, failed)
	for _, q := range []float64{0.5, 0.95, 0.99, 1} {
		at, known := t.ResponseTime.Quantile(q)
		if q == 1 && !known {
			at, known = t.ResponseTime.Max, t.ResponseTime.Count > 0 && t.ResponseTime.Max >= 0
		}
		if !known {
			row += " - |"
			continue
		}
		row += " " + bounded(&t.ResponseTime, at) + " |"
	}
	return row
}

// findings adds what was found in the run, folded, with what was near and moved with it.
func (p *page) findings(r *Run) {
	var list []judge.Finding
	for i := range r.Findings {
		if r.Verdict == nil || r.Verdict.Concerns(&r.Findings[i]) {
			list = append(list, r.Findings[i])
		}
	}
	if len(list) == 0 {
		return
	}
	p.add("### Findings\n")
	shown := 0
	for i := range list {
		if shown == maxFindingRows || !p.details(findingTitle(&list[i]), findingBody(&list[i])) {
			break
		}
		shown++
	}
	if shown < len(list) {
		p.add(fmt.Sprintf("and %d more in report.json\n", len(list)-shown))
	}
}

func findingTitle(f *judge.Finding) string {
	return strings.TrimSuffix(fmt.Sprintf("%s: %s", f.Kind, f.Subject), ": ")
}

func findingBody(f *judge.Finding) string {
	var b strings.Builder
	state := "it lasts"
	if !f.Open() {
		state = "until " + when(f.Ended)
	}
	fmt.Fprintf(&b, "%s\n\n- from %s, %s\n", plain(f.Text, maxShown), when(f.Onset), state)
	for _, e := range f.Nearby[:min(len(f.Nearby), 5)] {
		fmt.Fprintf(&b, "- near its start: %s\n", plain(e.Text, 200))
	}
	for _, h := range f.Hints[:min(len(f.Hints), 5)] {
		fmt.Fprintf(&b, "- moved with it: %s\n", plain(h.Text, 200))
	}
	return b.String()
}

// examples adds failed requests as commands that send them again.
func (p *page) examples(r *Run) {
	if len(r.Examples) == 0 {
		return
	}
	p.add("### Failed requests to send again\n")
	shown := 0
	for i := range r.Examples {
		e := &r.Examples[i]
		if shown == maxExampleRows || !p.details(e.Case+", "+e.Outcome, exampleBody(e)) {
			break
		}
		shown++
	}
	if shown < len(r.Examples) {
		p.add(fmt.Sprintf("and %d more in report.json\n", len(r.Examples)-shown))
	}
}

func exampleBody(e *Example) string {
	text := plain(e.Reason, maxShown) + "\n"
	if e.TraceID != "" {
		text += "\ntrace " + plain(e.TraceID, 64) + "\n"
	}
	switch curl := clean(e.Curl); {
	case curl == "":
	case len(curl) > maxCurl:
		text += "\nThe command is too long for here: it is in report.json.\n"
	default:
		text += "\n" + fenced(curl)
	}
	return text
}

// comparison adds how the run compares, what is worse first.
func (p *page) comparison(r *Run) {
	if r.Comparison == nil {
		return
	}
	rank := map[baseline.Result]int{baseline.Worse: 0, baseline.Improved: 1, baseline.NotEnoughData: 3, baseline.Same: 2}
	list := slices.Clone(r.Comparison.Rows)
	slices.SortStableFunc(list, func(a, b baseline.Row) int { return rank[a.Result] - rank[b.Result] })
	rows := make([]string, len(list))
	for i := range list {
		row := &list[i]
		change := "-"
		if row.Ratio > 0 {
			change = fmt.Sprintf("×%.3g (%.3g to %.3g)", row.Ratio, row.Low, row.High)
		}
		what := strings.ReplaceAll(row.Signal, "_", " ")
		if row.Relative {
			what += ", beside the rest"
		}
		rows[i] = fmt.Sprintf("| %s | %s | %s | %s | %s |", comparisonSign(row.Result), plain(comparedName(row), 150), plain(what, 60), change, plain(row.Text, 200))
	}
	title := fmt.Sprintf("### Compared with %s: %s", plain(cmp.Or(r.Baseline, r.Comparison.BaseVersion, "the baseline"), 100), strings.ReplaceAll(string(r.Comparison.Result), "_", " "))
	p.table(title, "| | case | figure | change, at 95 % | |", "|---|---|---|--:|---|", rows, maxComparisonRows)
}

// comparedName says what a row is about.
func comparedName(row *baseline.Row) string {
	switch {
	case row.Case != "":
		return row.Case
	case row.Class == finding.AllTraffic:
		return "all traffic"
	}
	return "class " + row.Class
}

func comparisonSign(result baseline.Result) string {
	switch result {
	case baseline.Worse:
		return "❌ worse"
	case baseline.Improved:
		return "✅ improved"
	case baseline.Same:
		return "✅ same"
	}
	return "⚠️ too little data"
}

// plain is text that no Markdown reader takes for anything else, in one line of so many
// runes at most. What Markdown gives a meaning is escaped
// (https://spec.commonmark.org/0.31.2/#backslash-escapes, and & < > as HTML). GitHub makes
// links of mentions, issue numbers and bare addresses after that; a space of no width
// after @, #, : and www keeps it from it.
func plain(s string, runes int) string {
	s = shorten(oneLine(s), runes)
	var b strings.Builder
	for _, r := range s {
		switch r {
		case '&':
			b.WriteString("&amp;")
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '#', '\\', '`', '*', '_', '{', '}', '[', ']', '(', ')', '+', '-', '!', '|', '~', '$', '"', '\'', '=':
			b.WriteString("\\" + string(r))
		default:
			b.WriteRune(r)
		}
	}
	return unlinked(b.String())
}

// unlinked keeps a reader from making links of mentions, numbers of issues and addresses.
func unlinked(s string) string {
	return strings.NewReplacer("@", "@\u200b", "://", ":\u200b//", "www.", "www\u200b.", "&#", "&#", "#", "#\u200b").Replace(s)
}

// fenced is a block of code with a fence that is longer than any in it.
func fenced(code string) string {
	longest, run := 2, 0
	for _, r := range code {
		if r != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", longest+1)
	return fmt.Sprintf("%ssh\n%s\n%s\n", fence, strings.TrimRight(code, "\n"), fence)
}
