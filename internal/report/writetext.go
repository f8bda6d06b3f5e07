package report

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes text of a target fit for any report: valid UTF-8 without control and
// format characters (which no XML may hold, and which turn text around or hide it), and
// lines that end in \n.
func clean(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r', r == '\u2028', r == '\u2029':
			return '\n'
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\ufffe', r == '\uffff':
			return '\uFFFD'
		}
		return r
	}, s)
}

// oneLine is clean text in one line.
func oneLine(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }

// shorten cuts text at so many runes, and says so.
func shorten(s string, runes int) string {
	if utf8.RuneCountInString(s) <= runes {
		return s
	}
	return string([]rune(s)[:runes-1]) + "…"
}

// uniquely returns a function that numbers what it was given before: names that are
// one only after they were cleaned stay apart.
func uniquely() func(string) string {
	seen := map[string]bool{}
	return func(name string) string {
		unique := name
		for n := 2; seen[unique]; n++ {
			unique = name + " (" + number(float64(n)) + ")"
		}
		seen[unique] = true
		return unique
	}
}
