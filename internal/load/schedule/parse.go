package schedule

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxShapeText bounds the text of a shape, and with it its steps.
const maxShapeText = 16 << 10

// Surroundings are what the text of a shape is read against.
type Surroundings struct {
	// Base is the rate that is set; steady and spike use it.
	Base Rate
	// TimeOfDay is when the shape starts, since midnight; only day uses it.
	TimeOfDay time.Duration
	// Open opens the file of a replay; nil allows none.
	Open func(path string) (io.ReadCloser, error)
}

// ParseShape reads the text of a shape:
//
//	steady
//	ramp:from=10,to=200,over=10m
//	steps:50@5m,100@5m,200
//	spike:to=500,every=1h,hold=1m,rise=10s,at=1h
//	day:min=10,max=100,period=24h,peak=14:00
//	replay:FILE,interpolate=step,loop=false,scale=1
//
// In spike, at is when the first spike begins, by default after every; without
// every there is one. hold is 1m and rise 0s by default; the period of day is 24h and its
// peak at 14:00; replay's defaults are those shown. The error names all mistakes.
func ParseShape(text string, in Surroundings) (Shape, error) {
	if len(text) > maxShapeText {
		return Shape{}, fmt.Errorf("a shape of %d bytes: give at most %d, or a replay of a file", len(text), maxShapeText)
	}
	kind, rest, _ := strings.Cut(text, ":")
	var shape Shape
	var err error
	switch kind {
	case "steady":
		if text != kind {
			return Shape{}, fmt.Errorf("shape %q: steady takes nothing behind it: give steady, and the rate as the rate", text)
		}
		shape, err = Steady(in.Base)
	case "ramp":
		shape, err = parseRamp(rest)
	case "steps":
		shape, err = parseSteps(rest)
	case "spike":
		shape, err = parseSpike(rest, in.Base)
	case "day":
		shape, err = parseDay(rest, in.TimeOfDay)
	case "replay":
		shape, err = parseReplay(rest, in.Open)
	default:
		err = errors.New("no such shape: give steady, ramp:..., steps:..., spike:..., day:... or replay:..., such as ramp:from=10,to=200,over=10m")
	}
	if err != nil {
		return Shape{}, fmt.Errorf("shape %q: %w", text, err)
	}
	return shape, nil
}

func parseRamp(text string) (Shape, error) {
	s := readSettings(text, "from", "to", "over")
	from, to, over := s.rate("from", "from=10"), s.rate("to", "to=200"), s.duration("over", "over=10m")
	if err := s.err(); err != nil {
		return Shape{}, err
	}
	return Ramp(from, to, over)
}

func parseSteps(text string) (Shape, error) {
	var steps []Step
	var mistakes []error
	for part := range strings.SplitSeq(text, ",") {
		rateText, forText, hasFor := strings.Cut(part, "@")
		rate, ok := parseMillionths(rateText)
		var length time.Duration
		if hasFor {
			var err error
			length, err = time.ParseDuration(forText)
			ok = ok && err == nil && length > 0
		}
		if !ok {
			mistakes = append(mistakes, fmt.Errorf("step %d: %q is not RATE@TIME: give a rate from 0 to 1000000 and a time above 0, such as 50@5m", len(steps)+1, part))
		}
		steps = append(steps, Step{Rate: rate, For: length})
	}
	if len(mistakes) > 0 {
		return Shape{}, errors.Join(mistakes...)
	}
	return Steps(steps)
}

func parseSpike(text string, base Rate) (Shape, error) {
	s := readSettings(text, "to", "every", "at", "hold", "rise")
	c := Spikes{Base: base, Peak: s.rate("to", "to=500")}
	if s.has("every") {
		c.Every = s.duration("every", "every=1h")
		if c.Every == 0 {
			s.wrong("every", "a time above 0", "every=1h")
		}
	}
	switch {
	case s.has("at"):
		c.First = s.duration("at", "at=10m")
	case s.has("every"):
		c.First = c.Every
	default:
		s.mistakes = append(s.mistakes, errors.New("every and at are missing: give how often spikes begin, such as every=1h, or when the only one does, such as at=10m"))
	}
	c.Hold, c.Rise = time.Minute, 0
	if s.has("hold") {
		c.Hold = s.duration("hold", "hold=1m")
	}
	if s.has("rise") {
		c.Rise = s.duration("rise", "rise=10s")
	}
	if err := s.err(); err != nil {
		return Shape{}, err
	}
	return Spike(c)
}

