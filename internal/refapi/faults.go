package refapi

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"
)

// fault is a defect that can be switched on at run time, to see whether it is
// noticed and named rightly. CONTRACT.md holds the table of all.
type fault struct {
	name       string
	does       string // for people
	parameters []parameter
	// start returns what the fault does. ctx ends when it is switched off. An
	// error says why this API cannot have the fault.
	start func(ctx context.Context, a *API, s settings) (effect, error)
}

// effect is what a fault does while it is on. Each part may be nil. The parts
// are called from many requests at once.
type effect struct {
	// run works in the background until ctx ends, and gives back all that the
	// fault took before it returns.
	run func(ctx context.Context)
	// arrive is called with each request for an operation, before anything else
	// of it; an error is the answer.
	arrive func(w *recorder, r *http.Request, operation string) error
	// fail is called with each valid request before its work; an error is the answer.
	fail func(operation, class string) error
	// delay says how much longer the answer to a valid request takes, of which the
	// work took own.
	delay func(operation, class string, own time.Duration) time.Duration
	// refused is called with the refusal of invalid input and returns what is
	// answered instead.
	refused func(operation string, refusal error) (answer, error)
	// cacheKey changes the key of a cached answer; "" leaves the cache alone.
	cacheKey func(key string) (changed string)
	// simulated changes the JSON of an answer that holds a Monte Carlo simulation.
	simulated func(rest []byte) []byte
	// loses reports whether the scenario to be saved now is not stored.
	loses func() bool
	// behind says how old the data is that is read now; 0 is the newest.
	behind func() time.Duration
	// confuses reports whether this read of scenarios ("list" or "get") shows another user's.
	confuses func(read string) bool
}

// effects are those of the faults that are on, in the order of the table.
type effects []effect

func (all effects) arrive(w *recorder, r *http.Request, operation string) error {
	for _, one := range all {
		if one.arrive == nil {
			continue
		}
		if err := one.arrive(w, r, operation); err != nil {
			return err
		}
	}
	return nil
}

func (all effects) fail(operation, class string) error {
	for _, one := range all {
		if one.fail == nil {
			continue
		}
		if err := one.fail(operation, class); err != nil {
			return err
		}
	}
	return nil
}

func (all effects) delay(operation, class string, own time.Duration) time.Duration {
	total := time.Duration(0)
	for _, one := range all {
		if one.delay != nil {
			total += one.delay(operation, class, own)
		}
	}
	return total
}

// refused lets the first fault that changes the refusal of invalid input do so,
// and hands its answer, when that is an error too, on to the next.
func (all effects) refused(operation string, refusal error) (answer, error) {
	for _, one := range all {
		if one.refused == nil {
			continue
		}
		result, err := one.refused(operation, refusal)
		if err == nil {
			return result, nil
		}
		refusal = err
	}
	return answer{}, refusal
}

func (all effects) cacheKey(key string) (changed string, usual bool) {
	for _, one := range all {
		if one.cacheKey != nil {
			return one.cacheKey(key), false
		}
	}
	return key, true
}

func (all effects) simulated(rest []byte) []byte {
	for _, one := range all {
		if one.simulated != nil {
			rest = one.simulated(rest)
		}
	}
	return rest
}

func (all effects) loses() bool {
	for _, one := range all {
		if one.loses != nil && one.loses() {
			return true
		}
	}
	return false
}

func (all effects) behind() time.Duration {
	for _, one := range all {
		if one.behind != nil {
			return one.behind()
		}
	}
	return 0
}

func (all effects) confuses(read string) bool {
	for _, one := range all {
		if one.confuses != nil && one.confuses(read) {
			return true
		}
	}
	return false
}

// faultTable lists every fault. The order is that in which several that are on
// are applied: invalid input is accepted before it makes a 500 or shows a trace.
func faultTable() []fault {
	var table []fault
	for _, group := range [][]fault{leakFaults(), latencyFaults(), answerFaults(), dataFaults(), serviceFaults()} {
		for _, one := range group {
			one.parameters = append(one.parameters, forParameter())
			table = append(table, one)
		}
	}
	return table
}

// happens draws whether something with that probability happens.
func happens(share float64) bool { return rand.Float64() < share } //nolint:gosec // not a secret

// everything is the word for all operations, or all classes of request.
const everything = "all"

// The operations, as parameters and metrics of faults name them.
const (
	opHealth    = "health"
	opForecast  = "forecast"
	opSave      = "save"
	opScenarios = "scenarios"
	opScenario  = "scenario"
	opHistory   = "history"
)

// The classes of forecasts by what they ask for, heaviest last; all else is standard.
const (
	classStandard    = "standard"
	classSensitivity = "sensitivity"
	classMonteCarlo  = "monte_carlo"
	classComplex     = "complex" // a simulation and a sensitivity analysis
)

func routeParameter(otherwise string) parameter {
	p := word("route", "the operation; all: every one but health",
		everything, opForecast, opSave, opScenarios, opScenario, opHistory, opHealth)
	p.otherwise = otherwise
	return p
}

func classParameter() parameter {
	return word("class", "the class of request", everything, classStandard, classSensitivity, classMonteCarlo, classComplex)
}

// concerns reports whether a fault for a route and class is one for a request.
// Health is liveness, not work: it is meant only by its name.
func concerns(s settings, operation, class string) bool {
	route := s.word("route")
	if route != operation && (route != everything || operation == opHealth) {
		return false
	}
	wanted, ok := s["class"]
	return !ok || wanted == everything || wanted == class
}

// class returns the class of a forecast.
func (r *forecastRequest) class() string {
	switch {
	case r.MonteCarlo != nil && r.Sensitivities != nil:
		return classComplex
	case r.MonteCarlo != nil:
		return classMonteCarlo
	case r.Sensitivities != nil:
		return classSensitivity
	}
	return classStandard
}
