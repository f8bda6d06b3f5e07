package judge

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"soakd/internal/judge/finding"
)

// Finding is one thing that is wrong, with all that was seen of it: symptoms that
// begin together and explain one another are one finding, named by their cause.
type Finding struct {
	// ID names it for good, also when more is found out about it.
	ID string `json:"id"`
	// Kind and Subject are those of the symptom that explains the others.
	Kind    finding.Kind    `json:"kind"`
	Subject finding.Subject `json:"subject"`
	// Onset is when it began, within OnsetFrom..OnsetTo, as far as it is known.
	Onset     time.Time `json:"onset"`
	OnsetFrom time.Time `json:"onset_from,omitzero"`
	OnsetTo   time.Time `json:"onset_to,omitzero"`
	// Found is when it was first seen, Ended when it was over; zero while it lasts.
	Found time.Time `json:"found"`
	Ended time.Time `json:"ended,omitzero"`
	// Text says it in one sentence.
	Text string `json:"text"`
	// Confidence is that of the leading symptom: 1 - p, 1 for a fact.
	Confidence float64 `json:"confidence"`
	// Symptoms are all that was seen of it, the cause first.
	Symptoms []finding.Symptom `json:"symptoms"`
	// Nearby are the events about the target shortly before it began.
	Nearby []Event `json:"nearby,omitempty"`
	// Hints are signals that moved with it, most likely first. They prove nothing.
	Hints []finding.Hint `json:"hints,omitempty"`
	// hinted is when the hints were looked up last.
	hinted time.Time
}

// Open reports whether it lasts.
func (f *Finding) Open() bool { return f.Ended.IsZero() }

const (
	// maxFindings bounds the findings that are kept in memory: the open ones and
	// the latest of the others.
	maxFindings = 200
	// eventsBefore and eventsAfter bound where around the onset an event counts as nearby.
	eventsBefore = 15 * time.Minute
	eventsAfter  = 2 * time.Minute
	// maxHints bounds the hints of a finding. They are looked up once a minute for as
	// long as its symptoms come together.
	maxHints  = 5
	hintEvery = time.Minute
	// maxSymptoms bounds the symptoms of a finding, maxNearby the events near its start.
	maxSymptoms = 100
	maxNearby   = 20
	// joinAfter is for how long after its end a finding still takes symptoms that it
	// explains: those that need a few minutes of data come after short causes.
	joinAfter = 15 * time.Minute
)

// findings groups symptoms.
type findings struct {
	list []*Finding // in the order in which they were found
	log  *log
	// hints returns the signals that moved with a symptom.
	hints func(*finding.Symptom) []finding.Hint
	// opened counts findings so far by kind.
	opened map[finding.Kind]int64
}

// update takes what detectors see at the time now.
func (fs *findings) update(now time.Time, seen []finding.Symptom) {
	slices.SortStableFunc(seen, func(a, b finding.Symptom) int { return finding.Compare(&a, &b) })
	for i := range seen {
		s := &seen[i]
		if f := fs.holding(s); f != nil {
			fs.refresh(f, s)
			continue
		}
		if s.Over && !toldAfterwards(s.Kind) {
			continue // it was over before it was known
		}
		fs.place(now, s)
	}
	for _, f := range fs.list {
		if f.Open() {
			fs.settle(now, f)
		}
	}
	fs.trim()
}

// toldAfterwards are the kinds that are sure only when they are over, if they were
// short.
func toldAfterwards(kind finding.Kind) bool { return kind == finding.Outage || kind == finding.Hang }

// holding returns the open finding that has the symptom.
func (fs *findings) holding(s *finding.Symptom) *Finding {
	key := s.Key()
	for _, f := range fs.list {
		if f.Open() && slices.ContainsFunc(f.Symptoms, func(known finding.Symptom) bool { return known.Key() == key }) {
			return f
		}
	}
	return nil
}

// refresh replaces what is known of a symptom.
func (fs *findings) refresh(f *Finding, s *finding.Symptom) {
	for i := range f.Symptoms {
		if f.Symptoms[i].Key() == s.Key() {
			f.Symptoms[i] = *s
		}
	}
}

// place finds the findings that a new symptom belongs to, makes them one, or opens
// another.
func (fs *findings) place(now time.Time, s *finding.Symptom) {
	group := fs.group(now, s)
	if len(group) == 0 {
		fs.open(now, s)
		return
	}
	into := group[0]
	into.add(s)
	for _, other := range group[1:] {
		fs.absorb(into, other)
	}
	switch {
	case into.Open():
	case !s.Over:
		into.Ended = time.Time{}
		fs.log.add(Event{At: now, Kind: FindingOpened, Finding: into.ID, Text: "goes on: " + s.Text})
	default:
		// It was over before it was known, as a cause that is told afterwards.
		if s.Ended.After(into.Ended) {
			into.Ended = s.Ended
		}
		fs.name(now, into)
	}
}

