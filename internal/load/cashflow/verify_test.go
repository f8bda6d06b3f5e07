package cashflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"soakd/internal/load"
)

// saveAs makes a user save a scenario that the target gives an id.
func saveAs(t testing.TB, b *bench, user int, id string) *load.Request {
	t.Helper()
	return saveAt(t, b, user, id, 0)
}

func saveAt(t testing.TB, b *bench, user int, id string, after time.Duration) *load.Request {
	t.Helper()
	r := b.build(t, "save_scenario", drawOf(user, hashID(id)))
	body := object{"id": id, "user_id": testUser(user).ID, "name": r.Memo.(*scenarioMemo).recipe.name(), "created_at": "2026-03-01T15:04:05Z"}
	b.expect(t, "save "+id, "save_scenario", answered(user, r, 201, toJSON(t, body), after))
	return r
}

// forecastAs makes a user run a forecast that the target gives an id.
func forecastAs(t testing.TB, b *bench, user int, id string, after time.Duration) {
	t.Helper()
	r := b.build(t, "forecast", drawOf(user, hashID(id)))
	b.expect(t, "forecast "+id, "forecast", answered(user, r, 200, toJSON(t, answerForecast(t, r.Body, id)), after))
}

func TestHealth(t *testing.T) {
	b := newFullBench(t)
	r := b.build(t, "health", drawOf(0, 1))
	b.expect(t, "right", "health", answered(0, r, 200, []byte(`{"status":"ok","version":"1"}`), 0))
	b.expect(t, "no status", "health", answered(0, r, 200, []byte(`{"state":"ok"}`), 0), "shape")
	b.expect(t, "wrong type", "health", answered(0, r, 200, []byte(`{"status":true}`), 0), "shape")
}

// golden is a loan of 1 200 without interest, paid back in 12 months of 100: by
// hand, apart from any code.
func goldenAnswer() (*forecastMemo, string) {
	memo := &forecastMemo{question: question{portfolio: portfolio{
		loans:   []loan{{kind: "personal_loan", principal: 1200_00, term: 12}},
		horizon: 12,
	}}}
	var periods []string
	for k := 1; k <= 12; k++ {
		periods = append(periods, fmt.Sprintf(`{"period":%d,"date":"2026-01-01","interest":0,"scheduled_principal":100,"prepayment":0.00,"total":1e2,"balance":%d}`, k, 1200-100*k))
	}
	return memo, `{"id":"7","periods":[` + strings.Join(periods, ",") + `],
		"loans":[{"loan_type":"personal_loan","total_principal":1200,"total_interest":0,"final_balance":0}],
		"summary":{"npv":0,"irr":0,"duration":0.54,"modified_duration":0.54,"convexity":0.38,"weighted_average_life":0.54,
		"total_principal":1200,"total_interest":0,"total_cash_flow":1200}}`
}

func TestGoldenForecast(t *testing.T) {
	b := newFullBench(t)
	memo, body := goldenAnswer()
	x := answered(0, &load.Request{Memo: memo}, 200, []byte(body), 0)
	b.expect(t, "right", "forecast", x)

	for _, wrong := range []struct {
		old, new string
		checks   []string
	}{
		{`"total_principal":1200,"total_interest":0,"final_balance":0`, `"total_principal":1199.98,"total_interest":0,"final_balance":0`, []string{"principal_conserved"}},
		{`"total_principal":1200,"total_interest":0,"final_balance":0`, `"total_principal":1199.99,"total_interest":0,"final_balance":0`, nil},
		{`"balance":0}`, `"balance":-0.02}`, []string{"balance_nonnegative"}},
		{`"balance":700}`, `"balance":800.02}`, []string{"balance_falls"}},
		{`"balance":1100}`, `"balance":1200.02}`, []string{"balance_falls"}},
		{`"total_cash_flow":1200`, `"total_cash_flow":1200.13`, []string{"totals_match"}},
		{`"total_cash_flow":1200`, `"total_cash_flow":1200.11`, nil},
		{`"total":1e2`, `"total":100.5`, []string{"totals_match"}},
		{`"total":1e2`, `"total":"100"`, []string{"shape"}},
		{`"total":1e2`, `"total":1e400`, []string{"shape"}},
		{`"total":1e2`, `"total":null`, []string{"shape"}},
		{`"total":1e2,`, ``, []string{"shape"}},
		{`"total":1e2`, `"total":NaN`, []string{"json"}},
		{`{"period":3,`, `{"period":4,`, []string{"shape"}},
		{`{"period":3,`, `{"x":{"total":[1,"]}\""]},"period":3,`, nil},
		{`"id":"7"`, `"id":7`, nil},
		{`"id":"7"`, `"id":""`, []string{"shape"}},
		{`"id":"7"`, `"id":"a b"`, []string{"shape"}},
		{`"irr":0`, `"irr":null`, nil},
		{`"irr":0`, `"irr":"none"`, []string{"shape"}},
	} {
		altered := strings.Replace(body, wrong.old, wrong.new, 1)
		if altered == body {
			t.Fatalf("%s is not in the answer", wrong.old)
		}
		x.Response.Body = []byte(altered)
		b.expect(t, wrong.old+" -> "+wrong.new, "forecast", x, wrong.checks...)
	}
}

// Right answers pass every check, for all kinds of forecast and many draws.
func TestRightForecasts(t *testing.T) {
	b := newFullBench(t)
	for name, draws := range map[string]int{"forecast": 400, "forecast_monte_carlo": 100, "sensitivity": 100, "complex_analysis": 20} {
		for i := range draws {
			r := b.build(t, name, drawOf(i%10, uint64(i)))
			b.expect(t, fmt.Sprint(name, " ", i), name, answered(i%10, r, 200, toJSON(t, answerForecast(t, r.Body, fmt.Sprint(i))), 0))
		}
	}
}

// find builds arrivals of a case until one is as wanted.
func find(t *testing.T, b *bench, name string, wanted func(m *forecastMemo) bool) *load.Request {
	t.Helper()
	for i := range uint64(10_000) {
		if r := b.build(t, name, drawOf(0, i)); wanted(r.Memo.(*forecastMemo)) {
			return r
		}
	}
	t.Fatal("no such request")
	return nil
}

// covers tells that the horizon covers the term of every loan, and that there are two or more.
func covers(m *forecastMemo) bool {
	for _, l := range m.loans {
		if l.term > m.horizon {
			return false
		}
	}
	return len(m.loans) > 1
}

