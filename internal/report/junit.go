package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"soakd/internal/judge"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/threshold"
)

// How much text of one failure is written, and how many reasons and examples of it.
const (
	junitText    = 4000
	junitReasons = 5
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Time     string       `xml:"time,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Time      string      `xml:"time,attr"`
	Timestamp string      `xml:"timestamp,attr,omitempty"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name      string    `xml:"name,attr"`
	Classname string    `xml:"classname,attr"`
	Time      string    `xml:"time,attr"`
	Failure   *junitWhy `xml:"failure"`
	Error     *junitWhy `xml:"error"`
	// Skipped says why; it has no attributes in the older schema.
	Skipped string `xml:"skipped,omitempty"`
	Out     string `xml:"system-out,omitempty"`
}

type junitWhy struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// JUnit writes junit.xml as CI servers read it, by the schema of Jenkins' xUnit plugin:
// a test for the whole run, one for each threshold over each stretch, one for each check
// of the judgement, and one for each case. What could not be judged is an error and never
// passes; a check that is not known is skipped, as it is in the verdict. A case fails when
// a threshold of it is missed, a finding is about it, it is worse than the baseline, or
// every request of it failed; its time is the mean response time in seconds.
func JUnit(w io.Writer, r *Run) error {
	suites := junitSuites{Name: shorten("soakd "+oneLine(r.Target), 200), Time: junitSeconds(r.Elapsed.Seconds())}
	for _, suite := range []junitSuite{
		{Name: "run", Cases: []junitCase{runCase(r)}}, {Name: "thresholds", Cases: thresholdCases(r)}, {Name: "checks", Cases: checkCases(r)}, {Name: "cases", Cases: trafficCases(r)},
	} {
		if len(suite.Cases) > 0 {
			suites.add(suite, r)
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(suites); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// add counts a suite and adds it. The same name twice would be one test to CI servers.
func (all *junitSuites) add(suite junitSuite, r *Run) {
	unique := uniquely()
	for i := range suite.Cases {
		c := &suite.Cases[i]
		c.Name, c.Classname = unique(shorten(oneLine(c.Name), 300)), "soakd."+suite.Name
		c.Time = cmp.Or(c.Time, junitSeconds(0))
		suite.Tests++
		switch {
		case c.Error != nil:
			suite.Errors++
		case c.Failure != nil:
			suite.Failures++
		case c.Skipped != "":
			suite.Skipped++
		}
	}
	suite.Name, suite.Time = "soakd "+suite.Name, junitSeconds(r.Elapsed.Seconds())
	if !r.Start.IsZero() {
		suite.Timestamp = r.Start.UTC().Format("2006-01-02T15:04:05")
	}
	all.Tests, all.Failures, all.Errors = all.Tests+suite.Tests, all.Failures+suite.Failures, all.Errors+suite.Errors
	all.Suites = append(all.Suites, suite)
}

// junitSeconds is a time as the schema wants it: digits, a point, three digits.
func junitSeconds(s float64) string { return strconv.FormatFloat(max(s, 0), 'f', 3, 64) }

func why(kind, message string, lines ...string) *junitWhy {
	return &junitWhy{Message: shorten(oneLine(message), 500), Type: kind, Text: shorten(clean(strings.Join(lines, "\n")), junitText)}
}

// runCase is the test for the whole run.
func runCase(r *Run) junitCase {
	c := junitCase{Name: "run", Time: junitSeconds(r.Elapsed.Seconds())}
	reasons := slices.Concat(r.Conclusion.Against, r.Conclusion.Unknown)
	switch r.Conclusion.Result {
	case judge.Pass:
		c.Out = shorten(clean(runLine(r)), junitText)
	case judge.Fail:
		c.Failure = why("failed", r.Conclusion.Text, reasons...)
	default:
		c.Error = why("not judged", cmp.Or(r.Conclusion.Text, "the run was not judged"), reasons...)
	}
	return c
}

// runLine says what was measured, in one line.
func runLine(r *Run) string {
	text := fmt.Sprintf("%d requests in %s, %d failed", r.All.Requests, clock(r.Elapsed), r.All.Failed)
	if p95, known := r.All.ResponseTime.Quantile(0.95); known {
		text += ", p95 " + bounded(&r.All.ResponseTime, p95)
	}
	return text
}

// bounded is a time, with a mark when it is a lower bound.
func bounded(t *threshold.Times, d time.Duration) string {
	if t.AtLeast {
		return "≥" + span(d)
	}
	return span(d)
}

func thresholdCases(r *Run) []junitCase {
	var list []junitCase
	for i := range r.Thresholds {
		one := &r.Thresholds[i]
		c := junitCase{Name: one.Threshold + " over the " + string(one.Over), Time: junitSeconds(one.To.Sub(one.From).Seconds())}
		switch one.Result {
		case threshold.Met:
			c.Out = shorten(clean(one.Text), junitText)
		case threshold.Missed:
			c.Failure = why("threshold", one.Text, one.Text)
		default:
			c.Error = why("not judged", one.Text, one.Text)
		}
		list = append(list, c)
	}
	return list
}

// checkCases are the checks of the verdict, with the findings that count against them.
func checkCases(r *Run) []junitCase {
	if r.Verdict == nil {
		return nil
	}
	var list []junitCase
	for i := range r.Verdict.Checks {
		check := &r.Verdict.Checks[i]
		c := junitCase{Name: check.Name, Time: junitSeconds(float64(check.Windows) * check.WindowSeconds)}
		switch check.Result {
		case judge.Pass:
			c.Out = shorten(clean(check.Text), junitText)
		case judge.Fail:
			c.Failure = why("check", check.Text, append([]string{check.Text}, findingLines(r, check.Findings)...)...)
		default:
			c.Skipped = shorten(clean(cmp.Or(check.Text, "not known")), junitText)
		}
		list = append(list, c)
	}
	return list
}

func findingLines(r *Run, ids []string) []string {
	var lines []string
	for i := range r.Findings {
		if f := &r.Findings[i]; slices.Contains(ids, f.ID) {
			lines = append(lines, fmt.Sprintf("%s, %s, from %s: %s", f.Kind, f.Subject, when(f.Onset), shorten(f.Text, 500)))
		}
	}
	return lines
}

func trafficCases(r *Run) []junitCase {
	var list []junitCase
	for i := range r.Cases {
		t := &r.Cases[i]
		c := junitCase{Name: strings.TrimSpace(t.Method + " " + t.Name), Time: junitSeconds(t.ResponseTime.Mean.Seconds())}
		lines := caseLines(r, t)
		if against := againstCase(r, t); len(against) > 0 {
			c.Failure = why("case", strings.Join(against, "; "), append(against, lines...)...)
		} else {
			c.Out = shorten(clean(strings.Join(lines, "\n")), junitText)
		}
		list = append(list, c)
	}
	return list
}

// againstCase are the reasons why a case is not well.
func againstCase(r *Run, t *Traffic) []string {
	var against []string
	if r.unserved(t) {
		against = append(against, fmt.Sprintf("all of its %d requests failed", t.Requests))
	}
	for i := range r.Thresholds {
		if one := &r.Thresholds[i]; one.Result == threshold.Missed && isAbout(one.Threshold, t.Name) {
			against = append(against, shorten(one.Text, 500))
		}
	}
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Subject.Case == t.Name && (r.Verdict == nil || r.Verdict.Concerns(f)) {
			against = append(against, shorten(f.Text, 500))
		}
	}
	if r.Comparison != nil {
		for i := range r.Comparison.Rows {
			if row := &r.Comparison.Rows[i]; row.Case == t.Name && row.Result == baseline.Worse {
				against = append(against, shorten(row.Text, 500))
			}
		}
	}
	return against[:min(len(against), junitReasons)]
}

// isAbout reports whether a threshold, in its canonical form, is about a case.
func isAbout(text, name string) bool {
	t, err := threshold.Parse(text)
	return err == nil && name != "" && t.Case() == name
}

// caseLines say what a case came to, why requests failed, and how to send them again.
func caseLines(r *Run, t *Traffic) []string {
	lines := []string{fmt.Sprintf("%d requests, %d failed", t.Requests, t.Failed)}
	for _, q := range []float64{0.5, 0.95, 0.99} {
		if at, known := t.ResponseTime.Quantile(q); known {
			lines[0] += ", " + quantileName(q) + " " + bounded(&t.ResponseTime, at)
		}
	}
	for _, f := range t.Failures[:min(len(t.Failures), junitReasons)] {
		lines = append(lines, fmt.Sprintf("%d %s, first: %s", f.Count, f.Outcome, shorten(cmp.Or(oneLine(f.Reason), "-"), 300)))
	}
	shown := 0
	for i := range r.Examples {
		if e := &r.Examples[i]; e.Case == t.Name && e.Curl != "" && shown < 2 {
			lines = append(lines, e.Outcome+" again: "+shorten(e.Curl, 1000))
			shown++
		}
	}
	return lines
}
