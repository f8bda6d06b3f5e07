package baseline

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// symptoms returns what is present now, and what has ended.
func (t *Tracker) symptoms(w *window.Window) []finding.Symptom {
	now := map[string]finding.Symptom{}
	if c := t.state.latest; c != nil {
		for _, r := range t.chosen() {
			s := t.symptom(r, c)
			now[s.Key()] = s
		}
	}
	list := ended(t.state.present, now, w.End())
	t.state.present = now
	for _, key := range slices.Sorted(maps.Keys(now)) {
		list = append(list, now[key])
	}
	slices.SortStableFunc(list, func(a, b finding.Symptom) int { return finding.Compare(&a, &b) })
	return list
}

// ended returns as over what was present and is not any more.
func ended(before, now map[string]finding.Symptom, at time.Time) []finding.Symptom {
	var over []finding.Symptom
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, still := now[key]; !still {
			s := before[key]
			s.Over, s.Ended = true, at
			over = append(over, s)
		}
	}
	return over
}

// symptom writes a row as one.
func (t *Tracker) symptom(r *Row, c *Comparison) finding.Symptom {
	s := finding.Symptom{
		Kind: r.kind(), Subject: finding.Subject{Case: r.Case, Class: r.Class},
		Onset: t.current.to, OnsetFrom: t.current.from, OnsetTo: t.current.to,
		Before: r.Before, After: r.After, Unit: "seconds", What: signalText(r.Signal), Against: "baseline " + versionText(c.BaseVersion),
		Confidence: 1 - r.PAdjusted, Windows: r.Windows, Requests: r.Requests, Text: r.Text,
	}
	if r.Case != "" {
		s.Subject.Class = ""
	}
	if r.Signal == ErrorRatio {
		s.Unit = "ratio"
	}
	return s
}

func (r *Row) kind() finding.Kind {
	switch r.Signal {
	case ErrorRatio:
		return finding.Errors
	case MedianTime:
		return finding.Latency
	}
	return finding.LatencyTail
}

// chosen are the rows that are worse, and stay so, put together: one for all
// traffic, else one a class, else one a case; each kind for itself.
func (t *Tracker) chosen() []*Row {
	rows := map[finding.Kind][]*Row{}
	for i := range t.state.latest.Rows {
		// Failures of invalid input have kinds of their own, which others find.
		if r := &t.state.latest.Rows[i]; !(r.Invalid && r.Signal == ErrorRatio) {
			rows[r.kind()] = append(rows[r.kind()], r)
		}
	}
	all := t.scope(rows[finding.Latency], nil)
	if !t.undecided(rows[finding.LatencyTail]) {
		all = append(all, t.scope(rows[finding.LatencyTail], rows[finding.Latency])...)
	}
	return append(all, t.scope(rows[finding.Errors], nil)...)
}

// stays reports whether a row was worse often enough in a row. What is final is.
func (t *Tracker) stays(r *Row) bool { return r.Result == Worse && t.state.worse[r.key()] >= twice }

// The windows after which nobody waits for what all traffic does any more: when
// nothing is known of it, and when it looks worse and is not yet.
const waitUnknown, waitUndecided = 20, 60

// undecided reports whether it is too early to say which tails are slower: single
// cases can be told sooner than all traffic, and would be named for it.
func (t *Tracker) undecided(tails []*Row) bool {
	const looksWorse = 1.1
	wait := false
	for _, r := range tails {
		if r.Case != "" || r.Class != finding.AllTraffic {
			continue
		}
		switch {
		case t.stays(r):
			return false
		case r.Ratio == 0:
			// One request in a hundred shows in the p99 alone.
			wait = wait || (r.Signal == P99Time && t.state.at < waitUnknown)
		case r.Ratio >= looksWorse && r.Result != Same:
			wait = wait || t.state.at < waitUndecided
		}
	}
	return wait
}

