package results

import (
	"bufio"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// vegetaResult is a result of vegeta's, with the fields that are read. Its names are those of
// vegeta's own type, by which gob finds them
// (https://pkg.go.dev/github.com/tsenart/vegeta/v12/lib#Result).
type vegetaResult struct {
	Attack    string        `json:"attack"`
	Code      uint16        `json:"code"`
	Timestamp time.Time     `json:"timestamp"`
	Latency   time.Duration `json:"latency"`
	BytesIn   uint64        `json:"bytes_in"`
	Error     string        `json:"error"`
	Method    string        `json:"method"`
	URL       string        `json:"url"`
}

// vegeta counts results. A case is a method and a path; where they are missing, as in
// files before v12, it is the name of the attack.
type vegeta struct {
	collector *collector
	targets   map[string]bool
}

func newVegeta(file string, o Options) *vegeta {
	return &vegeta{newCollector(file, o.Window), map[string]bool{}}
}

// take counts a result. As vegeta has it, a status of 200 to 399 without an error is a success.
func (v *vegeta) take(line int, r *vegetaResult) error {
	name := clean(r.Attack)
	if r.URL != "" {
		name = strings.TrimSpace(clean(r.Method) + " " + pathOf(r.URL))
		rememberTarget(v.targets, r.URL)
	}
	if name == "" {
		name = "request"
	}
	s := sample{name: name, method: clean(r.Method), end: r.Timestamp.Add(r.Latency), took: r.Latency, outcome: okOutcome, bytes: int64(min(r.BytesIn, 1<<50))}
	if r.Error != "" || r.Code < 200 || r.Code >= 400 {
		status := int(r.Code)
		if status >= 200 && status < 400 {
			status = 0 // the answer broke off
		}
		s.outcome, s.reason = failedOutcome(status, r.Error)
	}
	return v.collector.add(line, &s)
}

func (v *vegeta) finish(cut bool) *Result {
	r := v.collector.finish("vegeta")
	r.Run.Target = oneTarget(v.targets)
	r.Run.Model = "open"
	r.cutBy(cut, v.collector.file)
	return r
}

// readVegetaCSV reads what vegeta encode -to csv writes: without a header, timestamp in ns, status, latency in ns,
// bytes out and in, error, body in base64, attack, number, and from v12 on method, URL and headers.
func readVegetaCSV(file string, from *bufio.Reader, o Options) (*Result, error) {
	v, t := newVegeta(file, o), newTable(file, from, false)
	t.reader.Comma = ','
	const least = 9
	for {
		more, err := t.next(least)
		if err != nil {
			return nil, err
		}
		if !more {
			return v.finish(t.cut), nil
		}
		r, err := t.vegetaResult()
		if err != nil {
			return nil, err
		}
		if err := v.take(t.line, &r); err != nil {
			return nil, err
		}
	}
}

func (t *table) vegetaResult() (r vegetaResult, err error) {
	numbers := [5]int64{}
	for i, name := range []string{"timestamp", "code", "latency", "bytes_out", "bytes_in"} {
		if numbers[i], err = strconv.ParseInt(t.field(i), 10, 64); err != nil || numbers[i] < 0 {
			return r, wrong(t.file, t.line, "%s: %q is no whole number from 0 on", name, clean(t.field(i)))
		}
	}
	if numbers[1] > 65535 {
		return r, wrong(t.file, t.line, "code: %d is no status", numbers[1])
	}
	r = vegetaResult{
		Timestamp: time.Unix(0, numbers[0]), Code: uint16(numbers[1]), Latency: time.Duration(numbers[2]), BytesIn: uint64(numbers[4]),
		Error: t.field(5), Attack: t.field(7), Method: t.field(9), URL: t.field(10),
	}
	return r, nil
}

// readVegetaJSON reads what vegeta encode -to json writes: a line a result.
func readVegetaJSON(file string, from *bufio.Reader, o Options) (*Result, error) {
	v, in := newVegeta(file, o), &lines{file: file, from: from}
	for {
		line, err := in.next()
		if err != nil {
			return nil, err
		}
		if line == nil {
			return v.finish(false), nil
		}
		if in.cut && !json.Valid(line) {
			return v.finish(true), nil
		}
		var r vegetaResult
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, wrong(file, in.line, "it is no result of vegeta's: %v", err)
		}
		if err := v.take(in.line, &r); err != nil {
			return nil, err
		}
	}
}

// errMessage is what a gob message that is too long ends with.
var errMessage = errors.New("a result is longer than 64 MiB")

// messages ends a gob stream whose next message takes too much.
type messages struct {
	from *bufio.Reader
	left int
}

func (m *messages) take(n int) error {
	if m.left -= n; m.left < 0 {
		return errMessage
	}
	return nil
}

// Read implements [io.Reader].
func (m *messages) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	return n, errors.Join(err, m.take(n))
}

// ReadByte implements [io.ByteReader], so that gob does not read ahead.
func (m *messages) ReadByte() (byte, error) {
	b, err := m.from.ReadByte()
	if err != nil {
		return b, err //nolint:wrapcheck // io.EOF as it is
	}
	return b, m.take(1)
}

// readVegetaGob reads what vegeta attack writes: gob messages. Files that were put together
// one after another are read too, as far as each begins with its types.
func readVegetaGob(file string, from *bufio.Reader, o Options) (*Result, error) {
	v := newVegeta(file, o)
	stream := &messages{from: from, left: maxRecord}
	decoder := gob.NewDecoder(stream)
	for n := 1; ; n++ {
		stream.left = maxRecord
		var r vegetaResult
		err := decodeGob(decoder, &r)
		switch {
		case errors.Is(err, io.EOF):
			return v.finish(false), nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return v.finish(true), nil
		case err != nil:
			return nil, wrong(file, 0, "result %d: it is no result of vegeta's: %v", n, err)
		}
		if err := v.take(0, &r); err != nil {
			return nil, fmt.Errorf("result %d: %w", n, err)
		}
	}
}

// decodeGob reads a message; what makes gob panic is an error.
func decodeGob(decoder *gob.Decoder, r *vegetaResult) (err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("it is broken: %v", broken)
		}
	}()
	return decoder.Decode(r) //nolint:wrapcheck // the caller says where
}
