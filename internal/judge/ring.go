package judge

import (
	"iter"
	"slices"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/window"
)

// ringSize is how many windows of each level are kept in memory: an hour of 10 s,
// six hours of 1 min, a day of 5 min, a week of 1 h. What is older is in the
// history database.
func ringSize(level time.Duration) int {
	switch level {
	case window.Short:
		return 360
	case window.Minute:
		return 360
	case window.Five:
		return 288
	}
	return 168
}

// kept is a window as it is kept in memory: without signals, its histograms packed.
type kept struct {
	w     window.Window
	times [][]byte // by case
}

func pack(w *window.Window) kept {
	k := kept{w: *w, times: make([][]byte, len(w.Cases))}
	k.w.Signals, k.w.Seconds = nil, nil
	k.w.Cases = slices.Clone(w.Cases)
	for i := range k.w.Cases {
		if times := k.w.Cases[i].Times; times != nil {
			k.times[i], _ = times.AppendBinary(nil) // never fails
			k.w.Cases[i].Times = nil
		}
	}
	return k
}

func (k *kept) unpack() *window.Window {
	w := k.w
	w.Cases = slices.Clone(k.w.Cases)
	for i, data := range k.times {
		if data == nil {
			continue
		}
		times := new(histogram.Histogram)
		if times.UnmarshalBinary(data) == nil { // always: it was packed here
			w.Cases[i].Times = times
		}
	}
	return &w
}

// ring keeps the latest windows of one level.
type ring struct {
	windows []kept
	next    int
	size    int
}

func (r *ring) put(w *window.Window) {
	if len(r.windows) < r.size {
		r.windows = append(r.windows, pack(w))
		return
	}
	r.windows[r.next] = pack(w)
	r.next = (r.next + 1) % r.size
}

// last returns the latest n windows, oldest first. What is packed is never changed,
// so they can be read while others are put in.
func (r *ring) last(n int) iter.Seq[*window.Window] {
	n = min(n, len(r.windows))
	list := make([]kept, 0, n)
	for i := len(r.windows) - n; i < len(r.windows); i++ {
		list = append(list, r.windows[(r.next+i)%len(r.windows)])
	}
	return func(yield func(*window.Window) bool) {
		for i := range list {
			if !yield(list[i].unpack()) {
				return
			}
		}
	}
}
