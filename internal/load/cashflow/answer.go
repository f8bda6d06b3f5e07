package cashflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"soakd/internal/load"
)

// number is a number of an answer; set is false when it is absent or null.
type number struct {
	value float64
	set   bool
}

// UnmarshalJSON takes a number that a float64 can hold, or null.
func (n *number) UnmarshalJSON(text []byte) error {
	*n = number{}
	if string(text) == "null" {
		return nil
	}
	value, err := parseNumber(text)
	if err != nil {
		return err
	}
	*n = number{value: value, set: true}
	return nil
}

// parseNumber reads a JSON number; strings, objects and numbers beyond a float64
// are errors.
func parseNumber(text []byte) (float64, error) {
	if len(text) == 0 || (text[0] != '-' && (text[0] < '0' || text[0] > '9')) {
		return 0, fmt.Errorf("%s where a number belongs", clip(string(text)))
	}
	value, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return 0, fmt.Errorf("the number %s is out of range", clip(string(text)))
	}
	return value, nil
}

// identifier is an id: a string, or a number as its digits.
type identifier string

// UnmarshalJSON takes a string, a number or null.
func (id *identifier) UnmarshalJSON(text []byte) error {
	switch {
	case string(text) == "null":
		*id = ""
		return nil
	case text[0] == '"':
		s, err := unquote(text)
		*id = identifier(s)
		return err
	case text[0] == '-' || (text[0] >= '0' && text[0] <= '9'):
		*id = identifier(text)
		return nil
	default:
		return fmt.Errorf("%s where an id belongs", clip(string(text)))
	}
}

// unquote reads a JSON string; one without escapes, as ids and times are, cheaply.
func unquote(text []byte) (s string, err error) {
	if len(text) >= 2 && text[0] == '"' && bytes.IndexByte(text, '\\') < 0 {
		return string(text[1 : len(text)-1]), nil
	}
	err = json.Unmarshal(text, &s)
	return s, err
}

// maxID bounds an id in bytes: a UUID has 36.
const maxID = 64

// check returns an error when id cannot be remembered and put into a path.
func (id identifier) check() error {
	if id == "" {
		return errors.New("there is no id")
	}
	if len(id) > maxID {
		return fmt.Errorf("the id has %d characters, more than %d", len(id), maxID)
	}
	for _, r := range id {
		if (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-' && r != '_' {
			return fmt.Errorf("the id %s has characters other than letters, digits, - and _", clip(string(id)))
		}
	}
	return nil
}

// instant is a point in time of an answer; zero when absent.
type instant struct{ time.Time }

// UnmarshalJSON takes RFC 3339, with UTC for a time without a zone (as Python's
// isoformat writes it), or null.
func (t *instant) UnmarshalJSON(text []byte) error {
	*t = instant{}
	if string(text) == "null" {
		return nil
	}
	s, err := unquote(text)
	if err != nil {
		return fmt.Errorf("%s where a time belongs", clip(string(text)))
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00"} {
		if parsed, err := time.Parse(layout, s); err == nil {
			t.Time = parsed
			return nil
		}
	}
	return fmt.Errorf("%s is not a time (RFC 3339)", clip(string(text)))
}

// period is one period of a forecast. It reads itself: the periods are nearly
// all of an answer, and encoding/json takes several times as long.
type period struct {
	number, interest, scheduled, prepayment, total, balance float64
}

// fields returns the names of a period's fields in the order of its set bits.
func (period) fields() [6]string {
	return [6]string{"period", "interest", "scheduled_principal", "prepayment", "total", "balance"}
}

// allFields has a bit for each field of a period.
const allFields = 1<<6 - 1

// place returns where the field called name goes, and its bit; nil for fields
// that no check needs.
func (p *period) place(name string) (*float64, uint) {
	switch name {
	case "period":
		return &p.number, 1 << 0
	case "interest":
		return &p.interest, 1 << 1
	case "scheduled_principal":
		return &p.scheduled, 1 << 2
	case "prepayment":
		return &p.prepayment, 1 << 3
	case "total":
		return &p.total, 1 << 4
	case "balance":
		return &p.balance, 1 << 5
	}
	return nil, 0
}

// UnmarshalJSON reads an object, every known field of which must be there and
// be a number. text is valid JSON, as encoding/json promises.
func (p *period) UnmarshalJSON(text []byte) error {
	*p = period{}
	s := scanner{text: text}
	if !s.take('{') {
		return fmt.Errorf("%s where a period belongs", clip(string(text)))
	}
	var have uint
	for !s.take('}') {
		start := s.at
		name := s.name()
		target, bit := p.place(string(name))
		value := s.value()
		s.take(',')
		if s.at == start { // cannot be in valid JSON, and must not loop
			return errors.New("a period is not an object")
		}
		if target == nil {
			continue
		}
		parsed, err := parseNumber(value)
		if err != nil {
			return fmt.Errorf("%s of a period: %w", name, err)
		}
		*target = parsed
		have |= bit
	}
	if have == allFields {
		return nil
	}
	for i, name := range p.fields() {
		if have&(1<<i) == 0 {
			return fmt.Errorf("a period has no %s", name)
		}
	}
	return nil
}

