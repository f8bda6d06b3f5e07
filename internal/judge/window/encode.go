package window

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"soakd/internal/histogram"
)

// encodingVersion is the first byte of an encoded window.
const encodingVersion = 1

// AppendBinary appends the window to b, without loss but for the location of its
// times, which come back in UTC. Empty and nil lists are the same. Names take what
// they do not share with the name before them in a sorted list; numbers take as
// many bytes as they need. What is left to gain is in the likeness of names, which
// a general compressor finds: a minute of 40 cases and 150 signals takes some
// 10 KB, and packed some 5 KB.
func (w *Window) AppendBinary(b []byte) []byte {
	e := encoder{b: append(b, encodingVersion)}
	e.time(w.Start)
	e.int(int64(w.Length))
	e.int(int64(w.Covered))
	e.int(int64(w.Fit))
	e.texts(w.Unfit)
	e.float(w.Rate)
	e.text(w.Phase)
	e.text(w.Version)
	e.int(w.Scheduled)
	e.int(w.Sent)
	e.int(w.Dropped)
	e.cases(w.Cases)
	e.signals(w.Signals)
	e.uint(uint64(len(w.Probes)))
	for i := range w.Probes {
		e.probe(&w.Probes[i])
	}
	e.uint(uint64(len(w.Seconds)))
	for _, s := range w.Seconds {
		e.uint(uint64(s.OK))
		e.uint(uint64(s.Failed))
	}
	return e.b
}

// encoder appends values.
type encoder struct{ b []byte }

func (e *encoder) uint(n uint64) { e.b = binary.AppendUvarint(e.b, n) }
func (e *encoder) int(n int64)   { e.b = binary.AppendVarint(e.b, n) }

func (e *encoder) text(s string) {
	e.uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) texts(list []string) {
	e.uint(uint64(len(list)))
	for _, s := range list {
		e.text(s)
	}
}

// maxShared bounds what a name shares with the one before, in bytes, so that few
// bytes never stand for much memory.
const maxShared = 1 << 10

// name appends s as what it does not share with the name before it.
func (e *encoder) name(before, s string) {
	shared := 0
	for shared < min(maxShared, len(before), len(s)) && before[shared] == s[shared] {
		shared++
	}
	e.uint(uint64(shared))
	e.text(s[shared:])
}

// A time is 0 for the zero time, else 1, the seconds since 1970 and the nanoseconds.
func (e *encoder) time(t time.Time) {
	if t.IsZero() {
		e.uint(0)
		return
	}
	e.uint(1)
	e.int(t.Unix())
	e.uint(uint64(t.Nanosecond()))
}

// maxWhole bounds the whole numbers that are written as such: above 2^53 a float
// has no digits after the point, and they would take as many bytes as the float.
const maxWhole = 1 << 53

// A float is, if it is a whole number, twice that number folded to an unsigned one,
// else 1 and its eight bytes, so that every float comes back bit by bit.
func (e *encoder) float(f float64) {
	if math.Abs(f) < maxWhole && f == math.Trunc(f) && (f != 0 || !math.Signbit(f)) {
		n := int64(f)
		e.uint((uint64(n)<<1 ^ uint64(n>>63)) << 1)
		return
	}
	e.uint(1)
	e.b = binary.LittleEndian.AppendUint64(e.b, math.Float64bits(f))
}

func (e *encoder) counts(counts []Count) {
	e.uint(uint64(len(counts)))
	for _, c := range counts {
		e.text(c.Name)
		e.int(c.N)
	}
}

// The flags of a case.
const (
	caseInvalid = 1 << iota
	caseHasTimes
)

func (e *encoder) cases(cases []Case) {
	e.uint(uint64(len(cases)))
	before := ""
	for i := range cases {
		c := &cases[i]
		e.name(before, c.Name)
		e.text(c.Class)
		before = c.Name
		flags := uint64(0)
		if c.Invalid {
			flags |= caseInvalid
		}
		if c.Times != nil {
			flags |= caseHasTimes
		}
		e.uint(flags)
		e.counts(c.Outcomes)
		e.counts(c.Checks)
		if c.Times != nil {
			data, _ := c.Times.AppendBinary(nil) // never fails
			e.uint(uint64(len(data)))
			e.b = append(e.b, data...)
		}
	}
}

