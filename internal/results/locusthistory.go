package results

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"slices"
	"time"

	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
	"soakd/internal/report"
)

// The history of a Locust run has a row of the sum each second, and with
// --csv-full-history rows of the names before it. Its counts go on from the start. Its
// percentiles are of about the last 10 s when the names have rows, and in 0.13 always;
// else they too are of all since the start, and say nothing of one stretch of time
// (locust/stats.py of 0.13.5, 1.0.3, 2.12.1 and of 2026: _stats_history_data_rows). So
// stretches of 10 s are counted back from the last row: each then ends with a row whose
// percentiles are its own, and the first, shorter one has all that was before.
const (
	historyWindow = 10 * time.Second
	// historyRows is how far rows may be apart for percentiles of 10 s to be those of the stretch.
	historyRows = 2 * time.Second
	// maxStretches bounds the stretches that are kept: 23 days.
	maxStretches = 200_000
	// maxFigures bounds the figures of names in all stretches together; later ones have only the sum.
	maxFigures = 400_000
)

// history is a history that is being read.
type history struct {
	l *locust
	t *table
	c locustColumns
	// stamp and users are where the time and the number of users stand.
	stamp, users int
	// start is when the run began, first and last are the times of the first and the last row, and
	// current tells that percentiles are of the last 10 s.
	start, first, last time.Time
	current            bool

	// begin is where the stretch under way began, with what was counted until then.
	begin   time.Time
	before  map[string]counted
	now     map[string]locustRow
	figures int
	// ended tells that the last stretch is what came after the last row.
	ended bool
	// users are those of the latest row.
	maxUsers, usersNow int
	stretches          []*stretch
	resets             int
}

// counted is what had been counted of a name.
type counted struct {
	requests, failed int64
	// sum is the sum of the response times, below 0 where it is not known.
	sum float64
}

// stretch is a stretch of a Locust run.
type stretch struct {
	all   threshold.Figures
	cases map[string]threshold.Figures
	users int
}

// Of implements [threshold.Stretch].
func (s *stretch) Of(name, class string) (threshold.Figures, bool) {
	if name == "" {
		return s.all, class == ""
	}
	f, found := s.cases[name]
	return f, found
}

