package cashflow

import (
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"soakd/internal/load"
)

const (
	// keptScenarios and keptForecasts bound what a virtual user remembers by id.
	keptScenarios = 20
	keptForecasts = 20
	// keptMonteCarlo is how many repeatable runs a user has in a day: two of its
	// usual book and two of its book of complex portfolios.
	keptMonteCarlo = 4
)

// ring keeps the newest entries that were put into it. Its room is made by the
// first of them.
type ring[T any] struct {
	entries []T
	next    int // the oldest entry, once the ring is full
}

// put adds an entry; it returns the one that had to go.
func (r *ring[T]) put(entry T, bound int) (gone T, full bool) {
	if r.entries == nil {
		r.entries = make([]T, 0, bound)
	}
	if len(r.entries) < bound {
		r.entries = append(r.entries, entry)
		return gone, false
	}
	gone = r.entries[r.next]
	r.entries[r.next] = entry
	r.next = (r.next + 1) % len(r.entries)
	return gone, true
}

// remove drops the entries that match, and keeps the order of the others.
func (r *ring[T]) remove(match func(*T) bool) {
	kept := make([]T, 0, cap(r.entries))
	for i := range r.entries {
		if entry := &r.entries[(r.next+i)%len(r.entries)]; !match(entry) {
			kept = append(kept, *entry)
		}
	}
	r.entries, r.next = kept, 0
}

// made is something that the target was asked to keep: its id, and when it was
// asked for and confirmed. The times carry the monotonic clock.
type made struct {
	id             string
	sent, received time.Time
}

// scenario is a saved scenario and how to make its content again.
type scenario struct {
	made
	recipe scenarioRecipe
	// save numbers the saves of the process; see [population.mayBeGone].
	save uint64
}

// valued is what is known of one portfolio of a user's book: its net present
// value, and the one with the discount rate raised.
type valued struct {
	born         day
	base, raised number
}

// drawn is the outcome of a Monte Carlo run that will be asked for again.
type drawn struct {
	digest  uint64
	figures monteCarloFigures
}

// member is the memory of one virtual user.
type member struct {
	mu sync.Mutex
	// id is who the user is to the target. What was saved and made is this one's.
	id         string
	scenarios  ring[scenario]
	forecasts  ring[made]
	monteCarlo ring[drawn]
	book       [bookSize]valued
}

// population is the memory of all virtual users.
type population struct {
	members []member
	// shared is set when the users may be one and the same to the target.
	shared bool
	// saves counts the saves that were asked for by all users.
	saves atomic.Uint64

	// seed makes the hashes; they do not leave the process.
	seed maphash.Seed

	mu sync.RWMutex
	// owners maps the hash of each remembered scenario's id to its user's index.
	owners map[uint64]int32
}

func newPopulation(users int, shared bool) *population {
	return &population{members: make([]member, users), shared: shared, seed: maphash.MakeSeed(), owners: make(map[uint64]int32)}
}

// hash is of an id, or of a request. With 20 000 of them two are alike once in
// 10^11 runs.
func (p *population) hash(text []byte) uint64 { return maphash.Bytes(p.seed, text) }

// hashID is the same of an id that is remembered.
func (p *population) hashID(id string) uint64 { return maphash.String(p.seed, id) }

// adopt takes note of who a user is to the target. When a token file came to hold
// another subject's token the user is someone else, to whom nothing of what was
// saved and made before belongs: it must be missed by no check.
func (p *population) adopt(user load.User) {
	m := &p.members[user.Index]
	m.mu.Lock()
	if m.id == user.ID {
		m.mu.Unlock()
		return
	}
	m.id = user.ID
	gone := m.scenarios.entries
	m.scenarios, m.forecasts = ring[scenario]{}, ring[made]{}
	m.mu.Unlock()

	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range gone {
		delete(p.owners, p.hashID(gone[i].id))
	}
}

// saved remembers a scenario of a user, unless the user is another by now.
func (p *population) saved(user load.User, s scenario) {
	m := &p.members[user.Index]
	m.mu.Lock()
	if m.id != user.ID {
		m.mu.Unlock()
		return
	}
	gone, full := m.scenarios.put(s, keptScenarios)
	m.mu.Unlock()

	p.mu.Lock()
	defer p.mu.Unlock()
	if full {
		delete(p.owners, p.hashID(gone.id))
	}
	p.owners[p.hashID(s.id)] = int32(user.Index)
}

