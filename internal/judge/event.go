package judge

import (
	"slices"
	"strings"
	"time"
)

// EventKind is what happened. It is a label value.
type EventKind string

// The kinds of events.
const (
	// VersionChanged: the target answers with another version.
	VersionChanged EventKind = "version"
	// TargetRestarted: the target's process is a new one.
	TargetRestarted EventKind = "restart"
	// LoadChanged: the rate or the phase of the load changed.
	LoadChanged EventKind = "load"
	// Annotation: somebody said so over the API, such as a deployment.
	Annotation EventKind = "annotation"
	// Drill: somebody switches a fault on on purpose. What comes of it is judged like
	// anything else; the findings near it name it.
	Drill EventKind = "drill"
	// Compared: a comparison with another version or the baseline came to its end.
	Compared EventKind = "comparison"
	// Gap: soakd was away.
	Gap EventKind = "gap"
	// FindingOpened, FindingRenamed, FindingEnded: what the judgement found, found
	// out more about, and saw end.
	FindingOpened  EventKind = "finding_opened"
	FindingRenamed EventKind = "finding_renamed"
	FindingEnded   EventKind = "finding_ended"
)

// EventKinds lists every kind.
func EventKinds() []EventKind {
	return []EventKind{
		VersionChanged, TargetRestarted, LoadChanged, Annotation, Drill, Compared, Gap, FindingOpened, FindingRenamed, FindingEnded,
	}
}

// aboutTarget tells the events that may be the reason of a change from those that
// the judgement itself made.
func (k EventKind) aboutTarget() bool {
	switch k {
	case VersionChanged, TargetRestarted, LoadChanged, Annotation, Drill:
		return true
	}
	return false
}

// Event is something that happened at one moment, or from then on for a while.
type Event struct {
	At time.Time `json:"at"`
	// Until is when a Drill ends, zero when that is not known.
	Until time.Time `json:"until,omitzero"`
	Kind  EventKind `json:"kind"`
	// Text is one line for people, at most [maxEventText] bytes.
	Text string `json:"text"`
	// Finding is the id of the finding that it is about, "" for none.
	Finding string `json:"finding,omitempty"`
	// Version is the target's new version, of a VersionChanged or an Annotation that names one.
	Version string `json:"version,omitempty"`
	// Seq numbers the events of one soakd from 1 on, so that a reader can ask for
	// what is new.
	Seq int64 `json:"seq"`
}

const (
	// maxEvents bounds the events that are kept in memory.
	maxEvents = 1000
	// maxEventText bounds the text of an event, in bytes.
	maxEventText = 500
)

// log keeps the latest events, oldest first.
type log struct {
	events []Event
	seq    int64
	// recent are when the latest events of the kinds that may come without end were.
	recent map[EventKind][]time.Time
	// counts are the events so far, of this soakd.
	counts map[EventKind]int64
}

// maxPerHour bounds the events of one kind that windows bring: two versions that take
// turns, a target that restarts all the time, or a few users whose rate is never the
// same would push what was found out of the log and fill the history.
const maxPerHour = 20

// tooMany reports whether the last hour had enough events of that kind.
func (l *log) tooMany(e *Event) bool {
	switch e.Kind {
	case VersionChanged, TargetRestarted, LoadChanged, Gap:
	default:
		return false
	}
	if l.recent == nil {
		l.recent = map[EventKind][]time.Time{}
	}
	// Also those that are later, of a clock that was set back, are forgotten.
	recent := slices.DeleteFunc(l.recent[e.Kind], func(at time.Time) bool { return e.At.Sub(at).Abs() >= time.Hour })
	full := len(recent) >= maxPerHour
	if !full {
		recent = append(recent, e.At)
	}
	l.recent[e.Kind] = recent
	return full
}

func (l *log) add(e Event) {
	if l.tooMany(&e) {
		return
	}
	l.seq++
	e.Seq = l.seq
	if l.counts == nil {
		l.counts = map[EventKind]int64{}
	}
	l.counts[e.Kind]++
	if len(e.Text) > maxEventText {
		e.Text = strings.ToValidUTF8(e.Text[:maxEventText], "") // not half a letter
	}
	if len(l.events) == maxEvents {
		l.events = slices.Delete(l.events, 0, maxEvents/10) // one move for a hundred events
	}
	l.events = append(l.events, e)
}

// around returns the events about the target from one moment to another, those that
// began before and lasted until then among them.
func (l *log) around(from, to time.Time) []Event {
	var near []Event
	for _, e := range l.events {
		if e.Kind.aboutTarget() && !(e.At.Before(from) && e.Until.Before(from)) && !e.At.After(to) {
			near = append(near, e)
		}
	}
	return near
}
