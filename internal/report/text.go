package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"soakd/internal/load"
)

// Watched says what one kind of probe watches: "off", or a few words.
type Watched struct{ Name, What string }

// Heading is what the banner says and the status does not hold.
type Heading struct {
	// URL is where soakd is served, Auth how requests identify themselves.
	URL, Auth string
	// Users is how many virtual users there are.
	Users int
	// Load says when how much is sent, Connection how the target is reached; both
	// in words and without secrets.
	Load, Connection string
	// Judged says what the target is held to, Kept where the run is kept.
	Judged, Kept string
}

// Banner is what a run prints first.
func Banner(s Status, h Heading, watched []Watched) string {
	var b strings.Builder
	duration := "until stopped"
	if s.Duration > 0 {
		duration = "for " + s.Duration.String()
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "soakd %s\n", Version())
	fmt.Fprintf(w, "  target\t%s\n", s.Target)
	fmt.Fprintf(w, "  traffic\t%s, %d virtual users (%s), %s\n", s.Workload, h.Users, h.Auth, duration)
	fmt.Fprintf(w, "  load\t%s\n", h.Load)
	fmt.Fprintf(w, "  connections\t%s\n", h.Connection)
	for _, one := range watched {
		fmt.Fprintf(w, "  probe %s\t%s\n", one.Name, one.What)
	}
	fmt.Fprintf(w, "  judged by\t%s\n", h.Judged)
	fmt.Fprintf(w, "  history\t%s\n", h.Kept)
	fmt.Fprintf(w, "  metrics\t%s/metrics\n", h.URL)
	fmt.Fprintf(w, "  page\t%s/\n", h.URL)
	flush(w)
	return b.String() + "\n"
}

// ProgressLine is one line on what happened in a window: the rate of requests
// that came to an end, quantiles from the intended start, outcomes other than
// ok, drops; and the state of the dependencies now.
func ProgressLine(s Status, w load.Window) string {
	rate := 0.0
	if w.Length > 0 {
		rate = float64(w.Finished) / w.Length.Seconds()
	}
	fields := []string{
		fmt.Sprintf("%7s", clock(s.Elapsed)),
		fmt.Sprintf("%6.1f/s", rate),
		fmt.Sprintf("in flight %d", s.Counts.InFlight),
		latency(w.ResponseTime),
		"errors " + outcomes(w.Failures),
		fmt.Sprintf("dropped %d", w.Dropped),
	}
	if s.Counts.Waiting > 0 {
		fields = append(fields, fmt.Sprintf("waiting %d", s.Counts.Waiting))
	}
	fields = append(fields, "hit ratio "+hitRatio(s), "pool "+pool(s))
	if held := heldBack(s.Throttle); held != "" {
		fields = append(fields, held)
	}
	if len(s.Fitness.Latest) > 0 {
		fields = append(fields, "unfit for judgement: "+reasons(s.Fitness.Latest))
	}
	if down := down(s); down != "" {
		fields = append(fields, "probe down: "+down)
	}
	return strings.Join(fields, "  ") + "\n"
}

// heldBack says what holds the load back; "" when nothing does.
func heldBack(t load.Throttle) string {
	var said []string
	if t.Paused {
		said = append(said, "paused")
	}
	if state := t.Circuit.State; state == load.CircuitOpen || state == load.CircuitRecovering {
		said = append(said, fmt.Sprintf("circuit %s", state))
		if !t.Paused { // which leaves no share
			said[len(said)-1] += fmt.Sprintf(" (%s of the load)", percentOf(t.Factor))
		}
	}
	if t.HeldUsers > 0 {
		said = append(said, fmt.Sprintf("%d users held", t.HeldUsers))
	}
	return strings.Join(said, ", ")
}

func reasons(list []load.UnfitReason) string {
	texts := make([]string, len(list))
	for i, reason := range list {
		texts[i] = string(reason)
	}
	return strings.Join(texts, ", ")
}

// fitness says which windows of soakd's own work were fit; "" before the first.
func fitness(s load.FitnessStatus) string {
	switch {
	case s.Windows == 0:
		return ""
	case s.Unfit == 0:
		return fmt.Sprintf("windows: all %d fit to pass a judgement\n", s.Windows)
	}
	return fmt.Sprintf("windows: %d of %d not fit to pass a judgement (%s)\n", s.Unfit, s.Windows, unfitCounts(s))
}

// unfitCounts says how many windows each reason made unfit.
func unfitCounts(s load.FitnessStatus) string {
	var counts []string
	for _, reason := range load.UnfitReasons() {
		if n := s.ByReason[reason]; n > 0 {
			counts = append(counts, fmt.Sprintf("%s %d", reason, n))
		}
	}
	return strings.Join(counts, ", ")
}

// manners counts what held the load back; "" when nothing did.
func manners(t load.Throttle) string {
	var said []string
	if t.Circuit.Trips > 0 {
		said = append(said, fmt.Sprintf("circuit opened %d, relapsed %d", t.Circuit.Trips, t.Circuit.Relapses))
	}
	if held := t.Holds.User + t.Holds.Everybody; held > 0 {
		said = append(said, fmt.Sprintf("the target asked to be left alone %d (one user %d, everybody %d, capped %d)",
			held, t.Holds.User, t.Holds.Everybody, t.Holds.Capped))
	}
	if len(said) == 0 {
		return ""
	}
	return "held back: " + strings.Join(said, "; ") + "\n"
}