// The flags of a signal: what need not be written because it follows.
const (
	signalCounter = 1 << iota
	signalSame    // Max, Last are Min, and Sum is N times Min
	signalLastMax // Last is Max
	signalZeros   // Min, Max, Sum, Last are 0, as of a counter
	signalStill   // Increase is 0
)

func (e *encoder) signals(signals []Signal) {
	e.uint(uint64(len(signals)))
	name, labels := "", ""
	for i := range signals {
		s := &signals[i]
		e.name(name, s.Name)
		e.name(labels, s.Labels)
		name, labels = s.Name, s.Labels
		flags := flagsOf(s)
		e.uint(flags)
		e.int(int64(s.N))
		if flags&signalZeros == 0 {
			e.float(s.Min)
			if flags&signalSame == 0 {
				e.float(s.Max)
				e.float(s.Sum)
				if flags&signalLastMax == 0 {
					e.float(s.Last)
				}
			}
		}
		if flags&signalStill == 0 {
			e.float(s.Increase)
		}
	}
}

func flagsOf(s *Signal) uint64 {
	flags := uint64(0)
	if s.Kind == Counter {
		flags |= signalCounter
	}
	switch {
	case alike(0, s.Min) && alike(0, s.Max) && alike(0, s.Sum) && alike(0, s.Last):
		flags |= signalZeros
	case alike(s.Min, s.Max) && alike(s.Min, s.Last) && alike(float64(s.N)*s.Min, s.Sum):
		flags |= signalSame
	case alike(s.Max, s.Last):
		flags |= signalLastMax
	}
	if alike(0, s.Increase) {
		flags |= signalStill
	}
	return flags
}

// alike tells floats of the same bits: also NaN, and -0 from 0.
func alike(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

func (e *encoder) probe(p *Probe) {
	e.text(p.Name)
	e.int(int64(p.Polls))
	e.int(int64(p.Failed))
	e.time(p.FirstFailure)
	e.time(p.LastSuccess)
	e.time(p.FirstSuccess)
	e.text(p.Reason)
}

// Decode returns the window that [Window.AppendBinary] wrote. It fails when data is
// anything else, and never takes more memory than some hundred times the length of data.
func Decode(data []byte) (*Window, error) {
	if len(data) == 0 {
		return nil, errCut
	}
	if data[0] != encodingVersion {
		return nil, fmt.Errorf("window: the encoding is of version %d, and version %d is known", data[0], encodingVersion)
	}
	d := decoder{rest: data[1:]}
	w := &Window{
		Start: d.time(), Length: time.Duration(d.int()), Covered: time.Duration(d.int()), Fit: time.Duration(d.int()),
		Unfit: list(&d, (*decoder).text), Rate: d.float(), Phase: d.text(), Version: d.text(),
		Scheduled: d.int(), Sent: d.int(), Dropped: d.int(),
	}
	before := ""
	w.Cases = list(&d, func(d *decoder) Case {
		c := d.oneCase(before)
		before = c.Name
		return c
	})
	name, labels := "", ""
	w.Signals = list(&d, func(d *decoder) Signal {
		s := d.signal(name, labels)
		name, labels = s.Name, s.Labels
		return s
	})
	w.Probes = list(&d, (*decoder).probe)
	w.Seconds = list(&d, (*decoder).second)
	if d.err == nil && len(d.rest) > 0 {
		d.fail(errors.New("window: the encoding goes on after its end"))
	}
	if d.err != nil {
		return nil, d.err
	}
	return w, nil
}

// errCut is what an encoded window ends with that is not whole.
var errCut = errors.New("window: the encoding is cut off")

// decoder reads values until the first mistake; what it gives after that is empty.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.rest = nil
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.fail(errCut)
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) int() int64 {
	n, size := binary.Varint(d.rest)
	if size <= 0 {
		d.fail(errCut)
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

// take returns the next n bytes.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.fail(errCut)
		return nil
	}
	part := d.rest[:n]
	d.rest = d.rest[n:]
	return part
}

func (d *decoder) text() string { return string(d.take(d.uint())) }