// scanner walks through one valid JSON object.
type scanner struct {
	text []byte
	at   int
}

// take skips white space, and c when it comes next.
func (s *scanner) take(c byte) bool {
	for s.at < len(s.text) && (s.text[s.at] == ' ' || s.text[s.at] == '\n' || s.text[s.at] == '\t' || s.text[s.at] == '\r') {
		s.at++
	}
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// name reads a field's name, escapes left as they are, and the colon.
func (s *scanner) name() []byte {
	s.take(0)
	raw := s.value()
	s.take(':')
	if len(raw) < 2 {
		return nil
	}
	return raw[1 : len(raw)-1]
}

// value reads any value and returns its text.
func (s *scanner) value() []byte {
	s.take(0)
	start, depth := s.at, 0
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"':
			s.skipText()
			if depth == 0 {
				return s.text[start:s.at]
			}
			continue
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth == 0 { // the end of the object around
				return s.text[start:s.at]
			}
			if depth--; depth == 0 {
				s.at++
				return s.text[start:s.at]
			}
		case depth == 0 && (c == ',' || c == ':' || c <= ' '):
			return s.text[start:s.at]
		}
		s.at++
	}
	return s.text[start:s.at]
}

// skipText goes behind the string that starts here.
func (s *scanner) skipText() {
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return
		}
	}
	s.at = len(s.text)
}

// The answers, as far as a check needs them. Unknown fields are ignored.
type (
	forecastAnswer struct {
		ID          identifier         `json:"id"`
		Periods     []period           `json:"periods"`
		Loans       []loanAnswer       `json:"loans"`
		Summary     summaryAnswer      `json:"summary"`
		MonteCarlo  *monteCarloAnswer  `json:"monte_carlo"`
		Sensitivity *sensitivityAnswer `json:"sensitivity"`
	}
	loanAnswer struct {
		Kind           string   `json:"loan_type"`
		TotalPrincipal number   `json:"total_principal"`
		TotalInterest  number   `json:"total_interest"`
		FinalBalance   number   `json:"final_balance"`
		Periods        []period `json:"periods"`
	}
	summaryAnswer struct {
		NPV            number `json:"npv"`
		IRR            number `json:"irr"`
		Duration       number `json:"duration"`
		Modified       number `json:"modified_duration"`
		Convexity      number `json:"convexity"`
		AverageLife    number `json:"weighted_average_life"`
		TotalPrincipal number `json:"total_principal"`
		TotalInterest  number `json:"total_interest"`
		TotalCashFlow  number `json:"total_cash_flow"`
	}
	monteCarloAnswer struct {
		Iterations number `json:"iterations"`
		Seed       number `json:"seed"`
		Mean       number `json:"mean"`
		StdDev     number `json:"std_dev"`
		P5         number `json:"p5"`
		Median     number `json:"median"`
		P95        number `json:"p95"`
		CILower    number `json:"ci_lower"`
		CIUpper    number `json:"ci_upper"`
	}
	sensitivityAnswer struct {
		BaseNPV      number        `json:"base_npv"`
		InterestRate []shiftAnswer `json:"interest_rate"`
		Prepayment   []shiftAnswer `json:"prepayment"`
	}
	shiftAnswer struct {
		Shift number `json:"shift"`
		NPV   number `json:"npv"`
	}
	// scenarioAnswer is a saved scenario, one of a list, or one read back.
	scenarioAnswer struct {
		ID        identifier `json:"id"`
		UserID    identifier `json:"user_id"`
		Name      *string    `json:"name"`
		CreatedAt instant    `json:"created_at"`
	}
	historyRow struct {
		ID        identifier `json:"id"`
		UserID    identifier `json:"user_id"`
		CreatedAt instant    `json:"created_at"`
	}
	healthAnswer struct {
		Status string `json:"status"`
	}
)

// required is a number that must be there, with its name for the message.
type required struct {
	name string
	number
}

// firstAbsent returns an error for the first of numbers that is not set.
func firstAbsent(where string, numbers ...required) error {
	for _, n := range numbers {
		if !n.set {
			return fmt.Errorf("%s has no %s", where, n.name)
		}
	}
	return nil
}

// checkJSON returns what is wrong with an answer that must be JSON, apart from
// its syntax.
func checkJSON(header load.Header, body []byte) error {
	if !isJSON(header.Get("Content-Type")) {
		return fmt.Errorf("the content type is %s, not application/json", clip(header.Get("Content-Type")))
	}
	if len(body) == 0 {
		return errors.New("the body is empty")
	}
	if !utf8.Valid(body) {
		return errors.New("the body is not valid UTF-8")
	}
	return nil
}

// isJSON reports whether a content type is application/json or another kind of
// JSON (RFC 6839), such as application/problem+json.
func isJSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.TrimSpace(kind)
	return strings.EqualFold(kind, "application/json") ||
		(len(kind) > 5 && strings.EqualFold(kind[len(kind)-5:], "+json"))
}

// clip quotes text for a message, its beginning only when it is long: answers
// of a target that went wrong can be anything.
func clip(text string) string {
	const limit = 60
	if len(text) <= limit {
		return strconv.Quote(text)
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strconv.Quote(text[:cut]) + "..."
}