// readHistory reads the history twice: to see how long it is and what it holds, and then its stretches.
func (l *locust) readHistory(t *table) error {
	h := &history{l: l, t: t}
	if err := h.look(); err != nil {
		return err
	}
	l.noteCut(t)
	if h.first.IsZero() {
		l.result.note("%s has no row: when it ran is not known", t.file)
		return nil
	}
	file, err := os.Open(t.file)
	if err != nil {
		return fmt.Errorf("read Locust's results: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	if h.t, err = openTable(t.file, bufio.NewReaderSize(file, 64<<10), true); err != nil {
		return err
	}
	return h.read()
}

// columns finds the columns, whose totals are called "Total Request Count" from 1.0 on.
func (h *history) columns() error {
	h.c = h.t.locustColumns("total ")
	h.c.median = -1 // of all time since the start
	h.stamp, h.users = h.t.column("timestamp"), h.t.column("user count")
	if h.stamp < 0 || h.c.name < 0 || h.c.requests < 0 {
		return wrong(h.t.file, 1, "it has no columns Timestamp, Name and Total Request Count (or # requests): it is no history of Locust's")
	}
	return nil
}

// time reads the time of a row, in whole seconds.
func (h *history) time() (time.Time, error) {
	seconds, err := h.t.count(h.stamp, "Timestamp")
	if err != nil {
		return time.Time{}, err
	}
	at := time.Unix(seconds, 0).UTC()
	if !plausible(at) {
		return at, wrong(h.t.file, h.t.line, "Timestamp %d: it must be seconds since 1970", seconds)
	}
	return at, nil
}

// look reads the history for its first and its last row.
func (h *history) look() error {
	if err := h.columns(); err != nil {
		return err
	}
	_, h.current = h.t.columns["# requests"]
	for {
		more, err := h.t.next(h.t.width())
		if err != nil || !more {
			return err
		}
		at, err := h.time()
		if err != nil {
			return err
		}
		if h.first.IsZero() {
			h.first = at
		}
		if at.Before(h.last) || at.Sub(h.last) > longest && !h.last.IsZero() {
			return wrong(h.t.file, h.t.line, "the time %v does not follow on %v: it must hold one run", at.Format(time.RFC3339), h.last.Format(time.RFC3339))
		}
		h.last = at
		if !isAggregated(h.t.field(h.c.method), h.t.field(h.c.name)) {
			h.current = true
		} else if h.start.IsZero() {
			if h.start, err = h.began(); err != nil {
				return err
			}
		}
	}
}

// began is when the run began: with the first row where nothing had been counted by then,
// and else before it by what that took at the mean rate of the run.
func (h *history) began() (time.Time, error) {
	row, err := h.t.locustRow(&h.c)
	run := &h.l.result.Run
	if err != nil || run.All.Requests == 0 || row.Requests > run.All.Requests {
		return h.first, err
	}
	lead := float64(run.Elapsed) * float64(row.Requests) / float64(run.All.Requests)
	return h.first.Add(-time.Duration(lead).Round(time.Second)), nil
}

// read makes the stretches.
func (h *history) read() error {
	if err := h.columns(); err != nil {
		return err
	}
	h.before, h.now = map[string]counted{}, map[string]locustRow{}
	if h.start.IsZero() {
		h.start = h.first
	}
	h.begin = h.start
	whole := h.last.Sub(h.start) % historyWindow
	if whole == 0 {
		whole = historyWindow
	}
	due := h.start.Add(whole) // the end of the first stretch
	for {
		more, err := h.t.next(h.t.width())
		if err != nil {
			return err
		}
		if !more {
			break
		}
		sum, at, err := h.take()
		if err != nil {
			return err
		}
		if !sum {
			continue
		}
		if !at.Before(due) && at.After(h.begin) {
			h.close(at)
			for !due.After(at) {
				due = due.Add(historyWindow)
			}
		} else if at.Equal(h.start) {
			h.remember()
		}
	}
	h.finish()
	return nil
}

// take takes a row in; sum tells that it is that of the sum, the last of its time.
func (h *history) take() (sum bool, at time.Time, err error) {
	if at, err = h.time(); err != nil {
		return false, at, err
	}
	row, err := h.t.locustRow(&h.c)
	if err != nil {
		return false, at, err
	}
	name := ""
	if !row.aggregated {
		name = h.l.caseName(row.Method, row.Name)
		if name == "" {
			return false, at, nil // beyond the bound
		}
	}
	h.now[name] = row
	if row.aggregated && h.users >= 0 {
		users, known, err := h.t.number(h.users, "User Count")
		if err != nil {
			return false, at, err
		}
		if known && users >= 0 && users < 1e9 {
			h.usersNow = int(users)
			h.maxUsers = max(h.maxUsers, h.usersNow)
		}
	}
	return row.aggregated, at, nil
}

// remember keeps what has been counted until now.
func (h *history) remember() {
	for name := range h.now {
		row := h.now[name]
		one := counted{requests: row.Requests, failed: row.Failed, sum: -1}
		switch {
		case row.Requests == 0:
			one.sum = 0
		case row.ResponseTime.Mean >= 0:
			one.sum = float64(row.ResponseTime.Mean) * float64(row.Requests)
		}
		h.before[name] = one
	}
}

// close ends a stretch with the rows of that time.
func (h *history) close(at time.Time) {
	if len(h.stretches) >= maxStretches {
		h.l.result.Cut = fmt.Sprintf("%s is longer than %v: what follows is not known by windows", h.t.file, maxStretches*historyWindow)
		return
	}
	// Where rows are further apart, percentiles of 10 s are of a part of the stretch.
	own := h.current && at.Sub(h.begin) <= historyWindow+historyRows
	s := &stretch{cases: map[string]threshold.Figures{}}
	for name := range h.now {
		row := h.now[name]
		f := h.since(name, &row, own)
		f.Start, f.Length = h.begin, at.Sub(h.begin)
		switch {
		case name == "":
			s.all = f
		case h.figures < maxFigures:
			s.cases[name] = f
			h.figures++
		}
	}
	s.users = h.usersNow
	h.stretches = append(h.stretches, s)
	h.remember()
	h.begin = at
	if h.figures >= maxFigures {
		for name := range h.now {
			if name != "" {
				delete(h.now, name)
			}
		}
	}
}

// since returns what a name came to since the last stretch; own tells that the percentiles
// of its row are of that time.
func (h *history) since(name string, row *locustRow, own bool) threshold.Figures {
	old := h.before[name]
	if row.Requests < old.requests || row.Failed < old.failed {
		h.resets++ // --reset-stats, when all users had been started
		old = counted{}
	}
	f := threshold.Figures{Requests: row.Requests - old.requests, Failed: row.Failed - old.failed}
	f.Times = threshold.Times{Count: f.Requests, Mean: unknown, Min: unknown, Max: unknown}
	if f.Requests == 0 {
		return f
	}
	if row.ResponseTime.Mean >= 0 && old.sum >= 0 {
		sum := float64(row.ResponseTime.Mean)*float64(row.Requests) - old.sum
		f.Times.Mean = max(0, time.Duration(sum/float64(f.Requests)))
	}
	known := row.ResponseTime.Known
	// Locust writes 0 where it does not know. Nothing takes 0 ms but what took less than half of one.
	zero := len(known) > 0 && known[len(known)-1].At == 0 && f.Times.Mean >= time.Millisecond
	if own && !zero {
		f.Times.Known = slices.Clone(known)
		if last := len(known) - 1; last >= 0 && known[last].Q == 1 {
			f.Times.Max = known[last].At
		}
	}
	return f
}

// finish gives the result its times, windows and points.
func (h *history) finish() {
	r := h.l.result
	r.Run.Start, r.Run.Users = h.start, h.maxUsers
	if r.Run.Elapsed == 0 {
		r.Run.Elapsed = h.last.Sub(h.start)
	}
	r.TimesOfWindows = len(h.stretches) > 0
	h.tail()
	for i, s := range h.stretches {
		r.Windows = append(r.Windows, s)
		if last := i == len(h.stretches)-1 && h.ended; !last && s.all.Requests > 0 && s.all.Times.Known == nil {
			r.TimesOfWindows = false
		}
	}
	switch {
	case !h.current:
		r.note("the percentiles in %s are of all time since the start, not of windows: let Locust write them with --csv-full-history", h.t.file)
	case !r.TimesOfWindows && len(h.stretches) > 0:
		r.note("%s does not tell the percentiles of all windows of %v", h.t.file, historyWindow)
	}
	if h.resets > 0 {
		r.note("the counts in %s begin anew within the run (--reset-stats): what was before counts for nothing", h.t.file)
	}
	r.Run.Points = points(h.stretches, failureName(&r.Run.All))
}

// tail adds what came after the last row: Locust writes the history to the disk every
// ten seconds and not at its end, so that what is missing there is in the totals alone. Its
// percentiles are not known.
func (h *history) tail() {
	run := &h.l.result.Run
	length := run.Elapsed - h.begin.Sub(h.start)
	if length <= 0 || run.All.Requests <= h.before[""].requests || len(h.stretches) >= maxStretches {
		return
	}
	of := func(name string, t *report.Traffic) threshold.Figures {
		f := h.since(name, &locustRow{Traffic: *t}, false)
		f.Start, f.Length = h.begin, length
		return f
	}
	s := &stretch{all: of("", &run.All), cases: map[string]threshold.Figures{}, users: h.usersNow}
	if len(h.before) > 1 && h.figures < maxFigures { // names have rows
		for i := range run.Cases {
			s.cases[run.Cases[i].Name] = of(run.Cases[i].Name, &run.Cases[i])
		}
	}
	h.stretches, h.ended = append(h.stretches, s), true
	if !h.current {
		return
	}
	h.l.result.note("%s ends %v before the run: the percentiles of the last %d requests are known in the whole run alone",
		h.t.file, length.Round(time.Second), s.all.Requests)
}

// failureName is the outcome that all failures of a run had, or "failed" for several.
func failureName(all *report.Traffic) string {
	if len(all.Failures) == 1 {
		return all.Failures[0].Outcome
	}
	return "failed"
}

// points makes at most [report.MaxWindows] points of stretches. Where several make one, its
// p95, p99 and maximum are those of the worst of them and its median is the mean
// of theirs, since quantiles cannot be added.
func points(list []*stretch, failed string) []report.Point {
	of := (len(list) + report.MaxWindows - 1) / report.MaxWindows
	var made []report.Point
	for part := range slices.Chunk(list, max(1, of)) {
		made = append(made, point(part, failed))
	}
	return made
}

func point(part []*stretch, failed string) report.Point {
	p := report.Point{Start: part[0].all.Start}
	names := map[string]bool{}
	var sum []threshold.Figures
	for _, s := range part {
		p.Length += s.all.Length
		p.Users = max(p.Users, s.users)
		sum = append(sum, s.all)
		for name := range s.cases {
			names[name] = true
		}
	}
	all := joined("", sum)
	p.Requests, p.Failed, p.P50, p.P95, p.P99, p.Max = all.Requests, all.Failed, all.P50, all.P95, all.P99, unknown
	for i := range sum {
		p.Max = max(p.Max, sum[i].Times.Max)
	}
	p.Outcomes = window.Counts(map[string]int64{okOutcome: p.Requests - p.Failed, failed: p.Failed})
	for name := range names {
		var own []threshold.Figures
		for _, s := range part {
			if f, found := s.cases[name]; found {
				own = append(own, f)
			}
		}
		if one := joined(name, own); one.Requests > 0 {
			p.Cases = append(p.Cases, one)
		}
	}
	slices.SortFunc(p.Cases, func(a, b report.PointCase) int { return cmp.Compare(a.Name, b.Name) })
	return p
}

// joined puts figures of several stretches together; see points.
func joined(name string, list []threshold.Figures) report.PointCase {
	p := report.PointCase{Name: name, P50: unknown, P95: unknown, P99: unknown}
	sum, weight := 0.0, 0.0
	for i := range list {
		f := &list[i]
		p.Requests += f.Requests
		p.Failed += f.Failed
		if at, known := f.Times.Quantile(0.5); known {
			sum += float64(at) * float64(f.Requests)
			weight += float64(f.Requests)
		}
		if at, known := f.Times.Quantile(0.95); known {
			p.P95 = max(p.P95, at)
		}
		if at, known := f.Times.Quantile(0.99); known {
			p.P99 = max(p.P99, at)
		}
	}
	if weight > 0 {
		p.P50 = time.Duration(sum / weight)
	}
	return p
}
