package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"soakd/internal/load"
	"soakd/internal/load/cashflow"
	"soakd/internal/load/schedule"
)

// The models of load.
const (
	// modelOpen: arrivals come when the schedule says, whatever the answers take.
	modelOpen = "open"
	// modelClosed: so many users, each of which waits for its answer.
	modelClosed = "closed"
)

// The ways to space arrivals.
const (
	spacingEven    = "even"
	spacingPoisson = "poisson"
)

// loadSettings say how much is sent, when, and when less. A setting with a model
// belongs to that alone.
type loadSettings struct {
	Model    string        `envconfig:"MODEL" default:"open" desc:"open: arrivals come by the schedule, whatever the target's answers take. closed: each user sends its next request when the last was answered, as Locust's users do."`
	Rate     schedule.Rate `envconfig:"RATE" default:"50" model:"open" desc:"Arrivals a second, above 0 and up to 1000000, whatever the target's answers take; of all shards together."`
	Shape    string        `envconfig:"SHAPE" default:"steady" model:"open" desc:"How the rate changes: steady; ramp:from=10,to=200,over=10m; steps:50@5m,100@5m,200; spike:to=500,every=1h,hold=1m,rise=10s,at=1h (from SOAKD_RATE); day:min=10,max=100,period=24h,peak=14:00 (local time); replay:FILE,interpolate=step,loop=false,scale=1 (CSV of time,rate)."`
	Spacing  string        `envconfig:"SPACING" default:"even" model:"open" desc:"Gaps between arrivals: even, or poisson (exponential, drawn from SOAKD_SEED)."`
	RampUp   time.Duration `envconfig:"RAMP_UP" default:"0s" model:"open" desc:"Time over which the rate rises from 0 to the shape's first one; the shape begins after it. Up to 8784h."`
	Tick     time.Duration `envconfig:"TICK" default:"0s" model:"open" desc:"Due times are rounded up to multiples of this, up to 1m, so that soakd wakes up less often and needs less CPU; arrivals then come in small bursts. 0s: exact."`
	Shard    shard         `envconfig:"SHARD" default:"1/1" model:"open" desc:"Which part of the schedule this soakd sends, such as 2/5: the second of five, which together send it all. The same settings for each."`
	MaxRate  ceiling       `envconfig:"MAX_RATE" default:"0" desc:"Hard ceiling, in arrivals a second: a shape that rises above it is refused at the start and a higher rate while running; users of the closed model stay below it together. 0: none."`
	Duration time.Duration `envconfig:"DURATION" default:"0s" desc:"How long to send; 0s means until stopped."`

	Users      int           `envconfig:"USERS" default:"20" desc:"Virtual users: identities with scenarios of their own, 1 to 100000; in the closed model as many send at the same time."`
	SpawnRate  float64       `envconfig:"SPAWN_RATE" default:"0" model:"closed" desc:"How many users begin a second; 0: all at once."`
	ThinkTime  think         `envconfig:"THINK_TIME" default:"0s" model:"closed" desc:"Pause of a user between an answer and its next request: 1s, 1s..5s (evenly between) or exp:2s (exponential with that mean)."`
	UserPacing time.Duration `envconfig:"USER_PACING" default:"0s" model:"closed" desc:"Least time from one request of a user to its next, whatever the answer took; 0s: none."`
	Seed       uint64        `envconfig:"SEED" default:"1" desc:"Seed of the random choices: the same seed gives the same sequence of requests."`

	MaxInFlight int           `envconfig:"MAX_IN_FLIGHT" default:"256" desc:"Requests (and connections) in flight at the same time, 1 to 65535."`
	MaxWaiting  int           `envconfig:"MAX_WAITING" default:"1000" model:"open" desc:"Arrivals that may wait for a place in flight, 1 to 1000000; one more is dropped and counted."`
	MaxLateness time.Duration `envconfig:"MAX_LATENESS" default:"0s" model:"open" desc:"How long after its due time an arrival may still be sent, else it is dropped and counted; 0s means the time limit of its case."`

	CircuitErrorRatio float64       `envconfig:"CIRCUIT_ERROR_RATIO" default:"0.5" desc:"Share of failing requests, above 0 and up to 1, at which the load is lowered to a trickle until the target is well; 0: never."`
	CircuitFor        time.Duration `envconfig:"CIRCUIT_FOR" default:"30s" desc:"How long the share of failing requests (SOAKD_CIRCUIT_ERROR_RATIO) must hold before the load is lowered, above 0s."`
	RetryAfterMax     time.Duration `envconfig:"RETRY_AFTER_MAX" default:"5m" desc:"Longest time for which a target that answers 429, or 503 with Retry-After, is left alone; 0s: Retry-After is ignored."`

	// shape is what Shape and RampUp come to, as of began.
	shape schedule.Shape
	began time.Time
}

