package simulate

import (
	"math"
	"slices"
	"time"
)

// flow is one case of the workload, as internal/load/cashflow makes it.
type flow struct {
	name, class string
	weight      float64
	// median is that of the response time in seconds when nothing is found in the
	// cache, sd the standard deviation of its logarithm.
	median, sd float64
	timeout    time.Duration
	invalid    bool
	// db tells that it needs the database, cached that it looks into the cache,
	// monteCarlo that it draws, saved that it shows what was saved.
	db, cached, monteCarlo, saved bool
}

// Classes and cases that faults name.
const (
	ClassStandard   = "standard"
	ClassInvalid    = "invalid"
	ClassMonteCarlo = "monte_carlo"
	CaseForecast    = "forecast"
	CaseMonteCarlo  = "forecast_monte_carlo"
	CaseSave        = "save_scenario"
)

// Classes lists the classes of the cases.
func Classes() []string {
	var list []string
	for _, f := range flows() {
		if !slices.Contains(list, f.class) {
			list = append(list, f.class)
		}
	}
	return list
}

// flows are the cases, valid ones first.
func flows() []flow {
	const short, long = 10 * time.Second, 30 * time.Second
	all := []flow{
		{name: "health", class: "health", weight: 5, median: 0.002, sd: 0.3, timeout: 2 * time.Second},
		{name: CaseForecast, class: ClassStandard, weight: 10, median: 0.025, sd: 0.35, timeout: short, db: true, cached: true},
		{name: CaseMonteCarlo, class: ClassMonteCarlo, weight: 2, median: 0.06, sd: 0.35, timeout: long, db: true, cached: true, monteCarlo: true},
		{name: "sensitivity", class: "sensitivity", weight: 1, median: 0.08, sd: 0.35, timeout: long, db: true, cached: true},
		{name: "complex_analysis", class: "complex", weight: 0.3, median: 0.45, sd: 0.3, timeout: time.Minute, db: true, cached: true, monteCarlo: true},
		{name: "list_scenarios", class: ClassStandard, weight: 5, median: 0.008, sd: 0.4, timeout: short, db: true, saved: true},
		{name: "get_scenario", class: ClassStandard, weight: 3, median: 0.006, sd: 0.4, timeout: short, db: true, saved: true},
		{name: CaseSave, class: ClassStandard, weight: 2, median: 0.012, sd: 0.4, timeout: short, db: true},
		{name: "history", class: ClassStandard, weight: 3, median: 0.01, sd: 0.45, timeout: short, db: true},
		{name: "history_filtered", class: ClassStandard, weight: 1, median: 0.011, sd: 0.45, timeout: short, db: true},
	}
	odd := invalidNames()
	for _, name := range odd {
		f := flow{name: name, class: ClassInvalid, weight: 1 / float64(len(odd)), median: 0.004, sd: 0.35, timeout: short, invalid: true}
		// Unusual text is not invalid: it has to be taken as the data it is.
		if name == "invalid_sql_in_name" || name == "invalid_script_in_name" {
			f.invalid, f.db, f.median = false, true, 0.012
		}
		all = append(all, f)
	}
	return all
}

func invalidNames() []string {
	return []string{
		"invalid_body_big", "invalid_body_empty", "invalid_confidence_one", "invalid_confidence_zero", "invalid_content_type", "invalid_date",
		"invalid_discount_rate", "invalid_duplicate_keys", "invalid_february_30", "invalid_foreign_scenario", "invalid_iterations", "invalid_json_deep",
		"invalid_json_malformed", "invalid_json_truncated", "invalid_loan_type", "invalid_loans_empty", "invalid_loans_type", "invalid_method",
		"invalid_missing_field", "invalid_principal_huge", "invalid_principal_nan", "invalid_principal_negative", "invalid_principal_text",
		"invalid_principal_zero", "invalid_rate", "invalid_scenario_id", "invalid_scenario_unknown", "invalid_script_in_name", "invalid_sql_in_name",
		"invalid_term_fraction", "invalid_term_long", "invalid_term_zero", "invalid_token_expired", "invalid_token_forged", "invalid_token_missing",
	}
}

const (
	// hitFactor is how long a cached answer takes of the time of one that is not.
	hitFactor = 0.45
	// One request in 100 is in the heavy tail, a Pareto distribution with the
	// exponent tailPower that begins at tailFrom times the median.
	tailPower, tailFrom = 2.5, 2.5
)

// quantiles returns a fine grid of the times of each case in nanoseconds. A draw is a place
// in it. Cases of one form share the work.
func quantiles(flows []flow) [][]float64 {
	forms := map[float64][]float64{}
	grids := make([][]float64, len(flows))
	for i := range flows {
		f := &flows[i]
		if forms[f.sd] == nil {
			forms[f.sd] = form(f.sd)
		}
		grids[i] = make([]float64, len(forms[f.sd]))
		for k, v := range forms[f.sd] {
			grids[i][k] = v * f.median * 1e9
		}
	}
	return grids
}

// form is the distribution of the times of a case as multiples of its median:
// log-normal with that standard deviation of the logarithm, and a heavy tail.
func form(sd float64) []float64 {
	const size = 1 << 13
	grid := make([]float64, size)
	body := size - size/100
	for i := range grid {
		if i < body {
			p := (float64(i) + 0.5) / float64(body)
			grid[i] = math.Exp(sd * math.Sqrt2 * math.Erfinv(2*p-1))
		} else {
			p := (float64(i-body) + 0.5) / float64(size-body)
			grid[i] = tailFrom * math.Pow(1-p, -1/tailPower)
		}
	}
	return grid
}
