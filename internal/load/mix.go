package load

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"time"
)

// Arrival is one request to be made: when it is due, what it is, for whom.
type Arrival struct {
	// N is the number of the arrival, from 0.
	N int64
	// Due is when it should be sent, since the start of the schedule.
	Due  time.Duration
	Case *Case
	// User is the index of the virtual user.
	User int
	// InsteadOf is the limited case that was drawn first, or nil.
	InsteadOf *Case
}

// Mix draws what each arrival is: a case by weight and a virtual user, from a
// seed. The sequence depends on nothing but the workload, the number of users,
// the seed and the due times.
type Mix struct {
	workload *Workload
	users    int
	seed     uint64
	// bounds[i] is the upper end of the share of cases[i] in 0..1; unlimited is
	// the same without the cases that have a MinInterval.
	all, unlimited share
	limits         map[*Case]*limit
	// shards is how many mixes share the arrivals; see InShards.
	shards int64
	pcg    rand.PCG
	rng    *rand.Rand
}

// share is a list of cases with the running sum of their weights.
type share struct {
	cases  []*Case
	bounds []float64
}

// limit hands a limited case out to the users in turn.
type limit struct {
	last []time.Duration
	next int
}

var caseName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// NewMix checks the workload and returns its mix for a number of virtual users
// (at least 1). Every mistake in the workload is reported.
func NewMix(workload *Workload, users int, seed uint64) (*Mix, error) {
	if err := workload.validate(); err != nil {
		return nil, err
	}
	if users < 1 {
		return nil, fmt.Errorf("%d virtual users: at least 1 is needed", users)
	}
	m := &Mix{workload: workload, users: users, seed: seed, limits: map[*Case]*limit{}, shards: 1}
	m.rng = rand.New(&m.pcg)
	for _, c := range workload.Cases {
		m.all.add(c)
		if c.MinInterval == 0 {
			m.unlimited.add(c)
			continue
		}
		last := make([]time.Duration, users)
		for i := range last {
			last[i] = math.MinInt64 / 2
		}
		m.limits[c] = &limit{last: last}
	}
	if len(m.unlimited.cases) == 0 {
		return nil, fmt.Errorf("workload %s: every case is limited per user; at least one must not be", workload.Name)
	}
	return m, nil
}

func (s *share) add(c *Case) {
	if c.Weight == 0 {
		return
	}
	sum := c.Weight
	if len(s.bounds) > 0 {
		sum += s.bounds[len(s.bounds)-1]
	}
	s.cases, s.bounds = append(s.cases, c), append(s.bounds, sum)
}

// draw returns a case by weight; at is uniform in 0..1.
func (s *share) draw(at float64) *Case {
	at *= s.bounds[len(s.bounds)-1]
	i, _ := slices.BinarySearchFunc(s.bounds, at, func(bound, at float64) int {
		if bound <= at {
			return -1
		}
		return 1
	})
	return s.cases[min(i, len(s.cases)-1)]
}

// InShards tells the mix that it gets every so many-th arrival alone, and that its
// virtual users are its own: each of them has its opening here.
func (m *Mix) InShards(shards int) { m.shards = int64(max(shards, 1)) }

// Next returns arrival n. It must be called for 0, 1, 2, ... in order (in shards:
// for each arrival of this one), by one goroutine.
//
// The first arrivals are the opening of each virtual user in turn. After that a
// limited case goes to the user who had it longest ago; when even that one had
// it less than MinInterval ago, another case is drawn instead.
func (m *Mix) Next(n int64, due time.Duration) Arrival {
	here := n / m.shards // counts the arrivals of this shard
	if opening := m.workload.Opening; opening != nil && here < int64(opening.Times)*int64(m.users) {
		return Arrival{N: n, Due: due, Case: opening.Case, User: int(here % int64(m.users))}
	}
	m.pcg.Seed(m.seed, mixNumber(n))
	arrival := Arrival{N: n, Due: due, Case: m.all.draw(m.rng.Float64()), User: m.rng.IntN(m.users)}
	l := m.limits[arrival.Case]
	if l == nil {
		return arrival
	}
	if due-l.last[l.next] < arrival.Case.MinInterval {
		arrival.InsteadOf, arrival.Case = arrival.Case, m.unlimited.draw(m.rng.Float64())
		return arrival
	}
	arrival.User = l.next
	l.last[l.next] = due
	l.next = (l.next + 1) % m.users
	return arrival
}

// UserMix draws what one user of closed mode sends next. It is for one goroutine.
type UserMix struct {
	mix *Mix
	// user is the user's index, users how many there are; n counts its arrivals.
	user, users int
	n           int64
	// last is when the user last had each limited case.
	last map[*Case]time.Duration
	rng  *rand.Rand
}

