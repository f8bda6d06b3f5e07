package outage

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// probe is how the polls of one probe have gone.
type probe struct {
	name, target string
	// run counts the polls that failed in a row up to now, because what it watches was
	// away, from is when the first of them began.
	run  int
	from time.Time
	// lastOK is when the last good poll began.
	lastOK time.Time
	reason string
	// unclear says why it is not known whether the target is away; "" when it is.
	unclear string
}

// targetOf returns what a probe watches: a canary watches what it writes to.
func targetOf(probe string) string { return strings.TrimSuffix(probe, "_canary") }

// isDependency reports a target that the API needs, so that the API's failing may
// be the other's fault. Of the other probes nobody knows: an endpoint may be the
// API's own.
func isDependency(target string) bool {
	return target == "postgres" || target == "redis" || strings.HasPrefix(target, "postgres/") || strings.HasPrefix(target, "redis/")
}

// away reports a reason of a failed poll that means that the target cannot be
// used, and not that soakd may not look or was told wrongly where to.
func away(reason string) bool {
	switch reason {
	case "connect", "timeout", "reset", "dns", "unavailable", "tls", "hung":
		return true
	}
	return false
}

// readPolls follows what the probes watch.
func (d *Detector) readPolls(v *view) {
	for i := range v.w.Probes {
		p := &v.w.Probes[i]
		state := d.probe(p.Name)
		if p.Polls == 0 || state == nil {
			continue
		}
		before, after, success := order(p, v.w.Length)
		if before > 0 {
			d.pollsFailed(state, p, before, v)
		}
		if !success.IsZero() {
			if success.After(v.end) {
				success = v.end
			}
			d.pollSucceeded(state, success, v)
			state.lastOK = p.LastSuccess
		}
		if after > 0 {
			d.pollsFailed(state, p, after, v)
		}
	}
}

func (d *Detector) probe(name string) *probe {
	p := d.probes[name]
	if p == nil && len(d.probes) < maxTargets {
		p = &probe{name: name, target: targetOf(name)}
		d.probes[name] = p
		d.totals[p.target] += 0
	}
	return p
}

// order returns how many polls of a window failed before the first success, how
// many after the last, and when the first success was. Of a failure between two
// successes nothing is left. Where failures came first, how many is estimated from the
// time they took; those after the last success are left to the next window.
func order(p *window.Probe, length time.Duration) (before, after int, success time.Time) {
	switch {
	case p.Failed == 0:
		return 0, 0, p.FirstSuccess
	case p.Failed >= p.Polls:
		return p.Failed, 0, time.Time{}
	case p.FirstFailure.Before(p.FirstSuccess):
		between := float64(length) / float64(p.Polls)
		n := int(math.Round(float64(p.FirstSuccess.Sub(p.FirstFailure)) / between))
		return min(max(n, 1), p.Failed), 0, p.FirstSuccess
	case p.LastSuccess.Before(p.FirstFailure):
		return 0, p.Failed, p.FirstSuccess
	}
	return 0, 0, p.FirstSuccess
}

func (d *Detector) pollsFailed(p *probe, polls *window.Probe, n int, v *view) {
	if v.trouble && polls.Reason != "unavailable" {
		return // no sign of anything: it may be soakd's own fault
	}
	if !away(polls.Reason) {
		p.run = 0
		p.unclear = fmt.Sprintf("its polls fail (%.20s), which does not tell whether %s can be used; the log has the text", polls.Reason, p.target)
		return
	}
	if d.answersInPart(p.name, polls, v) {
		p.run = 0
		p.unclear = fmt.Sprintf("%s answers in part (%.20s)", p.target, polls.Reason)
		return
	}
	p.unclear = ""
	if p.run == 0 {
		p.from = polls.FirstFailure
		if p.from.IsZero() {
			p.from = v.start
		}
	}
	p.run += n
	p.reason = polls.Reason
	d.pollsTell(p, v)
}

// answersInPart reports a probe whose polls all failed and that read something of
// its server all the same: a query that waits for a lock, one node of several. That
// is no outage, unless a part is really gone and the requests fail as well.
func (d *Detector) answersInPart(name string, polls *window.Probe, v *view) bool {
	if polls.Failed < polls.Polls || !d.reads(name, v.w) {
		return false
	}
	slow := polls.Reason == "timeout" || polls.Reason == "hung"
	return slow || !d.suffers(v, breaks)
}

