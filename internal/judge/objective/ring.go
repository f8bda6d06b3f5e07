package objective

import "time"

// bucket counts the requests of one minute or hour.
type bucket struct {
	// At numbers the minutes or hours since the Unix epoch.
	At int64
	// Events are the requests, Bad those of them that were not good.
	Events, Bad int64
	// Seen is how much of it was seen.
	Seen time.Duration
}

// ring keeps the latest buckets of one length.
type ring struct {
	step    time.Duration
	buckets []bucket
}

func newRing(step, length time.Duration) ring {
	return ring{step: step, buckets: make([]bucket, max(1, int((length+step-1)/step)))}
}

func (r *ring) number(t time.Time) int64 { return t.Unix() / int64(r.step/time.Second) }

// start is when the bucket of that number begins.
func (r *ring) start(at int64) time.Time { return time.Unix(at*int64(r.step/time.Second), 0).UTC() }

func (r *ring) place(at int64) *bucket {
	n := int64(len(r.buckets))
	return &r.buckets[((at%n)+n)%n]
}

func (r *ring) add(b bucket) {
	into := r.place(b.At)
	if into.At != b.At {
		*into = bucket{At: b.At}
	}
	into.Events += b.Events
	into.Bad += b.Bad
	into.Seen += b.Seen
}

// of returns the bucket of that number, empty when it was not counted or is too old.
func (r *ring) of(at int64) bucket {
	if b := r.place(at); b.At == at {
		return *b
	}
	return bucket{At: at}
}

// sum adds up the buckets of a length up to and with bucket last.
func (r *ring) sum(last int64, length time.Duration) bucket {
	total := bucket{At: last}
	for at := last - int64(length/r.step) + 1; at <= last; at++ {
		b := r.place(at)
		if b.At == at {
			total.Events += b.Events
			total.Bad += b.Bad
			total.Seen += b.Seen
		}
	}
	return total
}
