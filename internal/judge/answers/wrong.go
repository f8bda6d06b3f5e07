package answers

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/stats"
	"soakd/internal/judge/window"
)

const (
	// settled is how many occurrences show how far a fault goes. With 10 of some
	// that hit 30 cases alike, all from one case is a chance of 1 in 10^13.
	settled = 10
	// maxGroups and maxNames bound what is remembered: of symptoms, and of the
	// cases and checks that each names.
	maxGroups, maxNames = 64, 64
	// strayChance is how likely the server errors of invalid input may be by chance,
	// if they were as common as those of valid input, and still be reported. With 1
	// in 50 000 failing and 1.6 invalid requests a second it takes four in a quarter
	// of an hour.
	strayChance = 1e-6
)

// wrong gathers answers that no right target gives.
type wrong struct {
	cfg    Config
	groups []*group // in the order in which they began
	// valid counts the valid requests of the whole run, and their server errors.
	valid ratio
	// room is used again and again.
	room []mistake
}

// ratio is bad of n.
type ratio struct{ bad, n int64 }

func (r *ratio) add(bad, n int64) { r.bad, r.n = r.bad+bad, r.n+n }

// share is bad / n, 0 of nothing.
func (r ratio) share() float64 {
	if r.n == 0 {
		return 0
	}
	return float64(r.bad) / float64(r.n)
}

// group is the mistakes of one family since they began.
type group struct {
	family
	first, firstEnd, last time.Time
	n                     int64
	windows               int
	// quiet is for how long there was none though there were requests.
	quiet time.Duration
	// cases and checks count the mistakes; classes holds the classes of the cases.
	cases, checks map[string]int64
	classes       map[string]string
	// requests counts those of the cases concerned, valid and invalid those of all
	// cases, with server errors, since the group began.
	requests       int64
	valid, invalid ratio
	// subject is settled when it is reported for the first time.
	subject  finding.Subject
	reported bool
}

func newWrong(cfg Config) *wrong { return &wrong{cfg: cfg} }

// observe takes the next window in.
func (d *wrong) observe(w *window.Window) []finding.Symptom {
	var valid, invalid ratio
	for i := range w.Cases {
		c := &w.Cases[i]
		if c.Invalid {
			invalid.add(window.Of(c.Outcomes, serverError), c.Requests())
		} else {
			valid.add(window.Of(c.Outcomes, serverError), c.Requests())
		}
		d.room = mistakes(d.room[:0], c)
		for _, m := range d.room {
			d.note(w, c, m)
		}
	}
	d.valid.add(valid.bad, valid.n)
	if valid.n+invalid.n == 0 {
		return d.symptoms(w)
	}
	for _, g := range d.groups {
		g.valid.add(valid.bad, valid.n)
		g.invalid.add(invalid.bad, invalid.n)
		if g.last.Before(w.End()) {
			g.quiet += w.Length
		} else {
			g.quiet = 0
			g.windows++
		}
		for i := range w.Cases {
			if _, concerned := g.cases[w.Cases[i].Name]; concerned {
				g.requests += w.Cases[i].Requests()
			}
		}
	}
	return d.symptoms(w)
}

// note counts a mistake of a case.
func (d *wrong) note(w *window.Window, c *window.Case, m mistake) {
	i := slices.IndexFunc(d.groups, func(g *group) bool { return g.family == m.family })
	if i < 0 {
		if len(d.groups) >= maxGroups {
			return
		}
		d.groups = append(d.groups, &group{
			family: m.family, first: w.Start, firstEnd: w.End(),
			cases: map[string]int64{}, checks: map[string]int64{}, classes: map[string]string{},
		})
		i = len(d.groups) - 1
	}
	g := d.groups[i]
	g.n += m.n
	g.last = w.End()
	count(g.cases, c.Name, m.n)
	if _, kept := g.cases[c.Name]; kept {
		g.classes[c.Name] = c.Class
	}
	if m.check != "" {
		count(g.checks, m.check, m.n)
	}
}

// count adds to a count by name, of at most [maxNames] names.
func count(counts map[string]int64, name string, n int64) {
	if _, known := counts[name]; known || len(counts) < maxNames {
		counts[name] += n
	}
}

// symptoms returns what is wrong at the end of the window.
func (d *wrong) symptoms(w *window.Window) []finding.Symptom {
	var list []finding.Symptom
	var kept []*group
	for _, g := range d.groups {
		if g.quiet < d.cfg.Quiet {
			kept = append(kept, g)
		} else if g.reported {
			list = append(list, g.over(g.last))
		}
	}
	d.groups = kept
	if covered := d.joinStale(); covered != nil {
		list = append(list, *covered)
	}
	for _, g := range d.groups {
		if !g.reported && d.ready(g, w.End()) {
			g.settle()
		}
		if g.reported {
			list = append(list, g.symptom())
		}
	}
	return list
}

