package refapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const loanJSON = `{"loan_type":"mortgage","principal":100000,"interest_rate":0.06,"term_months":360,"start_date":"2026-11-15"}`

// body builds a valid forecast request, with members added or replaced.
func body(t testing.TB, members ...string) string {
	t.Helper()
	all := map[string]json.RawMessage{
		"loans": json.RawMessage("[" + loanJSON + "]"), "discount_rate": json.RawMessage("0.05"), "forecast_months": json.RawMessage("360"),
	}
	return build(t, all, members)
}

// loan builds a valid loan, with members added or replaced; a value of "-" takes one away.
func loan(t testing.TB, members ...string) string {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(loanJSON), &all); err != nil {
		t.Fatal(err)
	}
	return build(t, all, members)
}

func build(t testing.TB, all map[string]json.RawMessage, members []string) string {
	t.Helper()
	for i := 0; i < len(members); i += 2 {
		if all[members[i]] = json.RawMessage(members[i+1]); members[i+1] == "-" {
			delete(all, members[i])
		}
	}
	encoded, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

// wrong lists where and what is wrong, sorted.
func wrong(bad []fieldError) []string {
	list := []string{}
	for _, one := range bad {
		text := one.Type
		for i := len(one.Loc) - 1; i >= 0; i-- {
			text = fmt.Sprint(one.Loc[i]) + " " + text
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return list
}

func TestForecastRequestThatIsWrong(t *testing.T) {
	withLoan := func(members ...string) string { return body(t, "loans", "["+loan(t, members...)+"]") }
	tests := []struct {
		name, body string
		want       []string
	}{
		{"valid", body(t), nil},
		{"unknown members", body(t, "other", `{"a":[1]}`), nil},
		{"no object", `[1]`, []string{"body object_type"}},
		{"null", `null`, []string{"body object_type"}},
		{"empty object", `{}`, []string{"body discount_rate missing", "body forecast_months missing", "body loans missing"}},
		{"loans no list", body(t, "loans", `"x"`), []string{"body loans list_type"}},
		{"no loans", body(t, "loans", `[]`), []string{"body loans too_short"}},
		{"100 loans", body(t, "loans", "["+strings.Repeat(loanJSON+",", 99)+loanJSON+"]"), nil},
		{"101 loans", body(t, "loans", "["+strings.Repeat(loanJSON+",", 100)+loanJSON+"]"), []string{"body loans too_long"}},
		{"loan no object", body(t, "loans", "["+loanJSON+",3]"), []string{"body loans 1 object_type"}},
		{"discount rate below 0", body(t, "discount_rate", `-0.01`), []string{"body discount_rate greater_than_equal"}},
		{"discount rate 0", body(t, "discount_rate", `0`), nil},
		{"discount rate 1", body(t, "discount_rate", `1`), nil},
		{"discount rate above 1", body(t, "discount_rate", `1.0001`), []string{"body discount_rate less_than_equal"}},
		{"discount rate null", body(t, "discount_rate", `null`), []string{"body discount_rate float_type"}},
		{"0 months", body(t, "forecast_months", `0`), []string{"body forecast_months greater_than_equal"}},
		{"601 months", body(t, "forecast_months", `601`), []string{"body forecast_months less_than_equal"}},
		{"months as text", body(t, "forecast_months", `"12"`), []string{"body forecast_months int_type"}},
		{"months 12.0", body(t, "forecast_months", `12.0`), nil},

		{"principal 0", withLoan("principal", `0`), []string{"body loans 0 principal greater_than"}},
		{"principal -0", withLoan("principal", `-0.0`), []string{"body loans 0 principal greater_than"}},
		{"principal below 0", withLoan("principal", `-1`), []string{"body loans 0 principal greater_than"}},
		{"principal 1e12", withLoan("principal", `1e12`), nil},
		{"principal 1e308", withLoan("principal", `1e308`), []string{"body loans 0 principal less_than_equal"}},
		{"principal 1e400", withLoan("principal", `1e400`), []string{"body loans 0 principal finite_number"}},
		{"principal NaN as text", withLoan("principal", `"NaN"`), []string{"body loans 0 principal float_type"}},
		{"principal Infinity as text", withLoan("principal", `"Infinity"`), []string{"body loans 0 principal float_type"}},
		{"principal missing", withLoan("principal", "-"), []string{"body loans 0 principal missing"}},
		{"rate above 1", withLoan("interest_rate", `1.1`), []string{"body loans 0 interest_rate less_than_equal"}},
		{"term 0", withLoan("term_months", `0`), []string{"body loans 0 term_months greater_than_equal"}},
		{"term 601", withLoan("term_months", `601`), []string{"body loans 0 term_months less_than_equal"}},
		{"term 1.5", withLoan("term_months", `1.5`), []string{"body loans 0 term_months int_type"}},
		{"term beyond 64 bits", withLoan("term_months", `99999999999999999999`), []string{"body loans 0 term_months int_type"}},
		{"type unknown", withLoan("loan_type", `"yacht"`), []string{"body loans 0 loan_type enum"}},
		{"type a number", withLoan("loan_type", `1`), []string{"body loans 0 loan_type enum"}},
		{"date of other form", withLoan("start_date", `"15.11.2026"`), []string{"body loans 0 start_date date_parsing"}},
		{"30 February", withLoan("start_date", `"2026-02-30"`), []string{"body loans 0 start_date date_parsing"}},
		{"date a number", withLoan("start_date", `20261115`), []string{"body loans 0 start_date date_parsing"}},
		{"year 9999", withLoan("start_date", `"9999-01-01"`), []string{"body loans 0 start_date date_range"}},
		{"prepayment above 1", withLoan("prepayment_assumption", `1.5`), []string{"body loans 0 prepayment_assumption less_than_equal"}},
		{"rate type unknown", withLoan("rate_type", `"floating"`), []string{"body loans 0 rate_type enum"}},
		{"variable without a period", withLoan("rate_type", `"variable"`), []string{"body loans 0 rate_adjustment_period missing"}},
		{"variable, period null", withLoan("rate_type", `"variable"`, "rate_adjustment_period", "null"), []string{"body loans 0 rate_adjustment_period missing"}},
		{"variable, period 0", withLoan("rate_type", `"variable"`, "rate_adjustment_period", "0"), []string{"body loans 0 rate_adjustment_period greater_than_equal"}},
		{"floor above cap", withLoan("rate_type", `"variable"`, "rate_adjustment_period", "6", "rate_cap", "0.05", "rate_floor", "0.06"), []string{"body loans 0 rate_floor less_than_equal"}},
		{"floor and cap null", withLoan("rate_type", `"variable"`, "rate_adjustment_period", "6", "rate_cap", "null", "rate_floor", "null"), nil},
		{"cap of a fixed loan above 1", withLoan("rate_cap", "2"), []string{"body loans 0 rate_cap less_than_equal"}},

		{"0 iterations", body(t, "monte_carlo_iterations", `0`), []string{"body monte_carlo_iterations greater_than_equal"}},
		{"10 001 iterations", body(t, "monte_carlo_iterations", `10001`), []string{"body monte_carlo_iterations less_than_equal"}},
		{"confidence 0", body(t, "monte_carlo_confidence_interval", `0`), []string{"body monte_carlo_confidence_interval greater_than"}},
		{"confidence 1", body(t, "monte_carlo_confidence_interval", `1`), []string{"body monte_carlo_confidence_interval less_than"}},
		{"run_monte_carlo a number", body(t, "run_monte_carlo", `1`), []string{"body run_monte_carlo bool_type"}},
		{"seed null", body(t, "seed", `null`), nil},
		{"seed 0.5", body(t, "seed", `0.5`), []string{"body seed int_type"}},
		{"detailed_analysis a text", body(t, "detailed_analysis", `"yes"`), []string{"body detailed_analysis bool_type"}},
		{"sensitivities a list", body(t, "sensitivities", `[]`), []string{"body sensitivities object_type"}},
		{"sensitivities empty", body(t, "sensitivities", `{}`), nil},
		{"shifts a number", body(t, "sensitivities", `{"interest_rate":0.01}`), []string{"body sensitivities interest_rate list_type"}},
		{"shift of 101 %", body(t, "sensitivities", `{"prepayment":[0,1.01]}`), []string{"body sensitivities prepayment 1 less_than_equal"}},
		{"51 shifts", body(t, "sensitivities", `{"prepayment":[0`+strings.Repeat(",0", 50)+`]}`), []string{"body sensitivities prepayment too_long"}},
		{
			"everything at once",
			body(t, "discount_rate", "2", "forecast_months", "[]", "loans", "["+loanJSON+","+loan(t, "principal", "-5", "start_date", `""`)+"]"),
			[]string{
				"body discount_rate less_than_equal", "body forecast_months int_type",
				"body loans 1 principal greater_than", "body loans 1 start_date date_parsing",
			},
		},
	}
	for _, test := range tests {
		_, bad, err := decodeForecast([]byte(test.body))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := wrong(bad); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestBodyThatIsNoJSON(t *testing.T) {
	deep := func(n int) string {
		return body(t, "other", strings.Repeat("[", n)+strings.Repeat("]", n))
	}
	for _, good := range []string{deep(maxDepth - 1), body(t, "other", `"\ud83d\ude00 \\ud800"`)} {
		if _, bad, err := decodeForecast([]byte(good)); err != nil || len(bad) > 0 {
			t.Errorf("%.60s: %v, %v", good, err, bad)
		}
	}
	for text, want := range map[string]string{
		"":                                  "the body is empty",
		" \n\t":                             "the body is empty",
		"\xef\xbb\xbf{}":                    "the body is not JSON (at byte 0)",
		"{\"a\":\"\xff\"}":                  "the body is not valid UTF-8",
		"{":                                 "the JSON ends too early",
		`{"loans":[`:                        "the JSON ends too early",
		`{"loans":"x`:                       "the JSON ends too early",
		body(t)[:40]:                        "the JSON ends too early",
		body(t) + "}":                       "there is something after the JSON value",
		body(t) + body(t):                   "there is something after the JSON value",
		`{"a":1 "b":2}`:                     "the body is not JSON (at byte 7)",
		`{"a":NaN}`:                         "the body is not JSON (at byte 5)",
		`{"a":Infinity}`:                    "the body is not JSON (at byte 5)",
		`{"a":1,"b":2,"a":3}`:               "an object holds the same key twice",
		`{"a":{"x":1,"\u0078":2}}`:          "an object holds the same key twice",
		`{"a":"\ud800"}`:                    "a string holds half of a surrogate pair",
		`{"a":"\ud800\u0041"}`:              "a string holds half of a surrogate pair",
		`{"a":"\uDC00"}`:                    "a string holds half of a surrogate pair",
		deep(maxDepth):                      "the JSON is nested deeper than 64",
		strings.Repeat("[", 100_000):        "the JSON is nested deeper than 64",
		strings.Repeat(`{"a":`, 1000) + "1": "the JSON is nested deeper than 64",
	} {
		if _, _, err := decodeForecast([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
	for _, text := range []string{"<html>", "{'a':1}", "{1:2}", "[1,]", `{"a":1,}`, "[,1]", `{"a"}`, `{"a":}`, "tru", "01", "1.", "+1", "\"\x01\"", `"\x"`} {
		if _, _, err := decodeForecast([]byte(text)); err == nil {
			t.Errorf("%q was taken for JSON", text)
		}
	}
}

func TestForecastRequestIsReadWhole(t *testing.T) {
	text := `{"loans":[{"loan_type":"credit_line","principal":1.5e4,"interest_rate":0.1,"term_months":24,"start_date":"2026-10-31",
		"prepayment_assumption":0.02,"rate_type":"variable","rate_adjustment_period":6,"rate_cap":0.12,"rate_floor":0.08},` + loanJSON + `],
		"discount_rate":0.05,"forecast_months":60,"run_monte_carlo":true,"monte_carlo_iterations":100,
		"monte_carlo_confidence_interval":0.9,"seed":-7,"detailed_analysis":true,
		"sensitivities":{"interest_rate":[-0.01,0],"prepayment":[0.5]}}`
	got, bad, err := decodeForecast([]byte(text))
	if err != nil || len(bad) > 0 {
		t.Fatal(err, bad)
	}
	high, low, seed := 0.12, 0.08, int64(-7)
	want := forecastRequest{
		Loans: []loanRequest{
			{
				Type: "credit_line", Principal: 15000, Rate: 0.1, Term: 24, Start: time.Date(2026, 10, 31, 0, 0, 0, 0, time.UTC),
				CPR: 0.02, Period: 6, Cap: &high, Floor: &low,
			},
			{Type: "mortgage", Principal: 100000, Rate: 0.06, Term: 360, Start: time.Date(2026, 11, 15, 0, 0, 0, 0, time.UTC)},
		},
		DiscountRate: 0.05, Months: 60, Detailed: true,
		MonteCarlo:    &monteCarloRequest{Iterations: 100, Confidence: 0.9, Seed: &seed},
		Sensitivities: &sensitivityRequest{Rate: []float64{-0.01, 0}, CPR: []float64{0.5}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDefaults(t *testing.T) {
	got, bad, err := decodeForecast([]byte(body(t, "run_monte_carlo", "true")))
	if err != nil || len(bad) > 0 {
		t.Fatal(err, bad)
	}
	if want := (monteCarloRequest{Iterations: 1000, Confidence: 0.95}); *got.MonteCarlo != want {
		t.Errorf("Monte Carlo %+v, want %+v", *got.MonteCarlo, want)
	}
	if got.Detailed || got.Sensitivities != nil || got.Loans[0].CPR != 0 || got.Loans[0].Period != 0 {
		t.Errorf("%+v", got)
	}
}

// Requests that mean the same share their answer, others do not.
func TestKey(t *testing.T) {
	key := func(text string) string {
		t.Helper()
		request, bad, err := decodeForecast([]byte(text))
		if err != nil || len(bad) > 0 {
			t.Fatal(err, bad)
		}
		key, err := request.key()
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	base := key(body(t))
	for _, same := range []string{
		body(t, "discount_rate", "5.0e-2"), body(t, "other", "1"), body(t, "seed", "5"), body(t, "monte_carlo_iterations", "5"),
		body(t, "loans", "["+loan(t, "prepayment_assumption", "0", "rate_type", `"fixed"`, "rate_cap", "0.5")+"]"),
	} {
		if key(same) != base {
			t.Errorf("another key for %s", same)
		}
	}
	seen := map[string]string{base: body(t)}
	for _, other := range []string{
		body(t, "discount_rate", "0.051"), body(t, "forecast_months", "359"), body(t, "detailed_analysis", "true"),
		body(t, "run_monte_carlo", "true", "seed", "1"), body(t, "run_monte_carlo", "true", "seed", "2"),
		body(t, "run_monte_carlo", "true", "seed", "1", "monte_carlo_confidence_interval", "0.9"),
		body(t, "sensitivities", `{}`), body(t, "sensitivities", `{"prepayment":[0]}`), body(t, "sensitivities", `{"interest_rate":[0]}`),
		body(t, "loans", "["+loanJSON+","+loanJSON+"]"), body(t, "loans", "["+loan(t, "loan_type", `"auto_loan"`)+"]"),
		body(t, "loans", "["+loan(t, "start_date", `"2026-11-16"`)+"]"),
		body(t, "loans", "["+loan(t, "rate_type", `"variable"`, "rate_adjustment_period", "6")+"]"),
		body(t, "loans", "["+loan(t, "rate_type", `"variable"`, "rate_adjustment_period", "6", "rate_cap", "1")+"]"),
	} {
		got := key(other)
		if earlier, taken := seen[got]; taken {
			t.Errorf("the same key for\n%s\n%s", earlier, other)
		}
		seen[got] = other
	}
}

func TestScenarioRequest(t *testing.T) {
	scenario := func(name, description string) string {
		return fmt.Sprintf(`{"name":%s,"description":%s,"forecast_params":%s}`, name, description, body(t))
	}
	for _, test := range []struct {
		name, body string
		want       []string
	}{
		{"valid", scenario(`"n"`, `"d"`), nil},
		{"description null", scenario(`"n"`, `null`), nil},
		{"200 characters", scenario(`"`+strings.Repeat("ü", 200)+`"`, `""`), nil},
		{"201 characters", scenario(`"`+strings.Repeat("ü", 201)+`"`, `""`), []string{"body name string_too_long"}},
		{"no characters", scenario(`""`, `""`), []string{"body name string_too_short"}},
		{"NUL", scenario(`"a\u0000b"`, `"\u0000"`), []string{"body description string_nul", "body name string_nul"}},
		{"name a number", scenario(`1`, `2`), []string{"body description string_type", "body name string_type"}},
		{"long description", scenario(`"n"`, `"`+strings.Repeat("x", 2001)+`"`), []string{"body description string_too_long"}},
		{"nothing", `{}`, []string{"body forecast_params missing", "body name missing"}},
		{"bad params", `{"name":"n","forecast_params":{"loans":[{}],"discount_rate":0,"forecast_months":1}}`, []string{
			"body forecast_params loans 0 interest_rate missing", "body forecast_params loans 0 loan_type missing",
			"body forecast_params loans 0 principal missing", "body forecast_params loans 0 start_date missing",
			"body forecast_params loans 0 term_months missing",
		}},
	} {
		_, bad, err := decodeScenario([]byte(test.body))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if got := wrong(bad); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	params := "{ \"discount_rate\" : 5.00e-2,\n\"forecast_months\":12 , \"loans\":[" + loanJSON + "] , \"x\":\"\\u0041\" }"
	request, bad, err := decodeScenario([]byte(`{"name":"n" , "forecast_params" : ` + params + ` , "description":"d"}`))
	if err != nil || len(bad) > 0 || string(request.params) != params {
		t.Errorf("%v, %v, params %s", err, bad, request.params)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(body(f)))
	f.Add([]byte(body(f, "run_monte_carlo", "true", "seed", "1", "sensitivities", `{"interest_rate":[0.01]}`)))
	f.Add([]byte(`{"name":"a\ud83d\ude00","description":null,"forecast_params":` + body(f) + `}`))
	f.Add([]byte(`{"loans":[{"principal":1e400,"term_months":1.5}],"loans":[]}`))
	f.Add([]byte(`[[[["\ud800"]]]]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		request, bad, err := decodeForecast(data)
		switch {
		case err != nil:
			if len(bad) > 0 {
				t.Fatal("both an error and wrong fields")
			}
		case !json.Valid(data):
			t.Fatal("invalid JSON was read")
		case len(bad) > 0:
			checkFieldErrors(t, bad)
		default:
			checkValid(t, &request)
		}
		scenario, bad, err := decodeScenario(data)
		if err == nil && len(bad) == 0 {
			if _, wrong, err := decodeForecast(scenario.params); err != nil || len(wrong) > 0 || !bytes.Contains(data, scenario.params) {
				t.Fatalf("the parameters %q of a valid scenario: %v, %v", scenario.params, wrong, err)
			}
		}
	})
}

func checkFieldErrors(t *testing.T, bad []fieldError) {
	t.Helper()
	for _, one := range bad {
		if len(one.Loc) == 0 || one.Loc[0] != "body" || one.Msg == "" || one.Type == "" {
			t.Fatalf("field error %+v", one)
		}
	}
}

// checkValid computes small requests, since what is valid must have an answer.
func checkValid(t *testing.T, request *forecastRequest) {
	t.Helper()
	if _, err := request.key(); err != nil {
		t.Fatal(err)
	}
	if request.MonteCarlo != nil {
		request.MonteCarlo.Iterations = 1
	}
	result, err := compute(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(append([]byte("{"), result.rest...)) {
		t.Fatalf("the answer is not JSON: %s", result.rest)
	}
}
