package report

import (
	"time"

	"soakd/internal/judge/window"
)

// Timeline keeps a run for its report, in at most [MaxWindows] windows of equal length
// whatever its own: each time there are more, windows are joined and twice as long from
// then on, 10 s, 20 s, 40 s and so on. What soakd was not fit to judge is in them too, with the
// reason. The zero value is an empty one.
type Timeline struct {
	windows []*window.Window
	// first is when the first window began, length that of each.
	first  time.Time
	length time.Duration
}

// Add takes the next window of 10 s.
func (t *Timeline) Add(w *window.Window) {
	if t.length == 0 {
		t.first, t.length = w.Start, w.Length
	}
	t.put(w)
	for len(t.windows) > MaxWindows {
		t.length *= 2
		all := t.windows
		t.windows = nil
		for _, one := range all {
			t.put(one)
		}
	}
}

// put joins a window to the last one where both are of the same stretch.
func (t *Timeline) put(w *window.Window) {
	start := t.first.Add(w.Start.Sub(t.first) / t.length * t.length)
	last := len(t.windows) - 1
	switch {
	case last >= 0 && !start.After(t.windows[last].Start):
		t.windows[last] = window.Join(t.windows[last].Start, t.length, []*window.Window{t.windows[last], w})
	case w.Length == t.length:
		t.windows = append(t.windows, w)
	default:
		t.windows = append(t.windows, window.Join(start, t.length, []*window.Window{w}))
	}
}

// Windows returns the run so far, oldest first. Stretches of which nothing is known
// are missing, and so is the rest of a window after the last request: what is below a
// second and has no traffic is the end of the run, and no time in which there was none.
func (t *Timeline) Windows() []*window.Window {
	all := t.windows
	if last := len(all) - 1; last > 0 && idleRest(all[last]) {
		all = all[:last]
	}
	return append([]*window.Window(nil), all...)
}

func idleRest(w *window.Window) bool {
	return w.Covered < time.Second && w.Sent == 0 && w.Dropped == 0 && len(w.Cases) == 0 && len(w.Unfit) == 0
}