func (d *decoder) name(before string) string {
	shared := d.uint()
	if shared > min(maxShared, uint64(len(before))) {
		d.fail(errors.New("window: a name shares more with the one before than it can"))
		return ""
	}
	own := d.take(d.uint())
	if len(own) == 0 && shared == uint64(len(before)) {
		return before // most labels are those of the signal before
	}
	return before[:shared] + string(own)
}

func (d *decoder) time() time.Time {
	switch kind := d.uint(); kind {
	case 0:
		return time.Time{}
	case 1:
		seconds, nanos := d.int(), d.uint()
		if nanos >= uint64(time.Second) {
			d.fail(errors.New("window: a second of more than a second"))
			return time.Time{}
		}
		return time.Unix(seconds, int64(nanos)).UTC()
	default:
		d.fail(fmt.Errorf("window: a time of kind %d, and 0 and 1 are known", kind))
		return time.Time{}
	}
}

func (d *decoder) float() float64 {
	n := d.uint()
	if n == 1 {
		raw := d.take(8)
		if raw == nil {
			return 0
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(raw))
	}
	if n&1 != 0 {
		d.fail(errors.New("window: neither a whole number nor a float"))
		return 0
	}
	n >>= 1
	return float64(int64(n>>1) ^ -int64(n&1))
}

// list reads how many there are, and each. That many must fit into what is left, of
// which each takes a byte at least; room is made as they come.
func list[T any](d *decoder, one func(*decoder) T) []T {
	n := d.uint()
	if n > uint64(len(d.rest)) {
		d.fail(errCut)
	}
	if n == 0 || d.err != nil {
		return nil
	}
	all := make([]T, 0, min(n, 256))
	for range n {
		all = append(all, one(d))
		if d.err != nil {
			return nil
		}
	}
	return slices.Clip(all)
}

func (d *decoder) count() Count { return Count{Name: d.text(), N: d.int()} }

func (d *decoder) oneCase(before string) Case {
	c := Case{Name: d.name(before), Class: d.text()}
	flags := d.uint()
	if flags > caseInvalid|caseHasTimes {
		d.fail(fmt.Errorf("window: a case with the flags %#x", flags))
	}
	c.Invalid = flags&caseInvalid != 0
	c.Outcomes, c.Checks = list(d, (*decoder).count), list(d, (*decoder).count)
	if flags&caseHasTimes == 0 || d.err != nil {
		return c
	}
	c.Times = new(histogram.Histogram)
	if data := d.take(d.uint()); d.err == nil {
		if err := c.Times.UnmarshalBinary(data); err != nil {
			d.fail(fmt.Errorf("window: case %q: %w", c.Name, err))
		}
	}
	return c
}

func (d *decoder) signal(name, labels string) Signal {
	s := Signal{Name: d.name(name), Labels: d.name(labels)}
	flags := d.uint()
	if flags > signalCounter|signalSame|signalLastMax|signalZeros|signalStill {
		d.fail(fmt.Errorf("window: a signal with the flags %#x", flags))
	}
	if flags&signalCounter != 0 {
		s.Kind = Counter
	}
	s.N = int(d.int())
	if flags&signalZeros == 0 {
		s.Min = d.float()
		switch {
		case flags&signalSame != 0:
			s.Max, s.Sum, s.Last = s.Min, float64(s.N)*s.Min, s.Min
		default:
			s.Max, s.Sum = d.float(), d.float()
			s.Last = s.Max
			if flags&signalLastMax == 0 {
				s.Last = d.float()
			}
		}
	}
	if flags&signalStill == 0 {
		s.Increase = d.float()
	}
	return s
}

func (d *decoder) probe() Probe {
	return Probe{
		Name: d.text(), Polls: int(d.int()), Failed: int(d.int()),
		FirstFailure: d.time(), LastSuccess: d.time(), FirstSuccess: d.time(), Reason: d.text(),
	}
}

func (d *decoder) second() Second {
	ok, failed := d.uint(), d.uint()
	if ok > math.MaxUint32 || failed > math.MaxUint32 {
		d.fail(errors.New("window: a second with more than 2^32 requests"))
	}
	return Second{OK: uint32(ok), Failed: uint32(failed)}
}