// A right answer with one field altered fails exactly the check that is for it.
func TestWrongForecasts(t *testing.T) {
	forecasts := []string{"forecast", "forecast_monte_carlo", "sensitivity", "complex_analysis"}
	drawn := []string{"forecast_monte_carlo", "complex_analysis"}
	shifted := []string{"sensitivity", "complex_analysis"}
	tests := []struct {
		what  string
		cases []string
		alter func(o object)
		want  string
	}{
		{"nothing", forecasts, func(object) {}, ""},
		{"an unknown field", forecasts, func(o object) { put(o, []any{1, "x"}, "summary", "later_addition") }, ""},
		{"two cents of a loan are lost", forecasts, func(o object) { add(o, -0.02, "loans", 1, "total_principal") }, "principal_conserved"},
		{"two cents too much are paid", forecasts, func(o object) { add(o, 0.02, "loans", 0, "total_principal") }, "principal_conserved"},
		{"the last balance is negative", forecasts, func(o object) { put(o, -0.02, "periods", -1, "balance") }, "balance_nonnegative"},
		{"a final balance is negative", forecasts, func(o object) { put(o, -0.02, "loans", 0, "final_balance") }, "balance_nonnegative"},
		{"the balance rises", forecasts, func(o object) { add(o, 1e6, "periods", 3, "balance") }, "balance_falls"},
		{"the first balance is more than was lent", forecasts, func(o object) { add(o, 2e7, "periods", 0, "balance") }, "balance_falls"},
		{"one period's interest", forecasts, func(o object) { add(o, 1, "periods", 2, "interest") }, "totals_match"},
		{"one period's prepayment", forecasts, func(o object) { add(o, 1, "periods", 2, "prepayment") }, "totals_match"},
		{"one period's total", forecasts, func(o object) { add(o, 1, "periods", 2, "total") }, "totals_match"},
		{"the sum of interest", forecasts, func(o object) { add(o, 10, "summary", "total_interest") }, "totals_match"},
		{"the sum of principal", forecasts, func(o object) { add(o, 10, "summary", "total_principal") }, "totals_match"},
		{"the sum of all", forecasts, func(o object) { add(o, -10, "summary", "total_cash_flow") }, "totals_match"},
		{"a period is missing", forecasts, func(o object) { put(o, o["periods"].([]any)[1:], "periods") }, "shape"},
		{"a period is too much", forecasts, func(o object) { put(o, append(o["periods"].([]any), at(o, "periods", 0)), "periods") }, "shape"},
		{"no periods", forecasts, func(o object) { put(o, nil, "periods") }, "shape"},
		{"periods are an object", forecasts, func(o object) { put(o, object{}, "periods") }, "shape"},
		{"a period is a number", forecasts, func(o object) { o["periods"].([]any)[2] = 3 }, "shape"},
		{"a balance is missing", forecasts, func(o object) { put(o, nil, "periods", 2, "balance") }, "shape"},
		{"a balance is text", forecasts, func(o object) { put(o, "12.5", "periods", 2, "balance") }, "shape"},
		{"a loan is missing", forecasts, func(o object) { put(o, o["loans"].([]any)[1:], "loans") }, "shape"},
		{"another kind of loan", forecasts, func(o object) { put(o, "other", "loans", 0, "loan_type") }, "shape"},
		{"a loan's total is missing", forecasts, func(o object) { put(o, nil, "loans", 0, "total_principal") }, "shape"},
		{"no npv", forecasts, func(o object) { put(o, nil, "summary", "npv") }, "shape"},
		{"no duration", forecasts, func(o object) { put(o, nil, "summary", "duration") }, "shape"},
		{"no summary", forecasts, func(o object) { put(o, nil, "summary") }, "shape"},
		{"no id", forecasts, func(o object) { put(o, nil, "id") }, "shape"},
		{"the id is an object", forecasts, func(o object) { put(o, object{}, "id") }, "shape"},
		{"the id is far too long", forecasts, func(o object) { put(o, strings.Repeat("x", 65), "id") }, "shape"},

		{"a loan's balance rises", []string{"complex_analysis"}, func(o object) { add(o, 1e7, "loans", 0, "periods", 2, "balance") }, "balance_falls"},
		{"a loan's balance is negative", []string{"complex_analysis"}, func(o object) { put(o, -1.0, "loans", 0, "periods", -1, "balance") }, "balance_nonnegative"},
		{"a loan's interest", []string{"complex_analysis"}, func(o object) { add(o, 10, "loans", 0, "total_interest") }, "totals_match"},
		{"a loan's period", []string{"complex_analysis"}, func(o object) { add(o, 1, "loans", 0, "periods", 1, "total") }, "totals_match"},
		{"a loan's period is missing", []string{"complex_analysis"}, func(o object) { put(o, at(o, "loans", 0, "periods").([]any)[1:], "loans", 0, "periods") }, "shape"},
		{"no details", []string{"complex_analysis"}, func(o object) { put(o, nil, "loans", 0, "periods") }, "shape"},

		{"no Monte Carlo", drawn, func(o object) { put(o, nil, "monte_carlo") }, "shape"},
		{"no median", drawn, func(o object) { put(o, nil, "monte_carlo", "median") }, "shape"},
		{"other iterations", drawn, func(o object) { add(o, -1, "monte_carlo", "iterations") }, "mc_iterations"},
		{"the median above p95", drawn, func(o object) { add(o, 1e5, "monte_carlo", "median") }, "mc_order"},
		{"p5 above the median", drawn, func(o object) { add(o, 1e5, "monte_carlo", "p5") }, "mc_order"},
		{"the interval upside down", drawn, func(o object) { add(o, 1e5, "monte_carlo", "ci_lower") }, "mc_order"},
		{"a negative deviation", drawn, func(o object) { put(o, -1.0, "monte_carlo", "std_dev") }, "mc_order"},
		{"another seed", drawn, func(o object) { add(o, 1, "monte_carlo", "seed") }, "mc_seed"},

		{"no sensitivity", shifted, func(o object) { put(o, nil, "sensitivity") }, "shape"},
		{"no base", shifted, func(o object) { put(o, nil, "sensitivity", "base_npv") }, "shape"},
		{"a shift is missing", shifted, func(o object) {
			put(o, at(o, "sensitivity", "interest_rate").([]any)[1:], "sensitivity", "interest_rate")
		}, "shape"},
		{"another shift", shifted, func(o object) { put(o, 0.3, "sensitivity", "prepayment", 4, "shift") }, "shape"},
		{"a shift without a value", shifted, func(o object) { put(o, nil, "sensitivity", "prepayment", 4, "npv") }, "shape"},
		{"another base", shifted, func(o object) { add(o, 1, "sensitivity", "base_npv") }, "zero_shift"},
		{"another value at zero", shifted, func(o object) { add(o, 1, "sensitivity", "interest_rate", 2, "npv") }, "zero_shift"},
		{"another value at zero prepayment shift", shifted, func(o object) { add(o, 1, "sensitivity", "prepayment", 2, "npv") }, "zero_shift"},
		{"there and back", shifted, func(o object) { add(o, 1e7, "sensitivity", "interest_rate", 1, "npv") }, "shift_monotone"},
		{"the rate has no effect", shifted, func(o object) {
			for i := range 5 {
				put(o, at(o, "sensitivity", "base_npv"), "sensitivity", "interest_rate", i, "npv")
			}
		}, "shift_monotone"},
		{"shifts in another order", shifted, func(o object) { slices.Reverse(at(o, "sensitivity", "interest_rate").([]any)) }, ""},
	}
	for _, test := range tests {
		for _, name := range test.cases {
			b := newFullBench(t) // nothing is remembered from the test before
			r := find(t, b, name, func(m *forecastMemo) bool { return covers(m) && (m.iterations == 0 || m.seed != 0) })
			answer := answerForecast(t, r.Body, "an-id")
			test.alter(answer)
			var want []string
			if test.want != "" {
				want = []string{test.want}
			}
			b.expect(t, name+": "+test.what, name, answered(0, r, 200, toJSON(t, answer), 0), want...)
		}
	}
}

