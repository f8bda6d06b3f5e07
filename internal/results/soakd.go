package results

import (
	"bufio"
	"io"

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
		r.note("the report has no windows of time: over the worst window nothing is judged")
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