// group returns the findings that a new symptom makes one, the oldest first: all
// that it explains, and of those that explain it the one that began nearest to it.
// What has several possible causes shows none of them to be the cause of another:
// a missed objective does not join whatever is wrong at the time.
func (fs *findings) group(now time.Time, s *finding.Symptom) []*Finding {
	var group []*Finding
	var cause *Finding
	least := time.Duration(0)
	for _, f := range fs.list {
		if !f.Open() && now.Sub(f.Ended) > joinAfter {
			continue
		}
		if f.explainedBy(s) {
			group = append(group, f)
			continue
		}
		if distance, explains := f.explains(s); explains && !fs.deployedSince(f, s) && (cause == nil || distance < least) {
			cause, least = f, distance
		}
	}
	if cause != nil {
		group = append(group, cause)
		slices.SortStableFunc(group, func(a, b *Finding) int { return cmp.Compare(slices.Index(fs.list, a), slices.Index(fs.list, b)) })
	}
	return group
}

// deployedSince reports whether requests got slower or began to fail with another
// version of the target, long after the finding began: then that is to be looked at,
// and not what has lasted all the time.
func (fs *findings) deployedSince(f *Finding, s *finding.Symptom) bool {
	if s.Kind != finding.Errors && !slices.Contains(slower(), s.Kind) {
		return false
	}
	from, to := onsets(s)
	return slices.ContainsFunc(fs.log.around(from.Add(-nearOnset), to.Add(nearActive)), func(e Event) bool {
		return e.Version != "" && f.Onset.Before(e.At.Add(-nearOnset))
	})
}

// open begins a finding. So many that last say no more than one more would.
func (fs *findings) open(now time.Time, s *finding.Symptom) {
	if len(fs.list) >= maxFindings && !slices.ContainsFunc(fs.list, func(f *Finding) bool { return !f.Open() }) {
		return
	}
	f := &Finding{ID: identify(s), Found: now, Symptoms: []finding.Symptom{*s}}
	for fs.byID(f.ID) != nil {
		f.ID += "x"
	}
	f.lead()
	fs.list = append(fs.list, f)
	fs.opened[f.Kind]++
	fs.log.add(Event{At: now, Kind: FindingOpened, Finding: f.ID, Text: f.Text})
}

func (fs *findings) byID(id string) *Finding {
	for _, f := range fs.list {
		if f.ID == id {
			return f
		}
	}
	return nil
}

// identify makes an id of when and what: it is the same when the same is found again.
func identify(s *finding.Symptom) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(s.Key())) // never fails
	return fmt.Sprintf("%s-%s-%06x", s.Onset.UTC().Format("20060102T150405Z"), s.Kind, hash.Sum32()&0xffffff)
}

// explainedBy reports whether a new symptom explains one of the finding's.
func (f *Finding) explainedBy(s *finding.Symptom) bool {
	return slices.ContainsFunc(f.Symptoms, func(known finding.Symptom) bool { return explains(s, &known) })
}

// explains reports whether one of the finding's symptoms explains a new one, and how
// far apart they began at least.
func (f *Finding) explains(s *finding.Symptom) (distance time.Duration, ok bool) {
	for i := range f.Symptoms {
		known := &f.Symptoms[i]
		if !explains(known, s) {
			continue
		}
		if d := apart(known, s); !ok || d < distance {
			distance, ok = d, true
		}
	}
	return distance, ok
}

// add takes a symptom in, in place of what was known of the same before.
func (f *Finding) add(s *finding.Symptom) {
	same := func(known finding.Symptom) bool { return known.Key() == s.Key() }
	if i := slices.IndexFunc(f.Symptoms, same); i >= 0 {
		f.Symptoms[i] = *s
		return
	}
	if len(f.Symptoms) == maxSymptoms {
		// The first names the finding.
		i := slices.IndexFunc(f.Symptoms[1:], func(known finding.Symptom) bool { return known.Over })
		if i < 0 {
			return
		}
		f.Symptoms = slices.Delete(f.Symptoms, i+1, i+2)
	}
	f.Symptoms = append(f.Symptoms, *s)
}