// What is still owed when the forecast ends need not be paid back.
func TestShortHorizon(t *testing.T) {
	b := newFullBench(t)
	r := find(t, b, "forecast", func(m *forecastMemo) bool { return m.horizon == 12 && len(m.loans) == 1 && m.loans[0].term > 100 })
	answer := answerForecast(t, r.Body, "an-id")
	if paid := at(answer, "summary", "total_principal").(float64); paid > r.Memo.(*forecastMemo).loans[0].principal.units()/2 {
		t.Fatalf("the model pays back %v in a year", paid)
	}
	b.expect(t, "12 months of a mortgage", "forecast", answered(0, r, 200, toJSON(t, answer), 0))
	if got := r.Memo.(*forecastMemo).periods(); got != 12 {
		t.Errorf("%d periods", got)
	}
}

// All the ways in which an answer is no JSON at all.
func TestAnswersThatAreNoJSON(t *testing.T) {
	b := newFullBench(t)
	saveAs(t, b, 0, "an-id")
	right := map[string]string{
		"health": `{"status":"ok"}`, "list_scenarios": `[{"id":"an-id"}]`, "history": `[]`, "history_filtered": `[]`,
	}
	bad := map[string]string{
		"HTML": "<!DOCTYPE html><html><body>Bad gateway</body></html>", "empty": "", "a word": "ok", "truncated": `{"id":"x","a":[1,`,
		"NaN": `{"id":NaN}`, "trailing": `{"id":"x"} {"id":"y"}`, "invalid UTF-8": "{\"id\":\"\xff\xfe\"}",
		"deep": strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000),
	}
	for _, c := range b.Cases {
		for what, body := range bad {
			r, err := c.Build(drawOf(0, 1))
			if err != nil {
				r = b.build(t, c.Name, drawOf(1, 1)) // someone else's scenario: user 0 has one
			}
			b.expect(t, c.Name+": "+what, c.Name, answered(0, r, c.Statuses[0], []byte(body), 0), "json")
		}
		if body, ok := right[c.Name]; ok {
			x := answered(0, b.build(t, c.Name, drawOf(0, 1)), 200, []byte(body), time.Second)
			b.expect(t, c.Name+": right", c.Name, x)
			x.Response.Header = http.Header{"Content-Type": {"text/html"}}
			b.expect(t, c.Name+": content type", c.Name, x, "json")
			x.Response.Header = http.Header{}
			b.expect(t, c.Name+": no content type", c.Name, x, "json")
			x.Response.Header = http.Header{"Content-Type": {"Application/Problem+JSON ; charset=utf-8"}}
			b.expect(t, c.Name+": another JSON", c.Name, x)
		}
	}
}

func TestNullAndOtherKinds(t *testing.T) {
	b := newFullBench(t)
	saveAs(t, b, 0, "an-id")
	for _, c := range b.Cases {
		if c.Invalid {
			continue
		}
		for _, body := range []string{"null", "5", `"text"`, "true"} {
			b.expect(t, c.Name+": "+body, c.Name, answered(0, b.build(t, c.Name, drawOf(0, 1)), c.Statuses[0], []byte(body), 0), "shape")
		}
	}
	for name, body := range map[string]string{
		"forecast": "[]", "list_scenarios": "{}", "history": "{}", "save_scenario": "[]", "get_scenario": "[]", "health": "[]",
	} {
		b.expect(t, name+": "+body, name, answered(0, b.build(t, name, drawOf(0, 1)), b.cases[name].Statuses[0], []byte(body), 0), "shape")
	}
}

func TestNPVFalls(t *testing.T) {
	answerWith := func(t *testing.T, b *bench, user int, r *load.Request, npv float64) *load.Exchange {
		o := answerForecast(t, r.Body, "an-id")
		put(o, npv, "summary", "npv")
		return answered(user, r, 200, toJSON(t, o), 0)
	}
	b := newFullBench(t)
	own := find(t, b, "forecast", func(m *forecastMemo) bool { return m.role == base })
	born := own.Memo.(*forecastMemo).born
	higher := find(t, b, "forecast", func(m *forecastMemo) bool { return m.role == raised && m.born == born })
	if got := higher.Memo.(*forecastMemo).discount - own.Memo.(*forecastMemo).discount; got != 1*percent {
		t.Fatalf("the discount rate is raised by %d", got)
	}
	b.expect(t, "nothing known", "forecast", answerWith(t, b, 0, higher, 150))
	b.expect(t, "raised first, and worth more", "forecast", answerWith(t, b, 0, own, 149), "npv_falls")
	b.expect(t, "now right", "forecast", answerWith(t, b, 0, own, 151))
	b.expect(t, "the same", "forecast", answerWith(t, b, 0, higher, 151), "npv_falls")
	b.expect(t, "less", "forecast", answerWith(t, b, 0, higher, 150.5))
	b.expect(t, "more", "forecast", answerWith(t, b, 0, higher, 152), "npv_falls")

	// A portfolio of a later day takes this one's place in the book and is another.
	later := *higher.Memo.(*forecastMemo)
	later.born += bookSize
	b.expect(t, "a later day", "forecast", answerWith(t, b, 0, &load.Request{Body: higher.Body, Memo: &later}, 1e9))

	// Another portfolio, and another user's, prove nothing.
	another := find(t, b, "forecast", func(m *forecastMemo) bool { return m.role == base && m.born != born })
	b.expect(t, "another portfolio", "forecast", answerWith(t, b, 0, another, 1))
	b.expect(t, "another user", "forecast", answerWith(t, b, 1, own, 1))
}