// reads reports that the probe of a server read what every one of its servers has.
func (d *Detector) reads(name string, w *window.Window) bool {
	kind, server, labelled := strings.Cut(name, "/")
	metric := map[string]string{"postgres": "soakd_postgres_max_connections", "redis": "soakd_redis_memory_used_bytes"}[kind]
	for _, s := range w.Named(metric) {
		if s.N == 0 {
			continue
		}
		if labelled && strings.Contains(s.Labels, fmt.Sprintf("server=%q", server)) {
			return true
		}
		if !labelled && !d.ofAnother(kind, s.Labels) {
			return true
		}
	}
	return false
}

// ofAnother reports labels with the name of a server that has a probe of its own.
func (d *Detector) ofAnother(kind, labels string) bool {
	for name := range d.probes {
		if server, found := strings.CutPrefix(name, kind+"/"); found && strings.Contains(labels, fmt.Sprintf("server=%q", server)) {
			return true
		}
	}
	return false
}

// pollsTell opens an outage where the failed polls are enough for one.
func (d *Detector) pollsTell(p *probe, v *view) {
	o := d.open[p.target]
	if o != nil {
		o.Reason = p.reason
		if o.End.IsZero() {
			o.unseen = false
			return
		}
	}
	if !d.enoughPolls(p, v) || (o != nil && o.resume()) {
		return
	}
	if o != nil {
		d.close(o)
	}
	kind := finding.Outage
	if p.target == API && v.failed > 0 && v.hangs() {
		kind = finding.Hang
	}
	o = d.begin(p.target, kind, p.lastOK, d.failingSince(p, v), v)
	o.Reason, o.least = p.reason, nearly*most
}

func (d *Detector) enoughPolls(p *probe, v *view) bool {
	if p.target != API {
		return p.run >= d.cfg.Polls || d.suffers(v, breaks)
	}
	// The requests say more about the API than the reading of its metrics, unless
	// there are none.
	if v.ok+v.failed == 0 {
		return v.w.Sent == 0 && p.run > d.cfg.Polls
	}
	return !v.confined && d.suffers(v, most)
}

// failingSince returns when what the polls found began: with the first of them, or
// with requests that failed since some time between it and the good poll before.
func (d *Detector) failingSince(p *probe, v *view) time.Time {
	since := p.from
	if d.calm.until(since).share > 0.25 {
		return since
	}
	views := slices.Concat(d.recent, []*view{v})
	for i := len(views) - 1; i >= 0; i-- {
		bins := views[i].bins
		for j := len(bins) - 1; j >= 0; j-- {
			b := &bins[j]
			if !b.start.Before(p.from) || b.ok+b.failed == 0 {
				continue
			}
			if b.share() < 0.5 || b.start.Before(p.lastOK) || p.from.Sub(b.start) > hangBefore {
				return since
			}
			since = b.start
		}
	}
	return since
}

func (d *Detector) pollSucceeded(p *probe, at time.Time, v *view) {
	p.run, p.unclear = 0, ""
	o := d.open[p.target]
	if o == nil || !o.End.IsZero() {
		return
	}
	if p.target == API && (v.ok+v.failed > 0 || v.w.Sent > 0) {
		return // the requests tell
	}
	for _, other := range d.probes {
		if other.target == p.target && other.run > 0 {
			return
		}
	}
	o.end(at)
}

// noteRestart looks for a sign that the API's process is another one.
func (d *Detector) noteRestart(w *window.Window) {
	for _, s := range w.Named("soakd_api_restarts_total") {
		if s.Increase > 0 {
			d.restarted = w.End()
		}
	}
	for _, s := range w.Named("soakd_api_start_time_seconds") {
		before, known := d.starts[s.Labels]
		if s.N == 0 || (!known && len(d.starts) >= maxTargets) {
			continue
		}
		if known && s.Max > before+1 {
			d.restarted = w.End()
		}
		d.starts[s.Labels] = max(before, s.Max)
	}
}