// absorb makes one finding of two that turned out to have the same cause.
func (fs *findings) absorb(into, other *Finding) {
	for i := range other.Symptoms {
		into.add(&other.Symptoms[i])
	}
	if other.Found.Before(into.Found) {
		into.Found = other.Found
	}
	if other.Open() {
		into.Ended = time.Time{}
	}
	fs.list = slices.DeleteFunc(fs.list, func(f *Finding) bool { return f == other })
	fs.log.add(Event{At: other.Found, Kind: FindingRenamed, Finding: other.ID, Text: "is part of " + into.ID})
}

// name names a finding anew by what is known of it.
func (fs *findings) name(now time.Time, f *Finding) {
	kind, onset := f.Kind, f.Onset
	f.lead()
	if f.Kind != kind {
		fs.opened[f.Kind]++
		fs.log.add(Event{At: now, Kind: FindingRenamed, Finding: f.ID, Text: f.Text})
	}
	// Later the log has lost what happened then.
	if now.Sub(f.Found) < joinAfter || !f.Onset.Equal(onset) {
		near := fs.log.around(f.Onset.Add(-eventsBefore), f.Onset.Add(eventsAfter))
		f.Nearby = near[max(0, len(near)-maxNearby):]
	}
}

// withdraw takes a symptom back that turned out to be meant.
func (fs *findings) withdraw(now time.Time, s *finding.Symptom) {
	f := fs.holding(s)
	if f == nil {
		return
	}
	f.Symptoms = slices.DeleteFunc(f.Symptoms, func(known finding.Symptom) bool { return known.Key() == s.Key() })
	if len(f.Symptoms) > 0 {
		return
	}
	fs.list = slices.DeleteFunc(fs.list, func(other *Finding) bool { return other == f })
	fs.log.add(Event{At: now, Kind: FindingEnded, Finding: f.ID, Text: "it was a deployment: " + f.Text})
}

// settle brings a finding up to date with its symptoms, and ends it when none lasts.
func (fs *findings) settle(now time.Time, f *Finding) {
	fs.name(now, f)
	if now.Sub(f.Found) < joinAfter && now.Sub(f.hinted) >= hintEvery {
		f.Hints, f.hinted = fs.hints(&f.Symptoms[0]), now
	}
	if slices.ContainsFunc(f.Symptoms, func(s finding.Symptom) bool { return !s.Over }) {
		return
	}
	for i := range f.Symptoms {
		if ended := f.Symptoms[i].Ended; ended.After(f.Ended) {
			f.Ended = ended
		}
	}
	if f.Ended.IsZero() || (f.Ended.Before(f.Found) && !toldAfterwards(f.Kind)) {
		f.Ended = now // since when it is over is not known better
	}
	fs.log.add(Event{At: now, Kind: FindingEnded, Finding: f.ID, Text: f.Text})
}

// lead names the finding by the symptom that explains the others.
func (f *Finding) lead() {
	f.order()
	first := &f.Symptoms[0]
	f.Kind, f.Subject, f.Onset, f.OnsetFrom, f.OnsetTo = first.Kind, first.Subject, first.Onset, first.OnsetFrom, first.OnsetTo
	f.Text, f.Confidence = first.Text, first.Confidence
}

// order puts the symptom first that explains most of the others and is explained by
// fewest, then by kind.
func (f *Finding) order() {
	if len(f.Symptoms) < 2 {
		return
	}
	type weighed struct {
		symptom finding.Symptom
		weight  int
	}
	list := make([]weighed, len(f.Symptoms))
	for i := range list {
		list[i].symptom = f.Symptoms[i]
	}
	for i := range list {
		may := effects(list[i].symptom.Kind) // once, not for each pair
		for j := range list {
			kind := list[j].symptom.Kind
			if i == j || (kind != finding.Objective && !slices.Contains(may, kind)) {
				continue
			}
			if explains(&list[i].symptom, &list[j].symptom) {
				list[i].weight--
				list[j].weight++
			}
		}
	}
	slices.SortStableFunc(list, func(a, b weighed) int {
		return cmp.Or(cmp.Compare(a.weight, b.weight), finding.Compare(&a.symptom, &b.symptom))
	})
	for i := range list {
		f.Symptoms[i] = list[i].symptom
	}
}

// trim forgets the oldest findings that are over.
func (fs *findings) trim() {
	for len(fs.list) > maxFindings {
		i := slices.IndexFunc(fs.list, func(f *Finding) bool { return !f.Open() })
		if i < 0 {
			return // cannot be: see open
		}
		fs.list = slices.Delete(fs.list, i, i+1)
	}
}
