package redis

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	// maxInfo bounds the text of INFO, in bytes. Redis 7 sends about 6 KiB.
	maxInfo = 1 << 20
	// maxInfoErrors bounds how many wrong lines one error tells of.
	maxInfoErrors = 5
)

// info is the answer to INFO: the fields by name. A field that the server does
// not have is not there.
type info map[string]string

// parseInfo parses the answer to INFO: lines of name:value, sections (# Name)
// and empty lines. Wrong lines give an error that says where they are; the
// others are kept.
func parseInfo(text string) (info, error) {
	if len(text) > maxInfo {
		return nil, fmt.Errorf("INFO: the answer of %d bytes is larger than %d", len(text), maxInfo)
	}
	fields := make(info)
	var wrong []error
	number := 0
	for line := range strings.Lines(text) {
		number++
		if err := fields.addLine(strings.TrimRight(line, "\r\n")); err != nil && len(wrong) < maxInfoErrors {
			wrong = append(wrong, fmt.Errorf("INFO: line %d: %w", number, err))
		}
	}
	if len(fields) == 0 && len(wrong) == 0 {
		wrong = append(wrong, errors.New("INFO: the answer is empty"))
	}
	return fields, errors.Join(wrong...)
}

func (i info) addLine(line string) error {
	if line == "" || line[0] == '#' {
		return nil
	}
	name, value, ok := strings.Cut(line, ":")
	switch _, twice := i[name]; {
	case !ok || name == "" || strings.ContainsAny(name, " \t"):
		return fmt.Errorf("%.40q is not name:value", line)
	case twice:
		return fmt.Errorf("%.40s is there twice", name)
	}
	i[name] = value
	return nil
}

// number returns the value of a field. ok is false, without an error, when the
// server does not have the field.
func (i info) number(name string) (value float64, ok bool, err error) {
	text, ok := i[name]
	if !ok {
		return 0, false, nil
	}
	value, err = parseNumber(text)
	if err != nil {
		return 0, false, fmt.Errorf("INFO: %s: %w", name, err)
	}
	return value, true, nil
}

// parseNumber takes plain decimal numbers only: no NaN, infinity, hexadecimal
// or underscore, which strconv would let through.
func parseNumber(text string) (float64, error) {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.Trim(text, "-.0123456789") != "" || math.IsInf(value, 0) {
		return 0, fmt.Errorf("%.40q is not a number", text)
	}
	return value, nil
}

// keyspace is one line db0:keys=1,expires=2,avg_ttl=3.
type keyspace struct{ keys, expires float64 }

// parseKeyspace parses the value of a dbN field; parts it does not know, which
// newer servers add, are left out.
func parseKeyspace(text string) (keyspace, error) {
	parts, err := parseParts(text)
	if err != nil {
		return keyspace{}, err
	}
	keys, hasKeys := parts["keys"]
	expires, hasExpires := parts["expires"]
	if !hasKeys || !hasExpires {
		return keyspace{}, fmt.Errorf("%.60q lacks keys or expires", text)
	}
	return keyspace{keys: keys, expires: expires}, nil
}

// parseParts parses name=number,name=number. Parts with another kind of value
// are left out unless they should be a number.
func parseParts(text string) (map[string]float64, error) {
	parts := map[string]float64{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%.60q is not name=value pairs", text)
		}
		number, err := parseNumber(value)
		if err != nil {
			return nil, fmt.Errorf("%.40s: %w", name, err)
		}
		parts[name] = number
	}
	return parts, nil
}
