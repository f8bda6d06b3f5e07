package results

import (
	"bufio"
	"io"
	"time"

	"soakd/internal/judge/threshold"
	"soakd/internal/judge/window"
	"soakd/internal/report"
)

// recording notes the first error of a stream other than its end, so that a disk that
// fails is not taken for a mistake in the file.
type recording struct {
	from io.Reader
	err  error
}

func (r *recording) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // as io.Reader has it
		r.err = err
	}
	return n, err //nolint:wrapcheck // as it is
}

// readSoakd reads a report of soakd's own. Of one of another tool that soakd wrote, the tool
// is that one.
func readSoakd(file string, from *bufio.Reader, o Options) (*Result, error) {
	stream := &recording{from: from}
	run, err := report.ReadJSON(stream)
	switch {
	case stream.err != nil:
		return nil, readError(file, stream.err)
	case err != nil:
		return nil, wrong(file, 0, "it is no report of soakd's: %v", err)
	}
	r := &Result{Run: *run, FromReport: true, Recorded: run.Thresholds}
	if len(run.Windows) == 0 {
		r.Whole = totals{&r.Run}
		r.ofPoints()
		return r, nil
	}
	r.Sampled = true
	if o.Window != nil {
		for _, w := range run.Windows {
			o.Window(w)
		}
	}
	return r, nil
}

// ofPoints makes windows of the points of a report without windows, which is one of a tool that
// writes totals. Where several windows make a point its quantiles are of the worst of them, and are
// not taken.
func (r *Result) ofPoints() {
	r.TimesOfWindows = len(r.Run.Points) > 0
	for i := range r.Run.Points {
		p := &r.Run.Points[i]
		if p.Length > historyWindow+historyRows {
			r.Windows, r.TimesOfWindows = nil, false
			break
		}
		s := &stretch{all: figuresOf(p, p.Requests, p.Failed, p.P50, p.P95, p.P99, p.Max), cases: map[string]threshold.Figures{}, users: p.Users}
		s.all.Missing = p.Dropped
		for _, c := range p.Cases {
			s.cases[c.Name] = figuresOf(p, c.Requests, c.Failed, c.P50, c.P95, c.P99, unknown)
		}
		r.TimesOfWindows = r.TimesOfWindows && (p.Requests == 0 || s.all.Times.Known != nil)
		r.Windows = append(r.Windows, s)
	}
	if len(r.Windows) == 0 {
		r.note("the report has no windows of %v: over the worst window nothing is judged", window.Short)
	}
}

// figuresOf are the figures of a point; times below 0 are not known.
func figuresOf(p *report.Point, requests, failed int64, p50, p95, p99, most time.Duration) threshold.Figures {
	f := threshold.Figures{Start: p.Start, Length: p.Length, Requests: requests, Failed: failed}
	f.Times = threshold.Times{Count: requests, Mean: unknown, Min: unknown, Max: most}
	for _, k := range []threshold.Quantile{{Q: 0.5, At: p50}, {Q: 0.95, At: p95}, {Q: 0.99, At: p99}, {Q: 1, At: most}} {
		if k.At >= 0 && requests > 0 {
			f.Times.Known = append(f.Times.Known, k)
		}
	}
	return f
}