// shard is which of how many soakds this is, from 1. Its text is 2/5.
type shard struct{ number, of int }

// maxShards is what the schedule takes.
const maxShards = 10_000

// UnmarshalText reads a shard.
func (s *shard) UnmarshalText(text []byte) error {
	number, of, _ := strings.Cut(string(text), "/")
	n, err := strconv.ParseUint(number, 10, 16)
	m, errOf := strconv.ParseUint(of, 10, 16)
	if err != nil || errOf != nil || n < 1 || n > m || m > maxShards {
		return fmt.Errorf("%q is not a shard: give its number and how many there are, up to %d, such as 2/5", text, maxShards)
	}
	s.number, s.of = int(n), int(m)
	return nil
}

// ceiling is a rate that is not exceeded; 0 is none.
type ceiling schedule.Rate

// UnmarshalText reads a rate or 0.
func (c *ceiling) UnmarshalText(text []byte) error {
	if string(text) == "0" {
		*c = 0
		return nil
	}
	rate, err := schedule.ParseRate(string(text))
	if err != nil {
		return fmt.Errorf("%q is neither 0 (no ceiling) nor a rate: give arrivals a second as a decimal number up to %v, with at most six decimals, such as 500", text, schedule.MaxRate)
	}
	*c = ceiling(rate)
	return nil
}

func (c ceiling) String() string { return schedule.Rate(c).String() }

// think is a think time that can be set.
type think struct{ schedule.Think }

// UnmarshalText reads a think time.
func (t *think) UnmarshalText(text []byte) (err error) {
	t.Think, err = schedule.ParseThink(string(text))
	return err
}

// validate takes note of every mistake and makes the shape, which starts now.
func (s *loadSettings) validate(m *mistakes, now time.Time) {
	m.check(s.Model == modelOpen || s.Model == modelClosed, "MODEL: %q must be open or closed", s.Model)
	m.check(s.Spacing == spacingEven || s.Spacing == spacingPoisson, "SPACING: %q must be even or poisson", s.Spacing)
	m.check(s.Tick >= 0 && s.Tick <= time.Minute, "TICK: %v must be 0s (exact) to 1m0s, such as 5ms", s.Tick)
	m.check(s.Duration >= 0, "DURATION: %v must be 0s (until stopped) or more", s.Duration)
	m.check(s.Users >= 1 && s.Users <= cashflow.MaxUsers, "USERS: %d must be 1 to %d", s.Users, cashflow.MaxUsers)
	m.check(s.SpawnRate >= 0 && s.SpawnRate <= cashflow.MaxUsers, "SPAWN_RATE: %v must be 0 (all at once) to %d users a second", s.SpawnRate, cashflow.MaxUsers)
	m.check(s.UserPacing >= 0, "USER_PACING: %v must be 0s (none) or more", s.UserPacing)
	m.check(s.MaxInFlight >= 1 && s.MaxInFlight <= 65_535, "MAX_IN_FLIGHT: %d must be 1 to 65535", s.MaxInFlight)
	m.check(s.MaxWaiting >= 1 && s.MaxWaiting <= 1_000_000, "MAX_WAITING: %d must be 1 to 1000000", s.MaxWaiting)
	m.check(s.MaxLateness >= 0, "MAX_LATENESS: %v must be 0s (the time limit of the case) or more", s.MaxLateness)
	m.check(s.CircuitErrorRatio >= 0 && s.CircuitErrorRatio <= 1, "CIRCUIT_ERROR_RATIO: %v must be above 0 and up to 1, or 0 (never)", s.CircuitErrorRatio)
	m.check(s.CircuitFor > 0, "CIRCUIT_FOR: %v must be above 0s", s.CircuitFor)
	m.check(s.RetryAfterMax >= 0, "RETRY_AFTER_MAX: %v must be 0s (ignored) or more", s.RetryAfterMax)
	if s.Model == modelClosed {
		m.check(s.Users <= s.MaxInFlight || s.Users > cashflow.MaxUsers || s.MaxInFlight < 1,
			"USERS: %d users of the closed model send at the same time, and SOAKD_MAX_IN_FLIGHT allows %d: raise that, or give fewer users", s.Users, s.MaxInFlight)
		return
	}
	s.validateShape(m, now)
}

