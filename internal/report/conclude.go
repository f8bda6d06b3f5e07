package report

import (
	"fmt"
	"strings"
	"time"

	"soakd/internal/judge"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/threshold"
)

// The exit codes of a conclusion.
const (
	ExitPassed    = 0
	ExitFailed    = 1
	ExitNotJudged = 3
)

// Circumstances are what a run itself does not show, and what can keep it from being
// judged.
type Circumstances struct {
	// Ended says why the run ended before its time without a judgement ("interrupted
	// after 40s of 3m0s"), "" when it did not.
	Ended string
	// GaveUp says why soakd ended the run early, since it could only fail; "" when it did
	// not. That is no judgement by itself.
	GaveUp string
	// Answered tells that the target answered at all, OK how many requests it answered
	// rightly. Foreign tells that neither is known: another tool measured.
	Answered bool
	OK       int64
	Foreign  bool
	// Unfit says that soakd was not fit to judge in most windows, "" when it was.
	// NoneFit tells that it was in none: then the verdict says nothing.
	Unfit   string
	NoneFit bool
	// Compared tells that a comparison was asked for, NoBaseline why there is none that
	// should be no obstacle: the first run of all has none that it could be held to.
	Compared   bool
	NoBaseline string
	// Open are further reasons for which the run cannot pass, as a report gives them.
	Open []string
	// Failed are mistakes in the work around the run that leave its result in doubt.
	Failed []error
}

// Conclude draws the conclusion of a run from its thresholds, its verdict and its
// comparison. What failed has failed, whatever else is not known. What could not be
// judged, or is nothing at all, is no pass. A target that never answered was not
// judged, nor was one in a run that ended before its time: what was against it until
// then is told.
func Conclude(r *Run, c *Circumstances) Conclusion {
	var against, open []string
	if !c.Foreign {
		switch {
		case r.All.Requests == 0:
			open = append(open, "no request came to an end")
		case !c.Answered:
			text := fmt.Sprintf("the target %s never answered: %d of %d requests failed", r.Target, r.All.Failed, r.All.Requests)
			return Conclusion{Result: judge.Unknown, ExitCode: ExitNotJudged, Unknown: []string{text}, Text: "could not judge: " + text}
		case c.OK == 0:
			against = append(against, fmt.Sprintf("not one of %d requests was answered rightly", r.All.Requests))
		}
	} else if r.All.Requests == 0 {
		open = append(open, "there is no request in the results")
	}
	for _, one := range r.Thresholds {
		switch one.Result {
		case threshold.Missed:
			against = append(against, one.Text)
		case threshold.Unknown:
			open = append(open, one.Text)
		}
	}
	if v := r.Verdict; v != nil && !c.NoneFit {
		switch v.Result {
		case judge.Fail:
			against = append(against, strings.TrimPrefix(v.Text, "failed: "))
		case judge.Unknown:
			if c.Unfit == "" { // which says the same with its reasons
				open = append(open, strings.TrimPrefix(v.Text, "not known: "))
			}
		}
	}
	compareConclusion(r, c, &against, &open)
	if text := r.unservedCases(); text != "" && !c.NoneFit && c.OK > 0 {
		against = append(against, text)
	}
	for _, text := range []string{c.Unfit, c.Ended, c.GaveUp} {
		if text != "" {
			open = append(open, text)
		}
	}
	open = append(open, c.Open...)
	for _, err := range c.Failed {
		open = append(open, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if r.Verdict == nil && len(r.Thresholds) == 0 && r.Comparison == nil {
		open = append(open, "there was nothing to judge by: no threshold and nothing to compare with")
	}
	return conclusion(against, open, c.Ended != "")
}

// leastUnserved is how many requests of a case have to fail, all of them, before that
// alone fails a run.
const leastUnserved = 3

// Own is the tool of soakd's own runs.
const Own = "soakd"

// unserved reports whether nobody was served by a case. What other tools call a failure may
// be what somebody meant to see.
func (r *Run) unserved(t *Traffic) bool {
	return r.Tool == Own && t.Requests >= leastUnserved && t.Failed == t.Requests
}

// unservedCases names the cases that served nobody, "" when there are none.
func (r *Run) unservedCases() string {
	var names []string
	for i := range r.Cases {
		if one := &r.Cases[i]; r.unserved(one) {
			names = append(names, fmt.Sprintf("%s (%d)", one.Name, one.Requests))
		}
	}
	if more := len(names) - maxReasons; more > 0 {
		names = append(names[:maxReasons:maxReasons], fmt.Sprintf("%d more", more))
	}
	if len(names) == 0 {
		return ""
	}
	return "not one request was answered rightly of " + strings.Join(names, ", ")
}

// compareConclusion adds what the comparison came to.
func compareConclusion(r *Run, c *Circumstances, against, open *[]string) {
	switch {
	case !c.Compared || c.NoBaseline != "":
	case r.Comparison == nil:
		*open = append(*open, fmt.Sprintf("nothing could be compared with %s", r.Baseline))
	case r.Comparison.Result == baseline.Worse:
		*against = append(*against, worse(r))
	case r.Comparison.Result == baseline.NotEnoughData:
		*open = append(*open, fmt.Sprintf("there is too little to compare with %s", r.Baseline))
	}
}

// maxReasons bounds the rows that are named as worse, and the cases that serve nobody.
const maxReasons = 5

// worse says what got worse.
func worse(r *Run) string {
	var texts []string
	more := 0
	for i := range r.Comparison.Rows {
		row := &r.Comparison.Rows[i]
		switch {
		case row.Result != baseline.Worse:
		case len(texts) == maxReasons:
			more++
		default:
			texts = append(texts, row.Text)
		}
	}
	text := fmt.Sprintf("worse than %s: %s", r.Baseline, strings.Join(texts, "; "))
	if more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// conclusion weighs what is against a run and what is not known of it.
func conclusion(against, open []string, cut bool) Conclusion {
	c := Conclusion{Result: judge.Pass, ExitCode: ExitPassed, Against: against, Unknown: open, Text: "passed"}
	switch {
	case cut:
		c.Result, c.ExitCode, c.Text = judge.Unknown, ExitNotJudged, "could not judge: "+strings.Join(open, "; ")
		if len(against) > 0 {
			c.Text += "; until then: " + strings.Join(against, "; ")
		}
	case len(against) > 0:
		c.Result, c.ExitCode, c.Text = judge.Fail, ExitFailed, "failed: "+strings.Join(against, "; ")
	case len(open) > 0:
		c.Result, c.ExitCode, c.Text = judge.Unknown, ExitNotJudged, "could not judge: "+strings.Join(open, "; ")
	}
	return c
}

// Interrupted says after how long a run was ended that was to last longer.
func Interrupted(why string, elapsed, duration time.Duration) string {
	if duration == 0 {
		return fmt.Sprintf("%s after %s", why, clock(elapsed))
	}
	return fmt.Sprintf("%s after %s of %v", why, clock(elapsed), duration)
}
