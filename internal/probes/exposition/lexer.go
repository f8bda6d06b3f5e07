package exposition

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// lexer takes one line apart, without its end.
type lexer struct {
	rest []byte
	open bool // OpenMetrics
}

// sample is one line with a value.
type sample struct {
	name   string
	wanted bool
	labels []label
	value  float64
}

// sample reads name{label="value"} value, then what the format allows after it.
func (l *lexer) sample(w wanted) (sample, error) {
	var s sample
	if end := nameEnd(l.rest); end > 0 {
		s.name, s.wanted = w.find(l.rest[:end])
		l.rest = l.rest[end:]
	}
	named := s.wanted
	l.blanks()
	if l.accept('{') {
		name, labels, err := l.labels(w, named)
		if err != nil {
			return sample{}, err
		}
		if s.labels = labels; name != nil {
			s.name, s.wanted = w.find(name)
			named = true
		}
	}
	if !named {
		return sample{}, errors.New("it has no metric name")
	}
	var err error
	if s.value, err = l.value(); err != nil {
		return sample{}, err
	}
	return s, l.end()
}

// labels reads label="value",...}. A name that stands alone is the metric's; it
// should be quoted, but Prometheus' own parser takes it without quotes too.
func (l *lexer) labels(w wanted, named bool) (name []byte, labels []label, err error) {
	for {
		l.blanks()
		if l.accept('}') {
			labels, err = sorted(labels)
			return name, labels, err
		}
		key, err := l.labelName()
		if err != nil {
			return nil, nil, err
		}
		l.blanks()
		switch {
		case l.accept('='):
			l.blanks()
			value, err := l.quoted()
			if err != nil {
				return nil, nil, err
			}
			labels = append(labels, label{w.unescape(string(key)), string(value)})
		case !named && name == nil && labels == nil:
			name = key
		default:
			return nil, nil, fmt.Errorf("want = after the label %.40q", key)
		}
		if l.blanks(); !l.accept(',') && !l.at('}') {
			return nil, nil, errors.New("want , or } after a label")
		}
	}
}

// labelName reads a label's name, or a name in quotes.
func (l *lexer) labelName() (name []byte, err error) {
	if l.at('"') {
		name, err = l.quoted()
		if err == nil && len(name) == 0 {
			err = errors.New("a name is empty")
		}
		return name, err
	}
	end := nameEnd(l.rest)
	if end == 0 || bytes.IndexByte(l.rest[:end], ':') >= 0 {
		return nil, fmt.Errorf("want a label's name at %.40q", l.rest)
	}
	name, l.rest = l.rest[:end], l.rest[end:]
	return name, nil
}

// quoted reads a text in quotes and undoes \\, \" and \n.
func (l *lexer) quoted() ([]byte, error) {
	if !l.accept('"') {
		return nil, fmt.Errorf("want a quoted value at %.40q", l.rest)
	}
	var text []byte
	for i := 0; i < len(l.rest); i++ {
		switch c := l.rest[i]; c {
		case '"':
			plain := l.rest[:i]
			l.rest = l.rest[i+1:]
			if text != nil {
				plain = text
			}
			if !utf8.Valid(plain) {
				return nil, errors.New("a label is not UTF-8")
			}
			return plain, nil
		case '\\':
			if text == nil {
				text = append([]byte{}, l.rest[:i]...)
			}
			i++
			unescaped, err := l.escape(i)
			if err != nil {
				return nil, err
			}
			text = append(text, unescaped...)
		default:
			if text != nil {
				text = append(text, c)
			}
		}
	}
	return nil, fmt.Errorf("%w inside of a quoted value", errUnexpectEnd)
}

// escape returns what the backslash before i and the byte at i stand for.
// OpenMetrics leaves unknown ones as they are.
func (l *lexer) escape(i int) (string, error) {
	if i >= len(l.rest) {
		return "", errUnexpectEnd
	}
	switch c := l.rest[i]; {
	case c == 'n':
		return "\n", nil
	case c == '\\' || c == '"':
		return string(c), nil
	case l.open:
		return "\\" + string([]byte{c}), nil
	default:
		return "", fmt.Errorf("unknown escape \\%c", c)
	}
}

// value reads a number, also Inf and NaN.
func (l *lexer) value() (float64, error) {
	field, rest := cutField(l.rest)
	value, err := number(field)
	if err != nil {
		return 0, fmt.Errorf("want a value, not %.40q", field)
	}
	l.rest = rest
	return value, nil
}

// number is strconv's without what the formats do not have: hexadecimal and
// digits in groups.
func number(field []byte) (float64, error) {
	if bytes.ContainsAny(field, "pPxX_") {
		return 0, strconv.ErrSyntax
	}
	value, err := strconv.ParseFloat(string(field), 64)
	if errors.Is(err, strconv.ErrRange) {
		return value, nil // beyond float64: infinite, or 0
	}
	return value, err
}

// end reads what may follow a value: a timestamp, in milliseconds or, in
// OpenMetrics, seconds, and there an exemplar.
func (l *lexer) end() error {
	if l.blanks(); len(l.rest) == 0 {
		return nil
	}
	if l.open && l.at('#') {
		return l.exemplar()
	}
	if err := l.timestamp(); err != nil {
		return err
	}
	if l.blanks(); l.open && l.at('#') {
		return l.exemplar()
	}
	if len(l.rest) > 0 {
		return fmt.Errorf("%.40q is too much after the value", l.rest)
	}
	return nil
}

func (l *lexer) timestamp() error {
	field, rest := cutField(l.rest)
	var err error
	if l.open {
		var at float64
		if at, err = number(field); math.IsNaN(at) || math.IsInf(at, 0) {
			err = strconv.ErrRange
		}
	} else {
		_, err = strconv.ParseInt(string(field), 10, 64)
	}
	if err != nil {
		return fmt.Errorf("want a timestamp after the value, not %.40q", field)
	}
	l.rest = rest
	return nil
}

// exemplar reads # {label="value"} value timestamp, which is of no use here, so
// that a line that goes wrong in it is seen.
func (l *lexer) exemplar() error {
	l.accept('#')
	if l.blanks(); !l.accept('{') {
		return errors.New("want the labels of an exemplar after #")
	}
	if _, _, err := l.labels(wanted{}, true); err != nil {
		return fmt.Errorf("exemplar: %w", err)
	}
	if _, err := l.value(); err != nil {
		return fmt.Errorf("exemplar: %w", err)
	}
	if l.blanks(); len(l.rest) == 0 {
		return nil
	}
	if err := l.timestamp(); err != nil {
		return fmt.Errorf("exemplar: %w", err)
	}
	if strings.TrimSpace(string(l.rest)) != "" {
		return fmt.Errorf("%.40q is too much after the exemplar", l.rest)
	}
	return nil
}

func (l *lexer) blanks() { l.rest = trimBlanks(l.rest) }

func (l *lexer) at(c byte) bool { return len(l.rest) > 0 && l.rest[0] == c }

func (l *lexer) accept(c byte) bool {
	if !l.at(c) {
		return false
	}
	l.rest = l.rest[1:]
	return true
}