func TestMonteCarloRepeats(t *testing.T) {
	for _, name := range []string{"forecast_monte_carlo", "complex_analysis"} {
		b := newFullBench(t)
		r := find(t, b, name, func(m *forecastMemo) bool { return m.role == repeatable })
		right := func() object { return answerForecast(t, r.Body, "an-id") }
		send := func(what string, o object, want ...string) {
			t.Helper()
			b.expect(t, name+": "+what, name, answered(0, r, 200, toJSON(t, o), 0), want...)
		}
		send("first", right())
		send("the same again", right())
		rounded := right()
		add(rounded, 0.005, "monte_carlo", "mean")
		send("half a cent", rounded)
		send("the same again", right())
		for _, figure := range []string{"mean", "std_dev", "p5", "median", "p95", "ci_lower", "ci_upper"} {
			other := right()
			add(other, 0.02, "monte_carlo", figure)
			send("another "+figure, other, "mc_seed")
			send("back again", right(), "mc_seed")
		}
		// A run that cannot be repeated is not compared.
		single := find(t, b, name, func(m *forecastMemo) bool { return m.role == alone })
		for i := range 2 {
			o := answerForecast(t, single.Body, "an-id")
			add(o, float64(i), "monte_carlo", "mean")
			b.expect(t, name+": a single run", name, answered(0, single, 200, toJSON(t, o), 0))
		}
	}
}

func TestSave(t *testing.T) {
	b := newFullBench(t)
	for _, test := range []struct {
		what  string
		alter func(o object)
		want  []string
	}{
		{"right", func(object) {}, nil},
		{"a number for an id", func(o object) { o["id"] = 12345 }, nil},
		{"no name and no user", func(o object) { delete(o, "name"); delete(o, "user_id") }, nil},
		{"no id", func(o object) { delete(o, "id") }, []string{"shape"}},
		{"an id that cannot be asked for", func(o object) { o["id"] = "../x" }, []string{"shape"}},
		{"another name", func(o object) { o["name"] = "x" }, []string{"read_back"}},
		{"another user", func(o object) { o["user_id"] = "vu-0002" }, []string{"foreign_scenario"}},
	} {
		r := b.build(t, "save_scenario", drawOf(0, 1))
		o := object{"id": "an-id", "user_id": "vu-0001", "name": r.Memo.(*scenarioMemo).recipe.name(), "created_at": "2026-03-01T15:04:05.123Z"}
		test.alter(o)
		b.expect(t, test.what, "save_scenario", answered(0, r, 201, toJSON(t, o), 0), test.want...)
	}
	saveAs(t, b, 1, "of-user-1")
	r := b.build(t, "save_scenario", drawOf(0, 1))
	b.expect(t, "an id of another", "save_scenario", answered(0, r, 201, []byte(`{"id":"of-user-1"}`), 0), "foreign_scenario")
}

func TestUnusualNamesComeBack(t *testing.T) {
	for _, name := range []string{"invalid_sql_in_name", "invalid_script_in_name"} {
		b := newFullBench(t)
		for i := range 20 {
			r := b.build(t, name, drawOf(0, uint64(i)))
			sent := r.Memo.(*scenarioMemo).recipe.name()
			for _, test := range []struct {
				what, name string
				want       []string
			}{
				{"unchanged", sent, nil},
				{"escaped", strings.NewReplacer("<", "&lt;", "'", "&#39;", `"`, "&quot;", "{", "").Replace(sent), []string{"name_unchanged"}},
				{"cut", sent[:3], []string{"name_unchanged"}},
			} {
				b.expect(t, name+": "+test.what, name, answered(0, r, 201, toJSON(t, object{"id": fmt.Sprint("s", i), "name": test.name}), 0), test.want...)
			}
			b.expect(t, name+": absent", name, answered(0, r, 201, toJSON(t, object{"id": "x"}), 0), "shape")
		}
		// It is read back like any other.
		get := b.build(t, "get_scenario", drawOf(0, 1))
		memo := get.Memo.(*scenarioMemo)
		var o object
		if err := json.Unmarshal((&workload{generator: newGenerator(7)}).scenario(memo.recipe), &o); err != nil {
			t.Fatal(err)
		}
		o["id"] = memo.id
		b.expect(t, name+": read back", "get_scenario", answered(0, get, 200, toJSON(t, o), time.Second))
		o["name"] = "x"
		b.expect(t, name+": read back altered", "get_scenario", answered(0, get, 200, toJSON(t, o), time.Second), "read_back")
	}
}

func TestReadBack(t *testing.T) {
	b := newFullBench(t)
	var saved *load.Request
	for i := range uint64(1000) { // one with a variable loan, to have all fields
		saved = b.build(t, "save_scenario", drawOf(0, i))
		if bytes.Contains(saved.Body, []byte("rate_cap")) && bytes.Contains(saved.Body, []byte("prepayment_assumption")) {
			break
		}
	}
	b.expect(t, "save", "save_scenario", answered(0, saved, 201, []byte(`{"id":"an-id"}`), 0))
	get := b.build(t, "get_scenario", drawOf(0, 1))
	if get.Path != "/api/v1/cashflow/scenario/an-id" || get.Method != http.MethodGet {
		t.Fatalf("asks for %s %s", get.Method, get.Path)
	}
	right := func() object {
		var o object
		if err := json.Unmarshal(saved.Body, &o); err != nil {
			t.Fatal(err)
		}
		o["id"], o["user_id"], o["created_at"] = "an-id", "vu-0001", "2026-03-01T15:04:05Z"
		put(o, false, "forecast_params", "run_monte_carlo") // a default, filled in
		return o
	}
	send := func(what string, o object, want ...string) {
		t.Helper()
		b.expect(t, what, "get_scenario", answered(0, get, 200, toJSON(t, o), time.Second), want...)
	}
	send("right", right())
	other := right()
	other["user_id"] = "vu-0002"
	send("another user", other, "foreign_scenario")
	put(other, "another's", "name")
	send("another user, with that one's content", other, "foreign_scenario")
	other = right()
	other["id"] = "other-id"
	send("another id", other, "read_back")
	other = right()
	delete(other, "id")
	send("no id", other, "shape")

	// Any field that was sent, one at a time.
	var walk func(v any, path []any)
	altered := 0
	walk = func(v any, path []any) {
		switch v := v.(type) {
		case object:
			for name, value := range v {
				if name == "id" || name == "user_id" || name == "created_at" || name == "run_monte_carlo" {
					continue
				}
				walk(value, append(slices.Clone(path), name))
			}
			return
		case []any:
			for i, value := range v {
				walk(value, append(slices.Clone(path), i))
			}
			return
		}
		o := right()
		switch value := at(o, path...).(type) {
		case float64:
			add(o, 0.01, path...)
		case string:
			put(o, value+"x", path...)
		}
		send(fmt.Sprint("altered ", path), o, "read_back")
		o = right()
		put(o, nil, path...)
		send(fmt.Sprint("removed ", path), o, "read_back")
		altered++
	}
	walk(right(), nil)
	if altered < 12 {
		t.Errorf("only %d fields were altered", altered)
	}
	o := right()
	put(o, append(at(o, "forecast_params", "loans").([]any), object{}), "forecast_params", "loans")
	send("a loan too much", o, "read_back")
	o = right()
	put(o, "text", "forecast_params")
	send("not an object", o, "read_back")

	// The same numbers may be written in another way.
	text := bytes.Replace(toJSON(t, right()), []byte(`"forecast_months":`), []byte(`"forecast_months":0.`), 1)
	months := fmt.Sprint(at(right(), "forecast_params", "forecast_months"))
	text = bytes.Replace(text, []byte("0."+months), fmt.Appendf(nil, "0.%se%d", months, len(months)), 1)
	b.expect(t, "0.12e2 for 12", "get_scenario", answered(0, get, 200, text, time.Second))
}

