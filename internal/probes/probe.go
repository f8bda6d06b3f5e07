// Package probes watches what the target depends on: one polling loop for all
// kinds of probe, each of which lives in a folder of its own and carries its
// configuration, its queries and the descriptions of its metrics.
//
// It knows nothing of Prometheus: a probe gives [Sample] values of described
// metrics, and package exporter turns them into series. [Poller] polls,
// [Board] keeps the latest result of each probe for whoever reads.
package probes

import (
	"context"
	"log/slog"
	"strings"
	"time"
)

// Probe reads the state of one dependency. Poll is never called twice at the
// same time, always gets a context with a deadline and must return soon after
// it ends. An error with a Reading that has samples means that part of the
// poll failed: what was read is kept and the probe counts as failed. Errors are
// short and hold no secrets, see [Brief], and say why in one word, see [Because].
//
// A dependency that is away is an error of Poll, never of the constructor, and
// a later Poll must find it again without help.
type Probe interface {
	// Name is unique among the probes of a run and bounded: it is a label value.
	// It is the name of its kind, or kind/what where there are several; see
	// [KindOf].
	Name() string
	// Describe lists every metric that Poll may give a sample of. It is the same
	// list at every call.
	Describe() []*Desc
	Poll(ctx context.Context) (Reading, error)
	// Close frees the connections. Poll is not called after it.
	Close()
}

// Kind is one kind of probe, as the table in cmd/soakd lists it.
type Kind struct {
	// Name is the kind's name: "postgres", "redis", "api".
	Name string
	// Config points to a struct with envconfig tags, already holding the
	// defaults. The commands fill it from the environment and from flags; Open
	// reads it.
	Config Config
}

// Config is the configuration of one kind of probe.
type Config interface {
	// Enabled reports whether there is anything to probe. A disabled probe is
	// off and said to be so once in the log.
	Enabled() bool
	// Validate returns every mistake, joined; each message starts with the full
	// name of the environment variable. It also loads what stands in files
	// (secrets). It is called once, before Summary and Open, and does not reach
	// the network.
	Validate() error
	// Summary says in a few words what is probed, without secrets:
	// "127.0.0.1:5432/cashflow as soakd".
	Summary() string
	// Open makes the probes: one for each thing that can be well or ill by itself.
	// It does not reach them. Probes of one kind describe the same metrics, and
	// each gives series of its own, told apart by a label.
	Open(log *slog.Logger) ([]Probe, error)
}

// Writer is the configuration of a kind whose polls write to what they watch.
// It is never polled unless somebody has asked for writes.
type Writer interface{ Writes() }

// KindOf returns the name of the kind of the probe of that name.
func KindOf(probe string) string {
	kind, _, _ := strings.Cut(probe, "/")
	return kind
}

// Result is the outcome of one poll.
type Result struct {
	// Probe is the name of the probe.
	Probe string
	// Start is when the poll began.
	Start time.Time
	// Duration is how long the poll took, or how long it was waited for.
	Duration time.Duration
	// Reading is what was read, also when Err says that a part could not be.
	Reading Reading
	// Err is nil when all was read.
	Err error
}

// End is when the poll was over.
func (r Result) End() time.Time { return r.Start.Add(r.Duration) }
