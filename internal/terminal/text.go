package terminal

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// style is how a text looks. None says what the text does not say too.
type style int

const (
	plain style = iota
	bold
	faint
	good
	bad
	warn
)

// sgr are the attributes of a style; see ECMA-48, 8.3.117. The colours are those of
// the first eight, which every theme makes readable.
func (s style) sgr() string {
	switch s {
	case bold:
		return "1"
	case faint:
		return "2"
	case good:
		return "32"
	case bad:
		return "1;31"
	case warn:
		return "33"
	}
	return ""
}

// span is a text in one style.
type span struct {
	text  string
	style style
}

// line is a row of the table.
type line []span

// say returns a line of one plain text.
func say(text string) line { return line{{text: text}} }

// width is how many cells the line takes.
func (l line) width() int {
	sum := 0
	for _, s := range l {
		sum += ansi.StringWidthWc(Clean(s.text))
	}
	return sum
}

// write writes the line into at most width cells. What the texts hold cannot get out
// of them: see [Clean].
func (l line) write(b *strings.Builder, width int, colours bool) {
	left := width
	for i, s := range l {
		text := Clean(s.text)
		w := ansi.StringWidthWc(text)
		if w > left || (w == left && l[i+1:].width() > 0) {
			text, w = ansi.TruncateWc(text, left, "…"), left
		}
		if sgr := s.style.sgr(); colours && sgr != "" && text != "" {
			b.WriteString("\x1b[" + sgr + "m" + text + "\x1b[m")
		} else {
			b.WriteString(text)
		}
		if left -= w; left <= 0 {
			return
		}
	}
}

// Clean makes a text from anywhere fit to be shown in a terminal: on one line and
// without escape sequences, other control characters, and characters that have no
// width of their own, change the direction or the look of others, or are counted
// differently by different terminals. A text that was cleaned is not changed again.
func Clean(text string) string {
	if clean(text) {
		return text
	}
	var b strings.Builder
	for _, r := range ansi.Strip(strings.ToValidUTF8(text, "?")) {
		switch {
		case r == '\t', r == '\n', r == '\r', unicode.In(r, unicode.Zl, unicode.Zp):
			b.WriteByte(' ')
		case unsafe(r):
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// clean tells that a text has nothing but printable ASCII.
func clean(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}

// unsafe tells a character that is not shown: controls, formats (of directions,
// joiners), marks upon others, private ones and what is no character.
func unsafe(r rune) bool {
	return r == utf8.RuneError || unicode.In(r, unicode.C, unicode.M) || (r >= 0x1f1e6 && r <= 0x1f1ff)
}

// flow puts fields beside one another, with two spaces between, on as many lines as
// the width takes.
func flow(width int, fields ...line) []line {
	const gap = 2
	var lines []line
	var row line
	used := 0
	for _, field := range fields {
		w := field.width()
		if w == 0 {
			continue
		}
		if used > 0 && used+gap+w > width {
			lines, row, used = append(lines, row), nil, 0
		}
		if used > 0 {
			row = append(row, span{text: "  "})
			used += gap
		}
		row = append(row, field...)
		used += w
	}
	if len(row) > 0 {
		lines = append(lines, row)
	}
	return lines
}

// pad adds spaces up to a width, behind the text or before it.
func pad(text string, width int, before bool) string {
	text = ansi.TruncateWc(Clean(text), width, "…")
	space := strings.Repeat(" ", max(0, width-ansi.StringWidthWc(text)))
	if before {
		return space + text
	}
	return text + space
}

// blocks are the characters of spark lines, from the lowest.
const blocks = "▁▂▃▄▅▆▇█"

// spark draws values as a line of blocks between 0 and the greatest of them; a value
// below 0 is not known and left out. What is above 0 is never drawn as 0.
func spark(values []float64, width int) string {
	values = values[max(0, len(values)-width):]
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	levels := []rune(blocks)
	var b strings.Builder
	for _, v := range values {
		switch {
		case v < 0:
			b.WriteByte(' ')
		case v == 0:
			b.WriteRune(levels[0])
		default:
			b.WriteRune(levels[min(len(levels)-1, 1+int(v/top*float64(len(levels)-1)))])
		}
	}
	return b.String()
}

// bar draws a share, 0..1, in so many cells.
func bar(share float64, width int) string {
	full := int(min(1, max(0, share)) * float64(width))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]"
}