// group returns that of a kind without families, nil when there is none.
func (d *wrong) group(kind finding.Kind) *group {
	i := slices.IndexFunc(d.groups, func(g *group) bool { return g.family == family{kind, ""} })
	if i < 0 {
		return nil
	}
	return d.groups[i]
}

// joinStale makes one of a loss and of the stale reads that it began with: what is
// lost is missed at once and known to be lost only later. It returns the symptom of
// stale reads when that was reported already and is now over.
func (d *wrong) joinStale() *finding.Symptom {
	lost, stale := d.group(finding.DataLost), d.group(finding.StaleRead)
	if lost == nil || stale == nil || lost.reported || lost.first.Sub(stale.first) > d.cfg.Quiet {
		return nil
	}
	if stale.first.Before(lost.first) {
		lost.first, lost.firstEnd = stale.first, stale.firstEnd
	}
	if !stale.reported {
		return nil
	}
	stale.reported = false
	over := stale.over(stale.last)
	return &over
}

// ready reports whether a group can be reported for the first time.
func (d *wrong) ready(g *group, now time.Time) bool {
	age := now.Sub(g.first)
	switch {
	case g.kind == finding.StaleRead:
		return age >= d.cfg.StaleWait && d.group(finding.DataLost) == nil
	case g.kind == finding.InvalidServerError && !d.unexplained(g, age):
		return false
	case g.family == byRequest() && (d.group(finding.AcceptedInvalid) != nil || d.group(finding.ForeignData) != nil):
		return false // it is part of that: everything is accepted, or shown to everybody
	}
	return g.n >= settled || age >= d.cfg.Settle
}

// unexplained reports whether invalid input meets more server errors than valid
// input does: else they are errors like all others, which strike whatever comes.
// The first of them is why anybody looks, so the time that counts is not what
// passed since then, but at least the time for which it would be remembered.
func (d *wrong) unexplained(g *group, age time.Duration) bool {
	// Laplace's rule: one more of each, so that no error yet does not mean never.
	expected := float64(d.valid.bad-g.valid.bad+1) / float64(d.valid.n-g.valid.n+1)
	expected = max(expected, g.valid.share())
	requests := float64(g.invalid.n)
	if age < d.cfg.Quiet {
		requests *= d.cfg.Quiet.Seconds() / age.Seconds()
	}
	expected *= requests
	return stats.PoissonAtLeast(g.invalid.bad, expected) < strayChance
}

// settle says for good what the symptom is about: the case when it is one, the
// class when all are of one, and else the check or the family of checks.
func (g *group) settle() {
	g.reported = true
	classes := map[string]bool{}
	for _, class := range g.classes {
		classes[class] = true
	}
	if len(classes) == 1 {
		g.subject.Class = slices.Collect(maps.Keys(classes))[0]
	}
	if len(g.cases) == 1 {
		g.subject.Case = slices.Collect(maps.Keys(g.cases))[0]
	}
	switch {
	case len(g.checks) == 0 || len(g.checks) == 1 && g.name == "":
		// Outcomes have no check. Kinds without families say all by themselves: which check noticed is chance.
	case len(g.checks) == 1:
		g.subject.Check = slices.Collect(maps.Keys(g.checks))[0]
	default:
		g.subject.Check = g.name
	}
}

// symptom is what is to be said of the group now.
func (g *group) symptom() finding.Symptom {
	s := finding.Symptom{
		Kind: g.kind, Subject: g.subject, Onset: g.first, OnsetFrom: g.first, OnsetTo: g.firstEnd,
		After: float64(g.n), Unit: "count", What: "wrong answers", Confidence: 1, Windows: g.windows, Requests: g.requests,
	}
	if g.kind == finding.InvalidServerError {
		s.Confidence = 1 - strayChance
	}
	s.Text = g.text()
	return s
}

// over is the symptom when it has ended.
func (g *group) over(at time.Time) finding.Symptom {
	s := g.symptom()
	s.Over, s.Ended = true, at
	return s
}

func (g *group) text() string {
	seen := fmt.Sprintf("%d of %d requests of %s since %s", g.n, max(g.requests, g.n), names(g.cases), clock(g.first))
	switch g.kind {
	case finding.AcceptedInvalid:
		return "invalid input was accepted: " + seen
	case finding.InvalidServerError:
		return "invalid input was answered with a server error: " + seen
	case finding.LeakedInternals:
		return "error answers show the target's internals: " + seen
	case finding.DataLost:
		return "what was saved and confirmed is not there any more: " + seen + " (" + names(g.checks) + ")"
	case finding.StaleRead:
		return "reads lack what was confirmed less than 30 s before: " + seen
	case finding.ForeignData:
		return "users are shown data of others: " + seen
	default:
		return "answers are wrong: " + seen + " fail " + names(g.checks)
	}
}

// maxListed is how many names a text gives.
const maxListed = 3

// names lists the most frequent names.
func names(counts map[string]int64) string {
	list := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	if len(list) <= maxListed {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:maxListed], ", "), len(list)-maxListed)
}

// clock writes a time for people.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
