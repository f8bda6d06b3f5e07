package cause

import (
	"fmt"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

const (
	// deployBefore and deployAfter are around a restart in which another version of
	// the target makes it a deployment, which somebody meant. It is held back until
	// the second is over.
	deployBefore = 5 * time.Minute
	deployAfter  = 2 * time.Minute
	// recycled is how many restarts of a target with several workers in
	// [Config.RestartQuiet] are no recycling of workers any more.
	recycled = 2
)

// restarts watches the restarts of the target that nobody meant.
type restarts struct {
	quiet time.Duration
	// version is the target's, changed when it was last seen to be another.
	version string
	changed time.Time
	// waiting are restarts of which it is not known yet whether they were meant.
	waiting []restart
	// first and last are when those that count were; n is how many, by several
	// workers how many of them.
	first, last time.Time
	n, workers  int64
	// quietFor is for how long there was none.
	quietFor time.Duration
	reported bool
}

// restart is the minute in which one or more were seen.
type restart struct {
	start, end time.Time
	n          int64
	workers    bool
}

// observe takes the next minute in.
func (r *restarts) observe(w *window.Window) []finding.Symptom {
	r.see(w)
	var waiting []restart
	counted := false
	for _, one := range r.waiting {
		switch {
		case !r.changed.IsZero() && !r.changed.Before(one.start.Add(-deployBefore)) && !r.changed.After(one.end.Add(deployAfter)):
		case w.End().Before(one.end.Add(deployAfter)):
			waiting = append(waiting, one)
		default:
			r.count(one)
			counted = true
		}
	}
	r.waiting = waiting
	if counted || len(waiting) > 0 {
		r.quietFor = 0
	} else {
		r.quietFor += w.Length
	}
	if r.n == 0 {
		return nil
	}
	if r.quietFor+deployAfter >= r.quiet {
		return r.end()
	}
	r.reported = r.reported || r.n > r.workers || r.workers >= recycled
	if !r.reported {
		return nil
	}
	return []finding.Symptom{r.symptom()}
}

// see notes restarts and changes of the version.
func (r *restarts) see(w *window.Window) {
	if w.Version != "" && w.Version != r.version {
		if r.version != "" {
			r.changed = w.Start
		}
		r.version = w.Version
	}
	n := int64(0)
	for _, s := range w.Named(apiRestarts) {
		n += int64(s.Increase)
	}
	const most = 32 // a minute each, of which none waits for longer than a few
	if n == 0 || len(r.waiting) >= most {
		return
	}
	several := false
	for _, s := range w.Named("soakd_api_observed_workers") {
		several = several || s.Max > 1
	}
	r.waiting = append(r.waiting, restart{w.Start, w.End(), n, several})
}

func (r *restarts) count(one restart) {
	if r.n == 0 {
		r.first = one.start
	}
	r.last = one.end
	r.n += one.n
	if one.workers {
		r.workers += one.n
	}
}

// end forgets all, and says so when they were reported.
func (r *restarts) end() []finding.Symptom {
	s := r.symptom()
	s.Over, s.Ended = true, r.last
	reported := r.reported
	r.first, r.last, r.n, r.workers, r.reported = time.Time{}, time.Time{}, 0, 0, false
	if !reported {
		return nil
	}
	return []finding.Symptom{s}
}

func (r *restarts) symptom() finding.Symptom {
	text := "the API restarted at " + r.first.UTC().Format("2006-01-02 15:04Z")
	if r.n > 1 {
		each := (r.last.Add(-window.Minute).Sub(r.first) / time.Duration(r.n-1)).Round(time.Minute)
		text = fmt.Sprintf("the API restarted %d times since %s, about every %d min", r.n, r.first.UTC().Format("2006-01-02 15:04Z"), max(1, int(each.Minutes())))
	}
	return finding.Symptom{
		Kind: finding.Restarts, Subject: finding.Subject{Target: "api"},
		Onset: r.first, OnsetFrom: r.first.Add(-window.Minute), OnsetTo: r.first.Add(window.Minute),
		After: float64(r.n), Unit: "count", What: "restarts", Confidence: 1, Windows: int(r.n), Text: text,
	}
}
