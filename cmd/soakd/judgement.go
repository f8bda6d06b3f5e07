package main

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"soakd/internal/judge"
	"soakd/internal/judge/baseline"
	"soakd/internal/judge/objective"
	"soakd/internal/judge/outage"
	"soakd/internal/judge/window"
	"soakd/internal/load"
	"soakd/internal/probes"
)

// judgement feeds the judge with windows and lets everybody ask it. All of it may
// be used from any goroutine.
type judgement struct {
	collector *collector

	// chronicle keeps what is judged; nil when nothing is kept.
	chronicle *chronicle

	// watch, where it is set, is told of each window of 10 s before it is judged.
	watch func(*window.Window)

	// news is signalled when there may be events that were not seen yet.
	news chan struct{}

	mu    sync.Mutex
	judge *judge.Judge
	// stored are profiles of versions of earlier runs, the newest first. One of them
	// is what the first version of this run is compared with, where the judge
	// itself knows no other; chosenFor is that version.
	stored    []*baseline.Profile
	chosenFor string
	chosen    bool
}

// chooseReference finds something to compare a version with.
func (j *judgement) chooseReference() {
	version := j.judge.Version()
	switch {
	case version == "" || version == j.chosenFor:
		return
	case j.chosen: // another version came: from now on the one before is the reference
		j.judge.SetReference(nil)
		j.chosen = false
	case j.chosenFor == "" && j.judge.Reference() == nil:
		i := slices.IndexFunc(j.stored, func(p *baseline.Profile) bool { return p.Version != version })
		if i >= 0 {
			j.judge.SetReference(j.stored[i])
			j.chosen = true
		}
	}
	j.chosenFor = version
}

// describe says what the target is held to.
func (j *judgement) describe() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := "its own past"
	if p := j.judge.Reference(); p != nil {
		text += fmt.Sprintf(", version %s of before", cmp.Or(p.Version, "unknown"))
	}
	if n := len(j.judge.Readings().Objectives); n > 0 {
		text += fmt.Sprintf(", %d objectives", n)
	}
	return text
}

// kept says where the run is kept.
func (j *judgement) kept() string {
	if j.chronicle == nil {
		return "none: what is found is forgotten when soakd ends"
	}
	return j.chronicle.store.Location()
}

// profile is what the present version of the target is like, nil while little is known.
func (j *judgement) profile() *baseline.Profile {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.judge.Profile()
	if p == nil || p.Version == "" || p.Windows < leastProfile {
		return nil
	}
	return p
}

// leastProfile is how many minutes a profile needs to be worth keeping.
const leastProfile = 8

// snapshot is what the history keeps of a moment.
type snapshot struct {
	findings []judge.Finding
	events   []judge.Event
	state    []byte
	verdict  judge.Verdict
}

// snapshot returns all that is known, of the events those with a number above after.
func (j *judgement) snapshot(after int64) (snapshot, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	state, err := j.judge.State()
	return snapshot{findings: j.judge.Findings(), events: j.judge.Events(after), state: state, verdict: j.judge.Verdict(true)}, err
}

// judgeConfig says what is judged of a workload.
func (c *config) judgeConfig(workload *load.Workload) (judge.Config, error) {
	var classes []string
	for _, one := range workload.Cases {
		if class := string(one.Class); !slices.Contains(classes, class) {
			classes = append(classes, class)
		}
	}
	objectives, err := objective.Parse(c.Objectives, classes)
	if err != nil {
		return judge.Config{}, fmt.Errorf("%s_OBJECTIVES: %w", envPrefix, err)
	}
	policy := objective.PolicyFor(c.Duration)
	if c.ObjectivePeriod != 0 {
		policy.Period = c.ObjectivePeriod
	}
	if err := policy.Validate(); err != nil {
		return judge.Config{}, fmt.Errorf("%s_OBJECTIVE_PERIOD: %w", envPrefix, err)
	}
	return judge.Config{Objectives: objectives, Policy: policy}, nil
}

func newJudgement(collector *collector, cfg judge.Config) (*judgement, error) {
	made, err := judge.New(cfg)
	if err != nil {
		return nil, err
	}
	return &judgement{collector: collector, judge: made, news: make(chan struct{}, 1)}, nil
}

// announce tells whoever waits that there may be news.
func (j *judgement) announce() {
	select {
	case j.news <- struct{}{}:
	default:
	}
}

// probe takes the result of a poll in.
func (j *judgement) probe(result probes.Result) { j.collector.probe(result) }

// windowEnded judges a window that is over.
func (j *judgement) windowEnded(end closing) {
	defer j.announce()
	w := j.collector.window(end)
	if j.watch != nil {
		j.watch(w)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keep(j.judge.Window(w))
	j.chooseReference()
}

func (j *judgement) keep(done []*window.Window) {
	if j.chronicle != nil {
		j.chronicle.keep(done)
	}
}

// finish judges what is left at the end of a run.
func (j *judgement) finish() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keep(j.judge.Finish())
}

// Verdict is the verdict now, or with whole of the run from its start.
func (j *judgement) Verdict(whole bool) judge.Verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.judge.Verdict(whole)
}

// Findings are all that was found.
func (j *judgement) Findings() []judge.Finding {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.judge.Findings()
}

// Events are those with a number above after.
func (j *judgement) Events(after int64) []judge.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.judge.Events(after)
}

// Windows are the latest n of a level.
func (j *judgement) Windows(level time.Duration, n int) iter.Seq[*window.Window] {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.judge.Windows(level, n)
}

// Comparison is the latest with another version or the baseline.
func (j *judgement) Comparison() (c *baseline.Comparison, final bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.judge.Comparison()
}

// Outages are the latest ones.
func (j *judgement) Outages() []outage.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.judge.Outages()
}

// Annotate notes what somebody said happened at the target.
func (j *judgement) Annotate(at time.Time, text, version string) {
	if version != "" {
		j.collector.noted.Store(&version)
	}
	defer j.announce()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.judge.Annotate(at, text, version)
}

// AnnotateDrill notes a fault that somebody switches on on purpose.
func (j *judgement) AnnotateDrill(at, until time.Time, text string) {
	defer j.announce()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.judge.AnnotateDrill(at, until, text)
}

// lastEvent is the number of the latest event, 0 while there is none.
func (j *judgement) lastEvent() int64 {
	if events := j.Events(0); len(events) > 0 {
		return events[len(events)-1].Seq
	}
	return 0
}
