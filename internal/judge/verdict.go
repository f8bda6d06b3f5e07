package judge

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge/baseline"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/objective"
	"soakd/internal/judge/outage"
	"soakd/internal/judge/window"
)

// Result is what a check or the whole verdict came to.
type Result string

// The results. Unknown is neither: what was not seen cannot have passed.
const (
	Pass    Result = "pass"
	Fail    Result = "fail"
	Unknown Result = "unknown"
)

// Verdict says whether the target is well, what was judged and what is not known.
type Verdict struct {
	Result Result `json:"result"`
	// From and To are the time that was judged.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Version is the target's, "" when it is not known.
	Version string `json:"version,omitempty"`
	// Windows counts those of 10 s, FitWindows those in which soakd was fit to judge.
	Windows    int64 `json:"windows"`
	FitWindows int64 `json:"fit_windows"`
	// Requests counts requests that came to an end in any of them, Failed those that
	// were not answered rightly.
	Requests int64 `json:"requests"`
	Failed   int64 `json:"failed"`
	// Checks has an entry for each thing that is judged.
	Checks []Check `json:"checks"`
	// Unknown lists what is not known, and what is missing to know it.
	Unknown []string `json:"unknown,omitempty"`
	// Text is the verdict in one line.
	Text string `json:"text"`
}

// Check is one thing that is judged.
type Check struct {
	// Name is "load", "answers", "errors", "latency", "resources", "recovery",
	// "objectives" or "baseline".
	Name   string `json:"name"`
	Result Result `json:"result"`
	// Text says it with the figures, or what is missing.
	Text string `json:"text"`
	// Windows is how many windows were looked at, of the length in Seconds.
	Windows       int64   `json:"windows,omitempty"`
	WindowSeconds float64 `json:"window_seconds,omitempty"`
	// Confidence is the least of its findings', 0 when there are none.
	Confidence float64 `json:"confidence,omitempty"`
	// Findings are the ids of those that count against it.
	Findings []string `json:"findings,omitempty"`
}

// What has to be seen before it can be said that nothing is wrong, in minutes of
// windows that were fit.
const (
	enoughForLatency = 20
	enoughForLeaks   = 45
)

// tally counts what was judged.
type tally struct {
	from, to         time.Time
	windows, fit     int64
	minutes          int64 // fit ones
	requests, failed int64
	// valid are the requests that the target should serve, unserved those of them
	// that it did not.
	valid, unserved int64
}

func (t *tally) add(w *window.Window) {
	switch w.Length {
	case window.Short:
		if t.from.IsZero() {
			t.from = w.Start
		}
		t.to = w.Start.Add(w.Covered)
		if w.Fit > 0 || len(w.Unfit) > 0 { // else it is what was left after the end
			t.windows++
		}
		if w.IsFit() {
			t.fit++
		}
		for i := range w.Cases {
			requests, failed := w.Cases[i].Requests(), w.Cases[i].Failed()
			t.requests += requests
			t.failed += failed
			if !w.Cases[i].Invalid {
				t.valid += requests
				t.unserved += failed
			}
		}
	case window.Minute:
		if w.IsFit() {
			t.minutes++
		}
	}
}

// part says which kinds of findings count against which check.
func part(kind finding.Kind) string {
	switch kind {
	case finding.AcceptedInvalid, finding.InvalidServerError, finding.LeakedInternals, finding.WrongAnswer, finding.DataLost, finding.StaleRead, finding.ForeignData:
		return "answers"
	case finding.Errors, finding.RateLimited:
		return "errors"
	case finding.Latency, finding.LatencyTail, finding.LatencyDrift:
		return "latency"
	case finding.Outage, finding.Hang, finding.Restarts:
		return "recovery"
	case finding.Objective:
		return "objectives"
	}
	return "resources"
}

// Verdict judges what is now: what is open counts, and what was over before does
// not. With whole it judges the run from its start: whatever was found in it counts.
func (j *Judge) Verdict(whole bool) Verdict {
	t := &j.tally
	v := Verdict{
		From: t.from, To: t.to, Version: j.watched.version, Windows: t.windows, FitWindows: t.fit, Requests: t.requests, Failed: t.failed,
	}
	v.Checks = append(v.Checks, j.loadCheck())
	for _, name := range []string{"answers", "errors", "latency", "resources", "recovery"} {
		v.Checks = append(v.Checks, j.findingsCheck(name, whole))
	}
	v.Checks = append(v.Checks, j.furtherChecks(whole)...)
	if text := t.mostlyUnfit(); text != "" {
		v.Unknown = append(v.Unknown, text)
	}
	v.conclude()
	return v
}