// closedStream separates the draws of closed mode from those of the open loop.
const closedStream = 0x636c6f736564

// ForUser returns the mix of one user of so many in closed mode. The sequence
// depends on nothing but the workload, the seed, the user and the due times.
func (m *Mix) ForUser(user, users int) *UserMix {
	return &UserMix{
		mix: m, user: user, users: users, last: map[*Case]time.Duration{},
		rng: rand.New(rand.NewPCG(m.seed^closedStream, mixNumber(int64(user)))),
	}
}

// Next returns the user's next arrival, due at a time since the start: first its
// opening, then cases by weight; a limited case that it had too short a time ago
// is replaced by another. The number of an arrival is its user's index plus a
// multiple of the users.
func (u *UserMix) Next(due time.Duration) Arrival {
	a := Arrival{N: int64(u.user) + u.n*int64(u.users), Due: due, User: u.user}
	u.n++
	if o := u.mix.workload.Opening; o != nil && u.n <= int64(o.Times) {
		a.Case = o.Case
		return a
	}
	a.Case = u.mix.all.draw(u.rng.Float64())
	if a.Case.MinInterval == 0 {
		return a
	}
	if last, had := u.last[a.Case]; had && due-last < a.Case.MinInterval {
		a.InsteadOf, a.Case = a.Case, u.mix.unlimited.draw(u.rng.Float64())
		return a
	}
	u.last[a.Case] = due
	return a
}

// Rand returns the generator for the payload of an arrival. It is not the one
// that drew the arrival: a change of the mix does not change payloads.
func (m *Mix) Rand(n int64) *rand.Rand {
	var pcg rand.PCG
	m.seedPayload(&pcg, n)
	return rand.New(&pcg)
}

// seedPayload seeds pcg as [Mix.Rand] does.
func (m *Mix) seedPayload(pcg *rand.PCG, n int64) { pcg.Seed(m.seed^payloadStream, mixNumber(n)) }

// payloadStream separates the payload's random numbers from those of the draw.
const payloadStream = 0x9e3779b97f4a7c15

// mixNumber spreads consecutive numbers over all 64 bits (the finaliser of
// SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
// generators", 2014), so that neighbouring arrivals are independent.
func mixNumber(n int64) uint64 {
	z := uint64(n) + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Share returns the part of the arrivals, 0..1, that a case has by weight
// (limits left aside).
func (w *Workload) Share(c *Case) float64 {
	var sum float64
	for _, other := range w.Cases {
		sum += other.Weight
	}
	return c.Weight / sum
}

// validate reports everything that is wrong with the workload.
func (w *Workload) validate() error {
	var errs []error
	seen := map[string]bool{}
	var sum float64
	for _, c := range w.Cases {
		if seen[c.Name] {
			errs = append(errs, fmt.Errorf("case %s: stands twice", c.Name))
		}
		seen[c.Name] = true
		errs = append(errs, c.validate()...)
		if c.Fallback != nil && !slices.Contains(w.Cases, c.Fallback) {
			errs = append(errs, fmt.Errorf("case %s: its fallback %s is not a case of the workload", c.Name, c.Fallback.Name))
		}
		sum += c.Weight
	}
	if sum == 0 {
		errs = append(errs, errors.New("no case has a weight above 0"))
	}
	if o := w.Opening; o != nil && (o.Case == nil || o.Times < 0 || !slices.Contains(w.Cases, o.Case)) {
		errs = append(errs, errors.New("the opening needs one of the cases and a count of 0 or more"))
	}
	if len(errs) > 0 {
		return fmt.Errorf("workload %s: %w", w.Name, errors.Join(errs...))
	}
	return nil
}

func (c *Case) validate() []error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("case %s: "+format, append([]any{c.Name}, args...)...))
		}
	}
	check(caseName.MatchString(c.Name), "the name must be lower-case letters, digits and underscores, at most 63")
	check(c.Class != "", "it has no class")
	check(c.Weight >= 0 && !math.IsInf(c.Weight, 0), "weight %v: it must be 0 or more", c.Weight)
	check(c.Timeout > 0, "timeout %v: it must be above 0", c.Timeout)
	check(c.MinInterval >= 0, "least interval %v: it must be 0 or more", c.MinInterval)
	check(len(c.Statuses) > 0, "it expects no status")
	check(c.Build != nil, "it builds no request")
	for _, tag := range c.Tags {
		check(caseName.MatchString(tag), "the tag %q must be lower-case letters, digits and underscores, at most 63", tag)
	}
	return errs
}
