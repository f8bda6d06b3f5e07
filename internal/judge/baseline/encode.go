package baseline

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/window"
)

// magic begins every encoded profile; its last byte is the version of the encoding.
// Version 1 did not say how long its windows are: they are minutes.
const (
	magic        = "SBP\x02"
	firstVersion = 1
)

// The bounds of what is read back: beyond, it was never written.
const (
	maxText    = 1 << 12
	maxSamples = mostSamples
	maxCounts  = 1 << 8
	// longestSample is in units, minutes at least in older versions: that of a block,
	// and a window of up to a day.
	longestSample = 2 * 24 * 60
)

// MarshalBinary encodes the profile without loss: a few kilobytes a case and rate band.
// It ends with a checksum. It implements [encoding.BinaryMarshaler] and never fails.
func (p *Profile) MarshalBinary() ([]byte, error) {
	e := encoder{b: []byte(magic)}
	e.text(p.Version)
	e.time(p.From)
	e.time(p.To)
	e.unsigned(uint64(p.Windows))
	e.unsigned(uint64(p.Window / time.Second))
	e.unsigned(uint64(len(p.Cases)))
	for i := range p.Cases {
		c := &p.Cases[i]
		e.text(c.Name)
		e.text(c.Class)
		e.flag(c.Invalid)
		e.unsigned(uint64(len(c.Strata)))
		for j := range c.Strata {
			e.stratum(&c.Strata[j])
		}
	}
	return binary.BigEndian.AppendUint32(e.b, crc32.ChecksumIEEE(e.b)), nil
}

// encoder appends.
type encoder struct{ b []byte }

func (e *encoder) unsigned(n uint64) { e.b = binary.AppendUvarint(e.b, n) }
func (e *encoder) signed(n int64)    { e.b = binary.AppendVarint(e.b, n) }

func (e *encoder) text(s string) {
	s = s[:min(len(s), maxText)]
	e.unsigned(uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) flag(f bool) {
	if f {
		e.unsigned(1)
	} else {
		e.unsigned(0)
	}
}

// time appends a time to the nanosecond, the zero time as one without a second.
func (e *encoder) time(t time.Time) {
	e.flag(!t.IsZero())
	if !t.IsZero() {
		e.signed(t.Unix())
		e.unsigned(uint64(t.Nanosecond()))
	}
}

func (e *encoder) stratum(s *Stratum) {
	e.signed(int64(s.Band))
	e.text(s.Phase)
	e.unsigned(uint64(s.Windows))
	e.unsigned(uint64(len(s.Outcomes)))
	for _, o := range s.Outcomes {
		e.text(o.Name)
		e.signed(o.N)
	}
	times := s.Times
	if times == nil {
		times = new(histogram.Histogram)
	}
	encoded, _ := times.AppendBinary(nil)
	e.unsigned(uint64(len(encoded)))
	e.b = append(e.b, encoded...)
	for i := range s.figures {
		e.samples(&s.figures[i])
	}
	e.samples(&s.failures)
}

// samples appends differences, which are small.
func (e *encoder) samples(s *samples) {
	e.unsigned(uint64(s.stride))
	e.unsigned(uint64(len(s.list)))
	var last sample
	for _, one := range s.list {
		e.signed(int64(one.at) - int64(last.at))
		e.signed(int64(one.length) - int64(last.length))
		e.signed(int64(one.n) - int64(last.n))
		e.signed(int64(one.value) - int64(last.value))
		last = one
	}
}

// UnmarshalBinary replaces the profile with one that [Profile.MarshalBinary] wrote. It
// fails when data is anything else, and then leaves the profile empty.
func (p *Profile) UnmarshalBinary(data []byte) error {
	*p = Profile{}
	if len(data) < len(magic)+4 || string(data[:len(magic)-1]) != magic[:len(magic)-1] {
		return errors.New("baseline: this is no encoded profile")
	}
	version, latest := data[len(magic)-1], magic[len(magic)-1]
	if version < firstVersion || version > latest {
		return fmt.Errorf("baseline: the profile is encoded in version %d, and versions %d to %d are known", version, firstVersion, latest)
	}
	body := data[:len(data)-4]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(data[len(body):]) {
		return errors.New("baseline: the encoded profile is damaged: its checksum is wrong")
	}
	d := decoder{b: body[len(magic):], version: version}
	read := d.profile()
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes too many", len(d.b))
	}
	if d.err != nil {
		return fmt.Errorf("baseline: the encoded profile is damaged: %w", d.err)
	}
	*p = read
	return nil
}

// decoder reads until the first mistake, and zeros after it.
type decoder struct {
	b       []byte
	version byte
	err     error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
	d.b = nil
}