// loadCheck says whether soakd itself was fit to judge.
func (j *Judge) loadCheck() Check {
	t := &j.tally
	c := Check{Name: "load", Result: Pass, Windows: t.windows, WindowSeconds: window.Short.Seconds(), Text: fmt.Sprintf("%d of %d windows were fit to judge by", t.fit, t.windows)}
	switch {
	case t.windows == 0:
		c.Result, c.Text = Unknown, "no window of 10 s is over yet"
	case t.fit == 0:
		c.Result, c.Text = Unknown, fmt.Sprintf("none of %d windows was fit to judge by", t.windows)
	case t.requests == 0:
		c.Result, c.Text = Unknown, "no request came to an end"
	case t.valid == 0:
		c.Result, c.Text = Unknown, fmt.Sprintf("all of %d requests were invalid on purpose: whether the target serves anybody was not seen", t.requests)
	case t.valid == t.unserved:
		c.Result, c.Text = Fail, fmt.Sprintf("not one of %d valid requests was answered rightly", t.valid)
	}
	return c
}

// mostlyUnfit says for how much of the time nothing can be said when that is most of
// it, else "".
func (t *tally) mostlyUnfit() string {
	if t.fit == 0 || 2*t.fit >= t.windows {
		return ""
	}
	return fmt.Sprintf("load: %d of %d windows were not fit to judge by", t.windows-t.fit, t.windows)
}

// Concerns reports whether a finding lasted in the time that was judged, and not only
// in an earlier run of soakd.
func (v *Verdict) Concerns(f *Finding) bool { return f.Open() || f.Ended.After(v.From) }

// counts reports whether a finding counts now, or with whole against the run.
func (j *Judge) counts(f *Finding, whole bool) bool {
	run := Verdict{From: j.tally.from}
	if !whole {
		return f.Open()
	}
	return run.Concerns(f) && !j.onlyBefore(f)
}

// onlyBefore reports whether nothing of a finding was seen in this run: what is not over yet is
// an outage that was there when an earlier soakd ended, and over when this one first looked. Its
// end then is the first success in this run, and it is told until the service has been well for a while.
func (j *Judge) onlyBefore(f *Finding) bool {
	from := j.tally.from
	if !f.Onset.Before(from) {
		return false
	}
	records := j.outage.Outages()
	return !slices.ContainsFunc(f.Symptoms, func(s finding.Symptom) bool {
		return (!s.Over || s.Ended.After(from)) && !slices.ContainsFunc(records, func(r outage.Record) bool {
			return r.Target == s.Subject.Target && r.Kind == s.Kind && r.Start.Equal(s.Onset) && r.Start.Before(from) && r.EndApproximate
		})
	})
}

// against is what a finding has against a check, "" for nothing: itself, or what it
// brought about that belongs there.
func (f *Finding) against(name string, whole bool) string {
	if part(f.Kind) == name {
		return f.Text
	}
	for i := range f.Symptoms {
		if s := &f.Symptoms[i]; part(s.Kind) == name && (whole || !s.Over) {
			return fmt.Sprintf("%s (part of %s of %s)", s.Text, f.Kind, f.Subject)
		}
	}
	return ""
}

// maxTexts bounds the findings of which a check gives the text; it has the ids of all.
const maxTexts = 5

