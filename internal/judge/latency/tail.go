package latency

import (
	"math"
	"slices"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/stats"
)

const (
	// blockRequests is how many requests make a block of the tail: of one in 400 that
	// is slow some must be expected.
	blockRequests = 600
	// blocksKept is how many blocks are kept, blocksJudged how many are compared with
	// the reference; those in between are not learned yet.
	blocksKept, blocksJudged = 16, 8
	// expectedShare is the largest share of requests that counts as slow in the
	// reference: above so many times the typical time that at most so many are.
	expectedShare = 0.003
	// referenceRequests is how many requests the reference needs.
	referenceRequests = 6000
	// tailP is the chance that is left to noise, at each block of each case: 40 cases
	// for 20 weeks are up to 8 million looks.
	tailP = 1e-10
	// forgetting is the time constant in minutes with which the reference forgets.
	forgetting = 24 * 60
	// tailBands is how many bands of rates a reference is kept for.
	tailBands = 24
)

// block counts slow requests among some hundreds.
type block struct {
	first, last int64 // minutes
	key         int32
	n           int64
	slow        [tailSteps]uint32
}

// tailReference is what the tail is like at about one rate.
type tailReference struct {
	key     int32
	n       float64
	slow    [tailSteps]float64
	latest  int64
	squares float64 // sum of (k - e)^2 / e at the threshold of that time
	blocks  float64
}

// tail counts the slow requests of one case, as multiples of its typical time, so
// that what slows all requests alike is not seen here.
type tail struct {
	under  block
	recent []block // the latest last
	refs   []tailReference
	// held stops learning while a symptom lasts; fresh tells that a block was just closed.
	held, fresh bool
}

func (t *tail) add(minute int64, span int, f *figures, key int32) {
	t.fresh = false
	if t.under.n > 0 && t.under.key != key {
		t.close(blockRequests / 2)
	}
	b := &t.under
	if b.n == 0 {
		b.first, b.key = minute-int64(span)+1, key
	}
	b.last = minute
	b.n += f.n
	for j, n := range f.slow {
		b.slow[j] += n
	}
	t.close(blockRequests)
}

// close ends the block under way when it has so many requests.
func (t *tail) close(least int64) {
	if t.under.n < least {
		if least < blockRequests {
			t.under = block{}
		}
		return
	}
	if len(t.recent) == blocksKept {
		t.learn(&t.recent[0])
		copy(t.recent, t.recent[1:])
		t.recent = t.recent[:blocksKept-1]
	}
	t.recent = append(t.recent, t.under)
	t.under, t.fresh = block{}, true
}

// forget drops the blocks that reach into the minutes from..to-1: what a change brought
// is neither a reference nor another change.
func (t *tail) forget(from, to int64) {
	t.recent = slices.DeleteFunc(t.recent, func(b block) bool { return b.last >= from && b.first < to })
	if t.under.n > 0 && t.under.first < to {
		t.under = block{}
	}
}

func (t *tail) reference(key int32) *tailReference {
	for i := range t.refs {
		if t.refs[i].key == key {
			return &t.refs[i]
		}
	}
	return nil
}

// learn takes a block into the reference.
func (t *tail) learn(b *block) {
	if t.held {
		return
	}
	r := t.reference(b.key)
	if r == nil {
		if len(t.refs) == tailBands {
			return
		}
		t.refs = append(t.refs, tailReference{key: b.key, latest: b.last})
		r = &t.refs[len(t.refs)-1]
	}
	if j, ok := t.threshold(); ok && r.n >= referenceRequests/2 {
		if e := r.share(j) * float64(b.n); e > 0 {
			// One wild block is no measure of how blocks vary.
			r.squares += min(math.Pow(float64(b.slow[j])-e, 2)/e, 16)
			r.blocks++
		}
	}
	fade := math.Exp(-float64(b.last-r.latest) / forgetting)
	r.latest = b.last
	r.n = r.n*fade + float64(b.n)
	r.squares *= fade
	r.blocks *= fade
	for j, n := range b.slow {
		r.slow[j] = r.slow[j]*fade + float64(n)
	}
}

// share is the share of slow requests; of none seen it is that of half a request.
func (r *tailReference) share(j int) float64 { return max(r.slow[j], 0.5) / r.n }

// dispersion is how much more than by chance alone the counts of blocks vary.
func (r *tailReference) dispersion() float64 {
	if r.blocks < 8 {
		return 1.5
	}
	return max(1, r.squares/r.blocks)
}

// threshold is the first at which at most [expectedShare] of all requests are slow.
func (t *tail) threshold() (int, bool) {
	n := 0.0
	for i := range t.refs {
		n += t.refs[i].n
	}
	for j := range tailSteps {
		slow := 0.0
		for i := range t.refs {
			slow += t.refs[i].slow[j]
		}
		if slow <= expectedShare*n {
			return j, n >= referenceRequests
		}
	}
	return 0, false
}

// excess compares blocks with the reference.
type excess struct {
	n, slow    int64
	expected   float64
	dispersion float64
	blocks     int
}

