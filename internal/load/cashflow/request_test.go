package cashflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"soakd/internal/load"
)

func TestMix(t *testing.T) {
	b := newFullBench(t)
	want := []struct {
		name     string
		class    load.Class
		weight   float64
		timeout  time.Duration
		interval time.Duration
		statuses []int
	}{
		{"health", "health", 5, 2 * time.Second, 0, []int{200}},
		{"forecast", "standard", 10, 10 * time.Second, 0, []int{200}},
		{"forecast_monte_carlo", "monte_carlo", 2, 30 * time.Second, 0, []int{200}},
		{"sensitivity", "sensitivity", 1, 30 * time.Second, 0, []int{200}},
		{"complex_analysis", "complex", 1, time.Minute, time.Minute, []int{200}},
		{"list_scenarios", "standard", 5, 10 * time.Second, 0, []int{200}},
		{"get_scenario", "standard", 3, 10 * time.Second, 0, []int{200, 404}},
		{"save_scenario", "standard", 2, 10 * time.Second, 0, []int{201, 200}},
		{"history", "standard", 3, 10 * time.Second, 0, []int{200}},
		{"history_filtered", "standard", 1, 10 * time.Second, 0, []int{200}},
	}
	for i, w := range want {
		c := b.Cases[i]
		if c.Name != w.name || c.Class != w.class || c.Weight != w.weight || c.Timeout != w.timeout ||
			c.MinInterval != w.interval || !slices.Equal(c.Statuses, w.statuses) || c.Invalid {
			t.Errorf("case %d is %s, %s, weight %v, timeout %v, interval %v, %v; want %+v", i, c.Name, c.Class, c.Weight, c.Timeout, c.MinInterval, c.Statuses, w)
		}
	}
	var weight float64
	for _, c := range b.Cases[len(want):] {
		weight += c.Weight
		data := c.Name == "invalid_sql_in_name" || c.Name == "invalid_script_in_name"
		if !strings.HasPrefix(c.Name, "invalid_") || c.Class != "invalid" || c.Timeout != 10*time.Second || c.Invalid == data {
			t.Errorf("case %s: class %s, timeout %v, invalid %v", c.Name, c.Class, c.Timeout, c.Invalid)
		}
	}
	if math.Abs(weight-1) > 1e-9 {
		t.Errorf("the invalid cases weigh %v together, want 1", weight)
	}
	if b.Opening.Case != b.cases["save_scenario"] || b.Opening.Times != 5 {
		t.Errorf("the opening is %s x %d", b.Opening.Case.Name, b.Opening.Times)
	}
	if b.cases["get_scenario"].Fallback != b.cases["save_scenario"] || b.cases["invalid_foreign_scenario"].Fallback != b.cases["invalid_scenario_unknown"] {
		t.Error("wrong fallbacks")
	}
	if _, err := load.NewMix(b.Workload, 10, 1); err != nil {
		t.Errorf("the engine refuses the workload: %v", err)
	}
	if len(b.Notes) != 0 {
		t.Errorf("notes though nothing is left out: %v", b.Notes)
	}
}