// someOf joins the first few of what there is to say.
func someOf(texts []string) string {
	if more := len(texts) - maxTexts; more > 0 {
		texts = append(texts[:maxTexts:maxTexts], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}

// findingsCheck gathers the findings against one check.
func (j *Judge) findingsCheck(name string, whole bool) Check {
	c := Check{Name: name, Result: Pass, Windows: j.tally.fit, WindowSeconds: window.Short.Seconds()}
	var texts []string
	for _, f := range j.findings.list {
		text := ""
		if j.counts(f, whole) {
			text = f.against(name, whole)
		}
		if text == "" {
			continue
		}
		c.Result = Fail
		c.Findings = append(c.Findings, f.ID)
		texts = append(texts, text)
		if c.Confidence == 0 || f.Confidence < c.Confidence {
			c.Confidence = f.Confidence
		}
	}
	if name == "errors" && whole && c.Result == Pass && 2*j.tally.unserved > j.tally.valid {
		// So short that nothing could be found, or like that from the start.
		c.Result, c.Confidence = Fail, 1
		texts = []string{fmt.Sprintf("%d of %d valid requests were not answered rightly", j.tally.unserved, j.tally.valid)}
	}
	needed := map[string]int64{"latency": enoughForLatency, "resources": enoughForLeaks}[name]
	switch {
	case c.Result == Fail:
		c.Text = someOf(texts)
	case j.tally.fit == 0:
		c.Result, c.Text = Unknown, "there was no window to judge by"
	case j.tally.minutes < needed:
		c.Result, c.Windows, c.WindowSeconds = Unknown, j.tally.minutes, window.Minute.Seconds()
		c.Text = fmt.Sprintf("changes within the run need %d minutes, %d were seen", needed, j.tally.minutes)
	default:
		c.Text = "nothing was found"
	}
	return c
}

// conclude makes the verdict of its checks. What has to be known is that soakd sent
// and the target answered; what takes longer to know does not hold up the rest.
func (v *Verdict) conclude() {
	v.Result = v.Checks[0].Result
	var failed []string
	for i := range v.Checks {
		c := &v.Checks[i]
		switch c.Result {
		case Fail:
			v.Result = Fail
			failed = append(failed, c.Name+": "+c.Text)
		case Unknown:
			v.Unknown = append(v.Unknown, c.Name+": "+c.Text)
		}
	}
	switch v.Result {
	case Fail:
		v.Text = "failed: " + strings.Join(failed, "; ")
	case Pass:
		v.Text = fmt.Sprintf("passed: %d requests in %d windows that were fit to judge by, %d failed", v.Requests, v.FitWindows, v.Failed)
	default:
		v.Text = "not known: " + v.Checks[0].Text // without load the others know nothing either
	}
	slices.Sort(v.Unknown)
}

// furtherChecks are those of the objectives and of the baseline, where there are any.
func (j *Judge) furtherChecks(whole bool) []Check {
	var checks []Check
	if len(j.objectives.Status()) > 0 {
		checks = append(checks, j.objectivesCheck(whole))
	}
	if c, final := j.versions.Comparison(); c != nil {
		checks = append(checks, baselineCheck(c, final))
	}
	return checks
}

// baselineCheck says how the target compares with another version or the baseline.
func baselineCheck(c *baseline.Comparison, final bool) Check {
	against := cmp.Or(c.BaseVersion, "the baseline")
	check := Check{Name: "baseline", WindowSeconds: window.Minute.Seconds()}
	var worse, better []string
	for _, row := range c.Rows {
		check.Windows = max(check.Windows, int64(row.Windows))
		switch row.Result {
		case baseline.Worse:
			worse = append(worse, row.Text)
			if confidence := 1 - row.PAdjusted; check.Confidence == 0 || confidence < check.Confidence {
				check.Confidence = confidence
			}
		case baseline.Improved:
			better = append(better, row.Text)
		}
	}
	switch c.Result {
	case baseline.Worse:
		check.Result, check.Text = Fail, "worse than "+against+": "+someOf(worse)
	case baseline.Improved:
		check.Result, check.Text = Pass, "better than "+against+": "+someOf(better)
	case baseline.Same:
		check.Result, check.Text = Pass, "the same as "+against
	default:
		check.Result, check.Text = Unknown, "too little is known to compare with "+against+": "+someOf(c.Unknown)
	}
	if !final && check.Result != Unknown {
		check.Text += " (so far)"
	}
	if !final && check.Result == Fail {
		// One look is not enough to fail by; what is sure is a finding by itself.
		check.Result = Unknown
	}
	return check
}

func (j *Judge) objectivesCheck(whole bool) Check {
	c := Check{Name: "objectives", Result: Pass, Windows: j.tally.minutes, WindowSeconds: window.Minute.Seconds()}
	kept := j.keptNow()
	if whole {
		kept = j.keptInRun()
	}
	switch {
	case len(kept.missed) > 0:
		c.Result, c.Text = Fail, strings.Join(kept.missed, "; ")
	case kept.met == 0:
		c.Result, c.Text = Unknown, strings.Join(kept.unknown, "; ")
	default:
		c.Text = strings.Join(append([]string{fmt.Sprintf("%d met", kept.met)}, kept.unknown...), "; ")
	}
	for _, f := range j.findings.list {
		if f.Kind == finding.Objective && j.counts(f, whole) {
			c.Result, c.Findings = Fail, append(c.Findings, f.ID)
		}
	}
	return c
}

// promises says how the objectives fare.
type promises struct {
	met             int
	missed, unknown []string
}

// keptNow looks at the period that ends now.
func (j *Judge) keptNow() promises {
	var p promises
	for _, s := range j.objectives.Status() {
		switch {
		case !s.Known:
			p.unknown = append(p.unknown, s.Objective.Name+": "+s.Missing)
		case !s.Met:
			p.missed = append(p.missed, fmt.Sprintf("%s: %.4g %% were good, promised are %.4g %%", s.Objective.Name, 100*s.Ratio, 100*s.Objective.Target))
		default:
			p.met++
		}
	}
	return p
}

// keptInRun looks at the whole run and at the worst five minutes of it.
func (j *Judge) keptInRun() promises {
	var p promises
	for _, o := range j.objectives.Judge() {
		switch {
		case o.Run.Result == objective.Missed:
			p.missed = append(p.missed, o.Run.Text)
		case o.Worst.Result == objective.Missed:
			p.missed = append(p.missed, o.Worst.Text)
		case o.Run.Result == objective.NotEnough:
			p.unknown = append(p.unknown, o.Run.Text)
		default:
			p.met++
		}
	}
	return p
}