// validateShape makes the shape and keeps it below the ceiling.
func (s *loadSettings) validateShape(m *mistakes, now time.Time) {
	kind := s.shapeKind()
	shape, err := schedule.ParseShape(s.Shape, schedule.Surroundings{Base: s.Rate, TimeOfDay: timeOfDay(now), Open: openFile})
	if err != nil {
		m.check(false, "SHAPE: %w", oneLine(err))
		return
	}
	if s.shape, err = shape.WithRampUp(s.RampUp); err != nil {
		m.check(false, "RAMP_UP: %w", err)
		return
	}
	s.began = now
	if peak := s.shape.Peak(); s.MaxRate > 0 && peak > schedule.Rate(s.MaxRate) {
		m.check(kind == "steady", "SHAPE: %s rises to %v arrivals a second, above SOAKD_MAX_RATE (%v)", s.Shape, peak, s.MaxRate)
		m.check(kind != "steady", "RATE: %v is above SOAKD_MAX_RATE (%v)", peak, s.MaxRate)
	}
}

// shapeKind is the name of the shape.
func (s *loadSettings) shapeKind() string {
	kind, _, _ := strings.Cut(s.Shape, ":")
	return kind
}

// usesRate reports whether the rate that is set means anything.
func (s *loadSettings) usesRate() bool { return s.shapeKind() == "steady" || s.shapeKind() == "spike" }

// openFile opens the file of a replay, from the working directory.
func openFile(path string) (io.ReadCloser, error) { return os.Open(path) }

// timeOfDay returns the time since midnight by the clock on the wall.
func timeOfDay(now time.Time) time.Duration {
	hour, minute, second := now.Clock()
	return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second + time.Duration(now.Nanosecond())
}

// oneLine puts several mistakes in one setting behind its name.
func oneLine(err error) error {
	if text := err.Error(); strings.Contains(text, "\n") {
		return errors.New(strings.ReplaceAll(text, "\n", "; "))
	}
	return err
}

// closed reports whether users take the place of a rate.
func (s *loadSettings) closed() bool { return s.Model == modelClosed }

// arrivals returns those of the open model.
func (s *loadSettings) arrivals() (*schedule.Arrivals, error) {
	return schedule.NewArrivals(s.shape, schedule.Options{
		Poisson: s.Spacing == spacingPoisson, Seed: s.Seed, Shard: s.Shard.number - 1, Shards: s.Shard.of, Tick: s.Tick,
	})
}

// users returns those of the closed model, nil in the open one.
func (s *loadSettings) users() *load.ClosedConfig {
	if !s.closed() {
		return nil
	}
	return &load.ClosedConfig{Users: s.Users, SpawnRate: s.SpawnRate, Think: s.ThinkTime.Think, Pacing: s.UserPacing, Seed: s.Seed}
}

// manners says how a target is treated that is unwell. shared tells that it
// cannot tell the virtual users apart.
func (s *loadSettings) manners(shared bool) (load.Manners, error) {
	manners := load.Manners{Retry: load.DefaultRetryPolicy(), SharedIdentity: shared, Ceiling: schedule.Rate(s.MaxRate)}
	manners.Retry.Max = s.RetryAfterMax
	if s.CircuitErrorRatio == 0 {
		return manners, nil
	}
	circuit := load.DefaultCircuit()
	circuit.ErrorRatio, circuit.For = s.CircuitErrorRatio, s.CircuitFor
	var err error
	manners.Circuit, err = load.NewCircuit(circuit)
	return manners, err
}

// rate is what this soakd is set to send in the long run, in arrivals a second; 0
// in the closed model.
func (s *loadSettings) rate() float64 {
	if s.closed() {
		return 0
	}
	return s.shape.Average().PerSecond() / float64(s.Shard.of)
}

// describe says in words what is sent when.
func (s *loadSettings) describe() string {
	if s.closed() {
		return s.describeUsers()
	}
	parts := []string{"open model"}
	say := func(when bool, format string, args ...any) {
		if when {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	kind := s.shapeKind()
	say(s.usesRate(), "%v arrivals a second", s.Rate)
	say(kind != "steady", "shape %s with at most %v a second", s.Shape, s.shape.Peak())
	say(kind == "day", "begun at %s", s.began.Format("15:04:05 MST"))
	say(s.RampUp > 0, "rising over %v", s.RampUp)
	say(true, "%s spacing", s.Spacing)
	say(s.Tick > 0, "due times rounded up to ticks of %v", s.Tick)
	say(s.Shard.of > 1, "shard %d of %d", s.Shard.number, s.Shard.of)
	say(s.MaxRate > 0, "never above %v a second", s.MaxRate)
	return strings.Join(parts, ", ")
}

func (s *loadSettings) describeUsers() string {
	spawn := "all at once"
	if s.SpawnRate > 0 {
		spawn = fmt.Sprintf("%g more a second", s.SpawnRate)
	}
	text := fmt.Sprintf("closed model, %d users, %s, think time %v", s.Users, spawn, s.ThinkTime.Think)
	if s.UserPacing > 0 {
		text += fmt.Sprintf(", at least %v from request to request", s.UserPacing)
	}
	if s.MaxRate > 0 {
		text += fmt.Sprintf(", together never above %v a second", s.MaxRate)
	}
	return text
}