// The list of the target's description, one case or more for each entry.
func TestInvalidCasesAreComplete(t *testing.T) {
	want := []string{
		"missing_field", "loans_type", "discount_rate", "principal_zero", "principal_negative", "principal_huge",
		"principal_text", "principal_nan", "rate", "term_zero", "term_long", "term_fraction", "loan_type", "date",
		"february_30", "loans_empty", "iterations", "confidence_zero", "confidence_one", "duplicate_keys",
		"json_malformed", "json_truncated", "content_type", "body_empty", "body_big", "json_deep", "token_missing",
		"token_expired", "token_forged", "foreign_scenario", "scenario_unknown", "scenario_id", "method",
		"sql_in_name", "script_in_name",
	}
	b := newFullBench(t)
	var got []string
	for _, c := range b.Cases {
		if name, invalid := strings.CutPrefix(c.Name, "invalid_"); invalid {
			got = append(got, name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("invalid cases are\n%v, want\n%v", got, want)
	}
}

// What `soakd check` tries because it changes nothing is what only reads.
func TestReadOnlyIsWhatReads(t *testing.T) {
	b := newFullBench(t)
	for user := range 10 {
		saveAs(t, b, user, fmt.Sprint("saved-", user))
	}
	reads := 0
	for _, c := range b.Cases {
		for arrival := range uint64(20) {
			method := b.build(t, c.Name, drawOf(0, arrival)).Method
			if got := method == http.MethodGet; got != c.ReadOnly {
				t.Fatalf("%s: read-only is %v, a GET %v", c.Name, c.ReadOnly, got)
			}
			if method != c.Method && (c.Method != "" || c.Name != "invalid_method") {
				t.Fatalf("%s: said to be %q, sent %q", c.Name, c.Method, method)
			}
		}
		if c.ReadOnly {
			reads++
		}
	}
	if reads != 11 {
		t.Errorf("%d cases only read, want 5 valid and 6 invalid ones", reads)
	}
}

func TestValidAPIVersion(t *testing.T) {
	for version, want := range map[string]bool{
		"v1": true, "2024-05-01": true, "V_1.0": true, strings.Repeat("x", 32): true,
		"": false, strings.Repeat("x", 33): false, "v1/..": false, "v 1": false, "v1\n": false, "é": false, "v1?": false,
	} {
		if got := ValidAPIVersion(version); got != want {
			t.Errorf("%q: %v, want %v", version, got, want)
		}
	}
}

func TestLeftOut(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		out  []string
	}{
		{"cannot mint", Config{}, []string{"invalid_token_expired"}},
		{"shared", Config{CanMint: true, SharedIdentity: true}, []string{"invalid_foreign_scenario"}},
		{"one user", Config{CanMint: true, Users: 1}, []string{"invalid_foreign_scenario"}},
		{"anonymous", Config{SharedIdentity: true, Anonymous: true}, []string{"invalid_token_missing", "invalid_token_expired", "invalid_token_forged", "invalid_foreign_scenario"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, test.cfg)
			if len(b.Notes) != len(test.out) {
				t.Errorf("notes %q, want %d", b.Notes, len(test.out))
			}
			var weight float64
			for _, c := range b.Cases {
				if c.Class == classInvalid {
					weight += c.Weight
				}
			}
			if math.Abs(weight-1) > 1e-9 {
				t.Errorf("the others weigh %v, want 1", weight)
			}
			for i, name := range test.out {
				if b.cases[name] != nil {
					t.Errorf("%s is there", name)
				}
				if !strings.HasPrefix(b.Notes[i], name+" is left out: ") {
					t.Errorf("note %d is %q", i, b.Notes[i])
				}
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		cfg  Config
		want []string
	}{
		{Config{}, []string{"0 virtual users: it must be 1..100000"}},
		{Config{Users: 100_001}, []string{"100001 virtual users"}},
		{Config{Users: -1, APIVersion: "v1/../x"}, []string{"-1 virtual users", `API version "v1/../x"`}},
	}
	for _, test := range tests {
		_, err := New(test.cfg)
		if err == nil {
			t.Errorf("%+v: no error", test.cfg)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: error %q does not say %q", test.cfg, err, want)
			}
		}
	}
	if b := newBench(t, Config{APIVersion: "v2"}); b.build(t, "forecast", drawOf(0, 1)).Path != "/api/v2/cashflow/forecast" {
		t.Error("the version is not in the path")
	}
}

// ranges are the typical values, as the target's description gives them.
var ranges = map[string]struct {
	principal, rate, prepayment [2]float64
	terms                       [2]int
	fixed, variable             bool
}{
	"mortgage":      {[2]float64{100e3, 500e3}, [2]float64{0.03, 0.06}, [2]float64{0.01, 0.03}, [2]int{180, 360}, true, false},
	"auto_loan":     {[2]float64{20e3, 50e3}, [2]float64{0.04, 0.08}, [2]float64{}, [2]int{36, 72}, true, false},
	"personal_loan": {[2]float64{5e3, 25e3}, [2]float64{0.06, 0.15}, [2]float64{}, [2]int{12, 48}, true, false},
	"business_loan": {[2]float64{50e3, 1000e3}, [2]float64{0.045, 0.08}, [2]float64{}, [2]int{12, 60}, true, true},
	"credit_line":   {[2]float64{10e3, 100e3}, [2]float64{0.07, 0.17}, [2]float64{}, [2]int{12, 36}, false, true},
}

// sentLoan is a loan as it stands in a body; pointers tell absence.
type sentLoan struct {
	Kind       string      `json:"loan_type"`
	Principal  json.Number `json:"principal"`
	Rate       json.Number `json:"interest_rate"`
	Term       int         `json:"term_months"`
	Start      string      `json:"start_date"`
	Prepayment json.Number `json:"prepayment_assumption"`
	RateType   string      `json:"rate_type"`
	Adjust     int         `json:"rate_adjustment_period"`
	Cap        json.Number `json:"rate_cap"`
	Floor      json.Number `json:"rate_floor"`
}

type sentQuestion struct {
	Loans      []sentLoan  `json:"loans"`
	Discount   json.Number `json:"discount_rate"`
	Months     int         `json:"forecast_months"`
	MonteCarlo *bool       `json:"run_monte_carlo"`
	Iterations *int        `json:"monte_carlo_iterations"`
	Confidence *float64    `json:"monte_carlo_confidence_interval"`
	Seed       *int64      `json:"seed"`
	Detailed   *bool       `json:"detailed_analysis"`
	Shifts     *struct {
		Rate       []float64 `json:"interest_rate"`
		Prepayment []float64 `json:"prepayment"`
	} `json:"sensitivities"`
}

func parseQuestion(t *testing.T, body []byte) sentQuestion {
	t.Helper()
	var q sentQuestion
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&q); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	return q
}

func float(t *testing.T, n json.Number) float64 {
	t.Helper()
	f, err := n.Float64()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func decimals(n json.Number) int {
	_, fraction, _ := strings.Cut(n.String(), ".")
	return len(fraction)
}

func within(x float64, r [2]float64) bool { return x >= r[0]-1e-9 && x <= r[1]+1e-9 }

func checkLoan(t *testing.T, l sentLoan) {
	t.Helper()
	r, known := ranges[l.Kind]
	rate := float(t, l.Rate)
	start, err := time.Parse(time.DateOnly, l.Start)
	age := testDay().Truncate(24 * time.Hour).Sub(start)
	wrong := !known || err != nil || age < 0 || age >= 90*24*time.Hour ||
		!within(float(t, l.Principal), r.principal) || decimals(l.Principal) > 2 ||
		!within(rate, r.rate) || decimals(l.Rate) > 4 || l.Term < r.terms[0] || l.Term > r.terms[1] || l.Term%12 != 0
	if l.Kind == "mortgage" {
		wrong = wrong || (l.Term != 180 && l.Term != 240 && l.Term != 360) || !within(float(t, l.Prepayment), r.prepayment)
	} else {
		wrong = wrong || l.Prepayment != ""
	}
	switch l.RateType {
	case "fixed":
		wrong = wrong || !r.fixed || l.Adjust != 0 || l.Cap != "" || l.Floor != ""
	case "variable":
		limit, floor := float(t, l.Cap), float(t, l.Floor)
		wrong = wrong || !r.variable || (l.Adjust != 6 && l.Adjust != 12) || !within(limit, [2]float64{rate + 0.01, rate + 0.03}) ||
			!within(floor, [2]float64{max(rate-0.02, 0.01), max(rate-0.01, 0.01)})
	default:
		wrong = true
	}
	if wrong {
		t.Errorf("a loan is out of range: %+v", l)
	}
}

func checkQuestion(t *testing.T, q sentQuestion, loans [2]int, raised bool) {
	t.Helper()
	if len(q.Loans) < loans[0] || len(q.Loans) > loans[1] {
		t.Errorf("%d loans, want %d..%d", len(q.Loans), loans[0], loans[1])
	}
	var sum float64
	for _, l := range q.Loans {
		checkLoan(t, l)
		sum += float(t, l.Rate)
	}
	mean, discount := sum/float64(len(q.Loans)), float(t, q.Discount)
	if raised {
		discount -= 0.01
	}
	const rounding = 1e-6 // rates have six decimals
	if discount > max(mean-0.005, 0.01)+rounding || discount < max(mean-0.015, 0.01)-rounding || decimals(q.Discount) > 6 {
		t.Errorf("the discount rate is %s with a mean rate of %v (raised: %v)", q.Discount, mean, raised)
	}
	if !slices.Contains([]int{12, 24, 36, 60, 120, 360}, q.Months) {
		t.Errorf("the horizon is %d months", q.Months)
	}
}

func TestForecastRequests(t *testing.T) {
	const draws = 4000
	b := newFullBench(t)
	roles := map[role]int{}
	kinds, horizons, sizes, bodies := map[string]int{}, map[int]int{}, map[int]int{}, map[string]int{}
	for i := range draws {
		r := b.build(t, "forecast", drawOf(i%10, uint64(i)))
		memo := r.Memo.(*forecastMemo)
		q := parseQuestion(t, r.Body)
		checkQuestion(t, q, [2]int{1, 5}, memo.role == raised)
		roles[memo.role]++
		bodies[string(r.Body)]++
		horizons[q.Months]++
		sizes[len(q.Loans)]++
		for _, l := range q.Loans {
			kinds[l.Kind+" "+l.RateType]++
		}
		if q.MonteCarlo != nil || q.Shifts != nil || q.Detailed != nil || q.Seed != nil {
			t.Errorf("more is asked than a forecast: %s", r.Body)
		}
		if r.Method != http.MethodPost || r.Path != "/api/v1/cashflow/forecast" || r.ContentType != "application/json" || r.Credentials != load.UserToken {
			t.Errorf("request is %+v", r)
		}
	}
	for role, want := range map[role]float64{base: 0.60, raised: 0.15, alone: 0.25} {
		// Five standard errors: a right draw misses once in millions of seeds.
		if got := float64(roles[role]) / draws; math.Abs(got-want) > 5*math.Sqrt(want*(1-want)/draws) {
			t.Errorf("role %d: share %.3f, want %.2f", role, got, want)
		}
	}
	if len(kinds) != 6 || len(horizons) != 6 || len(sizes) != 5 {
		t.Errorf("kinds %v, horizons %v, sizes %v: some never came", kinds, horizons, sizes)
	}
	// What is not new is one of 10 users x 8 portfolios x 2 discount rates.
	if got := len(bodies) - roles[alone]; got > 160 || got < 120 {
		t.Errorf("%d different portfolios were run again, want up to 160", got)
	}
}

func TestSpecialForecastRequests(t *testing.T) {
	const draws = 1000
	b := newFullBench(t)
	tests := []struct {
		name         string
		loans        [2]int
		iterations   int
		detailed     bool
		shifts       bool
		unseeded     float64
		repeatedFrom int // different bodies that come again at least
	}{
		{"forecast_monte_carlo", [2]int{1, 5}, 100, false, false, 0.2, 15},
		{"sensitivity", [2]int{1, 5}, 0, false, true, 1, 15},
		{"complex_analysis", [2]int{8, 15}, 1000, true, true, 0, 15},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			unseeded, bodies := 0, map[string]int{}
			for i := range draws {
				r := b.build(t, test.name, drawOf(i%10, uint64(i)))
				q := parseQuestion(t, r.Body)
				checkQuestion(t, q, test.loans, false)
				bodies[string(r.Body)]++
				if q.Seed == nil {
					unseeded++
				} else if *q.Seed < 1 || *q.Seed > math.MaxInt32+1 {
					t.Errorf("seed %d", *q.Seed)
				}
				monteCarlo := q.MonteCarlo != nil && *q.MonteCarlo && *q.Iterations == test.iterations && *q.Confidence == 0.95
				if monteCarlo != (test.iterations > 0) {
					t.Errorf("Monte Carlo: %s", r.Body)
				}
				if (q.Detailed != nil && *q.Detailed) != test.detailed {
					t.Errorf("detailed: %s", r.Body)
				}
				shifts := q.Shifts != nil && slices.Equal(q.Shifts.Rate, []float64{-0.02, -0.01, 0, 0.01, 0.02}) &&
					slices.Equal(q.Shifts.Prepayment, []float64{-0.01, -0.005, 0, 0.005, 0.01})
				if shifts != test.shifts {
					t.Errorf("shifts: %s", r.Body)
				}
			}
			if got := float64(unseeded) / draws; math.Abs(got-test.unseeded) > 5*math.Sqrt(test.unseeded*(1-test.unseeded)/draws) {
				t.Errorf("%.3f have no seed, want %.1f", got, test.unseeded)
			}
			again := 0
			for _, n := range bodies {
				if n > 1 {
					again++
				}
			}
			if again < test.repeatedFrom || again > 20 {
				t.Errorf("%d requests came again, want 10 users x 2", again)
			}
		})
	}
}

