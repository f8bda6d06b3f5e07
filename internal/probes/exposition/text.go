package exposition

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// lineBuffer is for whole lines; a longer one is copied when it is wanted.
	lineBuffer = 64 << 10
	// maxLine bounds a wanted line, in bytes.
	maxLine = 1 << 20
)

// textReader reads both text formats line by line. Lines about names that are
// not wanted are left unread, but must look like lines of the format.
type textReader struct {
	lines  *bufio.Reader
	wanted wanted
	page   *Page
	open   bool // OpenMetrics
	number int
	// composite are the names of summaries and histograms: their series without
	// a suffix are quantiles.
	composite map[string]bool
	ended     bool // "# EOF" was there
}

func readText(r io.Reader, w wanted, page *Page) error {
	return newTextReader(r, w, page).read()
}

func readOpenMetrics(r io.Reader, w wanted, page *Page) error {
	reader := newTextReader(r, w, page)
	reader.open = true
	if err := reader.read(); err != nil {
		return err
	}
	if !reader.ended {
		return fmt.Errorf("%w; its last line is not # EOF", errUnexpectEnd)
	}
	return nil
}

func newTextReader(r io.Reader, w wanted, page *Page) *textReader {
	return &textReader{lines: bufio.NewReaderSize(r, lineBuffer), wanted: w, page: page, composite: map[string]bool{}}
}

func (t *textReader) read() error {
	for {
		line, err := t.lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		t.number++
		if err := t.line(line, err); err != nil {
			return fmt.Errorf("line %d: %w", t.number, err)
		}
	}
}

// line takes in one line, of which begin is all or, with ErrBufferFull, the
// beginning.
func (t *textReader) line(begin []byte, err error) error {
	switch {
	case t.open && t.ended:
		return errors.New("there is something after # EOF")
	case t.open && isEOFLine(begin):
		t.ended = true
		return nil
	case err != nil && !errors.Is(err, bufio.ErrBufferFull):
		if errors.Is(err, io.EOF) {
			return errUnexpectEnd
		}
		return err
	}
	whole := err == nil
	keep, err := t.wants(begin)
	if err != nil {
		return err
	}
	if !whole {
		if begin, err = t.rest(begin, keep); err != nil {
			return err
		}
	}
	if !keep {
		return nil
	}
	return t.take(bytes.TrimSuffix(begin, []byte("\n")))
}

func isEOFLine(line []byte) bool {
	return string(bytes.TrimSuffix(line, []byte("\n"))) == "# EOF"
}

// rest reads on to the end of the line and returns all of it when it is wanted.
func (t *textReader) rest(begin []byte, keep bool) ([]byte, error) {
	var all []byte
	if keep {
		all = append(all, begin...)
	}
	for {
		part, err := t.lines.ReadSlice('\n')
		if keep {
			all = append(all, part...)
		}
		switch {
		case err == nil:
			return all, nil
		case errors.Is(err, io.EOF):
			return nil, errUnexpectEnd
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(all) > maxLine:
			return nil, fmt.Errorf("it is longer than %d MiB", maxLine>>20)
		}
	}
}

// wants decides on a line by its beginning.
func (t *textReader) wants(line []byte) (bool, error) {
	line = trimBlanks(line)
	switch {
	case len(line) == 0 || line[0] == '\n':
		return false, nil
	case line[0] == '#':
		return isType(line), nil
	case line[0] == '{':
		// The name is among the labels, in quotes, and rare enough to be read.
		return true, nil
	}
	end := nameEnd(line)
	if end == 0 {
		return false, fmt.Errorf("%.40q does not begin with a metric name", bytes.TrimSpace(line))
	}
	_, wanted := t.wanted.find(line[:end])
	return wanted, nil
}

// take takes in a line that is wanted, without its end.
func (t *textReader) take(line []byte) error {
	l := lexer{rest: trimBlanks(line), open: t.open}
	if l.rest[0] == '#' {
		t.takeType(l)
		return nil
	}
	sample, err := l.sample(t.wanted)
	if err != nil || !sample.wanted || t.composite[sample.name] {
		return err
	}
	return t.page.add(sample.name, sample.labels, sample.value)
}

// isType reports whether the comment gives a type.
func isType(line []byte) bool {
	word, _ := cutField(line[1:])
	return string(word) == "TYPE"
}

// takeType remembers which wanted names are composite ones.
func (t *textReader) takeType(l lexer) {
	_, rest := cutField(l.rest[1:])
	name, rest := cutField(rest)
	if len(name) > 2 && name[0] == '"' {
		name = name[1 : len(name)-1]
	}
	kind, _ := cutField(rest)
	switch strings.ToLower(string(kind)) { // as Prometheus' own parser
	case "summary", "histogram", "gaugehistogram":
		if found, ok := t.wanted.find(name); ok {
			t.composite[found] = true
		}
	}
}

// cutField returns the first field of text and what follows it.
func cutField(text []byte) (field, rest []byte) {
	text = trimBlanks(text)
	end := bytes.IndexAny(text, " \t\r\n")
	if end < 0 {
		return text, nil
	}
	return text[:end], text[end:]
}

func trimBlanks(text []byte) []byte {
	for len(text) > 0 && (text[0] == ' ' || text[0] == '\t') {
		text = text[1:]
	}
	return text
}

// nameEnd returns the length of the metric name that text begins with.
func nameEnd(text []byte) int {
	for i, c := range text {
		if !isNameByte(c) || i == 0 && isDigit(c) {
			return i
		}
	}
	return len(text)
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c) || c == '_' || c == ':'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