// forget drops a scenario of a user.
func (p *population) forget(user int, id string) {
	m := &p.members[user]
	m.mu.Lock()
	m.scenarios.remove(func(s *scenario) bool { return s.id == id })
	m.mu.Unlock()

	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.owners, p.hashID(id))
}

// ownedByAnother reports whether id is known to belong to another user than the
// given one. Users who share an identity own everything together.
func (p *population) ownedByAnother(user int, id []byte) bool {
	if p.shared {
		return false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.anothers(user, id)
}

// anothers is ownedByAnother for who holds the lock.
func (p *population) anothers(user int, id []byte) bool {
	owner, known := p.owners[p.hash(id)]
	return known && int(owner) != user
}

// firstOfAnother returns the index of the first entry whose id is known to belong
// to another user than the given one, len(entries) when there is none.
func (p *population) firstOfAnother(user int, entries []row) int {
	if p.shared {
		return len(entries)
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	for i := range entries {
		if p.anothers(user, entries[i].ID) {
			return i
		}
	}
	return len(entries)
}

// anyScenario draws one of a user's scenarios.
func (p *population) anyScenario(user int, r *rand.Rand) (scenario, bool) {
	m := &p.members[user]
	at := r.Uint64()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.scenarios.entries) == 0 {
		return scenario{}, false
	}
	return m.scenarios.entries[at%uint64(len(m.scenarios.entries))], true
}

// scenarios appends what a user saved to list; nothing when the user is another
// by now.
func (p *population) scenarios(user load.User, list []made) []made {
	m := &p.members[user.Index]
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.id != user.ID {
		return list
	}
	for i := range m.scenarios.entries {
		list = append(list, m.scenarios.entries[i].made)
	}
	return list
}

// forecasts appends the forecasts that a user made to list; nothing when the
// user is another by now.
func (p *population) forecasts(user load.User, list []made) []made {
	m := &p.members[user.Index]
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.id != user.ID {
		return list
	}
	return append(list, m.forecasts.entries...)
}

// forecast remembers a forecast of a user, unless the user is another by now.
func (p *population) forecast(user load.User, f made) {
	m := &p.members[user.Index]
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.id == user.ID {
		m.forecasts.put(f, keptForecasts)
	}
}

// forgetForecast drops a forecast of a user.
func (p *population) forgetForecast(user int, id string) {
	m := &p.members[user]
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forecasts.remove(func(f *made) bool { return f.id == id })
}

// sharedRetention: when users share an identity, a target that keeps the newest
// 500 scenarios of an identity may drop one after 500 further saves. Other
// processes may use the identity too, so much fewer count as enough.
const sharedRetention = 100

// mayBeGone reports whether the target may rightly have dropped a scenario: one
// of a shared identity, pushed out by later ones. A user's own newest 20 are safe.
func (p *population) mayBeGone(save uint64) bool {
	return p.shared && p.saves.Load()-save >= sharedRetention
}

// value remembers the net present value of a portfolio of a user's book and
// returns all that is known of that portfolio.
func (p *population) value(user int, born day, raised bool, npv number) valued {
	m := &p.members[user]
	m.mu.Lock()
	defer m.mu.Unlock()
	v := &m.book[born%bookSize]
	if v.born != born {
		*v = valued{born: born}
	}
	if raised {
		v.raised = npv
	} else {
		v.base = npv
	}
	return *v
}

// draw remembers the figures of a repeatable Monte Carlo run and returns those
// of the last run of the same request.
func (p *population) draw(user int, digest uint64, figures monteCarloFigures) (last monteCarloFigures, known bool) {
	m := &p.members[user]
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.monteCarlo.entries {
		if entry := &m.monteCarlo.entries[i]; entry.digest == digest {
			last, entry.figures = entry.figures, figures
			return last, true
		}
	}
	m.monteCarlo.put(drawn{digest: digest, figures: figures}, keptMonteCarlo)
	return monteCarloFigures{}, false
}
