package exposition

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// The fields of io.prometheus.client.MetricFamily that are read:
// https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto
const (
	fieldName   = 1
	fieldMetric = 4
)

// maxMetric bounds one metric of a wanted family and any name, in bytes.
const maxMetric = 1 << 20

// protobufReader reads families one by one, and the metrics of a wanted family
// one by one, so that not even the largest family is in memory as a whole.
type protobufReader struct {
	in     *bufio.Reader
	wanted wanted
	page   *Page
	// left are the bytes that the family still has.
	left int
	// value, sum and count are the wanted names of the family, or empty.
	value, sum, count string
}

func readProtobuf(r io.Reader, w wanted, page *Page) error {
	p := &protobufReader{in: bufio.NewReaderSize(r, lineBuffer), wanted: w, page: page}
	for number := 1; ; number++ {
		size, err := binary.ReadUvarint(p.in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && size > MaxBody {
			err = errTooLarge
		}
		if err == nil {
			p.left = int(size) //nolint:gosec // at most MaxBody
			err = p.family()
		}
		if err != nil {
			return fmt.Errorf("metric family %d: %w", number, cutOff(err))
		}
	}
}

// cutOff names an end inside of a family.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errUnexpectEnd
	}
	return err
}

var errBadProtobuf = errors.New("it is not protobuf of Prometheus")

// family reads one family.
func (p *protobufReader) family() error {
	p.value, p.sum, p.count = "", "", ""
	named := false
	for p.left > 0 {
		field, wire, err := p.tag()
		switch {
		case err != nil:
			return err
		case field == fieldName && wire == protowire.BytesType:
			named = true
			err = p.name()
		case field == fieldMetric && wire == protowire.BytesType && !named:
			// All that write the format write the fields in their order.
			return errors.New("its metrics come before its name")
		case field == fieldMetric && wire == protowire.BytesType && p.isWanted():
			err = p.metric()
		default:
			err = p.skip(wire)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *protobufReader) isWanted() bool { return p.value != "" || p.sum != "" || p.count != "" }

// name reads the family's name.
func (p *protobufReader) name() error {
	name, err := p.bytes()
	if err != nil {
		return err
	}
	if !utf8.Valid(name) || len(name) == 0 {
		return errBadProtobuf
	}
	p.value, _ = p.find(name, "")
	p.sum, _ = p.find(name, "_sum")
	p.count, _ = p.find(name, "_count")
	return nil
}

// find returns the wanted name of the family's series with that suffix.
func (p *protobufReader) find(name []byte, suffix string) (string, bool) {
	found, ok := p.wanted.find(append(name[:len(name):len(name)], suffix...))
	if !ok {
		return "", false
	}
	return found, true
}

// metric reads one metric of a wanted family.
func (p *protobufReader) metric() error {
	raw, err := p.bytes()
	if err != nil {
		return err
	}
	var metric dto.Metric
	if err := proto.Unmarshal(raw, &metric); err != nil {
		return errBadProtobuf
	}
	labels := make([]label, 0, len(metric.GetLabel()))
	for _, pair := range metric.GetLabel() {
		labels = append(labels, label{p.wanted.unescape(pair.GetName()), pair.GetValue()})
	}
	if labels, err = sorted(labels); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		of   func(*dto.Metric) (float64, bool)
	}{{p.value, plain}, {p.sum, sumOf}, {p.count, countOf}} {
		value, ok := part.of(&metric)
		if part.name == "" || !ok {
			continue
		}
		if err := p.page.add(part.name, labels, value); err != nil {
			return err
		}
	}
	return nil
}

// tag reads the number and the wire type of the next field.
func (p *protobufReader) tag() (protowire.Number, protowire.Type, error) {
	tag, err := p.varint()
	if err != nil {
		return 0, 0, err
	}
	field, wire := protowire.DecodeTag(tag)
	if field < protowire.MinValidNumber {
		return 0, 0, errBadProtobuf
	}
	return field, wire, nil
}

// ReadByte reads one byte of the family.
func (p *protobufReader) ReadByte() (byte, error) {
	if p.left == 0 {
		return 0, errBadProtobuf
	}
	p.left--
	return p.in.ReadByte()
}

func (p *protobufReader) varint() (uint64, error) { return binary.ReadUvarint(p) }

// length reads the length of a field, which must be in the family.
func (p *protobufReader) length() (int, error) {
	size, err := p.varint()
	switch {
	case err != nil:
		return 0, err
	case size > uint64(p.left): //nolint:gosec // never negative
		return 0, errBadProtobuf
	}
	return int(size), nil //nolint:gosec // at most left
}

// bytes reads the content of a field. It is valid until the next read when it
// fits into the buffer.
func (p *protobufReader) bytes() ([]byte, error) {
	size, err := p.length()
	if err != nil {
		return nil, err
	}
	if size > maxMetric {
		return nil, fmt.Errorf("one metric is larger than %d MiB", maxMetric>>20)
	}
	p.left -= size
	if size > p.in.Size() {
		content := make([]byte, size)
		_, err := io.ReadFull(p.in, content)
		return content, err
	}
	content, err := p.in.Peek(size)
	if err != nil {
		return nil, err
	}
	_, err = p.in.Discard(size)
	return content, err
}

// skip passes over the content of a field.
func (p *protobufReader) skip(wire protowire.Type) error {
	size := 0
	var err error
	switch wire {
	case protowire.VarintType:
		_, err = p.varint()
		return err
	case protowire.Fixed32Type:
		size = 4
	case protowire.Fixed64Type:
		size = 8
	case protowire.BytesType:
		size, err = p.length()
	default:
		return errBadProtobuf
	}
	if err == nil && size > p.left {
		err = errBadProtobuf
	}
	if err != nil {
		return err
	}
	p.left -= size
	_, err = p.in.Discard(size)
	return err
}

func plain(m *dto.Metric) (float64, bool) {
	switch {
	case m.Counter != nil:
		return m.GetCounter().GetValue(), true
	case m.Gauge != nil:
		return m.GetGauge().GetValue(), true
	case m.Untyped != nil:
		return m.GetUntyped().GetValue(), true
	default:
		return math.NaN(), false
	}
}

func sumOf(m *dto.Metric) (float64, bool) {
	switch {
	case m.Summary != nil && m.Summary.SampleSum != nil:
		return m.GetSummary().GetSampleSum(), true
	case m.Histogram != nil && m.Histogram.SampleSum != nil:
		return m.GetHistogram().GetSampleSum(), true
	default:
		return math.NaN(), false
	}
}

// countOf also knows native histograms of which the counts are no integers.
func countOf(m *dto.Metric) (float64, bool) {
	switch {
	case m.Summary != nil && m.Summary.SampleCount != nil:
		return float64(m.GetSummary().GetSampleCount()), true
	case m.Histogram.GetSampleCountFloat() > 0:
		return m.GetHistogram().GetSampleCountFloat(), true
	case m.Histogram != nil && m.Histogram.SampleCount != nil:
		return float64(m.GetHistogram().GetSampleCount()), true
	default:
		return math.NaN(), false
	}
}
