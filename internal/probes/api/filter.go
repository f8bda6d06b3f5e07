package api

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// lineFilter passes on the lines about wanted names and leaves an empty line in
// place of every other, so that the numbers in parse errors stay right. A page
// of 100 000 series then costs no more memory than one of ten. Lines that are
// not of the format at all pass too: the parser refuses them.
type lineFilter struct {
	lines  *bufio.Reader
	wanted map[string]bool
	// pending is what is to be handed out before anything else is read.
	pending []byte
	// inLine tells that pending ends inside of a line, keep that it is wanted.
	inLine, keep bool
	err          error
}

func newLineFilter(r io.Reader, wanted map[string]bool) *lineFilter {
	return &lineFilter{lines: bufio.NewReaderSize(r, 32<<10), wanted: wanted}
}

func (f *lineFilter) Read(p []byte) (int, error) {
	for len(f.pending) == 0 {
		if f.err != nil {
			return 0, f.err
		}
		f.next()
	}
	n := copy(p, f.pending)
	f.pending = f.pending[n:]
	return n, nil
}

// next reads a line, or a part of one that is longer than the buffer.
func (f *lineFilter) next() {
	part, err := f.lines.ReadSlice('\n')
	if !f.inLine {
		f.keep = f.wants(part)
	}
	switch {
	case f.keep:
		f.pending = part
	case err == nil:
		f.pending = part[len(part)-1:]
	}
	f.inLine = errors.Is(err, bufio.ErrBufferFull)
	if err != nil && !f.inLine {
		f.err = err
	}
}

// wants decides on a line by its beginning.
func (f *lineFilter) wants(line []byte) bool {
	line = bytes.TrimLeft(line, " \t")
	if comment, ok := bytes.CutPrefix(line, []byte("#")); ok {
		keyword, rest := cutField(comment)
		name, _ := cutField(rest)
		return string(keyword) == "TYPE" && f.wanted[string(name)]
	}
	end := bytes.IndexFunc(line, func(r rune) bool { return !isNameRune(r) })
	switch {
	case end > 0 && !isDigit(line[0]):
		return f.wanted[string(line[:end])]
	case len(line) == 0 || line[0] == '\n' || line[0] == '{':
		// A line that starts with a brace has a quoted UTF-8 name, which none of
		// the wanted names needs.
		return false
	default:
		return true
	}
}

// cutField returns the first field of text and what follows it.
func cutField(text []byte) (field, rest []byte) {
	text = bytes.TrimLeft(text, " \t")
	end := bytes.IndexAny(text, " \t\r\n")
	if end < 0 {
		return text, nil
	}
	return text[:end], text[end:]
}

func isNameRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == ':'
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// wantedNames are the names that the parser must see to find the targets of
// groups: those themselves and the summaries and histograms that they are of.
func wantedNames(groups []group) map[string]bool {
	wanted := map[string]bool{}
	for _, g := range groups {
		for _, source := range g.sources {
			wanted[source.target] = true
			for _, suffix := range []string{"_sum", "_count"} {
				if base, ok := strings.CutSuffix(source.target, suffix); ok {
					wanted[base], wanted[base+"_sum"], wanted[base+"_count"] = true, true, true
				}
			}
		}
	}
	return wanted
}
