// Package cause finds what is wrong in the signals of the target and its
// dependencies by itself: a pool without free connections, locks, a cache that
// stopped helping, evictions, pauses for garbage collection, restarts. What grows
// without end is a leak and judged elsewhere.
//
// Each way to see a cause is a row of a table (see rows): which figure, read once a
// minute, from which level on and how often it counts. A figure is held against a
// floor, below which it matters to nobody, and against its own past at a similar
// load, so that what is usual for a target is no finding.
package cause

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// Config says when a signal is a symptom. The zero value of a field is its default.
type Config struct {
	// Quiet is how long a symptom stays after the last minute that showed it; 10 minutes.
	Quiet time.Duration
	// RestartQuiet is how long restarts stay a symptom after the last; 30 minutes.
	RestartQuiet time.Duration
}

// Detector watches the signals. Make it with [New]; a caller serialises its calls.
type Detector struct {
	cfg      Config
	rows     []row
	tracks   []map[string]*track // by row, then series
	open     map[finding.Kind]*symptom
	restarts restarts
	// started and changed are when soakd first saw something, and when the target or
	// a cache last started anew; minute counts minutes seen.
	started, changed time.Time
	minute           int
}

// New returns a detector that has seen nothing.
func New(cfg Config) *Detector {
	cfg.Quiet = cmp.Or(cfg.Quiet, 10*time.Minute)
	cfg.RestartQuiet = cmp.Or(cfg.RestartQuiet, 30*time.Minute)
	d := &Detector{cfg: cfg, rows: rows(), open: map[finding.Kind]*symptom{}, restarts: restarts{quiet: cfg.RestartQuiet}}
	for range d.rows {
		d.tracks = append(d.tracks, map[string]*track{})
	}
	return d
}

// maxSeries bounds the series of a row that are told apart.
const maxSeries = 64

// blind are the reasons why soakd saw too little itself to believe what it read:
// all but those that come of the target or of somebody's wish.
func blind(w *window.Window) bool {
	return !w.IsFit() && slices.ContainsFunc(w.Unfit, func(reason string) bool {
		return reason == "stalled" || reason == "cpu" || reason == "memory" || reason == "files" || reason == "ports"
	})
}

// Observe takes the next window of the level [window.Minute] and returns what is
// wrong now.
func (d *Detector) Observe(w *window.Window) []finding.Symptom {
	if d.started.IsZero() {
		d.started, d.changed = w.Start, w.Start
	}
	if anew(w) {
		d.changed = w.End()
	}
	d.minute++
	if !blind(w) {
		for i := range d.rows {
			d.see(i, w)
		}
	}
	list := d.symptoms(w)
	list = append(list, d.restarts.observe(w)...)
	slices.SortStableFunc(list, func(a, b finding.Symptom) int { return finding.Compare(&a, &b) })
	return list
}

// anew reports whether the target or a cache started anew: caches are cold then.
func anew(w *window.Window) bool {
	for _, name := range []string{apiRestarts, "soakd_redis_restarts_total"} {
		for _, s := range w.Named(name) {
			if s.Increase > 0 {
				return true
			}
		}
	}
	return false
}

// see takes the figures of a row in.
func (d *Detector) see(i int, w *window.Window) {
	r := &d.rows[i]
	settling := w.End().Sub(d.changed) <= r.settle
	for _, one := range r.read(w) {
		t := d.tracks[i][one.id]
		if t == nil {
			if len(d.tracks[i]) >= maxSeries {
				continue
			}
			t = &track{row: r, id: one.id}
			d.tracks[i][one.id] = t
		}
		t.see(w, one.value, settling, d.minute)
	}
}

// symptom is a kind of cause that is present.
type symptom struct {
	lead  *track
	onset time.Time
	// before and after are the figures, after as long as the lead shows it.
	before, after float64
	confidence    float64
	compared      bool
}

// symptoms returns what the tracks show at the end of a minute.
func (d *Detector) symptoms(w *window.Window) []finding.Symptom {
	present := map[finding.Kind]bool{}
	for i := range d.rows {
		for _, t := range d.tracks[i] {
			if t.active && t.stale(w.End(), d.cfg.Quiet) {
				t.rest()
			}
			present[t.row.kind] = present[t.row.kind] || t.active
		}
	}
	var list []finding.Symptom
	for _, kind := range kinds(d.rows) {
		s := d.open[kind]
		switch {
		case s == nil && present[kind]:
			s = d.begin(kind)
			d.open[kind] = s
			list = append(list, s.now())
		case s != nil && present[kind]:
			list = append(list, s.now())
		case s != nil:
			over := s.now()
			over.Over, over.Ended = true, d.lastOf(kind)
			list = append(list, over)
			delete(d.open, kind)
		}
	}
	return list
}

// begin opens a symptom, led by what showed it first and, of these, most.
func (d *Detector) begin(kind finding.Kind) *symptom {
	var lead *track
	for i := range d.rows {
		for _, t := range d.tracks[i] {
			if t.active && t.row.kind == kind && (lead == nil || t.before(lead)) {
				lead = t
			}
		}
	}
	return &symptom{lead: lead, onset: lead.onset, before: lead.usual, confidence: lead.confidence, compared: lead.compared}
}

// lastOf is the end of the last minute that showed a kind.
func (d *Detector) lastOf(kind finding.Kind) (last time.Time) {
	for i := range d.rows {
		for _, t := range d.tracks[i] {
			if t.row.kind == kind && t.lastBad.After(last) {
				last = t.lastBad
			}
		}
	}
	return last
}

// now is what is to be said of the symptom.
func (s *symptom) now() finding.Symptom {
	t := s.lead
	if figure, bad := t.shown(); bad {
		s.after = figure
	}
	f := finding.Symptom{
		Kind: t.row.kind, Subject: finding.Subject{Target: cmp.Or(t.row.target, targetOf(t.id)), Signal: t.id},
		Onset: s.onset, OnsetFrom: s.onset.Add(-window.Minute), OnsetTo: s.onset.Add(window.Minute),
		Before: s.before, After: s.after, Unit: t.row.unit, What: t.row.what, Confidence: s.confidence, Windows: t.badMinutes,
	}
	if s.compared {
		f.Against = "earlier in this run"
	}
	f.Text = t.row.text(f.Before, f.After, s.compared) + " since " + s.onset.UTC().Format("2006-01-02 15:04Z") + " (" + t.id + ")"
	return f
}

// targetOf is whose a series is.
func targetOf(id string) string {
	if strings.HasPrefix(id, "soakd_redis_") {
		return "redis"
	}
	return "api"
}

// kinds lists the kinds of the rows, each once.
func kinds(rows []row) []finding.Kind {
	var list []finding.Kind
	for i := range rows {
		if !slices.Contains(list, rows[i].kind) {
			list = append(list, rows[i].kind)
		}
	}
	return list
}