// bodiesOf builds arrivals 0..n-1 of every case without target state and returns
// a line for each.
func requestsOf(t *testing.T, b *bench, n int) []string {
	t.Helper()
	var lines []string
	for _, c := range b.Cases {
		if c.Name == "get_scenario" || c.Name == "invalid_foreign_scenario" {
			continue // hold what the target answered
		}
		for i := range n {
			r := b.build(t, c.Name, drawOf(i%10, uint64(i)))
			lines = append(lines, fmt.Sprintf("%s %d %s %s %s %s", c.Name, i, r.Method, r.Path, r.ContentType, r.Body))
		}
	}
	return lines
}

// The same seed sends the same bytes, in whatever order requests are built and
// answered; another seed sends other ones where there is anything to draw.
func TestRequestsAreAFunctionOfTheSeed(t *testing.T) {
	const n = 40
	first := newBench(t, Config{Seed: 5, CanMint: true})
	want := requestsOf(t, first, n)

	second := newBench(t, Config{Seed: 5, CanMint: true})
	order := rand.New(rand.NewPCG(3, 3)).Perm(n)
	got := make(map[string]bool)
	for _, i := range order {
		for _, c := range second.Cases {
			r, err := c.Build(drawOf(i%10, uint64(i)))
			if err != nil {
				continue
			}
			got[fmt.Sprintf("%s %d %s %s %s %s", c.Name, i, r.Method, r.Path, r.ContentType, r.Body)] = true
			if strings.HasPrefix(c.Name, "forecast") { // answers change what is remembered
				second.expect(t, c.Name, c.Name, answered(i%10, r, 200, toJSON(t, answerForecast(t, r.Body, fmt.Sprint("f", i))), 0))
			}
		}
	}
	for _, line := range want {
		if !got[line] {
			t.Fatalf("not built the second time:\n%.300s", line)
		}
	}

	other := requestsOf(t, newBench(t, Config{Seed: 6, CanMint: true}), n)
	same := 0
	for i, line := range other {
		if strings.HasPrefix(line, "forecast ") && line == want[i] && first.build(t, "forecast", drawOf(i%10, uint64(i%n))).Memo.(*forecastMemo).role != alone {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d forecasts of the book are the same for another seed", same)
	}
}

// Each day one portfolio leaves the book and a new one comes.
func TestBookTurnsOver(t *testing.T) {
	books := make([]map[string]bool, 10)
	for d := range books {
		today := testDay().AddDate(0, 0, d)
		b := newBench(t, Config{Seed: 5, Today: func() time.Time { return today }})
		books[d] = map[string]bool{}
		for i := range 2000 {
			if r := b.build(t, "forecast", drawOf(3, uint64(i))); r.Memo.(*forecastMemo).role == base {
				books[d][string(r.Body)] = true
			}
		}
		if len(books[d]) != 8 {
			t.Fatalf("the book of day %d has %d portfolios, want 8", d, len(books[d]))
		}
	}
	for d := range books {
		common := 0
		for body := range books[0] {
			if books[d][body] {
				common++
			}
		}
		if want := max(8-d, 0); common != want {
			t.Errorf("after %d days %d of 8 portfolios are left, want %d", d, common, want)
		}
	}
}

func TestOtherRequests(t *testing.T) {
	b := newFullBench(t)
	days := map[string]bool{}
	for i := range 500 {
		r := b.build(t, "history_filtered", drawOf(0, uint64(i)))
		text, found := strings.CutPrefix(r.Path, "/api/v1/cashflow/history?start_date=")
		since, err := time.Parse(time.DateOnly, text)
		if age := testDay().Sub(since); !found || err != nil || age < 0 || age >= 30*24*time.Hour {
			t.Errorf("path %s", r.Path)
		}
		days[text] = true
	}
	if len(days) != 30 {
		t.Errorf("%d different dates in 500 draws, want all 30", len(days))
	}
	for name, want := range map[string]string{
		"health": "GET /health", "list_scenarios": "GET /api/v1/cashflow/scenarios", "history": "GET /api/v1/cashflow/history",
	} {
		if r := b.build(t, name, drawOf(0, 1)); r.Method+" "+r.Path != want || r.Body != nil || r.ContentType != "" {
			t.Errorf("%s is %+v", name, r)
		}
	}
	if r := b.build(t, "health", drawOf(0, 1)); r.Credentials != load.NoToken {
		t.Error("health sends a token")
	}
	if _, err := b.cases["get_scenario"].Build(drawOf(0, 1)); !errors.Is(err, load.ErrNoState) {
		t.Errorf("get_scenario without a scenario: %v", err)
	}
	for _, c := range b.Cases {
		if _, err := c.Build(drawOf(10, 1)); err == nil && c.Name != "health" {
			t.Errorf("%s is built for a user that does not exist", c.Name)
		}
	}
}

func TestSaveRequests(t *testing.T) {
	b := newFullBench(t)
	names := map[string]bool{}
	for _, name := range []string{"save_scenario", "invalid_sql_in_name", "invalid_script_in_name"} {
		for i := range 200 {
			r := b.build(t, name, drawOf(0, uint64(i)))
			var body struct {
				Name        string          `json:"name"`
				Description string          `json:"description"`
				Params      json.RawMessage `json:"forecast_params"`
			}
			if err := json.Unmarshal(r.Body, &body); err != nil {
				t.Fatalf("%v\n%s", err, r.Body)
			}
			checkQuestion(t, parseQuestion(t, body.Params), [2]int{1, 5}, false)
			if n := len([]rune(body.Name)); n < 1 || n > 200 || body.Description == "" {
				t.Errorf("name %q, description %q", body.Name, body.Description)
			}
			if recipe := r.Memo.(*scenarioMemo).recipe; body.Name != recipe.name() || body.Description != recipe.description() {
				t.Errorf("the recipe makes %q, the body has %q", recipe.name(), body.Name)
			}
			names[name+body.Name] = true
		}
	}
	if len(names) < 590 {
		t.Errorf("%d different names of 600", len(names))
	}
}

// Every invalid body is what its name says: spoiled in that way, and otherwise right.
func TestInvalidBodies(t *testing.T) {
	b := newFullBench(t)
	// field returns the first loan's or the question's value of a name as it is sent.
	field := func(body []byte, name string) string {
		found := regexp.MustCompile(`"` + name + `":("[^"]*"|\[[^{]*?\]|\{\}|[^,}]*)`).FindSubmatch(body)
		if found == nil {
			return "absent"
		}
		return string(found[1])
	}
	tests := map[string]struct {
		field string
		want  string // a regular expression
	}{
		"invalid_loans_type":         {"loans", `\{\}|"none"|7`},
		"invalid_discount_rate":      {"discount_rate", `-0\.01|-1`},
		"invalid_principal_zero":     {"principal", `0|0\.0`},
		"invalid_principal_negative": {"principal", `-[0-9.]+`},
		"invalid_principal_huge":     {"principal", `1e308`},
		"invalid_principal_text":     {"principal", `"(NaN|-?Infinity)"`},
		"invalid_principal_nan":      {"principal", `(NaN|-?Infinity)`},
		"invalid_rate":               {"interest_rate", `1\.01|4\.5`},
		"invalid_term_zero":          {"term_months", `0`},
		"invalid_term_long":          {"term_months", `601`},
		"invalid_term_fraction":      {"term_months", `1\.5`},
		"invalid_loan_type":          {"loan_type", `"(payday_loan|house|)"`},
		"invalid_date":               {"start_date", `"(soon|2026-13-01|31\.12\.2025)"`},
		"invalid_february_30":        {"start_date", `"20(26|24)-02-30"`},
		"invalid_loans_empty":        {"loans", `\[\]`},
		"invalid_iterations":         {"monte_carlo_iterations", `10001`},
		"invalid_confidence_zero":    {"monte_carlo_confidence_interval", `0`},
		"invalid_confidence_one":     {"monte_carlo_confidence_interval", `1`},
	}
	for name, test := range tests {
		want := regexp.MustCompile(`^(` + test.want + `)$`)
		for i := range 30 {
			r := b.build(t, name, drawOf(i%10, uint64(i)))
			if got := field(r.Body, test.field); !want.MatchString(got) {
				t.Errorf("%s: %s is %s, want %s\n%s", name, test.field, got, test.want, r.Body)
			}
			if valid := json.Valid(r.Body); valid != (name != "invalid_principal_nan") {
				t.Errorf("%s: valid JSON %v\n%s", name, valid, r.Body)
			}
			memo := r.Memo.(*invalidMemo)
			if memo.field != test.field || r.Method != http.MethodPost || r.Path != "/api/v1/cashflow/forecast" || r.ContentType != "application/json" || r.Credentials != load.UserToken {
				t.Errorf("%s: field %s, request %+v", name, memo.field, r)
			}
			if slices.Contains(b.cases[name].Checks, checkNamesField) != (name != "invalid_principal_nan") {
				t.Errorf("%s: checks %v", name, b.cases[name].Checks)
			}
			if test.field != "loans" && name != "invalid_principal_nan" {
				onlySpoiled(t, name, r.Body, test.field)
			}
		}
	}
}

// onlySpoiled requires a body to be right but for one field.
func onlySpoiled(t *testing.T, name string, body []byte, field string) {
	t.Helper()
	var o object
	if err := json.Unmarshal(body, &o); err != nil {
		t.Fatal(err)
	}
	right := map[string]any{
		"discount_rate": 0.05, "principal": 1000.0, "interest_rate": 0.05, "term_months": 12.0, "loan_type": "auto_loan",
		"start_date": "2026-02-01", "monte_carlo_iterations": 100.0, "monte_carlo_confidence_interval": 0.95, "forecast_months": 12.0,
	}
	for _, place := range []object{o, at(o, "loans", 0).(object)} {
		if _, there := place[field]; there {
			place[field] = right[field]
		}
	}
	q := parseQuestion(t, toJSON(t, o))
	if len(q.Loans) == 0 || q.Discount == "" || q.Months == 0 || *q.Iterations != 100 {
		t.Errorf("%s: more than %s is spoiled: %s", name, field, body)
	}
}

func TestInvalidForms(t *testing.T) {
	b := newFullBench(t)
	each := func(name string, check func(r *load.Request) bool) {
		t.Helper()
		for i := range 50 {
			if r := b.build(t, name, drawOf(i%10, uint64(i))); !check(r) {
				t.Errorf("%s: %s %s %s %.400s", name, r.Method, r.Path, r.ContentType, r.Body)
			}
		}
	}
	missing := map[string]bool{}
	each("invalid_missing_field", func(r *load.Request) bool {
		field := r.Memo.(*invalidMemo).field
		missing[field] = true
		inFirst, _, _ := strings.Cut(string(r.Body), "}")
		if field == "discount_rate" || field == "forecast_months" {
			inFirst = string(r.Body)
		}
		return json.Valid(r.Body) && !strings.Contains(inFirst, `"`+field+`"`)
	})
	if len(missing) != 7 {
		t.Errorf("missing were %v, want all 7", missing)
	}
	each("invalid_json_malformed", func(r *load.Request) bool { return !json.Valid(r.Body) && len(r.Body) > 100 })
	each("invalid_json_truncated", func(r *load.Request) bool {
		return !json.Valid(r.Body) && len(r.Body) > 0 && r.Body[0] == '{'
	})
	each("invalid_content_type", func(r *load.Request) bool { return json.Valid(r.Body) && r.ContentType == "text/plain" })
	each("invalid_body_empty", func(r *load.Request) bool {
		return r.Body != nil && len(r.Body) == 0 && r.ContentType == "application/json"
	})
	each("invalid_duplicate_keys", func(r *load.Request) bool {
		return json.Valid(r.Body) && bytes.Count(r.Body, []byte(`"discount_rate"`)) == 2
	})
	each("invalid_method", func(r *load.Request) bool {
		return slices.Contains([]string{"DELETE", "PATCH", "PUT"}, r.Method) && r.Path == "/api/v1/cashflow/forecast" && r.Body == nil
	})
	for name, credentials := range map[string]load.Credentials{
		"invalid_token_missing": load.NoToken, "invalid_token_expired": load.ExpiredToken, "invalid_token_forged": load.ForgedToken,
	} {
		each(name, func(r *load.Request) bool {
			return r.Credentials == credentials && r.Method == http.MethodGet && r.Path == "/api/v1/cashflow/scenarios"
		})
	}
	unknown := map[string]bool{}
	uuid4 := regexp.MustCompile(`^/api/v1/cashflow/scenario/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	each("invalid_scenario_unknown", func(r *load.Request) bool { unknown[r.Path] = true; return uuid4.MatchString(r.Path) })
	if len(unknown) != 50 {
		t.Errorf("%d different unknown ids of 50", len(unknown))
	}
	each("invalid_scenario_id", func(r *load.Request) bool {
		return strings.HasPrefix(r.Path, "/api/v1/cashflow/scenario/") && !uuid4.MatchString(r.Path)
	})
}

func TestBigAndDeepBodies(t *testing.T) {
	b := newFullBench(t)
	first, second := b.build(t, "invalid_body_big", drawOf(0, 1)).Body, b.build(t, "invalid_body_big", drawOf(1, 2)).Body
	if len(first) <= 1<<20 || len(first) > 1<<20+1<<17 || !json.Valid(first) || &first[0] != &second[0] {
		t.Errorf("the big body has %d bytes, valid %v, shared %v", len(first), json.Valid(first), &first[0] == &second[0])
	}
	var o object
	if err := json.Unmarshal(first, &o); err != nil {
		t.Fatal(err)
	}
	delete(o, "note")
	checkQuestion(t, parseQuestion(t, toJSON(t, o)), [2]int{1, 1}, false)

	first, second = b.build(t, "invalid_json_deep", drawOf(0, 1)).Body, b.build(t, "invalid_json_deep", drawOf(1, 2)).Body
	deepest, level := 0, 0
	for _, c := range first {
		switch c {
		case '[', '{':
			level++
		case ']', '}':
			level--
		}
		deepest = max(deepest, level)
	}
	if deepest != 1000 || !json.Valid(first) || &first[0] != &second[0] {
		t.Errorf("the deep body is %d deep, valid %v, shared %v", deepest, json.Valid(first), &first[0] == &second[0])
	}
}

func TestForeignScenarioIsAnotherUsers(t *testing.T) {
	b := newBench(t, Config{Users: 3, CanMint: true})
	c := b.cases["invalid_foreign_scenario"]
	saveAs(t, b, 1, "of-user-1")
	for i := range 50 {
		r, err := c.Build(drawOf(1, uint64(i)))
		if !errors.Is(err, load.ErrNoState) {
			t.Fatalf("user 1 is given its own scenario: %+v, %v", r, err)
		}
	}
	found := 0
	for i := range 50 {
		r, err := c.Build(drawOf(0, uint64(i)))
		switch {
		case err == nil && r.Path == "/api/v1/cashflow/scenario/of-user-1" && r.Credentials == load.UserToken:
			found++
		case !errors.Is(err, load.ErrNoState):
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if found < 10 || found > 40 { // one of the two others has something to be asked for
		t.Errorf("%d of 50 found the foreign scenario", found)
	}
}

func TestDecimals(t *testing.T) {
	tests := []struct {
		n      int64
		places int
		want   string
	}{
		{0, 2, "0"},
		{5, 2, "0.05"},
		{50, 2, "0.5"},
		{12345, 2, "123.45"},
		{-20000, 6, "-0.02"},
		{1, 6, "0.000001"},
		{1_000_000, 6, "1"},
		{1_200_300, 6, "1.2003"},
		{-1_500_000, 6, "-1.5"},
		{10_000_000, 2, "100000"},
	}
	for _, test := range tests {
		if got := string(appendDecimal(nil, test.n, test.places)); got != test.want {
			t.Errorf("%d / 10^%d is written %s, want %s", test.n, test.places, got, test.want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\"b\\c\n\x00\u2028🏠<>&")
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "")
		var got string
		if err := json.Unmarshal(appendText(nil, text), &got); err != nil || got != text {
			t.Errorf("%q became %q: %v", text, got, err)
		}
	})
}

// Meant for the race detector: workers build and verify at the same time.
func TestConcurrentUse(t *testing.T) {
	b := newBench(t, Config{Users: 3, CanMint: true, Seed: 1})
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 60 {
				for _, c := range b.Cases {
					r, err := c.Build(drawOf((worker+i)%3, uint64(i)))
					if err != nil {
						continue
					}
					body := []byte(`{"id":"` + fmt.Sprintf("w%d-%d", worker, i) + `","name":"x","detail":"y"}`)
					switch {
					case c.Name == "forecast" && i%20 == 0:
						body = toJSON(t, answerForecast(t, r.Body, fmt.Sprintf("f%d-%d", worker, i)))
					case strings.HasPrefix(r.Path, "/api/v1/cashflow/history"), r.Path == "/api/v1/cashflow/scenarios":
						body = []byte("[]")
					}
					status := c.Statuses[i%len(c.Statuses)]
					c.Verify(answered((worker+i)%3, r, status, body, time.Duration(i)*time.Second), func(string, error) {})
				}
			}
		})
	}
	group.Wait()
}
