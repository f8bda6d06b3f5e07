package cashflow

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
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

// filter is a history request that goes back to a day.
type filter struct {
	path string
	memo historyMemo
}

// filters are the requests that a day has, made when its first is asked for. It
// is safe for concurrent use.
type filters struct {
	path string
	last atomic.Pointer[dayFilters]
}

type dayFilters struct {
	today day
	// back is by how many days a filter goes back.
	back [filterWindow]filter
}

// of returns the filters of a day.
func (f *filters) of(today day) *[filterWindow]filter {
	if last := f.last.Load(); last != nil && last.today == today {
		return &last.back
	}
	made := &dayFilters{today: today}
	for i := range made.back {
		since := (today - day(i)).time()
		made.back[i] = filter{path: f.path + "?start_date=" + since.Format(time.DateOnly), memo: historyMemo{since: since}}
	}
	f.last.Store(made)
	return &made.back
}

func (w *workload) historyCase(name string, weight float64, filtered bool) *load.Case {
	checks := []string{checkJSONForm, checkShape, checkForeignHistory, checkNewestFirst, checkInHistory, checkStale}
	if filtered {
		checks = append(checks, checkFilter)
	}
	unfiltered, filters := new(historyMemo), &filters{path: w.paths.history}
	return &load.Case{
		Name: name, Class: standard, Method: http.MethodGet, Weight: weight, Timeout: standardTimeout,
		ReadOnly: true, Statuses: []int{http.StatusOK},
		Build: func(d load.Draw) (*load.Request, error) {
			if err := w.known(d.User); err != nil {
				return nil, err
			}
			if !filtered {
				return w.get(&d, w.paths.history, unfiltered), nil
			}
			f := &filters.of(w.today())[d.Rand.IntN(filterWindow)]
			return w.get(&d, f.path, &f.memo), nil
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
	a := w.answer()
	defer w.done(a)
	if !a.take(x, fail) {
		return
	}
	isList := a.list()
	if isList {
		a.entries = a.rows(a.entries, historyForm())
	}
	if !a.finish(fail) {
		return
	}
	rows := a.entries
	if err := historyShape(isList, rows); err != nil {
		fail(checkShape, err)
		return
	}
	for i := range rows {
		if err := w.foreignOwner(x.User, rows[i].UserID); err != nil {
			fail(checkForeignHistory, fmt.Errorf("entry %d: %w", i+1, err)) // another's history says nothing about what this user lost
			return
		}
	}
	sorted := newestFirst(rows)
	if sorted != nil {
		fail(checkNewestFirst, sorted)
	}
	if err := filterHolds(rows, memo.since); err != nil {
		fail(checkFilter, err)
	}
	a.known = w.people.forecasts(x.User, a.known[:0])
	page := page{entries: rows, sorted: sorted == nil}
	lost := page.lost(memo.keeps(a.known), x.Sent)
	if lost == nil {
		return
	}
	check := lost.check(checkInHistory, x.Sent)
	if check != checkStale {
		w.people.forgetForecast(x.User.Index, lost.id) // each loss is reported once
	}
	fail(check, fmt.Errorf("forecast %s, made %v before, is not among the %d listed",
		lost.id, x.Sent.Sub(lost.received).Round(time.Millisecond), len(rows)))
}

// keeps returns those of a user's forecasts that the filter must not hide. It
// changes known.
func (m *historyMemo) keeps(known []made) []made {
	if m.since.IsZero() {
		return known
	}
	from := m.since.Add(filterMargin)
	return slices.DeleteFunc(known, func(f made) bool { return !f.sent.After(from) })
}

func historyShape(isList bool, rows []row) error {
	if !isList {
		return errors.New("null where a list belongs")
	}
	for i := range rows {
		if len(rows[i].ID) == 0 || rows[i].CreatedAt.IsZero() {
			return fmt.Errorf("entry %d has no id or no created_at", i+1)
		}
	}
	return nil
}

// filterHolds: nothing is older than the start of the filter's day.
func filterHolds(rows []row, since time.Time) error {
	for i := range rows {
		if at := rows[i].CreatedAt; at.Before(since) {
			return fmt.Errorf("entry %d is of %s, before %s", i+1, at.UTC().Format(time.RFC3339), since.Format(time.DateOnly))
		}
	}
	return nil
}