func (e *excess) share() float64 { return (float64(e.slow) - e.expected) / float64(max(e.n, 1)) }

// expected is how many slow requests a block should have.
func (t *tail) expected(b *block, j int) (e, dispersion float64, ok bool) {
	r := t.reference(b.key)
	if r == nil || r.n < referenceRequests/2 {
		return 0, 0, false
	}
	return r.share(j) * float64(b.n), r.dispersion(), true
}

// since sums the blocks that began at that minute or later.
func (t *tail) since(minute int64, j int) excess {
	sum := excess{dispersion: 1}
	for i := range t.recent {
		b := &t.recent[i]
		e, dispersion, ok := t.expected(b, j)
		if !ok || b.first < minute {
			continue
		}
		sum.n += b.n
		sum.slow += int64(b.slow[j])
		sum.expected += e
		sum.dispersion = max(sum.dispersion, dispersion)
		sum.blocks++
	}
	return sum
}

// tails looks for cases whose slowest requests got slower while typical ones did not.
func (d *Detector) tails() []suspicion {
	var found []suspicion
	for _, c := range d.cases {
		if c.tail.fresh && c.latest == d.now && !c.tail.held {
			if s, ok := d.heavier(c); ok {
				found = append(found, s)
			}
		}
	}
	return found
}

func (d *Detector) heavier(c *traffic) (suspicion, bool) {
	t := &c.tail
	j, ok := t.threshold()
	if !ok || len(t.recent) < blocksJudged {
		return suspicion{}, false
	}
	judged := t.recent[len(t.recent)-blocksJudged:]
	e := t.since(judged[0].first, j)
	if e.blocks < blocksJudged || e.share() < max(d.cfg.TailShare, (d.cfg.TailFactor-1)*e.expected/float64(e.n)) {
		return suspicion{}, false
	}
	up, late := 0, 0
	for i := range judged {
		expected, _, _ := t.expected(&judged[i], j)
		if float64(judged[i].slow[j]) >= expected+e.share()/2*float64(judged[i].n) {
			up++
			if i >= blocksJudged-4 {
				late++
			}
		}
	}
	p := stats.PoissonAtLeast(int64(float64(e.slow)/e.dispersion), e.expected/e.dispersion)
	if up < 6 || late < 3 || p > tailP {
		return suspicion{}, false
	}
	level, n := c.raw.mean(judged[0].first, d.now)
	if n > 0 && level > math.Log1p(d.cfg.LeastStep) {
		return suspicion{}, false
	}
	began := t.began(j)
	return suspicion{kind: finding.LatencyTail, trigger: c, change: began, rise: began.size, windows: up}, true
}

// began is the block from which on the counts fit a higher rate best, by the
// likelihood of Poisson counts.
func (t *tail) began(j int) change {
	var found change
	gains := make([]float64, len(t.recent))
	slow, expected := 0.0, 0.0
	for i := len(t.recent) - 1; i >= 0; i-- {
		if e, dispersion, ok := t.expected(&t.recent[i], j); ok {
			slow += float64(t.recent[i].slow[j]) / dispersion
			expected += e / dispersion
		}
		if slow > expected && expected > 0 {
			gains[i] = 2 * (slow*math.Log(slow/expected) - slow + expected)
		}
		if gains[i] >= found.z*found.z {
			found.z, found.at = math.Sqrt(gains[i]), float64(t.recent[i].first)
		}
	}
	found.low, found.high = found.at, found.at
	for i, gain := range gains {
		if gain > 0 && gain >= found.z*found.z-likely {
			found.low, found.high = min(found.low, float64(t.recent[i].first)), max(found.high, float64(t.recent[i].first))
		}
	}
	e := t.since(int64(found.at), j)
	found.size = e.share()
	return found
}

// rise is by how much the 99th percentile rose as a multiple of the typical time,
// as a logarithm.
func (t *tail) rise() (float64, bool) {
	var now, usual tailReference
	for i := max(0, len(t.recent)-blocksJudged); i < len(t.recent); i++ {
		now.n += float64(t.recent[i].n)
		for j, n := range t.recent[i].slow {
			now.slow[j] += float64(n)
		}
	}
	for i := range t.refs {
		usual.n += t.refs[i].n
		for j, n := range t.refs[i].slow {
			usual.slow[j] += n
		}
	}
	if now.n < blockRequests || usual.n < referenceRequests {
		return 0, false
	}
	return now.p99() - usual.p99(), true
}

// p99 is the logarithm of the 99th percentile over the typical time, between the
// thresholds that enclose it.
func (r *tailReference) p99() float64 {
	const wanted = 0.01
	before := 0.5
	for j := range tailSteps {
		share := r.slow[j] / r.n
		if share <= wanted {
			share = max(share, 1e-6)
			return (float64(j) + (math.Log(before)-math.Log(wanted))/(math.Log(before)-math.Log(share))) * tailStep
		}
		before = share
	}
	return tailSteps * tailStep
}
