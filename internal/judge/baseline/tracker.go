package baseline

import (
	"math"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// TrackerConfig says how versions are compared as they come. Zero values stand for
// the defaults.
type TrackerConfig struct {
	// Profile says how profiles are made; its Version is not used.
	Profile Config
	Limits  Limits
	// Longest is after how many windows of the newer version a comparison is final, if
	// not everything is decided before. Default 240: four hours.
	Longest int
}

const (
	defaultLongest = 240
	// A comparison costs some ten milliseconds. The first thirty windows have one each,
	// and then one is made whenever there is a tenth more to compare.
	eachWindow, tenth = 30, 10
	// twice: a row has to be worse in so many comparisons in a row.
	twice = 2
)

// Tracker follows the versions of a target: it keeps the profile of the present one,
// and compares it with that of the last other one, or with one that was set. Make it with
// [NewTracker]. A caller serialises all calls.
type Tracker struct {
	cfg Config
	Limits
	longest int
	current *tracked
	// last is the last other version, pinned what was set.
	last   *tracked
	pinned *Profile
	// frozen is the profile of last, made once.
	frozen *Profile
	state  comparing
}

// tracked is a version with its profile under way.
type tracked struct {
	version string
	builder *Builder
	// from..to is in which its first answer lies.
	from, to time.Time
	// seen is the end of its latest window.
	seen time.Time
}

// comparing is how a comparison goes.
type comparing struct {
	latest *Comparison
	final  bool
	// at is after how many windows the latest comparison was made.
	at int
	// worse counts, by row, in how many comparisons in a row it was worse.
	worse map[rowKey]int
	// present are the symptoms, by key.
	present map[string]finding.Symptom
}

type rowKey struct{ name, class, signal string }

// NewTracker returns a tracker that has seen nothing.
func NewTracker(cfg TrackerConfig) *Tracker {
	t := &Tracker{cfg: cfg.Profile.withDefaults(), Limits: cfg.Limits.withDefaults(), longest: cfg.Longest}
	if t.longest <= 0 {
		t.longest = defaultLongest
	}
	t.cfg.Version = ""
	return t
}

// SetReference has the present version, and all that come, compared with this
// profile (a named baseline); nil goes back to the last other version. A comparison
// under way begins anew with what was observed; symptoms of the old one are over
// with the next window.
func (t *Tracker) SetReference(p *Profile) {
	t.pinned = p
	t.state.latest, t.state.final, t.state.at, t.state.worse = nil, false, 0, nil
}

// Reference is the profile that is compared with, nil when there is none. The last
// other version is one when it had at least as many windows as a comparison takes.
func (t *Tracker) Reference() *Profile {
	if t.pinned != nil {
		return t.pinned
	}
	return t.frozen
}

// Profile is the profile of the present version so far, nil before the first window.
func (t *Tracker) Profile() *Profile {
	if t.current == nil {
		return nil
	}
	p := t.current.builder.Profile()
	p.Version = t.current.version
	return p
}

// Comparison returns the latest comparison, and whether it is final; nil when there is nothing to
// compare with, or nothing to compare yet.
func (t *Tracker) Comparison() (c *Comparison, final bool) { return t.state.latest, t.state.final }

// Observe takes the next window of the level of a minute, and returns the symptoms
// that are present: what is worse than the reference, for as long as this version runs; and
// once each, as Over, when another version came.
func (t *Tracker) Observe(w *window.Window) []finding.Symptom {
	over := t.follow(w)
	if t.current == nil {
		return over
	}
	if w.Version == "" || w.Version == t.current.version {
		t.current.builder.Observe(w)
		t.current.seen = w.End()
	}
	if t.due() {
		t.compare()
	}
	return append(over, t.symptoms(w)...)
}

// follow notices another version, and returns what is over with the one before.
// What answers without a version is the one that was there.
func (t *Tracker) follow(w *window.Window) []finding.Symptom {
	version := w.Version
	switch {
	case version == window.Mixed:
		return nil
	case t.current == nil:
		t.current = t.begin(version, w.Start, w.Start)
		return nil
	case version == "" || version == t.current.version:
		return nil
	case t.current.version == "" && t.current.builder.Windows() == 0:
		t.current.version = version
		return nil
	}
	over := t.end(w.Start)
	before := t.current
	switch {
	case before.builder.Windows() >= t.Windows:
		t.last = before
		t.frozen = t.Profile()
		t.current = t.begin(version, before.seen, w.Start)
	case t.last != nil && t.last.version == version:
		// The other one was there for a moment only. What came back goes on.
		t.current, t.last, t.frozen = t.last, nil, nil
	default:
		t.current = t.begin(version, before.seen, w.Start)
	}
	return over
}

func (t *Tracker) begin(version string, from, to time.Time) *tracked {
	return &tracked{version: version, builder: NewBuilder(t.cfg), from: from, to: to}
}

// end ends a comparison and returns its symptoms as over.
func (t *Tracker) end(at time.Time) []finding.Symptom {
	over := ended(t.state.present, nil, at)
	t.state = comparing{}
	return over
}

// due reports whether the profiles are to be compared now.
func (t *Tracker) due() bool {
	reference := t.Reference()
	windows := t.current.builder.Windows()
	if reference == nil || t.state.final || windows < t.Windows || windows == t.state.at {
		return false
	}
	return windows <= eachWindow || windows >= t.state.at+t.state.at/tenth || windows >= t.longest
}

// compare compares the profiles as they are.
func (t *Tracker) compare() {
	now := t.current.builder.figures()
	now.Version = t.current.version
	c := Compare(t.Reference(), now, t.Limits)
	t.hold(&c)
	t.state.latest, t.state.at = &c, t.current.builder.Windows()
	worse := map[rowKey]int{}
	decided := true
	for i := range c.Rows {
		r := &c.Rows[i]
		key := r.key()
		if r.Result == Worse {
			worse[key] = t.state.worse[key] + 1
			decided = decided && worse[key] >= twice
		}
		decided = decided && r.Result != NotEnoughData
	}
	t.state.worse = worse
	t.state.final = decided || t.state.at >= t.longest
}

// hold keeps what was found until it is no more than half of what counts: a
// regression that is found does not come and go with the noise.
func (t *Tracker) hold(c *Comparison) {
	for i := range c.Rows {
		r := &c.Rows[i]
		if r.Result != NotEnoughData || t.state.worse[r.key()] < twice || !t.half(r) {
			continue
		}
		c.Unknown = slices.DeleteFunc(c.Unknown, func(line string) bool { return line == r.Text })
		r.Result, r.Text = Worse, strings.Replace(r.Text, "not enough data", "worse", 1)
	}
	c.Result = overall(c.Rows)
}

// half reports whether a row is worse by half of the effect that counts.
func (t *Tracker) half(r *Row) bool {
	for f, figure := range figures() {
		if figure.signal == r.Signal {
			return r.Ratio > math.Exp(t.effect(f)/2)
		}
	}
	return r.After-r.Before > t.ErrorPoints/2
}

func (r *Row) key() rowKey { return rowKey{r.Case, r.Class, r.Signal} }