// scope chooses the rows of one kind. Where typical requests (slow, nil for other
// kinds) got slower, or look like it, the tail did so with them.
func (t *Tracker) scope(rows, slow []*Row) []*Row {
	var worse []*Row
	classes := map[string]*tally{}
	byClass := map[string]*Row{}
	for _, r := range rows {
		stays := t.stays(r)
		switch {
		case tailOfSlow(r, slow):
		case r.Case == "":
			if stays && byClass[r.Class] == nil {
				byClass[r.Class] = r
			}
		default:
			if classes[r.Class] == nil {
				classes[r.Class] = new(tally)
			}
			// What is slower as the rest is belongs to all traffic, once that can be told.
			stays = stays && !r.together
			classes[r.Class].add(r, stays)
			if stays {
				worse = append(worse, r)
			}
		}
	}
	// The same case may be worse by p95 and by p99: once is enough.
	slices.SortStableFunc(worse, func(a, b *Row) int { return cmp.Compare(a.Case, b.Case) })
	worse = slices.CompactFunc(worse, func(a, b *Row) bool { return a.Case == b.Case })
	// The times of all traffic are medians over the cases, and so no matter of one of
	// them; its failures are sums, and may be.
	if all := byClass[finding.AllTraffic]; all != nil && (all.Signal != ErrorRatio || severalClasses(classes)) {
		return []*Row{all}
	}
	return narrow(worse, classes, byClass)
}

// narrow puts the cases of a class together when all of them are worse.
func narrow(worse []*Row, classes map[string]*tally, byClass map[string]*Row) []*Row {
	var chosen []*Row
	done := map[string]bool{}
	for _, r := range worse {
		if c := classes[r.Class]; !c.whole() {
			chosen = append(chosen, r)
		} else if !done[r.Class] {
			done[r.Class] = true
			chosen = append(chosen, asScope(byClass[r.Class], ofClass(worse, r.Class), r.Class))
		}
	}
	if len(chosen) > 0 {
		return chosen
	}
	// Too few failures of each case to say anything of one, but not of all together:
	// the narrowest that shows it.
	for _, class := range slices.Sorted(maps.Keys(byClass)) {
		if class != finding.AllTraffic {
			chosen = append(chosen, byClass[class])
		}
	}
	if r := byClass[finding.AllTraffic]; r != nil && len(chosen) != 1 {
		return []*Row{r}
	}
	return chosen
}

func ofClass(rows []*Row, class string) []*Row {
	var of []*Row
	for _, r := range rows {
		if r.Class == class {
			of = append(of, r)
		}
	}
	return of
}

// tailOfSlow reports whether a row of a tail belongs to a case, or class, whose
// typical requests got slower too.
func tailOfSlow(r *Row, slow []*Row) bool {
	const slower = 1.08 // near the least change of a median that counts
	return slices.ContainsFunc(slow, func(m *Row) bool {
		return m.Case == r.Case && m.Class == r.Class && (m.Result == Worse || m.Ratio >= slower)
	})
}

// tally is how many cases are decided, and how many of them are worse.
type tally struct{ cases, worse int }

func (c *tally) add(r *Row, worse bool) {
	switch {
	case worse:
		c.worse++
		c.cases++
	case r.Result != NotEnoughData:
		// A case that cannot be decided says nothing either way.
		c.cases++
	}
}

// whole: all of several decided cases are worse.
func (c *tally) whole() bool { return c.cases > 1 && c.worse == c.cases }

// severalClasses reports whether most of the cases that can be decided are worse, and those
// of several classes; or none can be.
func severalClasses(classes map[string]*tally) bool {
	const most = 0.6
	decided, worse, several := 0, 0, 0
	for _, c := range classes {
		decided += c.cases
		worse += c.worse
		if c.worse > 0 {
			several++
		}
	}
	return decided == 0 || (several > 1 && float64(worse) >= most*float64(decided))
}

// asScope returns the row of a class, or what stands for it when it has none: the
// row of its case with the most requests, as one of the class.
func asScope(row *Row, cases []*Row, class string) *Row {
	if row != nil {
		return row
	}
	largest := *slices.MaxFunc(cases, func(a, b *Row) int { return cmp.Compare(a.Requests, b.Requests) })
	largest.Text += "; all cases of the class alike"
	largest.Case, largest.Class = "", class
	return &largest
}
