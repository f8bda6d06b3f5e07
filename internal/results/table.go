package results

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
)

// maxRecord bounds a line, in bytes: vegeta writes the bodies of answers into its.
const maxRecord = 64 << 20

// errTooLong is what a line above maxRecord ends with.
var errTooLong = errors.New("a line is longer than 64 MiB")

// bounded ends a record that is too long, such as one of a quote that is never closed.
type bounded struct {
	from io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.from.Read(p)
	b.left -= n
	return n, err
}

// table reads a CSV file whose columns are found by their names.
type table struct {
	file    string
	reader  *csv.Reader
	bounded *bounded
	// columns are the places of the columns, by name in small letters.
	columns map[string]int
	record  []string
	line    int
	// cut tells that the last line ended in its midst.
	cut bool
}

// openTable reads the header of a CSV file, with or without a byte order mark. lazy lets quotes stand
// in a field that were not doubled.
func openTable(file string, from *bufio.Reader, lazy bool) (*table, error) {
	t := newTable(file, from, lazy)
	more, err := t.read()
	if err != nil {
		return nil, err
	}
	if !more {
		return nil, wrong(file, 1, "it is empty: not even a header line is there")
	}
	t.columns = make(map[string]int, len(t.record))
	for i, name := range t.record {
		name = columnName(name)
		if _, twice := t.columns[name]; !twice {
			t.columns[name] = i
		}
	}
	return t, nil
}

// newTable reads a CSV file without a header.
func newTable(file string, from *bufio.Reader, lazy bool) *table {
	if mark, err := from.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		_, _ = from.Discard(3) // they are there
	}
	t := &table{file: file, bounded: &bounded{from: from, left: maxRecord}}
	t.reader = csv.NewReader(t.bounded)
	t.reader.ReuseRecord, t.reader.FieldsPerRecord, t.reader.LazyQuotes = true, -1, lazy
	t.reader.Comma = delimiter(from)
	return t
}

// delimiter is what stands between the fields of the first line: a comma, or where that
// line has more of them a semicolon or a tab, as JMeter can be told to write.
func delimiter(from *bufio.Reader) rune {
	start, _ := from.Peek(4096) // as much as there is
	line, _, _ := strings.Cut(string(start), "\n")
	best, most := ',', strings.Count(line, ",")
	for _, one := range []rune{';', '\t'} {
		if n := strings.Count(line, string(one)); n > most {
			best, most = one, n
		}
	}
	return best
}

func columnName(name string) string {
	return strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
}

// read reads the next line, false at the end.
func (t *table) read() (more bool, err error) {
	t.bounded.left = maxRecord
	t.record, err = t.reader.Read()
	var parse *csv.ParseError
	switch {
	case err == nil:
		t.line, _ = t.reader.FieldPos(0)
		return true, nil
	case errors.Is(err, io.EOF):
		return false, nil
	case errors.Is(err, errTooLong):
		return false, wrong(t.file, t.line+1, "%v", errTooLong)
	case errors.As(err, &parse):
		if t.ended() {
			t.cut = true
			return false, nil
		}
		return false, wrong(t.file, parse.StartLine, "it is no CSV: %v", parse.Err)
	}
	return false, readError(t.file, err)
}

// ended tells that nothing comes any more.
func (t *table) ended() bool {
	_, err := t.reader.Read()
	return errors.Is(err, io.EOF)
}

// next reads the next line of data, false at the end. A last line that has too few
// fields was cut off; before it one is an error.
func (t *table) next(fields int) (bool, error) {
	more, err := t.read()
	if !more || err != nil || len(t.record) >= fields {
		return more, err
	}
	have := len(t.record)
	if t.ended() {
		t.cut = true
		return false, nil
	}
	return false, wrong(t.file, t.line, "%d fields where the header has %d columns", have, fields)
}

// width is how many columns the header has.
func (t *table) width() int { return len(t.columns) }

// column returns the place of the first of the names that is a column, -1 for none.
func (t *table) column(names ...string) int {
	for _, name := range names {
		if i, found := t.columns[name]; found {
			return i
		}
	}
	return -1
}

// field returns the text of a column, "" for the column -1.
func (t *table) field(column int) string {
	if column < 0 || column >= len(t.record) {
		return ""
	}
	return t.record[column]
}

// number returns the number of a column; false where there is none ("", "N/A", "None").
func (t *table) number(column int, name string) (value float64, known bool, err error) {
	text := strings.TrimSpace(t.field(column))
	switch strings.ToLower(text) {
	case "", "n/a", "na", "none", "null", "nan":
		return 0, false, nil
	}
	value, err = strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(value, 0) || math.IsNaN(value) {
		return 0, false, wrong(t.file, t.line, "%s: %q is no number", name, clean(text))
	}
	return value, true, nil
}

// count returns the count of a column, which must be there.
func (t *table) count(column int, name string) (int64, error) {
	value, known, err := t.number(column, name)
	switch {
	case err != nil:
		return 0, err
	case !known || value < 0 || value > 1<<53 || value != math.Trunc(value):
		return 0, wrong(t.file, t.line, "%s: %q is no whole number from 0 on", name, clean(t.field(column)))
	}
	return int64(value), nil
}

// readError wraps an error of reading a file, unless it says what is wrong in it.
func readError(file string, err error) error {
	switch {
	case errors.Is(err, ErrUnreadable):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return wrong(file, 0, "it ends in its midst: %v", err)
	}
	return &sourceError{file, err}
}

// sourceError is an error of reading a file, such as an I/O error.
type sourceError struct {
	file string
	err  error
}

func (s *sourceError) Error() string { return "read " + s.file + ": " + s.err.Error() }
func (s *sourceError) Unwrap() error { return s.err }