func parseDay(text string, start time.Duration) (Shape, error) {
	s := readSettings(text, "min", "max", "period", "peak")
	c := DayCurve{
		Min: s.rate("min", "min=10"), Max: s.rate("max", "max=100"),
		Period: 24 * time.Hour, Peak: 14 * time.Hour, Start: start,
	}
	if s.has("period") {
		c.Period = s.duration("period", "period=24h")
	}
	if s.has("peak") {
		c.Peak = s.clock("peak", "peak=14:00")
	}
	if err := s.err(); err != nil {
		return Shape{}, err
	}
	return Day(c)
}

func parseReplay(text string, open func(string) (io.ReadCloser, error)) (_ Shape, err error) {
	path, rest, hasRest := strings.Cut(text, ",")
	s := &settings{}
	if hasRest {
		s = readSettings(rest, "interpolate", "loop", "scale")
	}
	c := Recording{Name: path, Scale: microsPerArrival}
	if path == "" {
		s.mistakes = append(s.mistakes, errors.New("the file is missing: give its path, which must not contain a comma, such as replay:rates.csv"))
	}
	c.Linear = s.choice("interpolate", "step", "linear") == "linear"
	c.Loop = s.choice("loop", "false", "true") == "true"
	if s.has("scale") {
		c.Scale = s.rate("scale", "scale=1")
		if c.Scale == 0 {
			s.wrong("scale", "a number above 0", "scale=1")
		}
	}
	if err := s.err(); err != nil {
		return Shape{}, err
	}
	if open == nil {
		return Shape{}, errors.New("files cannot be replayed here: give another shape")
	}
	file, err := open(path)
	if err != nil {
		return Shape{}, fmt.Errorf("opening the recording: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return Replay(file, c)
}

// settings are key=value pairs. The methods that read them keep the mistakes, so
// that all are reported together.
type settings struct {
	values   map[string]string
	mistakes []error
}

// readSettings reads pairs with commas between; only the keys given may appear,
// and each once.
func readSettings(text string, keys ...string) *settings {
	s := &settings{values: map[string]string{}}
	for pair := range strings.SplitSeq(text, ",") {
		key, value, hasValue := strings.Cut(pair, "=")
		_, twice := s.values[key]
		switch {
		case !hasValue && slices.Contains(keys, key), !hasValue && pair == "":
			s.mistakes = append(s.mistakes, fmt.Errorf("%q has no value: give KEY=VALUE with the keys %s", pair, strings.Join(keys, ", ")))
		case !slices.Contains(keys, key):
			s.mistakes = append(s.mistakes, fmt.Errorf("unknown key %q: give %s", key, strings.Join(keys, ", ")))
		case twice:
			s.mistakes = append(s.mistakes, fmt.Errorf("%s is given twice: give it once", key))
		default:
			s.values[key] = value
		}
	}
	return s
}

func (s *settings) err() error { return errors.Join(s.mistakes...) }

func (s *settings) has(key string) bool {
	_, ok := s.values[key]
	return ok
}

// wrong keeps a mistake in the value of a key; one that is not there is missing.
func (s *settings) wrong(key, want, example string) {
	if s.has(key) {
		s.mistakes = append(s.mistakes, fmt.Errorf("%s: %q is not %s: give one such as %s", key, s.values[key], want, example))
	} else {
		s.mistakes = append(s.mistakes, fmt.Errorf("%s is missing: give %s, such as %s", key, want, example))
	}
}

func (s *settings) rate(key, example string) Rate {
	rate, ok := parseMillionths(s.values[key])
	if !ok {
		s.wrong(key, "a decimal number from 0 to 1000000 with at most six decimals", example)
	}
	return rate
}

func (s *settings) duration(key, example string) time.Duration {
	d, err := time.ParseDuration(s.values[key])
	if err != nil || d < 0 {
		s.wrong(key, "a time of 0 or more", example)
	}
	return d
}

func (s *settings) choice(key, otherwise, other string) string {
	value, ok := s.values[key]
	if ok && value != otherwise && value != other {
		s.wrong(key, otherwise+" or "+other, key+"="+other)
	}
	if !ok {
		return otherwise
	}
	return value
}

// clock reads a time of day.
func (s *settings) clock(key, example string) time.Duration {
	d, ok := parseClock(s.values[key])
	if !ok {
		s.wrong(key, "a time of day from 00:00 to 23:59:59", example)
	}
	return d
}

func parseClock(text string) (time.Duration, bool) {
	parts := strings.Split(text, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return 0, false
	}
	var seconds int
	for i, part := range parts {
		value, err := strconv.Atoi(part)
		most := 59
		if i == 0 {
			most = 23
		}
		if len(part) != 2 || !isDigits(part) || err != nil || value > most {
			return 0, false
		}
		seconds = seconds*60 + value
	}
	if len(parts) == 2 {
		seconds *= 60
	}
	return time.Duration(seconds) * time.Second, true
}