func TestScenarioLost(t *testing.T) {
	b := newFullBench(t)
	saveAs(t, b, 0, "an-id")
	get := b.build(t, "get_scenario", drawOf(0, 1))
	// The save was confirmed after 100 ms.
	for _, after := range []time.Duration{time.Second, readLag, readLag + 99*time.Millisecond} {
		b.expect(t, "not there yet", "get_scenario", answered(0, get, 404, []byte(`{"detail":"not found"}`), after), "stale_read")
	}
	if _, err := b.cases["get_scenario"].Build(drawOf(0, 1)); err != nil {
		t.Errorf("what may yet come is not asked for again: %v", err)
	}
	b.expect(t, "lost", "get_scenario", answered(0, get, 404, []byte(`{"detail":"not found"}`), readLag+100*time.Millisecond), "scenario_found")
	if _, err := b.cases["get_scenario"].Build(drawOf(0, 1)); !errors.Is(err, load.ErrNoState) {
		t.Errorf("a lost scenario is asked for again: %v", err)
	}
}

// A shared identity's scenarios are pushed out by those of all users.
func TestScenarioOfASharedIdentity(t *testing.T) {
	b := newBench(t, Config{SharedIdentity: true})
	saveAs(t, b, 0, "first")
	get := b.build(t, "get_scenario", drawOf(0, 1))
	b.expect(t, "lost early", "get_scenario", answered(0, get, 404, nil, time.Minute), "scenario_found")

	saveAs(t, b, 0, "second")
	get = b.build(t, "get_scenario", drawOf(0, 1))
	for i := range 100 {
		b.build(t, "save_scenario", drawOf(1, uint64(i)))
	}
	b.expect(t, "gone after 100 more", "get_scenario", answered(0, get, 404, nil, time.Second))

	// One sees what the other saved.
	list := b.build(t, "list_scenarios", drawOf(1, 1))
	saveAs(t, b, 0, "third")
	b.expect(t, "another's in the list", "list_scenarios", answered(1, list, 200, []byte(`[{"id":"third"}]`), time.Second))
}

// A record names its owner. It is compared with whoever the virtual user is known
// to be: also with the one subject that all of them share.
func TestForeignOwner(t *testing.T) {
	for _, test := range []struct {
		what    string
		cfg     Config
		user    string
		foreign bool
	}{
		{"users of their own", Config{CanMint: true}, "vu-0001", true},
		{"a JWT for all", Config{SharedIdentity: true}, "alice", true},
		{"an opaque token for all", Config{SharedIdentity: true}, "", false},
		{"no token", Config{SharedIdentity: true, Anonymous: true}, "soakd-0001", false},
	} {
		for owner, want := range map[string]bool{test.user: false, "someone": test.foreign, "": false} {
			for name, answer := range map[string]struct{ check, body string }{
				"save_scenario":  {"foreign_scenario", `{"id":"x","user_id":%q}`},
				"list_scenarios": {"foreign_scenario", `[{"id":"x","user_id":%q}]`},
				"history":        {"foreign_history", `[{"id":"x","created_at":"2026-03-01T15:00:00Z","user_id":%q}]`},
			} {
				b := newBench(t, test.cfg)
				d := drawOf(0, 1)
				d.User.ID = test.user
				x := answered(0, b.build(t, name, d), b.cases[name].Statuses[0], fmt.Appendf(nil, answer.body, owner), 0)
				x.User.ID = test.user
				var expected []string
				if want {
					expected = []string{answer.check}
				}
				b.expect(t, fmt.Sprintf("%s: %s of %q", test.what, name, owner), name, x, expected...)
			}
		}
	}
}

// The token file comes to hold another subject's token: what the one before had
// saved and made is not missed, and what the new one loses is.
func TestAnotherSubject(t *testing.T) {
	b := newBench(t, Config{SharedIdentity: true})
	exchange := func(subject, name string, status int, body string, after time.Duration) *load.Exchange {
		d := drawOf(0, 1)
		d.User.ID = subject
		x := answered(0, b.build(t, name, d), status, []byte(body), after)
		x.User.ID = subject
		return x
	}
	before := func(name, body string, after time.Duration) *load.Exchange {
		return exchange("bob", name, 200, body, after)
	}
	now := func(name, body string, after time.Duration) *load.Exchange {
		return exchange("carol", name, 200, body, after)
	}
	b.expect(t, "bob saves", "save_scenario", before("save_scenario", `{"id":"of-bob"}`, 0))
	forecast := before("forecast", "", 0)
	forecast.Response.Body = toJSON(t, answerForecast(t, forecast.Request.Body, "made-by-bob"))
	b.expect(t, "bob forecasts", "forecast", forecast)
	listed := before("list_scenarios", `[{"id":"of-bob"}]`, time.Second)
	late := before("save_scenario", `{"id":"late-of-bob"}`, time.Second)

	b.expect(t, "carol's list", "list_scenarios", now("list_scenarios", `[]`, 2*time.Second))
	b.expect(t, "carol's history", "history", now("history", `[]`, 2*time.Second))
	b.expect(t, "bob's last list", "list_scenarios", listed)
	b.expect(t, "bob's last save", "save_scenario", late)
	d := drawOf(0, 1)
	d.User.ID = "carol"
	if _, err := b.cases["get_scenario"].Build(d); !errors.Is(err, load.ErrNoState) {
		t.Errorf("carol is to read what bob saved: %v", err)
	}
	b.expect(t, "carol saves", "save_scenario", now("save_scenario", `{"id":"of-carol"}`, 3*time.Second))
	b.expect(t, "carol's loss", "list_scenarios", now("list_scenarios", `[]`, time.Minute), "in_list")
}

