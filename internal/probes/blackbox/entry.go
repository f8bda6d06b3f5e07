package blackbox

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// maxEntries bounds the entries of one setting.
const maxEntries = 50

// entry is one thing to probe, as it stands in a setting:
//
//	name=words... option=value...
//
// Entries are separated by semicolons or ends of lines, words by white space;
// between two ' or two " any of these loses its meaning.
type entry struct {
	name string
	// words are all but the name, with their quotes.
	words []string
}

// entryName bounds the names: they become label values.
var entryName = regexp.MustCompile(`^[a-z0-9_]{1,40}$`)

// errQuote is what a text with an odd quote fails with.
var errQuote = errors.New("a quote is opened and not closed")

// parseEntries reads the entries of a setting, at most the given number. Its
// errors name an entry by its number and name, never by its text, which may
// hold secrets.
func parseEntries(text string, most int) ([]entry, error) {
	texts, err := split(text, func(r rune) bool { return r == ';' || r == '\n' || r == '\r' })
	if err != nil {
		return nil, err
	}
	var entries []entry
	var errs []error
	seen := map[string]bool{}
	for i, one := range texts {
		parsed, err := parseEntry(one)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("entry %d: %w", i+1, err))
		case seen[parsed.name]:
			errs = append(errs, fmt.Errorf("entry %d: %s is there twice", i+1, parsed.name))
		}
		seen[parsed.name] = true
		entries = append(entries, parsed)
	}
	if len(entries) > most {
		errs = append(errs, fmt.Errorf("has %d entries; at most %d are taken", len(entries), most))
	}
	return entries, errors.Join(errs...)
}

func parseEntry(text string) (entry, error) {
	name, rest, found := strings.Cut(text, "=")
	if !found || !entryName.MatchString(strings.TrimSpace(name)) {
		return entry{}, errors.New("want name=what, with a name of a-z, 0-9 and _ up to 40 characters")
	}
	parsed := entry{name: strings.TrimSpace(name)}
	words, err := split(rest, unicode.IsSpace)
	if err != nil {
		return parsed, err
	}
	if len(words) == 0 {
		return parsed, fmt.Errorf("%s: nothing stands behind the =", parsed.name)
	}
	parsed.words = words
	return parsed, nil
}

// split cuts text at the separators that stand outside of quotes, which stay,
// and leaves out what is blank.
func split(text string, separates func(rune) bool) ([]string, error) {
	var parts []string
	add := func(part string) {
		if strings.TrimSpace(part) != "" {
			parts = append(parts, strings.TrimSpace(part))
		}
	}
	quote, from := rune(0), 0
	for i, r := range text {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case separates(r):
			add(text[from:i])
			from = i + len(string(r))
		}
	}
	if quote != 0 {
		return nil, errQuote
	}
	add(text[min(from, len(text)):])
	return parts, nil
}

// unquote takes away the quotes that split has heeded.
func unquote(text string) string {
	var b strings.Builder
	quote := rune(0)
	for _, r := range text {
		switch {
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		case quote != 0 && r == quote:
			quote = 0
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// options are the options that a kind knows, each with what takes its value.
type options map[string]option

type option struct {
	take func(value string) error
	// repeats tells that the option may be there several times.
	repeats bool
}

// with returns o and the options of others.
func (o options) with(others options) options {
	all := maps.Clone(o)
	maps.Copy(all, others)
	return all
}

// parse hands each word, which must be option=value, to its option.
func (o options) parse(words []string) error {
	var errs []error
	given := map[string]bool{}
	for _, word := range words {
		name, value, found := strings.Cut(word, "=")
		known, ok := o[name]
		switch {
		case !found || !entryName.MatchString(name):
			errs = append(errs, fmt.Errorf("a word that is not option=value; the options are %s", o.names()))
		case !ok:
			errs = append(errs, fmt.Errorf("option %s is not known; the options are %s", name, o.names()))
		case given[name] && !known.repeats:
			errs = append(errs, fmt.Errorf("option %s is there twice", name))
		default:
			if err := known.take(unquote(value)); err != nil {
				errs = append(errs, fmt.Errorf("option %s: %w", name, err))
			}
		}
		given[name] = true
	}
	return errors.Join(errs...)
}

func (o options) names() string { return strings.Join(slices.Sorted(maps.Keys(o)), ", ") }

// text takes any value that is not empty.
func text(into *string) option {
	return option{take: func(value string) error {
		if value == "" {
			return errors.New("is empty")
		}
		*into = value
		return nil
	}}
}

// flag takes true or false.
func flag(into *bool) option {
	return option{take: func(value string) error {
		*into = value == "true"
		if value != "true" && value != "false" {
			return fmt.Errorf("%q is not true or false", value)
		}
		return nil
	}}
}

// number takes a whole number from low to high.
func number(into *int, low, high int) option {
	return option{take: func(value string) error {
		n, ok := digits(value)
		if !ok || n < low || n > high {
			return fmt.Errorf("%q is not a whole number from %d to %d", value, low, high)
		}
		*into = n
		return nil
	}}
}

// digits reads up to six digits.
func digits(text string) (int, bool) {
	if len(text) < 1 || len(text) > 6 {
		return 0, false
	}
	n := 0
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		n = 10*n + int(text[i]-'0')
	}
	return n, true
}

// maxPattern bounds a regular expression, in bytes.
const maxPattern = 1000

// pattern takes a regular expression. The error does not repeat it: what an
// answer must hold may be confidential.
func pattern(into **regexp.Regexp) option {
	return option{take: func(value string) error {
		compiled, err := compile(value)
		*into = compiled
		return err
	}}
}

func compile(value string) (*regexp.Regexp, error) {
	if value == "" || len(value) > maxPattern {
		return nil, fmt.Errorf("want a regular expression of 1 to %d bytes", maxPattern)
	}
	compiled, err := regexp.Compile(value)
	if err != nil {
		return nil, errors.New("is not a regular expression (RE2, as in https://github.com/google/re2/wiki/Syntax)")
	}
	return compiled, nil
}

// limit takes the time limit of a poll, which the one of all probes bounds too.
func limit(into *time.Duration) option {
	return option{take: func(value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d < time.Millisecond {
			return fmt.Errorf("%q is not a duration of at least 1ms, such as 500ms or 2s", value)
		}
		*into = d
		return nil
	}}
}

// family takes the version of IP.
func family(into *string) option {
	return option{take: func(value string) error {
		*into = map[string]string{"any": "tcp", "4": "tcp4", "6": "tcp6"}[value]
		if *into == "" {
			return fmt.Errorf("%q is not any, 4 or 6", value)
		}
		return nil
	}}
}
