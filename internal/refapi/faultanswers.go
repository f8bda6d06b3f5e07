package refapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"
)

func answerFaults() []fault {
	return []fault{
		{
			name: "errors", does: "answers a share of valid requests with an error, before their work",
			parameters: []parameter{
				share("ratio", 0.02, "of the requests"), routeParameter(everything), classParameter(),
				whole("status", 500, 500, 599, "the status of the answer"),
			},
			start: failRequests,
		},
		{
			name: "accept_invalid", does: "answers invalid input (400, 413, 415, 422) with success and stores nothing",
			parameters: []parameter{share("ratio", 1, "of the invalid requests")},
			start:      acceptInvalid,
		},
		{
			name: "invalid_500", does: "answers invalid input with 500",
			parameters: []parameter{share("ratio", 1, "of the invalid requests")},
			start: func(_ context.Context, _ *API, s settings) (effect, error) {
				return effect{refused: func(_ string, refusal error) (answer, error) {
					if !happens(s.number("ratio")) {
						return answer{}, refusal
					}
					return answer{}, fail(http.StatusInternalServerError, "internal error")
				}}, nil
			},
		},
		{
			name: "leak_trace", does: "shows a stack trace in the answer to invalid input, with the status that it has anyhow",
			parameters: []parameter{share("ratio", 1, "of the invalid requests")},
			start:      leakTrace,
		},
		{
			name: "wrong_monte_carlo", does: "answers with figures of simulations that are wrong; what is cached stays right",
			parameters: []parameter{
				share("ratio", 1, "of the answers with a simulation"),
				word("how", "order: p5 is above the median and p95 below; seed: the same seed gives other figures each time, by up to one standard deviation", "order", "seed"),
			},
			start: spoilSimulations,
		},
	}
}

func failRequests(_ context.Context, _ *API, s settings) (effect, error) {
	return effect{fail: func(operation, class string) error {
		if !concerns(s, operation, class) || !happens(s.number("ratio")) {
			return nil
		}
		return fail(int(s.whole("status")), "internal error")
	}}, nil
}

// invalidStatus reports whether a refusal is one of invalid input.
func invalidStatus(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// acceptInvalid answers as if a small valid request had been made.
func acceptInvalid(_ context.Context, a *API, s settings) (effect, error) {
	const sample = `{"loans":[{"loan_type":"mortgage","principal":100000,"interest_rate":0.05,"term_months":12,
		"start_date":"2026-01-01"}],"discount_rate":0.05,"forecast_months":12}`
	request, _, err := decodeForecast([]byte(sample))
	if err != nil {
		return effect{}, err
	}
	return effect{refused: func(operation string, refusal error) (answer, error) {
		if !happens(s.number("ratio")) {
			return answer{}, refusal
		}
		made := storedScenario{scenario: scenario{ID: uuid.New(), Name: "scenario", CreatedAt: a.now()}, params: []byte(sample)}
		switch operation {
		case opForecast:
			result, err := compute(context.Background(), &request)
			return forecastAnswer(made.ID, false, result.rest), err
		case opSave:
			return answer{status: http.StatusCreated, body: made.scenario}, nil
		case opScenario:
			return scenarioAnswer(made)
		}
		return answer{status: http.StatusOK, body: rawJSON{[]byte("[]")}}, nil
	}}, nil
}

// leakTrace shows this program's own stack, as careless servers do.
func leakTrace(_ context.Context, _ *API, s settings) (effect, error) {
	return effect{refused: func(_ string, refusal error) (answer, error) {
		var told *failure
		if !happens(s.number("ratio")) || !errors.As(refusal, &told) {
			return answer{}, refusal
		}
		return answer{}, fail(told.status, "panic: "+told.Error()+"\n\n"+string(debug.Stack()))
	}}, nil
}

// simulation is the part of an answer that spoilSimulations changes, in the
// order in which it is written.
type simulation struct {
	Iterations int         `json:"iterations"`
	Confidence float64     `json:"confidence_interval"`
	Seed       json.Number `json:"seed"`
	Mean       float64     `json:"mean"`
	StdDev     float64     `json:"std_dev"`
	P5         float64     `json:"p5"`
	Median     float64     `json:"median"`
	P95        float64     `json:"p95"`
	Lower      float64     `json:"ci_lower"`
	Upper      float64     `json:"ci_upper"`
}

func spoilSimulations(_ context.Context, _ *API, s settings) (effect, error) {
	change := func(d *simulation) { // p5 > median > p95 whatever they were
		width := max(d.P95-d.P5, 1)
		d.P5, d.P95 = d.Median+width, d.Median-width
	}
	if s.word("how") == "seed" {
		change = func(d *simulation) {
			by := max(d.StdDev, 1) * rand.Float64() //nolint:gosec // not a secret
			for _, figure := range []*float64{&d.Mean, &d.P5, &d.Median, &d.P95, &d.Lower, &d.Upper} {
				*figure = money(*figure + by)
			}
		}
	}
	return effect{simulated: func(rest []byte) []byte {
		if !happens(s.number("ratio")) {
			return rest
		}
		return spoil(rest, change)
	}}, nil
}

// spoil returns a copy of an answer with another simulation in it.
func spoil(rest []byte, change func(*simulation)) []byte {
	const name = `"monte_carlo":`
	start := bytes.Index(rest, []byte(name))
	if start < 0 {
		return rest
	}
	start += len(name)
	end := start + bytes.IndexByte(rest[start:], '}') + 1
	var d simulation
	if json.Unmarshal(rest[start:end], &d) != nil {
		return rest
	}
	change(&d)
	changed, err := json.Marshal(d)
	if err != nil {
		return rest
	}
	return bytes.Join([][]byte{rest[:start], changed, rest[end:]}, nil)
}

// rateLimit answers with 429 in bursts.
func rateLimit(_ context.Context, _ *API, s settings) (effect, error) {
	since := time.Now()
	every, burst := s.span("every"), s.span("burst")
	after := strconv.FormatInt(int64((s.span("retry_after")+time.Second-1)/time.Second), 10)
	return effect{arrive: func(w *recorder, _ *http.Request, operation string) error {
		if !concerns(s, operation, "") || time.Since(since)%every >= burst {
			return nil
		}
		w.Header().Set("Retry-After", after)
		return fail(http.StatusTooManyRequests, "too many requests")
	}}, nil
}
