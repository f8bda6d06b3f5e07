package schedule

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"lukechampine.com/uint128"
)

const (
	// maxReplayBytes and maxReplayRows bound the memory that reading a recording takes.
	maxReplayBytes = 8 << 20
	maxReplayRows  = 100_000
)

// Recording says how a recorded rate is played.
type Recording struct {
	// Name is what errors call it.
	Name string
	// Linear draws lines from row to row; otherwise a rate lasts until the next row.
	Linear bool
	// Loop starts again after the last row. In steps that row lasts as long as the one
	// before it; with lines it is the end. Otherwise its rate stays.
	Loop bool
	// Scale multiplies all rates, in millionths like a rate; 0 is 1.
	Scale Rate
}

// point is a row of a recording.
type point struct {
	at   time.Duration // since the first row
	rate Rate
}

// Replay reads a recorded rate from CSV: rows of time and rate, a header time,rate
// if there is one, lines that begin with # left out. All times are given in the
// same form: seconds, a duration such as 1m30s, or RFC 3339; they count from the first
// row and rise. Rates are rounded to a millionth, decimals beyond the ninth are left out.
func Replay(r io.Reader, c Recording) (Shape, error) {
	if c.Scale == 0 {
		c.Scale = microsPerArrival
	}
	points, err := readPoints(r, c)
	if err != nil {
		return Shape{}, err
	}
	stretches := make([]stretch, 0, len(points))
	for i, p := range points[:len(points)-1] {
		next := points[i+1]
		s := stretch{p.rate, p.rate, next.at - p.at}
		if c.Linear {
			s.to = next.rate
		}
		stretches = append(stretches, s)
	}
	last := stretch{points[len(points)-1].rate, points[len(points)-1].rate, 0}
	if c.Loop && !c.Linear {
		last.length = stretches[len(stretches)-1].length
	}
	stretches = append(stretches, last)
	var shape Shape
	if c.Loop {
		shape, err = newShape(c.text(), nil, stretches)
	} else {
		shape, err = newShape(c.text(), stretches, nil)
	}
	if err != nil {
		return Shape{}, fmt.Errorf("%s: %w", c.Name, err)
	}
	return shape, nil
}

func (c Recording) text() string {
	interpolate := "step"
	if c.Linear {
		interpolate = "linear"
	}
	return fmt.Sprintf("replay:%s,interpolate=%s,loop=%t,scale=%s", c.Name, interpolate, c.Loop, c.Scale)
}

// readPoints reads the rows and checks that there are enough.
func readPoints(r io.Reader, c Recording) ([]point, error) {
	limited := &io.LimitedReader{R: r, N: maxReplayBytes + 1}
	rows := newRowReader(limited)
	reader := pointReader{recording: c}
	var points []point
	for {
		record, err := rows.Read()
		if limited.N == 0 {
			return nil, fmt.Errorf("%s: more than %d MiB: give a recording with fewer rows", c.Name, maxReplayBytes>>20)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, csvError(c.Name, err)
		}
		if len(points) == 0 && reader.isHeader(record) {
			continue
		}
		if len(points) == maxReplayRows {
			line, _ := rows.FieldPos(0)
			return nil, fmt.Errorf("%s:%d: more than %d rows: give a recording with fewer", c.Name, line, maxReplayRows)
		}
		p, err := reader.read(rows, record)
		if err != nil {
			return nil, err
		}
		points = append(points, p)
	}
	if len(points) < 2 {
		return nil, fmt.Errorf("%s: %d rows of time and rate: give at least two, such as 0,50 and 60,100", c.Name, len(points))
	}
	return points, nil
}

func newRowReader(r io.Reader) *csv.Reader {
	buffered := bufio.NewReader(r)
	// What spreadsheets put first in UTF-8.
	if mark, err := buffered.Peek(3); err == nil && bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = buffered.Discard(3) // cannot fail: the bytes are in the buffer
	}
	rows := csv.NewReader(buffered)
	rows.Comment, rows.ReuseRecord, rows.FieldsPerRecord = '#', true, -1
	return rows
}

// csvError puts the place of a mistake in front of it.
func csvError(name string, err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("%s:%d:%d: %w: give rows of time,rate such as 60,100", name, parse.Line, parse.Column, parse.Err)
	}
	return fmt.Errorf("reading %s: %w", name, err)
}

// pointReader reads rows; the first one decides the form of all times.
type pointReader struct {
	recording Recording
	form      timeForm
	headed    bool
	first     int64 // ns
	last      time.Duration
	rows      int
}

// isHeader takes one header, in front of all rows.
func (p *pointReader) isHeader(record []string) bool {
	if p.headed || len(record) != 2 || !strings.EqualFold(strings.TrimSpace(record[0]), "time") || !strings.EqualFold(strings.TrimSpace(record[1]), "rate") {
		return false
	}
	p.headed = true
	return true
}

