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
	return answer{http.StatusOK, map[string]any{
		"status":       "ok",
		"version":      a.config.Version,
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
	if err := a.suffer(r.Context()); err != nil {
		return answer{}, err
	}
	result, cached, err := a.answerFor(r.Context(), &request)
	if err != nil {
		return answer{}, err
	}
	id, err := newID()
	if err != nil {
		return answer{}, err
	}
	err = a.store.addHistory(r.Context(), historyRow{
		ID: id, UserID: user, NPV: result.npv, IRR: result.irr, Loans: len(request.Loans),
		ForecastMonths: request.Months, MonteCarlo: request.MonteCarlo != nil, Cached: cached,
	})
	if err != nil {
		return answer{}, err
	}
	head := `{"id":"` + id.String() + `","cached":` + strconv.FormatBool(cached) + `,`
	return answer{http.StatusOK, rawJSON{[]byte(head), result.rest}}, nil
}

// answerFor takes the answer from the cache, or computes it on the pool.
func (a *API) answerFor(ctx context.Context, request *forecastRequest) (result computed, cached bool, err error) {
	key := ""
	if request.cacheable() {
		if key, err = request.key(); err != nil {
			return computed{}, false, err
		}
		if result, cached = a.cache.get(ctx, key); cached {
			return result, true, nil
		}
	}
	err = a.calculations.do(ctx, func(ctx context.Context) error {
		result, err = compute(ctx, request)
		return err
	})
	if err == nil && key != "" {
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
	saved, err := a.store.saveScenario(r.Context(), user, request)
	return answer{http.StatusCreated, saved}, err
}

func (a *API) listScenarios(r *http.Request, user string) (answer, error) {
	query, err := readQuery(r)
	if err != nil {
		return answer{}, err
	}
	list, err := a.store.scenarios(r.Context(), user, query.limit)
	return answer{http.StatusOK, list}, err
}

func (a *API) getScenario(r *http.Request, user string) (answer, error) {
	text := r.PathValue("id")
	id, err := uuid.Parse(text)
	if err != nil || len(text) != len(id.String()) { // Parse knows other forms too
		return answer{}, invalid(fieldError{[]any{"path", "id"}, "Input should be a UUID", "uuid_parsing"})
	}
	found, err := a.store.scenario(r.Context(), user, id)
	if err != nil {
		return answer{}, err
	}
	head, err := json.Marshal(found.scenario)
	if err != nil {
		return answer{}, err
	}
	// The parameters are written as they were read: encoding/json would compact them.
	head = append(head[:len(head)-1], `,"forecast_params":`...)
	return answer{http.StatusOK, rawJSON{head, found.params, []byte("}")}}, nil
}

func (a *API) listHistory(r *http.Request, user string) (answer, error) {
	query, err := readQuery(r)
	if err != nil {
		return answer{}, err
	}
	list, err := a.store.history(r.Context(), user, query.since, query.limit)
	return answer{http.StatusOK, list}, err
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
