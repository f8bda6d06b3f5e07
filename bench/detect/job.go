package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"soakd/internal/judge"
	"soakd/internal/judge/objective"
	"soakd/internal/judge/simulate"
	"soakd/internal/judge/window"
)

const (
	// A fault comes some hours after the start; when it is gone, the run goes on.
	earliest, latest = 8 * time.Hour, 12 * time.Hour
	afterwards       = time.Hour
	// apart is how long after the first fault of a pair the second one comes.
	apart = 90 * time.Minute
	// look is how often the findings are read.
	look = time.Minute
	// late is how long after a fault has gone it may still be found: an outage of
	// three minutes is over before it is understood.
	late = 10 * time.Minute
)

// job is one run.
type job struct {
	seed, worldSeed uint64
	rate            float64
	day             bool
	start           time.Time
	length          time.Duration
	episodes        []simulate.Episode
	faults          []*simulate.Fault // one for each episode
}

// monday is when a run starts: within a day that is another one for each seed.
func monday(seed uint64) time.Time {
	r := rand.New(rand.NewPCG(seed, 3))
	return time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.Int64N(int64(24 * time.Hour)))).Truncate(window.Short)
}

// newJob makes a run with these faults, one after the other.
func newJob(seed uint64, rate float64, day bool, names []string) (job, error) {
	j := job{seed: seed, rate: rate, day: day}
	known := simulate.Faults()
	j.worldSeed = j.world(names)
	r := rand.New(rand.NewPCG(j.worldSeed, 4))
	j.start = monday(j.worldSeed)
	at := earliest + time.Duration(r.Int64N(int64(latest-earliest))).Truncate(time.Second)
	for i, name := range names {
		k := slices.IndexFunc(known, func(f simulate.Fault) bool { return f.Name == name })
		if k < 0 {
			return j, fmt.Errorf("there is no fault %.40q", name)
		}
		f := &known[k]
		begin := at + time.Duration(i)*apart
		j.faults = append(j.faults, f)
		j.episodes = append(j.episodes, simulate.Episode{Fault: name, At: begin, For: f.Lasts})
		j.length = max(j.length, begin+f.Lasts+afterwards)
	}
	return j, nil
}

// name says what is tried.
func (j *job) name() string {
	name := ""
	for i, f := range j.faults {
		if i > 0 {
			name += "+"
		}
		name += f.Name
	}
	if name == "" {
		return "none"
	}
	return name
}

// randomPairs draws pairs of faults that do not get into each other's way.
func randomPairs(n int, seed uint64) [][]string {
	r := rand.New(rand.NewPCG(seed, 5))
	var fit []simulate.Fault
	for _, f := range simulate.Faults() {
		if !f.Away {
			fit = append(fit, f)
		}
	}
	var pairs [][]string
	for len(pairs) < n {
		a, b := &fit[r.IntN(len(fit))], &fit[r.IntN(len(fit))]
		pair := []string{a.Name, b.Name}
		if a.Area == b.Area || slices.ContainsFunc(pairs, func(p []string) bool { return slices.Equal(p, pair) }) {
			continue
		}
		pairs = append(pairs, pair)
	}
	return pairs
}

// runAll does all jobs, some at the same time, and returns the results in order.
func runAll(ctx context.Context, jobs []job, parallel int, progress func(done int, r *result)) ([]result, error) {
	results := make([]result, len(jobs))
	// The long ones first, so that no core waits at the end.
	order := make([]int, len(jobs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int((jobs[b].length - jobs[a].length) / time.Second) })
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	var (
		mu   sync.Mutex
		done int
	)
	for _, i := range order {
		group.Go(func() error {
			r, err := jobs[i].run(ctx)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			results[i] = r
			done++
			progress(done, &r)
			return nil
		})
	}
	return results, group.Wait()
}

// run simulates and judges.
func (j *job) run(ctx context.Context) (result, error) {
	res := result{job: j, seen: make([]time.Duration, len(j.faults))}
	for i := range res.seen {
		res.seen[i] = -1
	}
	world, err := j.simulate()
	if err != nil {
		return res, err
	}
	judged, err := newJudge()
	if err != nil {
		return res, err
	}
	next := time.Duration(0)
	for world.Age() < j.length {
		if ctx.Err() != nil {
			return res, ctx.Err()
		}
		judged.Window(world.Next())
		if len(j.faults) > 0 && world.Age() >= max(next, j.episodes[0].At) {
			res.note(world.Age(), judged.Findings())
			next = world.Age() + look
		}
	}
	res.findings = judged.Findings()
	res.events = judged.Events(0)
	return res, nil
}

// newJudge makes the judge of a soak that has no end, with the objectives that
// soakd has when nobody sets any.
func newJudge() (*judge.Judge, error) {
	objectives, err := objective.Parse("", simulate.Classes())
	if err != nil {
		return nil, fmt.Errorf("objectives: %w", err)
	}
	judged, err := judge.New(judge.Config{Objectives: objectives, Policy: objective.PolicyFor(0)})
	if err != nil {
		return nil, fmt.Errorf("make the judge: %w", err)
	}
	return judged, nil
}

// world is the seed of the world: another one for each fault, so that what is wrong
// with one world is not wrong with all faults.
func (j *job) world(names []string) uint64 {
	hash := fnv.New64a()
	_, _ = io.WriteString(hash, strings.Join(names, "+")) // never fails
	return hash.Sum64() ^ j.seed
}

func (j *job) simulate() (*simulate.World, error) {
	cfg := simulate.Config{Seed: j.worldSeed, Start: j.start, Rate: j.rate, Day: j.day, Episodes: j.episodes}
	if len(j.episodes) > 0 {
		cfg.Quiet = []simulate.Stretch{{From: j.episodes[0].At - time.Hour, To: j.length}}
	}
	return simulate.New(cfg)
}