func TestForeignScenarioInTheList(t *testing.T) {
	b := newFullBench(t)
	saveAs(t, b, 1, "of-user-1")
	r := b.build(t, "list_scenarios", drawOf(0, 1))
	for _, test := range []struct {
		what, body string
		want       []string
	}{
		{"none", `[]`, nil},
		{"an older one of its own", `[{"id":"x","user_id":"vu-0001","name":"n","created_at":"2026-01-01T00:00:00Z"}]`, nil},
		{"another user's", `[{"id":"x","user_id":"vu-0001"},{"id":"y","user_id":"vu-0003"}]`, []string{"foreign_scenario"}},
		{"an id that user 1 saved", `[{"id":"of-user-1","user_id":"vu-0001"}]`, []string{"foreign_scenario"}},
		{"no id", `[{"user_id":"vu-0001"}]`, []string{"shape"}},
		{"null entry", `[null]`, []string{"shape"}},
	} {
		b.expect(t, test.what, "list_scenarios", answered(0, r, 200, []byte(test.body), time.Second), test.want...)
	}
	// What user 1 no longer remembers is not held against anyone.
	for i := range keptScenarios {
		saveAs(t, b, 1, fmt.Sprint("more-", i))
	}
	b.expect(t, "forgotten", "list_scenarios", answered(0, r, 200, []byte(`[{"id":"of-user-1"}]`), time.Second))
}

// listed is a list of so many strangers, then ids, each a minute older than the
// one before; the newest is of the given time.
func listed(newest time.Time, strangers int, ids ...string) []object {
	list := []object{}
	for i := range strangers {
		list = append(list, object{"id": fmt.Sprint("stranger-", i)})
	}
	for _, id := range ids {
		list = append(list, object{"id": id})
	}
	for i := range list {
		list[i]["created_at"] = newest.Add(-time.Duration(i) * time.Minute).Format(time.RFC3339)
	}
	return list
}

func TestInList(t *testing.T) {
	type entry struct {
		id    string
		after time.Duration
	}
	a, z := entry{"a", 0}, entry{"z", 10 * time.Minute}
	tests := []struct {
		what  string
		saved []entry
		list  []object
		asked time.Duration
		want  []string
	}{
		{"all there", []entry{a, z}, listed(testDay(), 0, "z", "a"), time.Hour, nil},
		{"one missing", []entry{a, z}, listed(testDay(), 98, "z"), time.Hour, []string{"in_list"}},
		{"asked before it was confirmed", []entry{a, z}, listed(testDay(), 0, "a"), 10*time.Minute + 50*time.Millisecond, nil},
		{"a full list has room for newer ones only", []entry{a, z}, listed(testDay(), 99, "z"), time.Hour, nil},
		{"a full list without both", []entry{a, z}, listed(testDay(), 100), time.Hour, nil},
		{"a full list with the older and without the newer", []entry{a, z}, listed(testDay(), 99, "a"), time.Hour, []string{"in_list"}},
		{"too close together to tell", []entry{a, {"z", time.Second}}, listed(testDay(), 99, "a"), time.Hour, nil},
		{"a full list in another order", []entry{a, z}, func() []object {
			l := listed(testDay(), 99, "a")
			slices.Reverse(l)
			return l
		}(), time.Hour, nil},
		{"a full list that does not show its order", []entry{a, z}, func() []object {
			l := listed(testDay(), 99, "a")
			delete(l[5], "created_at")
			return l
		}(), time.Hour, nil},
	}
	for _, test := range tests {
		b := newFullBench(t)
		for _, s := range test.saved {
			saveAt(t, b, 0, s.id, s.after)
		}
		r := b.build(t, "list_scenarios", drawOf(0, 1))
		x := answered(0, r, 200, toJSON(t, test.list), test.asked)
		b.expect(t, test.what, "list_scenarios", x, test.want...)
		b.expect(t, test.what+", the second time", "list_scenarios", x) // each loss once
	}
}

// What was confirmed a moment ago and is not there may yet come: it is missed as
// often as it is not shown, and lost only when it stays away.
func TestStaleRead(t *testing.T) {
	for _, test := range []struct{ name, loss, body string }{
		{"list_scenarios", "in_list", `[{"id":"z","created_at":%q}]`},
		{"history", "forecast_in_history", `[{"id":"z","created_at":%q}]`},
	} {
		for _, comes := range []bool{true, false} {
			b := newFullBench(t)
			saveAt(t, b, 0, "z", 0)
			forecastAs(t, b, 0, "z", 0)
			look := func(what, body string, after time.Duration, want ...string) {
				t.Helper()
				b.expect(t, what, test.name, answered(0, b.build(t, test.name, drawOf(0, 1)), 200, []byte(body), after), want...)
			}
			look("asked before the answer", `[]`, 99*time.Millisecond)
			look("not there yet", `[]`, time.Second, "stale_read")
			look("still not", `[]`, readLag+99*time.Millisecond, "stale_read")
			if comes {
				look("there", fmt.Sprintf(test.body, testDay().Format(time.RFC3339)), readLag+200*time.Millisecond)
				continue
			}
			look("lost", `[]`, readLag+100*time.Millisecond, test.loss)
			look("lost, the second time", `[]`, readLag+time.Second)
		}
	}
}

// An old loss is not hidden by what is missing because it is new.
func TestLossBeforeStaleRead(t *testing.T) {
	b := newFullBench(t)
	saveAt(t, b, 0, "new", time.Minute)
	saveAt(t, b, 0, "old", 0)
	look := func(what string, want ...string) {
		t.Helper()
		b.expect(t, what, "list_scenarios", answered(0, b.build(t, "list_scenarios", drawOf(0, 1)), 200, []byte(`[]`), time.Minute+time.Second), want...)
	}
	look("both missing", "in_list")
	look("the new one missing", "stale_read")
}