func (d *decoder) advance(size int) {
	if size <= 0 {
		d.fail("it is cut off")
		return
	}
	d.b = d.b[size:]
}

// unsigned reads a number up to highest.
func (d *decoder) unsigned(highest uint64) uint64 {
	n, size := binary.Uvarint(d.b)
	if d.advance(size); d.err != nil {
		return 0
	}
	if n > highest {
		d.fail("%d where at most %d can be", n, highest)
		return 0
	}
	return n
}

func (d *decoder) signed() int64 {
	n, size := binary.Varint(d.b)
	if d.advance(size); d.err != nil {
		return 0
	}
	return n
}

// within reads a difference to last of which the sum lies in lowest..MaxInt32.
func (d *decoder) within(last int32, lowest int64) int32 {
	by := d.signed()
	n := int64(last) + by
	if d.err == nil && (by > math.MaxUint32 || by < -math.MaxUint32 || n < lowest || n > math.MaxInt32) {
		d.fail("a sample is out of range")
	}
	if d.err != nil {
		return 0
	}
	return int32(n)
}

func (d *decoder) bytes(highest uint64) []byte {
	n := d.unsigned(highest)
	if n > uint64(len(d.b)) {
		d.fail("it is cut off")
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) text() string { return string(d.bytes(maxText)) }

func (d *decoder) time() time.Time {
	if d.unsigned(1) == 0 {
		return time.Time{}
	}
	second := d.signed()
	if second > 1<<40 || second < -1<<40 {
		d.fail("a time is out of range")
	}
	return time.Unix(second, int64(d.unsigned(999_999_999))).UTC()
}

func (d *decoder) profile() Profile {
	p := Profile{Version: d.text(), From: d.time(), To: d.time(), Windows: int(d.unsigned(math.MaxInt32))}
	p.Window = d.windowLength(p.Windows)
	last := ""
	for i := d.unsigned(maxCases); i > 0 && d.err == nil; i-- {
		c := CaseProfile{Name: d.text(), Class: d.text(), Invalid: d.unsigned(1) == 1}
		if len(p.Cases) > 0 && c.Name <= last {
			d.fail("its cases are out of order")
		}
		last = c.Name
		for j := d.unsigned(maxStrata); j > 0 && d.err == nil; j-- {
			c.Strata = append(c.Strata, d.stratum())
		}
		p.Cases = append(p.Cases, c)
	}
	return p
}

// windowLength reads how long the windows are.
func (d *decoder) windowLength(windows int) time.Duration {
	if d.version == firstVersion {
		if windows == 0 {
			return 0
		}
		return window.Minute
	}
	length := time.Duration(d.unsigned(math.MaxInt32)) * time.Second
	if (length == 0) != (windows == 0) || (length != 0 && length != window.Short && length != window.Minute) {
		d.fail("windows of %v cannot be", length)
	}
	return length
}

func (d *decoder) stratum() Stratum {
	band := d.signed()
	if band > 1000 || band < noRate {
		d.fail("rate band %d cannot be", band)
	}
	s := Stratum{Band: int(band), Phase: d.text(), Windows: int(d.unsigned(math.MaxInt32))}
	for i := d.unsigned(maxCounts); i > 0 && d.err == nil; i-- {
		name, n := d.text(), d.signed()
		if n < 0 || n > math.MaxInt64>>maxSum {
			d.fail("%d requests cannot be", n)
		}
		s.Outcomes = append(s.Outcomes, window.Count{Name: name, N: n})
	}
	s.Times = new(histogram.Histogram)
	if encoded := d.bytes(1 << 20); d.err == nil {
		if err := s.Times.UnmarshalBinary(encoded); err != nil {
			d.fail("%w", err)
		}
	}
	for i := range s.figures {
		s.figures[i] = d.samples(math.MinInt32)
	}
	s.failures = d.samples(0)
	return s
}

// maxSum: 2^maxSum counts can be added up without overflow.
const maxSum = 24

// samples reads samples whose values are at least lowest.
func (d *decoder) samples(lowest int64) samples {
	s := samples{stride: int32(d.unsigned(1 << 20))}
	var last sample
	for i := d.unsigned(maxSamples); i > 0 && d.err == nil; i-- {
		one := sample{d.within(last.at, int64(last.at)), d.within(last.length, 0), d.within(last.n, 0), d.within(last.value, lowest)}
		if one.length > longestSample || (lowest == 0 && one.value > one.n) {
			d.fail("a sample cannot be")
		}
		s.list = append(s.list, one)
		last = one
	}
	return s
}