// percentOf prints a share with at most two decimals.
func percentOf(share float64) string { return number(math.Round(1e4*share)/100) + " %" }

// latency prints the quantiles, with a mark when they are lower bounds.
func latency(q load.Quantiles) string {
	if q.Timed == 0 {
		return "p50/p95/p99 -"
	}
	bound := ""
	if q.AtLeast {
		bound = "≥"
	}
	return fmt.Sprintf("p50/p95/p99 %s%s/%s/%s", bound, span(q.P50), span(q.P95), span(q.P99))
}

func outcomes(failures []load.OutcomeCount) string {
	if len(failures) == 0 {
		return "0"
	}
	parts := make([]string, len(failures))
	for i, f := range failures {
		parts[i] = fmt.Sprintf("%s=%d", f.Outcome, f.Count)
	}
	return strings.Join(parts, " ")
}

func hitRatio(s Status) string {
	ratio, ok := s.HitRatio()
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*ratio)
}

// pool prints the API's own database pool, in use of its maximum.
func pool(s Status) string {
	used, ok := s.Sum("soakd_api_pool_connections", "", "", "in_use")
	if !ok {
		return "-"
	}
	if limit, ok := s.Sum("soakd_api_pool_connections", "", "", "max"); ok {
		return fmt.Sprintf("%.0f/%.0f", used, limit)
	}
	return fmt.Sprintf("%.0f", used)
}

func down(s Status) string {
	var names []string
	for _, status := range s.Probes {
		if status.Known && !status.Success {
			names = append(names, status.Probe)
		}
	}
	return strings.Join(names, ", ")
}

// Table is what a run prints last: a row a case, the sum, the account of all
// arrivals, the first reason of each kind of failure, and whether soakd itself was
// fit to judge.
func Table(s Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s %s against %s, %s; times from the intended start, sent: from the send\n\n",
		s.Workload, pace(s), s.Target, clock(s.Elapsed))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "case\trequests\tok\tfailed\tp50\tp95\tp99\tmax\tsent p50\tsent p99\t")
	for _, row := range s.Cases {
		if row.Finished > 0 {
			tableRow(w, row)
		}
	}
	s.All.Name = "all"
	tableRow(w, s.All)
	flush(w)
	b.WriteString("\n" + account(s.Counts))
	b.WriteString(failures(s.Cases))
	b.WriteString(manners(s.Throttle) + fitness(s.Fitness))
	return b.String()
}

// pace says how much was to be sent.
func pace(s Status) string {
	if s.Closed {
		return fmt.Sprintf("in closed mode with %d users", s.Users)
	}
	return fmt.Sprintf("at %s arrivals a second", number(s.Rate))
}

func tableRow(w *tabwriter.Writer, row load.CaseSummary) {
	due, send := row.ResponseTime, row.Duration
	fmt.Fprintf(w, "%s\t%d\t%d\t%d\t", row.Name, row.Finished, row.OK, row.Failed())
	if due.Timed == 0 {
		fmt.Fprintln(w, "-\t-\t-\t-\t-\t-\t")
		return
	}
	for _, d := range []time.Duration{due.P50, due.P95, due.P99, due.Max, send.P50, send.P99} {
		fmt.Fprintf(w, "%s\t", span(d))
	}
	fmt.Fprintln(w)
}

// account prints the sums that must add up.
func account(c load.Counts) string {
	var b strings.Builder
	fmt.Fprintf(&b, "arrivals: %d scheduled = %d sent + %d waiting + %d dropped", c.Scheduled, c.Sent, c.Waiting, c.TotalDropped())
	var reasons []string
	for _, reason := range load.DropReasons() {
		if n := c.Dropped[reason]; n > 0 {
			reasons = append(reasons, fmt.Sprintf("%s %d", reason, n))
		}
	}
	if len(reasons) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(reasons, ", "))
	}
	fmt.Fprintf(&b, "\nrequests: %d sent = %d finished + %d in flight + %d cut\n", c.Sent, c.Finished, c.InFlight, c.Cut)
	if c.Incomplete() {
		b.WriteString("what was dropped or cut is missing above, and it is the slowest: the times are lower bounds\n")
	}
	return b.String()
}

func failures(cases []load.CaseSummary) string {
	var b strings.Builder
	for _, row := range cases {
		for _, f := range row.Failures {
			fmt.Fprintf(&b, "  %s: %d %s, first: %s\n", row.Name, f.Count, f.Outcome, cmp.Or(f.Reason, "-"))
		}
	}
	if b.Len() == 0 {
		return "no failures\n"
	}
	return "failures:\n" + b.String()
}

// span prints a time with three significant digits.
func span(d time.Duration) string {
	switch {
	case d >= 100*time.Second:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.3gs", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.3gms", math.Min(float64(d)/1e6, 999))
	}
	return fmt.Sprintf("%dµs", d.Microseconds())
}

// clock prints an elapsed time to the second.
func clock(d time.Duration) string { return d.Round(time.Second).String() }

func number(x float64) string { return fmt.Sprintf("%g", x) }

// flush ends a table; its writer is a strings.Builder, which cannot fail.
func flush(w *tabwriter.Writer) { _ = w.Flush() }

// busy returns the rows that have requests, for the page.
func busy(cases []load.CaseSummary) []load.CaseSummary {
	return slices.DeleteFunc(slices.Clone(cases), func(c load.CaseSummary) bool { return c.Finished == 0 })
}
