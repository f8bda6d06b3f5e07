package cashflow

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"soakd/internal/load"
)

const (
	checkNewestFirst    = "newest_first"
	checkFilter         = "filter_holds"
	checkInHistory      = "forecast_in_history"
	checkForeignHistory = "foreign_history"
)

const (
	// filterWindow: a filter goes back 0..29 days.
	filterWindow = 30
	// filterMargin keeps forecasts made close to a filter's midnight out of the
	// check, because the target's clock may be another.
	filterMargin = time.Hour
)

// historyMemo is what the checks need to know about a history request.
type historyMemo struct {
	// since is the start of the filter's day; zero without a filter.
	since time.Time
}

func (w *workload) historyCase(name string, weight float64, filtered bool) *load.Case {
	checks := []string{checkJSONForm, checkShape, checkForeignHistory, checkNewestFirst, checkInHistory}
	if filtered {
		checks = append(checks, checkFilter)
	}
	return &load.Case{
		Name: name, Class: standard, Weight: weight, Timeout: standardTimeout,
		ReadOnly: true, Statuses: []int{http.StatusOK},
		Build: func(d load.Draw) (*load.Request, error) {
			if err := w.known(d.User); err != nil {
				return nil, err
			}
			if !filtered {
				return w.get(w.paths.history, &historyMemo{}), nil
			}
			since := (w.today() - day(d.Rand.IntN(filterWindow))).time()
			return w.get(w.paths.history+"?start_date="+since.Format(time.DateOnly), &historyMemo{since: since}), nil
		},
		Checks: checks,
		Verify: w.verifyHistory,
	}
}

func (w *workload) verifyHistory(x *load.Exchange, fail func(string, error)) {
	memo, ok := x.Request.Memo.(*historyMemo)
	if !ok {
		fail(checkShape, errors.New("the request is not of this case"))
		return
	}
	var rows []historyRow
	if !decode(x, &rows, fail) {
		return
	}
	if err := historyShape(rows); err != nil {
		fail(checkShape, err)
		return
	}
	for i := range rows {
		if err := w.foreignOwner(x.User, rows[i].UserID); err != nil {
			fail(checkForeignHistory, fmt.Errorf("entry %d: %w", i+1, err))
			break
		}
	}
	sorted := newestFirst(len(rows), func(i int) time.Time { return rows[i].CreatedAt.Time })
	if sorted != nil {
		fail(checkNewestFirst, sorted)
	}
	if err := filterHolds(rows, memo.since); err != nil {
		fail(checkFilter, err)
	}
	w.verifyForecastsKept(x, memo, rows, sorted == nil, fail)
}

// verifyForecastsKept checks that the user's own last forecasts are there.
func (w *workload) verifyForecastsKept(x *load.Exchange, memo *historyMemo, rows []historyRow, sorted bool, fail func(string, error)) {
	known := w.people.forecasts(x.User)
	if !memo.since.IsZero() {
		from := memo.since.Add(filterMargin)
		kept := known[:0]
		for _, f := range known {
			if f.sent.After(from) {
				kept = append(kept, f)
			}
		}
		known = kept
	}
	page := page{size: len(rows), sorted: sorted, has: func(id string) bool { return historyHas(rows, id) }}
	if lost := page.lost(known, x.Sent); lost != nil {
		w.people.forgetForecast(x.User.Index, lost.id) // each loss is reported once
		fail(checkInHistory, fmt.Errorf("forecast %s, made %v before, is not among the %d listed",
			lost.id, x.Sent.Sub(lost.received).Round(time.Millisecond), len(rows)))
	}
}

func historyShape(rows []historyRow) error {
	if rows == nil {
		return errors.New("null where a list belongs")
	}
	for i := range rows {
		if rows[i].ID == "" || rows[i].CreatedAt.IsZero() {
			return fmt.Errorf("entry %d has no id or no created_at", i+1)
		}
	}
	return nil
}

func historyHas(rows []historyRow, id string) bool {
	for i := range rows {
		if string(rows[i].ID) == id {
			return true
		}
	}
	return false
}

// filterHolds: nothing is older than the start of the filter's day.
func filterHolds(rows []historyRow, since time.Time) error {
	for i := range rows {
		if at := rows[i].CreatedAt; at.Before(since) {
			return fmt.Errorf("entry %d is of %s, before %s", i+1, at.UTC().Format(time.RFC3339), since.Format(time.DateOnly))
		}
	}
	return nil
}