// Another user's list tells nothing about what one's own user lost.
func TestForeignListIsNoLoss(t *testing.T) {
	b := newFullBench(t)
	saveAs(t, b, 0, "own")
	x := func(body string) *load.Exchange {
		return answered(0, b.build(t, "list_scenarios", drawOf(0, 1)), 200, []byte(body), time.Hour)
	}
	b.expect(t, "another's list", "list_scenarios", x(`[{"id":"x","user_id":"vu-0003"}]`), "foreign_scenario")
	b.expect(t, "one's own list", "list_scenarios", x(`[{"id":"own","user_id":"vu-0001"}]`))
}

func TestHistory(t *testing.T) {
	at := func(id string, age time.Duration) object {
		return object{"id": id, "user_id": "vu-0001", "created_at": testDay().Add(-age).Format(time.RFC3339), "npv": 1.5, "irr": nil}
	}
	tests := []struct {
		what string
		rows any
		want []string
	}{
		{"none", []object{}, nil},
		{"newest first", []object{at("a", 0), at("b", time.Minute), at("c", time.Minute), at("d", time.Hour)}, nil},
		{"half a second out of order", []object{at("a", time.Second), at("b", 500*time.Millisecond), at("c", time.Minute)}, nil},
		{"oldest first", []object{at("a", time.Hour), at("b", time.Minute)}, []string{"newest_first"}},
		{"one out of order", []object{at("a", 0), at("b", time.Hour), at("c", time.Minute)}, []string{"newest_first"}},
		{"another user's", []object{at("a", 0), {"id": "b", "user_id": "vu-0002", "created_at": testDay().Format(time.RFC3339)}}, []string{"foreign_history"}},
		{"no id", []object{{"created_at": testDay().Format(time.RFC3339)}}, []string{"shape"}},
		{"no time", []object{{"id": "a"}}, []string{"shape"}},
		{"no time at all", []object{{"id": "a", "created_at": "yesterday"}}, []string{"shape"}},
		{"a time without a zone", []object{{"id": "a", "created_at": "2026-03-01T10:00:00.123456"}}, nil},
	}
	for _, test := range tests {
		b := newFullBench(t)
		for _, name := range []string{"history", "history_filtered"} {
			r := b.build(t, name, drawOf(0, 1))
			if name == "history_filtered" {
				r.Memo = &historyMemo{since: testDay().Add(-24 * time.Hour).Truncate(24 * time.Hour)}
			}
			b.expect(t, name+": "+test.what, name, answered(0, r, 200, toJSON(t, test.rows), time.Second), test.want...)
		}
	}
}

func TestFilterHolds(t *testing.T) {
	b := newFullBench(t)
	r := b.build(t, "history_filtered", drawOf(0, 1))
	since := r.Memo.(*historyMemo).since
	if want := "?start_date=" + since.Format(time.DateOnly); !strings.HasSuffix(r.Path, want) || since.Hour() != 0 {
		t.Fatalf("path %s, since %v", r.Path, since)
	}
	row := func(at time.Time) []byte {
		return toJSON(t, []object{{"id": "a", "created_at": at.Format(time.RFC3339Nano)}})
	}
	b.expect(t, "at midnight", "history_filtered", answered(0, r, 200, row(since), time.Second))
	b.expect(t, "just before", "history_filtered", answered(0, r, 200, row(since.Add(-time.Millisecond)), time.Second), "filter_holds")
	b.expect(t, "midnight elsewhere", "history_filtered", answered(0, r, 200, row(since.In(time.FixedZone("east", 7200)).Add(-time.Hour)), time.Second), "filter_holds")
}

func TestForecastInHistory(t *testing.T) {
	tests := []struct {
		what  string
		rows  []object
		asked time.Duration
		want  []string
	}{
		{"all there", listed(testDay(), 10, "z", "a"), time.Hour, nil},
		{"one missing", listed(testDay(), 10, "z"), time.Hour, []string{"forecast_in_history"}},
		{"asked before it was answered", listed(testDay(), 10, "a"), 10*time.Minute + 99*time.Millisecond, nil},
		{"a full page of newer ones", listed(testDay(), 99, "z"), time.Hour, nil},
		{"a full page with the older and without the newer", listed(testDay(), 99, "a"), time.Hour, []string{"forecast_in_history"}},
	}
	for _, test := range tests {
		b := newFullBench(t)
		forecastAs(t, b, 0, "a", 0)
		forecastAs(t, b, 0, "z", 10*time.Minute)
		forecastAs(t, b, 1, "of-user-1", 0)
		x := answered(0, b.build(t, "history", drawOf(0, 1)), 200, toJSON(t, test.rows), test.asked)
		b.expect(t, test.what, "history", x, test.want...)
		b.expect(t, test.what+", the second time", "history", x) // each loss once
	}
}

// A filter must not hide what is new enough; just after midnight the clocks may differ.
func TestFilteredHistoryKeepsForecasts(t *testing.T) {
	midnight := testDay().Truncate(24 * time.Hour).Add(24 * time.Hour)
	for _, test := range []struct {
		what string
		made time.Time
		want []string
	}{
		{"two hours after midnight", midnight.Add(2 * time.Hour), []string{"forecast_in_history"}},
		{"half an hour after midnight", midnight.Add(30 * time.Minute), nil},
		{"before midnight", midnight.Add(-time.Minute), nil},
	} {
		b := newFullBench(t)
		forecastAs(t, b, 0, "a", test.made.Sub(testDay()))
		r := b.build(t, "history_filtered", drawOf(0, 1))
		r.Memo = &historyMemo{since: midnight}
		b.expect(t, test.what, "history_filtered", answered(0, r, 200, []byte("[]"), midnight.Add(5*time.Hour).Sub(testDay())), test.want...)
	}
}

func TestRejections(t *testing.T) {
	b := newFullBench(t)
	saveAs(t, b, 1, "of-user-1")
	detail := func(loc ...any) []byte {
		return toJSON(t, object{"detail": []object{{"loc": loc, "msg": "wrong", "type": "value_error", "input": object{"principal": 1, "loans": 2}}}})
	}
	for _, c := range b.Cases {
		if !c.Invalid {
			continue
		}
		names := slices.Contains(c.Checks, "names_field")
		r, err := c.Build(drawOf(0, 1))
		for i := uint64(2); errors.Is(err, load.ErrNoState); i++ {
			r, err = c.Build(drawOf(0, i))
		}
		field := r.Memo.(*invalidMemo).field
		only := func(want ...string) []string {
			if names {
				return want
			}
			return nil
		}
		send := func(what string, body []byte, want []string) {
			t.Helper()
			b.expect(t, c.Name+": "+what, c.Name, answered(0, r, c.Statuses[0], body, 0), want...)
		}
		send("FastAPI", detail("body", "loans", 0, field), nil)
		send("FastAPI, another field", detail("body", "something"), only("names_field"))
		send("the field in the quoted input only", toJSON(t, object{"error": "bad", "input": object{field: 1}}), only("names_field"))
		send("a sentence", toJSON(t, object{"error": "the field " + field + " is wrong"}), nil)
		send("field as a name", toJSON(t, object{"errors": object{field: []string{"too small"}}}), nil)
		send("FastAPI, a rule for several fields", toJSON(t, object{"detail": []object{{"loc": []any{"body"}, "msg": field + " is wrong"}}}), nil)
		send("a sentence about nothing", []byte(`{"detail":"bad request"}`), only("names_field"))
		send("HTML", []byte("<html>"+field), []string{"json"})

		if slices.Contains(c.Checks, "connection") == (c.Name == "invalid_body_big") {
			t.Errorf("%s has the checks %v", c.Name, c.Checks)
		}
	}
}

