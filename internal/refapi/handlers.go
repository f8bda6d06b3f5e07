package refapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Limits of the list operations.
const (
	defaultListed = 100
	maxListed     = 1000
)

// health does no input or output: it tells that the process serves, and what
// was last seen of its dependencies.
func (a *API) health(*http.Request, string) (answer, error) {
	cacheState := "off"
	if a.cache != nil {
		cacheState = a.cache.redis.state()
	}
	if err := a.effects().fail(opHealth, ""); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: map[string]any{
		"status":       "ok",
		"version":      a.Version(),
		"dependencies": map[string]string{"postgres": a.store.postgres.state(), "redis": cacheState},
	}}, nil
}

func (a *API) forecast(r *http.Request, user string) (answer, error) {
	body, err := readBody(r)
	if err != nil {
		return answer{}, err
	}
	request, bad, err := decodeForecast(body)
	if err != nil {
		return answer{}, fail(http.StatusBadRequest, err.Error())
	}
	if len(bad) > 0 {
		return answer{}, invalid(bad...)
	}
	result, err := a.calculate(r.Context(), user, &request)
	result.class = request.class()
	return result, err
}

// calculate answers a valid forecast request and notes it in the history.
func (a *API) calculate(ctx context.Context, user string, request *forecastRequest) (answer, error) {
	faults := a.effects()
	if err := faults.fail(opForecast, request.class()); err != nil {
		return answer{}, err
	}
	result, cached, err := a.answerFor(ctx, request)
	if err != nil {
		return answer{}, err
	}
	id, err := newID()
	if err != nil {
		return answer{}, err
	}
	err = a.store.addHistory(ctx, historyRow{
		ID: id, UserID: user, NPV: result.npv, IRR: result.irr, Loans: len(request.Loans),
		ForecastMonths: request.Months, MonteCarlo: request.MonteCarlo != nil, Cached: cached,
	})
	if err != nil {
		return answer{}, err
	}
	if request.MonteCarlo != nil {
		result.rest = faults.simulated(result.rest)
	}
	return forecastAnswer(id, cached, result.rest), nil
}

func forecastAnswer(id uuid.UUID, cached bool, rest []byte) answer {
	head := `{"id":"` + id.String() + `","cached":` + strconv.FormatBool(cached) + `,`
	return answer{status: http.StatusOK, body: rawJSON{[]byte(head), rest}}
}

// answerFor takes the answer from the cache, or computes it on the pool.
func (a *API) answerFor(ctx context.Context, request *forecastRequest) (result computed, cached bool, err error) {
	key, kept := "", false
	if request.cacheable() {
		if key, err = request.key(); err != nil {
			return computed{}, false, err
		}
		if key, kept = a.effects().cacheKey(key); key != "" {
			if result, cached = a.cache.get(ctx, key); cached {
				return result, true, nil
			}
		}
	}
	err = a.calculations.do(ctx, func(ctx context.Context) error {
		result, err = compute(ctx, request)
		return err
	})
	if err == nil && kept {
		a.cache.put(ctx, key, result)
	}
	return result, false, err
}

func (a *API) saveScenario(r *http.Request, user string) (answer, error) {
	body, err := readBody(r)
	if err != nil {
		return answer{}, err
	}
	request, bad, err := decodeScenario(body)
	if err != nil {
		return answer{}, fail(http.StatusBadRequest, err.Error())
	}
	if len(bad) > 0 {
		return answer{}, invalid(bad...)
	}
	faults := a.effects()
	if err := faults.fail(opSave, ""); err != nil {
		return answer{}, err
	}
	save := a.store.saveScenario
	if faults.loses() {
		save = a.unstored
	}
	saved, err := save(r.Context(), user, request)
	return answer{status: http.StatusCreated, body: saved}, err
}

func (a *API) listScenarios(r *http.Request, user string) (answer, error) {
	query, err := readQuery(r)
	if err != nil {
		return answer{}, err
	}
	if err := a.effects().fail(opScenarios, ""); err != nil {
		return answer{}, err
	}
	list, err := a.scenarioList(r.Context(), user, query.limit)
	return answer{status: http.StatusOK, body: list}, err
}

func (a *API) getScenario(r *http.Request, user string) (answer, error) {
	text := r.PathValue("id")
	id, err := uuid.Parse(text)
	if err != nil || len(text) != len(id.String()) { // Parse knows other forms too
		return answer{}, invalid(fieldError{[]any{"path", "id"}, "Input should be a UUID", "uuid_parsing"})
	}
	if err := a.effects().fail(opScenario, ""); err != nil {
		return answer{}, err
	}
	found, err := a.readScenario(r.Context(), user, id)
	if err != nil {
		return answer{}, err
	}
	return scenarioAnswer(found)
}

func scenarioAnswer(found storedScenario) (answer, error) {
	head, err := json.Marshal(found.scenario)
	if err != nil {
		return answer{}, err
	}
	// The parameters are written as they were read: encoding/json would compact them.
	head = append(head[:len(head)-1], `,"forecast_params":`...)
	return answer{status: http.StatusOK, body: rawJSON{head, found.params, []byte("}")}}, nil
}

func (a *API) listHistory(r *http.Request, user string) (answer, error) {
	query, err := readQuery(r)
	if err != nil {
		return answer{}, err
	}
	if err := a.effects().fail(opHistory, ""); err != nil {
		return answer{}, err
	}
	list, err := lagging(r.Context(), a, query.limit, func(ctx context.Context, limit int) ([]historyRow, error) {
		return a.store.history(ctx, user, query.since, limit)
	}, func(row historyRow) time.Time { return row.CreatedAt })
	return answer{status: http.StatusOK, body: list}, err
}

// listQuery is what a list operation is asked for.
type listQuery struct {
	limit int
	since time.Time
}

func readQuery(r *http.Request) (listQuery, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return listQuery{}, invalid(fieldError{[]any{"query"}, "The query cannot be read", "query_parsing"})
	}
	query := listQuery{limit: defaultListed}
	var bad []fieldError
	if values.Has("limit") {
		query.limit, err = strconv.Atoi(values.Get("limit"))
		if err != nil || query.limit < 1 || query.limit > maxListed {
			bad = append(bad, fieldError{[]any{"query", "limit"}, "Input should be a whole number from 1 to " + strconv.Itoa(maxListed), "int_parsing"})
		}
	}
	if values.Has("start_date") {
		query.since, err = time.Parse(time.DateOnly, values.Get("start_date"))
		if err != nil {
			bad = append(bad, fieldError{[]any{"query", "start_date"}, "Input should be a date that exists, as YYYY-MM-DD", "date_parsing"})
		}
	}
	if len(bad) > 0 {
		return listQuery{}, invalid(bad...)
	}
	return query, nil
}
