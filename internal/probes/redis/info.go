package redis

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
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
	fields.padCPU()
	return fields, errors.Join(wrong...)
}

func (i info) addLine(line string) error {
	if line == "" || line[0] == '#' {
		return nil
	}
	name, value, ok := strings.Cut(line, ":")
	switch _, twice := i[name]; {
	case !ok || name == "":
		return fmt.Errorf("%.40q is not name:value", line)
	case twice && repeats(name):
		return nil
	case twice:
		return fmt.Errorf("%.40s is there twice", name)
	}
	i[name] = value
	return nil
}

// repeats reports whether servers send the field several times; the first is
// kept. Redis has one module for each of its modules, and servers with several
// masters (KeyDB, Dragonfly) some fields for each of them.
func repeats(name string) bool {
	switch name {
	case "module", "slave_read_repl_offset", "slave_repl_offset", "slave_priority", "slave_read_only",
		"master_host", "master_port", "master_link_status", "master_last_io_seconds_ago", "master_sync_in_progress", "master_replid":
		return true
	default:
		return false
	}
}

// padCPU corrects the CPU times of Dragonfly, which writes seconds, a point and
// microseconds without leading zeros: 1.5 is 1 s and 5 us.
func (i info) padCPU() {
	if i["dragonfly_version"] == "" {
		return
	}
	for rest, text := range i.withPrefix("used_cpu_") {
		seconds, fraction, ok := strings.Cut(text, ".")
		if zeros := 6 - len(fraction); ok && fraction != "" && zeros > 0 {
			i["used_cpu_"+rest] = seconds + "." + strings.Repeat("0", zeros) + fraction
		}
	}
}

// hasPrefix reports whether there is a field whose name starts with prefix.
func (i info) hasPrefix(prefix string) bool {
	for name := range i {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// withPrefix gives, in the order of their names, the fields whose name starts
// with prefix: the rest of the name, and the value.
func (i info) withPrefix(prefix string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, name := range slices.Sorted(maps.Keys(i)) {
			rest, ok := strings.CutPrefix(name, prefix)
			if ok && !yield(rest, i[name]) {
				return
			}
		}
	}
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

// parts are the parts of a field name=value,name=value.
type parts map[string]string

// parseParts parses name=value,name=value.
func parseParts(text string) (parts, error) {
	found := parts{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%.60q is not name=value pairs", text)
		}
		if _, twice := found[name]; twice {
			return nil, fmt.Errorf("%.60q has %.40s twice", text, name)
		}
		found[name] = value
	}
	return found, nil
}

// number returns the value of a part. ok is false, without an error, when it is
// not there.
func (p parts) number(name string) (value float64, ok bool, err error) {
	text, ok := p[name]
	if !ok {
		return 0, false, nil
	}
	value, err = parseNumber(text)
	if err != nil {
		return 0, false, fmt.Errorf("%s: %w", name, err)
	}
	return value, true, nil
}

// count returns the value of a part that must be there and not below 0.
func (p parts) count(name string) (float64, error) {
	value, ok, err := p.number(name)
	switch {
	case err != nil:
		return 0, err
	case !ok:
		return 0, fmt.Errorf("%s is not there", name)
	case value < 0:
		return 0, fmt.Errorf("%s is %v, below 0", name, value)
	}
	return value, nil
}
