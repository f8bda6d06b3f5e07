package judge

import (
	"slices"
	"strings"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/outage"
)

// How far apart a cause and its effect may seem to begin. Onsets are estimates,
// those of causes seen in signals good to a minute or two, those of changes of
// latency to a few.
const (
	// nearOnset is for effects that have to begin with their cause.
	nearOnset = 10 * time.Minute
	// nearActive is for effects that may begin at any time while the cause lasts.
	nearActive = 5 * time.Minute
	// nearLeaks is for leaks of one target: what is left behind by the same requests
	// shows in each resource only after hours.
	nearLeaks = 6 * time.Hour
	// nearFill is for how long a cache may fill that was emptied or looked into in vain.
	nearFill = 2 * time.Hour
)

// slower are the kinds that say that requests take longer.
func slower() []finding.Kind {
	return []finding.Kind{finding.Latency, finding.LatencyTail, finding.LatencyDrift}
}

// effects says what a kind may bring about, as far as it is plain enough to call
// it one finding. What users lose (data, right answers, their privacy) is never
// explained away.
func effects(cause finding.Kind) []finding.Kind {
	traffic := append(slower(), finding.Errors, finding.Hang)
	switch cause {
	case finding.Outage:
		return append(traffic, finding.Outage, finding.Restarts, finding.PoolExhausted, finding.LockContention, finding.CacheIneffective, finding.RateLimited, finding.GCPauses,
			finding.InvalidServerError, finding.Evictions)
	case finding.Restarts:
		return append(traffic, finding.Outage, finding.CacheIneffective, finding.GCPauses, finding.PoolExhausted, finding.Leak)
	case finding.Hang:
		return append(traffic, finding.Outage, finding.PoolExhausted, finding.LockContention, finding.CacheIneffective, finding.Leak)
	case finding.LockContention:
		return append(traffic, finding.PoolExhausted)
	case finding.PoolExhausted:
		return append(traffic, finding.Outage, finding.InvalidServerError)
	case finding.Evictions:
		return append(slower(), finding.CacheIneffective, finding.GCPauses)
	case finding.CacheIneffective:
		return append(slower(), finding.GCPauses, finding.Leak)
	case finding.GCPauses:
		return slower()
	case finding.RateLimited:
		return traffic
	case finding.Errors:
		return append(slower(), finding.Errors)
	case finding.Latency:
		return slower()
	case finding.LatencyDrift:
		return slower()
	case finding.LatencyTail:
		return []finding.Kind{finding.LatencyTail}
	case finding.Leak:
		return append(traffic, finding.Leak, finding.PoolExhausted, finding.GCPauses, finding.Restarts, finding.Outage)
	}
	return nil
}

// lasting are the causes whose effects may begin at any time while they last: the
// requests that need what is missing come when they come.
func lasting(cause finding.Kind) bool {
	switch cause {
	case finding.Outage, finding.Restarts, finding.Hang, finding.PoolExhausted, finding.LockContention, finding.RateLimited, finding.Leak:
		return true
	}
	return false
}

// explains reports whether cause may have brought effect about.
func explains(cause, effect *finding.Symptom) bool {
	if effect.Kind == finding.Objective {
		// Whatever is wrong with the traffic costs the objective its budget.
		return cause.Kind != finding.Objective && cause.Kind != finding.Leak && overlaps(cause, effect, nearOnset)
	}
	if !slices.Contains(effects(cause.Kind), effect.Kind) {
		return false
	}
	switch {
	case cause.Kind == finding.Leak && effect.Kind == finding.Leak:
		return sameLeak(cause, effect)
	case cause.Kind == finding.Leak:
		return leakExplains(cause, effect) && overlaps(cause, effect, nearActive)
	case effect.Kind == finding.Leak && cause.Kind != finding.Hang:
		// A cache that is cold, or looked into in vain, fills for a while.
		return effect.Subject.Target == redisTarget && overlaps(cause, effect, nearFill)
	case effect.Kind == finding.Outage:
		// A dependency brings the API down, not another dependency.
		return effect.Subject.Target == outage.API && cause.Subject != effect.Subject && overlaps(cause, effect, nearActive)
	case cause.Kind == effect.Kind:
		return cause.Subject != effect.Subject && near(cause, effect)
	case lasting(cause.Kind):
		return overlaps(cause, effect, nearActive)
	}
	return near(cause, effect)
}

// sameLeak: a connection that is left behind holds a file and some memory, a
// goroutine its stack. What is left behind is named by what is counted most
// directly. What Redis keeps is another matter.
func sameLeak(cause, effect *finding.Symptom) bool {
	if (cause.Subject.Target == redisTarget) != (effect.Subject.Target == redisTarget) || cause.Subject == effect.Subject {
		return false
	}
	return apart(cause, effect) <= nearLeaks && leakRank(cause) <= leakRank(effect)
}

// leakRank orders leaks by how directly the signal counts what is left behind.
func leakRank(s *finding.Symptom) int {
	for rank, part := range []string{"_backends", "_pool_connections", "_fds", "_goroutines", "_threads", "_processes", "_in_flight"} {
		name, _, _ := strings.Cut(s.Subject.Signal, "{")
		if strings.Contains(name, part) {
			return rank
		}
	}
	return 100 // memory
}

// redisTarget is the target of what Redis keeps.
const redisTarget = "redis"

// leakExplains: when connections or files run out, requests fail, wait and time
// out. Memory that runs out costs pauses and ends in a restart; that it makes
// requests slow before would explain too much.
func leakExplains(cause, effect *finding.Symptom) bool {
	if cause.Subject.Target == redisTarget {
		return false // what Redis keeps has its own limit, and evictions to show for it
	}
	switch effect.Kind {
	case finding.GCPauses, finding.Restarts, finding.PoolExhausted:
		return true
	}
	return leakRank(cause) <= lastCounted
}

// lastCounted is the rank of open files: up to there a leak ends in refusals.
const lastCounted = 2

// near reports whether both began within [nearOnset], or within what is not known
// about their onsets.
func near(a, b *finding.Symptom) bool { return apart(a, b) <= nearOnset }

// apart is the least time between the stretches in which two onsets lie.
func apart(a, b *finding.Symptom) time.Duration {
	fromA, toA := onsets(a)
	fromB, toB := onsets(b)
	switch {
	case toA.Before(fromB):
		return fromB.Sub(toA)
	case toB.Before(fromA):
		return fromA.Sub(toB)
	}
	return 0
}

// onsets returns the stretch in which the onset lies.
func onsets(s *finding.Symptom) (from, to time.Time) {
	from, to = s.Onset, s.Onset
	if !s.OnsetFrom.IsZero() && s.OnsetFrom.Before(from) {
		from = s.OnsetFrom
	}
	if !s.OnsetTo.IsZero() && s.OnsetTo.After(to) {
		to = s.OnsetTo
	}
	return from, to
}

// overlaps reports whether the effect began while the cause lasted, give or take
// the tolerance.
func overlaps(cause, effect *finding.Symptom, tolerance time.Duration) bool {
	begins, _ := onsets(cause)
	from, to := onsets(effect)
	if to.Before(begins.Add(-tolerance)) {
		return false
	}
	return !cause.Over || !from.After(cause.Ended.Add(tolerance))
}