func (p *pointReader) read(rows *csv.Reader, record []string) (point, error) {
	fail := func(field int, format string, values ...any) (point, error) {
		line, column := rows.FieldPos(field)
		return point{}, fmt.Errorf("%s:%d:%d: %s", p.recording.Name, line, column, fmt.Sprintf(format, values...))
	}
	if len(record) != 2 {
		return fail(0, "%d fields: give two, time and rate, such as 60,100", len(record))
	}
	timeText, rateText := strings.TrimSpace(record[0]), strings.TrimSpace(record[1])
	if p.rows == 0 {
		p.form = formOf(timeText)
	}
	ns, ok := p.form.parse(timeText)
	switch {
	case !ok && p.rows == 0:
		return fail(0, "%s is not a time: give seconds such as 60, a duration such as 1m30s, or RFC 3339 such as 2026-01-31T12:00:00Z; the header, if any, is time,rate", excerpt(timeText))
	case !ok:
		return fail(0, "%s is not a time in the form of the first row: give %s", excerpt(timeText), p.form.example())
	}
	if p.rows == 0 {
		p.first = ns
	}
	at := time.Duration(ns - p.first)
	switch {
	case p.rows > 0 && (ns <= p.first || at <= p.last):
		return fail(0, "time %s is not after the one of the row before: give times that rise", excerpt(timeText))
	case at < 0 || at > maxChange:
		return fail(0, "time %s is more than 8784h after the first row: give a shorter recording", excerpt(timeText))
	}
	rate, ok := parseRecordedRate(rateText, p.recording.Scale)
	if !ok {
		return fail(1, "%s is not a rate: give arrivals a second as a decimal number from 0, such as 50 or 0.5, that times the scale %s is at most %s", excerpt(rateText), p.recording.Scale, MaxRate)
	}
	p.last = at
	p.rows++
	return point{at: at, rate: rate}, nil
}

// excerpt quotes a text, shortened to what a message can hold.
func excerpt(text string) string {
	const most = 40
	if len(text) > most {
		return strconv.Quote(text[:most]) + "..."
	}
	return strconv.Quote(text)
}

// parseRecordedRate reads a decimal number, times the scale, rounded to a
// millionth. Decimals beyond the ninth are left out: recordings have more of them
// than anyone types.
func parseRecordedRate(text string, scale Rate) (Rate, bool) {
	billionths, ok := parseBillionths(text, 7)
	if !ok {
		return 0, false
	}
	// 10^-9 * 10^-6 to 10^-6, half up.
	scaled := uint128.From64(billionths).Mul64(uint64(scale)).Add64(500_000_000).Div64(1_000_000_000)
	if scaled.Hi != 0 || Rate(scaled.Lo) > MaxRate {
		return 0, false
	}
	return Rate(scaled.Lo), true
}

// parseBillionths reads a decimal number without a sign in billionths; digits
// beyond the ninth decimal are checked and left out.
func parseBillionths(text string, wholeDigits int) (uint64, bool) {
	whole, fraction, hasPoint := strings.Cut(text, ".")
	if len(whole) > wholeDigits || len(fraction) > 40 || (hasPoint && fraction == "") || !isDigits(whole) || !isDigits(fraction) || whole+fraction == "" {
		return 0, false
	}
	fraction = (fraction + "000000000")[:9]
	value, err := strconv.ParseUint(whole+fraction, 10, 64)
	return value, err == nil
}

// timeForm is how the times of a recording are written.
type timeForm int

const (
	inSeconds timeForm = iota
	asDuration
	asRFC3339
)

func formOf(text string) timeForm {
	switch {
	case strings.Contains(text, "T"):
		return asRFC3339
	case strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' }) < 0:
		return inSeconds
	default:
		return asDuration
	}
}

func (f timeForm) example() string {
	return [...]string{"seconds such as 60 or 0.5", "a duration such as 1m30s", "RFC 3339 such as 2026-01-31T12:00:00Z"}[f]
}

// parse returns a time in nanoseconds since an origin that is the same for all
// times of the form.
func (f timeForm) parse(text string) (int64, bool) {
	switch f {
	case inSeconds:
		// Ten digits hold seconds since 1970 too; 2^63 ns end in 2262.
		ns, ok := parseBillionths(text, 10)
		return int64(ns), ok && ns < 1<<63
	case asDuration:
		d, err := time.ParseDuration(text)
		return int64(d), err == nil && d >= 0
	default:
		t, err := time.Parse(time.RFC3339Nano, text)
		// Beyond these years the nanoseconds since 1970 do not fit.
		return t.UnixNano(), err == nil && t.Year() >= 1970 && t.Year() < 2262
	}
}
