package histogram

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// binaryVersion is the first byte of an encoded histogram.
const binaryVersion = 1

// AppendBinary appends the histogram to b, without loss: what is not empty, as
// distances from one bucket to the next and counts. A histogram of one kind of
// request of a minute takes some 50 to 200 bytes. It implements
// [encoding.BinaryAppender] and never fails.
func (h *Histogram) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, binaryVersion)
	for _, n := range []uint64{h.zeros, h.sum, uint64(h.max)} {
		b = binary.AppendUvarint(b, n)
	}
	last := -1
	for i, block := range &h.blocks {
		if block == nil {
			continue
		}
		for j, n := range block {
			if n > 0 {
				at := i*perDouble + j
				b = binary.AppendUvarint(b, uint64(at-last))
				b = binary.AppendUvarint(b, n)
				last = at
			}
		}
	}
	return b, nil
}

// errCut is what an encoded histogram ends with that is not whole.
var errCut = errors.New("histogram: the encoding is cut off")

// UnmarshalBinary replaces the histogram with one that [Histogram.AppendBinary]
// wrote. It fails when data is anything else, and then leaves the histogram empty.
func (h *Histogram) UnmarshalBinary(data []byte) (err error) {
	*h = Histogram{}
	defer func() {
		if err != nil {
			*h = Histogram{}
		}
	}()
	if len(data) == 0 {
		return errCut
	}
	if data[0] != binaryVersion {
		return fmt.Errorf("histogram: the encoding is of version %d, and version %d is known", data[0], binaryVersion)
	}
	d := decoder{rest: data[1:]}
	h.zeros, h.sum = d.next(), d.next()
	longest := d.next()
	if longest > math.MaxInt64 {
		return errors.New("histogram: the longest time is out of range")
	}
	h.max, h.count = time.Duration(longest), h.zeros
	at := uint64(0) // one beyond the last bucket
	for len(d.rest) > 0 && d.err == nil {
		step, n := d.next(), d.next()
		if d.err != nil {
			break
		}
		if step == 0 || step > blocks*perDouble || at+step > blocks*perDouble || n == 0 || h.count+n < h.count {
			return errors.New("histogram: the encoding holds a bucket that cannot be")
		}
		at += step
		h.block(int(at-1) / perDouble)[(at-1)%perDouble] = n
		h.count += n
	}
	return d.err
}

// decoder reads numbers until the first that is not whole.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) next() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.err, d.rest = errCut, nil
		return 0
	}
	d.rest = d.rest[size:]
	return n
}