func TestInvalidStatuses(t *testing.T) {
	b := newFullBench(t)
	special := map[string][]int{
		"invalid_content_type": {415, 422, 400}, "invalid_body_big": {413, 400}, "invalid_token_missing": {401, 403},
		"invalid_token_expired": {401, 403}, "invalid_token_forged": {401, 403}, "invalid_foreign_scenario": {404, 403},
		"invalid_scenario_unknown": {404}, "invalid_scenario_id": {404, 422, 400}, "invalid_method": {405},
		"invalid_sql_in_name": {201, 200}, "invalid_script_in_name": {201, 200},
	}
	for _, c := range b.Cases {
		if c.Class != classInvalid {
			continue
		}
		want, found := special[c.Name]
		if !found {
			want = []int{422, 400}
		}
		if !slices.Equal(c.Statuses, want) {
			t.Errorf("%s expects %v, want %v", c.Name, c.Statuses, want)
		}
	}
}

// The memory of a user is bounded, however long a run lasts.
func TestMemoryIsBounded(t *testing.T) {
	const users = 1000
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	p := newPopulation(users, false)
	fill := func(rounds int) uint64 {
		for round := range rounds {
			for user := range users {
				who := load.User{Index: user}
				if user%2 == 0 && round%20 == 0 { // a token for someone else
					who.ID = strconv.Itoa(round)
				}
				p.adopt(who)
				id := fmt.Sprintf("%08x-0000-4000-8000-%012x", round, user)
				at := testDay().Add(time.Duration(round) * time.Second)
				p.saved(who, scenario{made: made{id: id, sent: at, received: at}})
				p.forecast(who, made{id: string(append([]byte(nil), id...)), sent: at, received: at})
				p.value(user, day(round), round%2 == 0, number{1, true})
				p.draw(user, uint64(round), monteCarloFigures{})
				if round%50 == 7 {
					p.forget(user, id)
					p.forgetForecast(user, id)
				}
			}
		}
		return heap() - before
	}
	full := fill(60)
	if limit := uint64(users * 9 << 10); full > limit {
		t.Errorf("1 000 users take %d bytes, want at most %d", full, limit)
	}
	t.Logf("%d bytes a user", full/users)
	if more := fill(200); more > full+full/20 {
		t.Errorf("after more rounds it is %d bytes, it was %d", more, full)
	}
	if len(p.owners) > users*keptScenarios {
		t.Errorf("%d owners are known", len(p.owners))
	}
	for user := range users {
		m := &p.members[user]
		if len(m.scenarios.entries) > keptScenarios || len(m.forecasts.entries) > keptForecasts || len(m.monteCarlo.entries) > keptMonteCarlo {
			t.Fatalf("user %d keeps too much", user)
		}
	}
}

func TestRingKeepsTheNewest(t *testing.T) {
	var r ring[int]
	for i := range 7 {
		gone, full := r.put(i, 5)
		if full != (i >= 5) || (full && gone != i-5) {
			t.Errorf("put %d: %d had to go (%v)", i, gone, full)
		}
	}
	r.remove(func(i *int) bool { return *i == 4 })
	if !slices.Equal(r.entries, []int{2, 3, 5, 6}) {
		t.Errorf("left are %v", r.entries)
	}
	r.put(7, 5)
	if gone, full := r.put(8, 5); !full || gone != 2 {
		t.Errorf("%d had to go (%v)", gone, full)
	}
}

// Whatever a target answers, there is no panic and no check that is not announced.
func FuzzVerify(f *testing.F) {
	b := newFullBench(f)
	for user := range 2 {
		saveAs(f, b, user, fmt.Sprint("saved-", user))
	}
	_, golden := goldenAnswer()
	for _, body := range []string{
		golden, "", "null", "[]", "{}", `[{"id":1}]`, `{"detail":[{"loc":["body","principal"]}]}`, "<html>", `{"id":1e999}`, "[[[[[[",
		`{"id":"saved-0","user_id":"vu-0001","name":"x","forecast_params":{"loans":[]},"created_at":"2026-03-01T15:04:05Z"}`,
		`[{"id":"x","user_id":"y","created_at":"2026-03-01T15:04:05Z"}]`, `{"periods":[{"period":1,"x":"\\\"]}"}]}`,
	} {
		for i := range b.Cases {
			f.Add(i, uint64(1), []byte(body), "application/json", false)
		}
	}
	for _, name := range []string{"forecast", "forecast_monte_carlo", "sensitivity", "complex_analysis"} {
		body := toJSON(f, answerForecast(f, b.build(f, name, drawOf(0, 3)).Body, "x"))
		f.Add(slices.Index(b.Cases, b.cases[name]), uint64(3), body, "application/json", true)
	}
	f.Fuzz(func(t *testing.T, index int, arrival uint64, body []byte, contentType string, closing bool) {
		c := b.Cases[((index%len(b.Cases))+len(b.Cases))%len(b.Cases)]
		r, err := c.Build(drawOf(0, arrival))
		if err != nil {
			t.Skip()
		}
		for _, status := range c.Statuses {
			x := answered(0, r, status, bytes.Clone(body), time.Hour)
			x.Response.Header = http.Header{"Content-Type": {contentType}}
			x.Response.Closing = closing
			seen := map[string]bool{}
			c.Verify(x, func(check string, err error) {
				if !slices.Contains(c.Checks, check) || err == nil || seen[check] {
					t.Errorf("%s reports %s (announced %v) twice or without reason: %v", c.Name, check, c.Checks, err)
				}
				if text := err.Error(); len(text) > 500 {
					t.Errorf("%s: a message of %d bytes: %.600s", c.Name, len(text), text)
				}
				seen[check] = true
			})
		}
	})
}
