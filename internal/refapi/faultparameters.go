package refapi

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parameter is one thing that may be said of a fault when it is switched on.
type parameter struct {
	name string
	// otherwise is the value of a parameter that is not given, and says by its
	// type what a value is: float64 a number, int64 a whole number, string one of
	// words, bool true or false, [time.Duration] a text such as "1m30s".
	otherwise any
	// low and high bound numbers, and durations in seconds.
	low, high float64
	words     []string
	means     string // for people: what it is, with its unit
}

func figure(name string, otherwise, low, high float64, means string) parameter {
	return parameter{name: name, otherwise: otherwise, low: low, high: high, means: means}
}

func share(name string, otherwise float64, means string) parameter {
	return figure(name, otherwise, 0, 1, means)
}

func whole(name string, otherwise, low, high int64, means string) parameter {
	return parameter{name: name, otherwise: otherwise, low: float64(low), high: float64(high), means: means}
}

func span(name string, otherwise, low, high time.Duration, means string) parameter {
	return parameter{name: name, otherwise: otherwise, low: low.Seconds(), high: high.Seconds(), means: means}
}

func word(name, means string, words ...string) parameter {
	return parameter{name: name, otherwise: words[0], words: words, means: means}
}

func choice(name, means string) parameter {
	return parameter{name: name, otherwise: false, means: means}
}

// longest is the longest duration of any parameter: longer than a soak.
const longest = 90 * 24 * time.Hour

// forParameter belongs to every fault.
func forParameter() parameter {
	return span("for", 0, 0, longest, "it switches itself off after that; 0s: only when told to")
}

// settings are the values of all parameters of a fault, by name.
type settings map[string]any

func (s settings) number(name string) float64 {
	x, _ := s[name].(float64)
	return x
}

func (s settings) whole(name string) int64 {
	n, _ := s[name].(int64)
	return n
}

func (s settings) span(name string) time.Duration {
	d, _ := s[name].(time.Duration)
	return d
}

func (s settings) word(name string) string {
	text, _ := s[name].(string)
	return text
}

func (s settings) chosen(name string) bool {
	truth, _ := s[name].(bool)
	return truth
}

// MarshalJSON writes durations as they are given.
func (s settings) MarshalJSON() ([]byte, error) {
	shown := map[string]any{}
	for name, value := range s {
		if d, ok := value.(time.Duration); ok {
			value = d.String()
		}
		shown[name] = value
	}
	return json.Marshal(shown)
}

// readSettings reads what is said of a fault in JSON; nothing at all means the
// defaults. The first error is for a body that is no JSON, the list for
// parameters that are wrong.
func readSettings(parameters []parameter, body []byte) (settings, []fieldError, error) {
	given := value{kind: object}
	if len(strings.TrimSpace(string(body))) > 0 {
		var err error
		if given, err = parse(body); err != nil {
			return nil, nil, err
		}
	}
	bad := []fieldError{}
	f := fieldsOf(given, []any{"body"}, &bad)
	read := settings{}
	names := make([]string, 0, len(parameters))
	for _, p := range parameters {
		names = append(names, p.name)
		read[p.name] = p.otherwise
		if v, ok := f.members[p.name]; ok {
			read[p.name] = p.read(f, v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.members)) {
		if !slices.Contains(names, name) {
			f.fail(name[:min(len(name), maxShownName)], "extra_forbidden", "The fault has no such parameter; the nearest it has is %s, all are %s",
				nearest(name, names), strings.Join(names, ", "))
		}
	}
	return read, bad, nil
}

// read returns a value that was given, of the type of the default.
func (p parameter) read(f fields, v value) any {
	switch p.otherwise.(type) {
	case float64:
		return f.number(p.name, v, limits{low: p.low, high: p.high})
	case int64:
		return int64(f.integerWithin(p.name, v, int(p.low), int(p.high)))
	case bool:
		return f.boolean(p.name)
	case string:
		return f.oneOf(p.name, v, p.words...)
	}
	d, err := time.ParseDuration(v.text)
	if v.kind != text || err != nil {
		f.fail(p.name, "duration_parsing", "Input should be a duration as a string, such as \"1m30s\"")
		return time.Duration(0)
	}
	if d.Seconds() < p.low || d.Seconds() > p.high {
		f.fail(p.name, "duration_range", "Input should be a duration from %v to %v", seconds(p.low), seconds(p.high))
	}
	return d
}

func seconds(x float64) time.Duration { return time.Duration(math.Round(x * float64(time.Second))) }

// kind says for people what may be given, and shown what is the default.
func (p parameter) kind() (kind, shown string) {
	plain := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	switch otherwise := p.otherwise.(type) {
	case float64:
		return plain(p.low) + " to " + plain(p.high), plain(otherwise)
	case int64:
		return "whole, " + strconv.FormatInt(int64(p.low), 10) + " to " + strconv.FormatInt(int64(p.high), 10), strconv.FormatInt(otherwise, 10)
	case bool:
		return "true or false", strconv.FormatBool(otherwise)
	case string:
		return strings.Join(p.words, ", "), otherwise
	default:
		return seconds(p.low).String() + " to " + seconds(p.high).String(), p.otherwise.(time.Duration).String()
	}
}

// maxShownName bounds what is made of a name that a client sent, in bytes.
const maxShownName = 64

// nearest returns the known name that a mistyped one is most like: the one with
// the least edit distance (Levenshtein, 1966).
func nearest(name string, known []string) string {
	name = name[:min(len(name), maxShownName)]
	return slices.MinFunc(known, func(a, b string) int { return distance(name, a) - distance(name, b) })
}

// distance counts the insertions, deletions and replacements of bytes that turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
