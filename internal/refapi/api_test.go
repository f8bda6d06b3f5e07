package refapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const (
	forecastPath = base + "/cashflow/forecast"
	savePath     = base + "/cashflow/scenario/save"
	listPath     = base + "/cashflow/scenarios"
	scenarioPath = base + "/cashflow/scenario/"
	historyPath  = base + "/cashflow/history"
)

// What the contract says a forecast answers; written apart from the writer.
type (
	wirePeriod struct {
		Period     int     `json:"period"`
		Date       string  `json:"date"`
		Interest   float64 `json:"interest"`
		Scheduled  float64 `json:"scheduled_principal"`
		Prepayment float64 `json:"prepayment"`
		Total      float64 `json:"total"`
		Balance    float64 `json:"balance"`
	}
	wireLoan struct {
		LoanType       string       `json:"loan_type"`
		Principal      float64      `json:"principal"`
		TotalPrincipal float64      `json:"total_principal"`
		TotalInterest  float64      `json:"total_interest"`
		FinalBalance   float64      `json:"final_balance"`
		TermMonths     int          `json:"term_months"`
		Periods        []wirePeriod `json:"periods"`
	}
	wireShift struct {
		Shift float64 `json:"shift"`
		NPV   float64 `json:"npv"`
	}
	wireForecast struct {
		ID      uuid.UUID    `json:"id"`
		Cached  bool         `json:"cached"`
		Periods []wirePeriod `json:"periods"`
		Loans   []wireLoan   `json:"loans"`
		Summary struct {
			NPV              float64  `json:"npv"`
			IRR              *float64 `json:"irr"`
			Duration         float64  `json:"duration"`
			ModifiedDuration float64  `json:"modified_duration"`
			Convexity        float64  `json:"convexity"`
			AverageLife      float64  `json:"weighted_average_life"`
			TotalPrincipal   float64  `json:"total_principal"`
			TotalInterest    float64  `json:"total_interest"`
			TotalCashFlow    float64  `json:"total_cash_flow"`
		} `json:"summary"`
		MonteCarlo *struct {
			Iterations int     `json:"iterations"`
			Confidence float64 `json:"confidence_interval"`
			Seed       int64   `json:"seed"`
			Mean       float64 `json:"mean"`
			StdDev     float64 `json:"std_dev"`
			P5         float64 `json:"p5"`
			Median     float64 `json:"median"`
			P95        float64 `json:"p95"`
			Lower      float64 `json:"ci_lower"`
			Upper      float64 `json:"ci_upper"`
		} `json:"monte_carlo"`
		Sensitivity *struct {
			Base float64     `json:"base_npv"`
			Rate []wireShift `json:"interest_rate"`
			CPR  []wireShift `json:"prepayment"`
		} `json:"sensitivity"`
	}
)

func (c *client) forecast(text string) (f wireForecast) {
	c.t.Helper()
	c.post(forecastPath, text).is(http.StatusOK).into(&f)
	return f
}

func near(t testing.TB, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %.10g, want %.10g within %g", what, got, want, tolerance)
	}
}

// The textbook mortgage: 100 000 over 30 years at 6 %, 599.55 a month.
func TestForecast(t *testing.T) {
	c := serve(t, nil)
	reply := c.post(forecastPath, body(t)).is(http.StatusOK)
	if bytes.Contains(reply.body, []byte("monte_carlo")) || bytes.Contains(reply.body, []byte("sensitivity")) {
		t.Error("members that were not asked for are there")
	}
	var f wireForecast
	reply.into(&f)
	if len(f.Periods) != 360 || len(f.Loans) != 1 || f.Loans[0].Periods != nil {
		t.Fatalf("%d periods, loans %+v", len(f.Periods), f.Loans)
	}
	first, last := f.Periods[0], f.Periods[359]
	if first.Period != 1 || first.Date != "2026-12-15" || last.Period != 360 || last.Date != "2056-11-15" {
		t.Errorf("first %+v, last %+v", first, last)
	}
	near(t, "payment", first.Total, 599.550525, 1e-6)
	near(t, "interest", first.Interest, 500, 1e-6)
	near(t, "balance after 10 years", f.Periods[119].Balance, 83_685.724964, 1e-6)
	near(t, "last balance", last.Balance, 0, 0)
	near(t, "total interest", f.Summary.TotalInterest, 115_838.189055, 1e-6)
	near(t, "total principal", f.Summary.TotalPrincipal, 100_000, 1e-6)
	near(t, "IRR", *f.Summary.IRR, 0.06, 1e-10)
	near(t, "NPV at 5 %", f.Summary.NPV, 599.5505251527524*(1-math.Pow(1+0.05/12, -360))/(0.05/12)-100_000, 1e-5)
	loan := f.Loans[0]
	if loan.LoanType != "mortgage" || loan.Principal != 100_000 || loan.TermMonths != 360 {
		t.Errorf("loan %+v", loan)
	}
	near(t, "loan's principal", loan.TotalPrincipal, 100_000, 1e-6)
}

func TestDetailedForecastOfTwoLoans(t *testing.T) {
	c := serve(t, nil)
	short := loan(t, "loan_type", `"credit_line"`, "principal", "1200", "interest_rate", "0", "term_months", "12", "start_date", `"2026-08-31"`)
	f := c.forecast(body(t, "loans", "["+loanJSON+","+short+"]", "forecast_months", "24", "detailed_analysis", "true"))
	if len(f.Periods) != 24 || len(f.Loans[0].Periods) != 24 || len(f.Loans[1].Periods) != 12 {
		t.Fatalf("%d, %d, %d periods", len(f.Periods), len(f.Loans[0].Periods), len(f.Loans[1].Periods))
	}
	near(t, "payment of both", f.Periods[11].Total, 699.550525, 2e-6)
	near(t, "payment of one", f.Periods[12].Total, 599.550525, 2e-6)
	// The portfolio's months count from the earliest start, a loan's from its own.
	if f.Periods[0].Date != "2026-09-30" || f.Loans[1].Periods[0].Date != "2026-09-30" || f.Loans[0].Periods[0].Date != "2026-12-15" {
		t.Errorf("dates %s, %s, %s", f.Periods[0].Date, f.Loans[1].Periods[0].Date, f.Loans[0].Periods[0].Date)
	}
	near(t, "final balance of the long loan", f.Loans[0].FinalBalance, f.Loans[0].Periods[23].Balance, 0)
	near(t, "final balance of the short loan", f.Loans[1].FinalBalance, 0, 0)
	for k, period := range f.Periods {
		sum := f.Loans[0].Periods[k].Total
		if k < 12 {
			sum += f.Loans[1].Periods[k].Total
		}
		near(t, "sum of the loans", period.Total, sum, 2e-6)
		near(t, "sum of the parts", period.Total, period.Interest+period.Scheduled+period.Prepayment, 2e-6)
	}
}

func TestMonteCarlo(t *testing.T) {
	c := serve(t, nil)
	variable := loan(t, "rate_type", `"variable"`, "rate_adjustment_period", "6", "rate_cap", "0.09", "rate_floor", "0.04")
	request := func(seed string) string {
		return body(t, "loans", "["+variable+","+loan(t, "prepayment_assumption", "0.03")+"]", "run_monte_carlo", "true",
			"monte_carlo_iterations", "100", "monte_carlo_confidence_interval", "0.9", "seed", seed)
	}
	unique := fmt.Sprint(time.Now().UnixNano())
	first := c.forecast(request(unique))
	m := *first.MonteCarlo
	if m.Iterations != 100 || m.Confidence != 0.9 || fmt.Sprint(m.Seed) != unique {
		t.Errorf("not echoed: %+v", m)
	}
	if !(m.P5 < m.Median && m.Median < m.P95 && m.StdDev > 0) || m.Lower != m.P5 || m.Upper != m.P95 {
		t.Errorf("distribution %+v", m)
	}
	near(t, "mean", m.Mean, first.Summary.NPV, 4*m.StdDev/math.Sqrt(100)+0.2*m.StdDev)
	second := c.forecast(request(unique))
	if first.Cached || !second.Cached || *second.MonteCarlo != m || second.ID == first.ID {
		t.Errorf("cached %v then %v, %+v", first.Cached, second.Cached, *second.MonteCarlo)
	}
	// A server without a cache computes the same.
	if third := serve(t, func(c *Config) { c.RedisURL = noSecret() }).forecast(request(unique)); third.Cached || *third.MonteCarlo != m {
		t.Errorf("computed anew: %+v, want %+v", *third.MonteCarlo, m)
	}
	drawn, again := c.forecast(request("null")), c.forecast(request("null"))
	if drawn.Cached || again.Cached || drawn.MonteCarlo.Seed == again.MonteCarlo.Seed {
		t.Errorf("without a seed: %+v, %+v", *drawn.MonteCarlo, *again.MonteCarlo)
	}
	echoed := c.forecast(request(fmt.Sprint(drawn.MonteCarlo.Seed)))
	if *echoed.MonteCarlo != *drawn.MonteCarlo {
		t.Errorf("with the drawn seed %+v, want %+v", *echoed.MonteCarlo, *drawn.MonteCarlo)
	}
}

func TestSensitivity(t *testing.T) {
	c := serve(t, nil)
	f := c.forecast(body(t, "loans", "["+loan(t, "prepayment_assumption", "0.02")+"]",
		"sensitivities", `{"interest_rate":[-0.02,-0.01,0,0.01,0.02],"prepayment":[-0.01,0,0.01]}`))
	s := f.Sensitivity
	if s.Base != f.Summary.NPV || s.Rate[2] != (wireShift{0, s.Base}) || s.CPR[1] != (wireShift{0, s.Base}) {
		t.Errorf("base %v, NPV %v, zero shifts %+v %+v", s.Base, f.Summary.NPV, s.Rate[2], s.CPR[1])
	}
	if !slices.IsSortedFunc(s.Rate, func(a, b wireShift) int { return int(math.Copysign(1, a.NPV-b.NPV)) }) {
		t.Errorf("NPV does not rise with the rate: %+v", s.Rate)
	}
	// Above the discount rate the lender loses by prepayment.
	if !(s.CPR[0].NPV > s.CPR[1].NPV && s.CPR[1].NPV > s.CPR[2].NPV) {
		t.Errorf("NPV does not fall with prepayment: %+v", s.CPR)
	}
	empty := c.forecast(body(t, "sensitivities", `{}`))
	if empty.Sensitivity == nil || empty.Sensitivity.Rate == nil || len(empty.Sensitivity.Rate) != 0 {
		t.Errorf("no shifts: %+v", empty.Sensitivity)
	}
}

func TestCache(t *testing.T) {
	c := serve(t, func(c *Config) { c.CacheTTL = 45 * time.Second })
	text := body(t, "discount_rate", fmt.Sprintf("0.0%d", time.Now().UnixNano()))
	first := c.forecast(text)
	second := c.another().forecast(text)
	if first.Cached || !second.Cached || first.Summary.NPV != second.Summary.NPV || !slices.Equal(first.Periods, second.Periods) {
		t.Errorf("cached %v then %v, NPV %v then %v", first.Cached, second.Cached, first.Summary.NPV, second.Summary.NPV)
	}
	request, _, err := decodeForecast([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	key, err := request.key()
	if err != nil {
		t.Fatal(err)
	}
	ttl, err := c.api.cache.client.TTL(t.Context(), key).Result()
	if err != nil || ttl <= 30*time.Second || ttl > 45*time.Second {
		t.Errorf("time to live %v, %v", ttl, err)
	}
	// Whatever stands in Redis, a wrong answer is never served.
	for _, garbage := range []string{"", "1", "x y\n\"a\"}", "1 x\n\"a\"}", "1 -\n\"periods"} {
		if err := c.api.cache.client.Set(t.Context(), key, garbage, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		if again := c.forecast(text); again.Cached || again.Summary.NPV != first.Summary.NPV {
			t.Errorf("with %q in the cache: %+v", garbage, again.Summary)
		}
	}
}

func TestAuthentication(t *testing.T) {
	c := serve(t, func(c *Config) { c.Audience = "cashflow" })
	good := func(claims jwt.MapClaims) { claims["aud"] = "cashflow" }
	with := func(change func(jwt.MapClaims)) string {
		return "Bearer " + c.token(func(claims jwt.MapClaims) { good(claims); change(claims) })
	}
	sign := func(method jwt.SigningMethod, key any) string { return "Bearer " + mint(t, method, key, c.user, good) }
	tests := map[string]struct {
		authorization string
		status        int
	}{
		"good":                 {with(func(jwt.MapClaims) {}), 200},
		"scheme in small":      {strings.Replace(with(func(jwt.MapClaims) {}), "Bearer", "bearer", 1), 200},
		"one of the audiences": {with(func(c jwt.MapClaims) { c["aud"] = []string{"x", "cashflow"} }), 200},
		"none":                 {"", 401},
		"no token":             {"Bearer ", 401},
		"malformed":            {"Bearer abc", 401},
		"other scheme":         {"Basic " + base64.StdEncoding.EncodeToString([]byte("a:b")), 401},
		"another key":          {sign(jwt.SigningMethodHS256, []byte("another key")), 401},
		"another algorithm":    {sign(jwt.SigningMethodHS512, []byte(testKey)), 401},
		"algorithm none":       {sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType), 401},
		"expired":              {with(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() }), 401},
		"without exp":          {with(func(c jwt.MapClaims) { delete(c, "exp") }), 401},
		"without sub":          {with(func(c jwt.MapClaims) { delete(c, "sub") }), 401},
		"empty sub":            {with(func(c jwt.MapClaims) { c["sub"] = "" }), 401},
		"sub with NUL":         {with(func(c jwt.MapClaims) { c["sub"] = "a\x00b" }), 401},
		"long sub":             {with(func(c jwt.MapClaims) { c["sub"] = strings.Repeat("x", 201) }), 401},
		"not yet valid":        {with(func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Minute).Unix() }), 401},
		"another audience":     {with(func(c jwt.MapClaims) { c["aud"] = "other" }), 401},
		"no audience":          {"Bearer " + c.token(nil), 401},
	}
	for name, test := range tests {
		answered := c.do(c.request(http.MethodGet, listPath, "", func(r *http.Request) {
			r.Header.Set("Authorization", test.authorization)
		}))
		if answered.status != test.status {
			t.Errorf("%s: status %d, want %d: %s", name, answered.status, test.status, answered.body)
			continue
		}
		answered.is(test.status)
		if challenge := answered.header.Get("WWW-Authenticate"); (challenge == "Bearer") != (test.status == 401) {
			t.Errorf("%s: WWW-Authenticate %q", name, challenge)
		}
	}
	named := func(user string) int {
		return c.do(c.request(http.MethodGet, listPath, "", func(r *http.Request) {
			r.Header.Set("Authorization", with(func(jwt.MapClaims) {}))
			r.Header.Set("X-User-ID", user)
		})).status
	}
	if own, other := named(c.user), named("someone"); own != 200 || other != 403 {
		t.Errorf("X-User-ID: own %d, someone else's %d", own, other)
	}
}

func TestEveryOperationNeedsAToken(t *testing.T) {
	c := serve(t, nil)
	for _, e := range c.api.endpoints() {
		answered := c.do(c.request(e.method, e.path, "", func(r *http.Request) { r.Header.Del("Authorization") }))
		if want := map[bool]int{true: 200, false: 401}[e.open]; answered.status != want {
			t.Errorf("%s %s: status %d, want %d", e.method, e.path, answered.status, want)
		}
	}
}

func TestRequestID(t *testing.T) {
	c := serve(t, nil)
	id := func(sent string) string {
		return c.do(c.request(http.MethodGet, "/health", "", func(r *http.Request) { r.Header.Set("X-Request-ID", sent) })).header.Get("X-Request-ID")
	}
	if got := id("abc-123"); got != "abc-123" {
		t.Errorf("echoed %q", got)
	}
	for _, bad := range []string{"", strings.Repeat("x", 129), "a b"} {
		if _, err := uuid.Parse(id(bad)); err != nil {
			t.Errorf("for %q: %v", bad, err)
		}
	}
}

func TestHealth(t *testing.T) {
	c := serve(t, nil)
	healthy := func(c *client) string {
		return string(c.do(c.request(http.MethodGet, "/health", "", nil)).is(200).body)
	}
	eventually(t, "all dependencies up", func() bool {
		return healthy(c) == `{"dependencies":{"postgres":"up","redis":"up"},"status":"ok","version":"v-test"}`
	})
	bare := serve(t, func(c *Config) { c.RedisURL = noSecret(); c.Version = "" })
	if got := healthy(bare); got != `{"dependencies":{"postgres":"up","redis":"off"},"status":"ok","version":"dev"}` {
		t.Errorf("without Redis: %s", got)
	}
}

func TestRoutes(t *testing.T) {
	c := serve(t, nil)
	for _, test := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/", 404, ""},
		{"GET", "/api/v1", 404, ""},
		{"GET", "/api/v1/cashflow/nothing", 404, ""},
		{"GET", "//health", 404, ""},
		{"GET", "/health/", 404, ""},
		{"GET", "/health/../health", 404, ""},
		{"GET", "/{id}", 404, ""},
		{"GET", "/api/v1/cashflow/scenario/", 404, ""},
		{"GET", "/api/v2/cashflow/scenarios", 404, ""},
		{"DELETE", forecastPath, 405, "POST"},
		{"GET", forecastPath, 405, "POST"},
		{"GET", savePath, 405, "POST"},
		{"BREW", savePath, 405, "POST"},
		{"POST", listPath, 405, "GET, HEAD"},
		{"PATCH", scenarioPath + uuid.NewString(), 405, "GET, HEAD"},
		{"PUT", historyPath, 405, "GET, HEAD"},
		{"POST", "/health", 405, "GET, HEAD"},
		{"POST", "/metrics", 405, "GET, HEAD"},
	} {
		answered := c.do(c.request(test.method, test.path, "", nil))
		if answered.status != test.status || answered.header.Get("Allow") != test.allow {
			t.Errorf("%s %s: %d, Allow %q", test.method, test.path, answered.status, answered.header.Get("Allow"))
			continue
		}
		answered.is(test.status)
	}
	if head := c.do(c.request("HEAD", "/health", "", nil)); head.status != 200 || len(head.body) != 0 {
		t.Errorf("HEAD: %d %q", head.status, head.body)
	}
}

// Refused input must leave the connection usable, whether its body was read or not.
func TestRefusedBodies(t *testing.T) {
	c := serve(t, nil)
	big := `{"x":"` + strings.Repeat("x", maxBody) + `"}`
	kind := func(contentType string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Content-Type", contentType) }
	}
	chunked := func(r *http.Request) { r.ContentLength = -1 }
	for _, test := range []struct {
		name, body string
		change     func(*http.Request)
		status     int
		closed     bool
	}{
		{name: "empty", body: "", status: 400},
		{name: "malformed", body: "{", status: 400},
		{name: "nested 1 000 deep", body: strings.Repeat("[", 1000) + strings.Repeat("]", 1000), status: 400},
		{name: "wrong fields", body: "{}", status: 422},
		{name: "HTML", body: "<p>", change: kind("text/html"), status: 415},
		{name: "no content type", body: body(t), change: kind(""), status: 415},
		{name: "other charset", body: body(t), change: kind("application/json; charset=latin1"), status: 415},
		{name: "charset", body: body(t), change: kind(`application/json; charset="UTF-8"`), status: 200},
		{name: "largest", body: body(t) + strings.Repeat(" ", maxBody-len(body(t))), status: 200},
		{name: "one byte too much", body: body(t) + strings.Repeat(" ", maxBody-len(body(t))+1), status: 413},
		{name: "over 1 MiB", body: big, status: 413},
		{name: "over 1 MiB in chunks", body: big + big, change: chunked, status: 413},
		{name: "large without a token", body: big, change: func(r *http.Request) { r.Header.Del("Authorization") }, status: 401},
		{name: "large of another type", body: big, change: kind("text/plain"), status: 415},
		{name: "over the bound", body: strings.Repeat("x", maxDrained+maxBody+10), status: 413, closed: true},
		{name: "over the bound in chunks", body: strings.Repeat("x", 2*maxDrained), change: chunked, status: 413, closed: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			answered := c.do(c.request("POST", forecastPath, test.body, test.change))
			answered.is(test.status)
			if test.closed {
				if !answered.closed {
					t.Error("the end of the connection is not announced")
				}
				return
			}
			reused := false
			trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
			next := c.request("GET", "/health", "", nil)
			c.do(next.WithContext(httptrace.WithClientTrace(next.Context(), trace))).is(200)
			if !reused {
				t.Error("the connection was not usable any more")
			}
		})
	}
}

func TestErrorsNameTheField(t *testing.T) {
	c := serve(t, nil)
	got := c.post(forecastPath, body(t, "loans", "["+loan(t, "principal", "-1", "loan_type", `"'; DROP TABLE x; <script>"`)+"]")).is(422)
	want := `{"detail":[{"loc":["body","loans",0,"principal"],"msg":"Input should be greater than 0","type":"greater_than"},` +
		`{"loc":["body","loans",0,"loan_type"],"msg":"Input should be one of: mortgage, auto_loan, personal_loan, business_loan, credit_line","type":"enum"}]}`
	if string(got.body) != want {
		t.Errorf("got  %s\nwant %s", got.body, want)
	}
	if got := c.post(forecastPath, "{").is(400); string(got.body) != `{"detail":"the JSON ends too early"}` {
		t.Errorf("%s", got.body)
	}
}

type wireScenario struct {
	ID          uuid.UUID       `json:"id"`
	UserID      string          `json:"user_id"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Params      json.RawMessage `json:"forecast_params"`
	CreatedAt   time.Time       `json:"created_at"`
}

func (c *client) save(name, description, params string) (s wireScenario) {
	c.t.Helper()
	encoded, err := json.Marshal(map[string]string{"name": name, "description": description})
	if err != nil {
		c.t.Fatal(err)
	}
	text := string(encoded[:len(encoded)-1]) + `,"forecast_params":` + params + "}"
	c.post(savePath, text).is(http.StatusCreated).into(&s)
	return s
}

func TestScenarioIsReadBackUnchanged(t *testing.T) {
	c := serve(t, nil)
	for _, test := range []struct{ name, description, params string }{
		{"plain", "", body(t)},
		{`'; DROP TABLE cashflow_scenarios; --`, `<script>alert("x")</script> & {{7*7}} %s ${HOME}`, body(t)},
		{"ünïcödé 😀 \u2028 \u202e", "line\nbreak\ttab \"quotes\" \\ back", body(t)},
		{"formats", "", "{ \"discount_rate\" : 5.00e-2,\n\t\"forecast_months\":12.0 , \"loans\":[" + loanJSON + "] , \"note\":\"\\u0000\\u0041<\" , \"big\":1e999 }"},
	} {
		before := time.Now().Add(-time.Minute)
		saved := c.save(test.name, test.description, test.params)
		if saved.Name != test.name || saved.Description != test.description || saved.UserID != c.user || saved.CreatedAt.Before(before) {
			t.Errorf("saved %+v", saved)
		}
		var found wireScenario
		answered := c.get(scenarioPath + saved.ID.String()).is(200)
		answered.into(&found)
		if string(found.Params) != test.params {
			t.Errorf("%s: parameters %s, want %s", test.name, found.Params, test.params)
		}
		if found.Params = nil; found.Name != saved.Name || found.Description != saved.Description || !found.CreatedAt.Equal(saved.CreatedAt) || found.ID != saved.ID {
			t.Errorf("found %+v, saved %+v", found, saved)
		}
	}
}

func TestScenariosBelongToTheirUser(t *testing.T) {
	c := serve(t, nil)
	other := c.another()
	if got := c.get(listPath).is(200); string(got.body) != "[]" {
		t.Errorf("a new user's scenarios: %s", got.body)
	}
	var saved []uuid.UUID
	for i := range 5 {
		saved = append(saved, c.save(fmt.Sprint("scenario ", i), "", body(t)).ID)
	}
	foreign := other.save("foreign", "", body(t))
	list := func(c *client, query string) (ids []uuid.UUID) {
		var scenarios []wireScenario
		c.get(listPath + query).is(200).into(&scenarios)
		for _, one := range scenarios {
			if one.UserID != c.user || one.Params != nil {
				t.Errorf("listed %+v", one)
			}
			ids = append(ids, one.ID)
		}
		return ids
	}
	slices.Reverse(saved)
	if got := list(c, ""); !slices.Equal(got, saved) {
		t.Errorf("listed %v, want %v", got, saved)
	}
	if got := list(c, "?limit=2"); !slices.Equal(got, saved[:2]) {
		t.Errorf("two listed: %v", got)
	}
	if got := list(other, ""); !slices.Equal(got, []uuid.UUID{foreign.ID}) {
		t.Errorf("the other's: %v", got)
	}
	for _, id := range []string{foreign.ID.String(), uuid.NewString()} {
		if got := c.get(scenarioPath + id).is(404); string(got.body) != `{"detail":"no such scenario"}` {
			t.Errorf("%s", got.body)
		}
	}
	c.get(scenarioPath + strings.ToUpper(saved[0].String())).is(200)
	for _, id := range []string{"x", "1", saved[0].String() + "0", "{" + saved[0].String() + "}", strings.ReplaceAll(saved[0].String(), "-", ""), "%27%20OR%201=1", "%00"} {
		got := c.get(scenarioPath + id).is(422)
		if !strings.HasPrefix(string(got.body), `{"detail":[{"loc":["path","id"],`) {
			t.Errorf("%s: %s", id, got.body)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=1001", "?limit=x", "?limit=", "?limit=99999999999999999999", "?limit=%zz"} {
		c.get(listPath + query).is(422)
	}
}

func TestHistory(t *testing.T) {
	c := serve(t, nil)
	if got := c.get(historyPath).is(200); string(got.body) != "[]" {
		t.Errorf("a new user's history: %s", got.body)
	}
	first := c.forecast(body(t, "forecast_months", "12"))
	second := c.forecast(body(t, "run_monte_carlo", "true", "monte_carlo_iterations", "2", "loans", "["+loanJSON+","+loanJSON+"]"))
	third := c.forecast(body(t, "forecast_months", "12"))
	c.another().forecast(body(t))
	c.post(forecastPath, "{}").is(422)
	var rows []historyRow
	list := func(query string) []uuid.UUID {
		t.Helper()
		rows = nil
		c.get(historyPath + query).is(200).into(&rows)
		ids := []uuid.UUID{}
		for _, row := range rows {
			ids = append(ids, row.ID)
		}
		return ids
	}
	all := []uuid.UUID{third.ID, second.ID, first.ID}
	if got := list(""); !slices.Equal(got, all) {
		t.Fatalf("history %v, want %v", got, all)
	}
	row := rows[1]
	if row.UserID != c.user || row.NPV != second.Summary.NPV || *row.IRR != *second.Summary.IRR || row.Loans != 2 ||
		row.ForecastMonths != 360 || !row.MonteCarlo || row.Cached || time.Since(row.CreatedAt) > time.Minute {
		t.Errorf("row %+v, forecast %+v", row, second.Summary)
	}
	if row := rows[0]; !row.Cached || row.MonteCarlo || row.Loans != 1 || row.ForecastMonths != 12 || row.NPV != first.Summary.NPV {
		t.Errorf("row of a cached forecast %+v", row)
	}
	if got := list("?limit=1"); !slices.Equal(got, all[:1]) {
		t.Errorf("newest %v", got)
	}
	age := func(id uuid.UUID, to string) {
		t.Helper()
		if _, err := c.api.store.pool.Exec(t.Context(), `UPDATE public.cashflow_history SET created_at = $2::timestamptz WHERE id = $1`, id, to); err != nil {
			t.Fatal(err)
		}
	}
	age(first.ID, "2026-03-01T23:59:59.999999Z")
	age(second.ID, "2026-03-02T00:00:00Z")
	for query, want := range map[string][]uuid.UUID{
		"?start_date=2026-03-01": all, "?start_date=2026-03-02": all[:2], "?start_date=2026-03-03": all[:1], "?start_date=2199-01-01": {},
	} {
		if got := list(query); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	for _, query := range []string{"?start_date=2026-02-30", "?start_date=x", "?start_date=", "?start_date=2026-03-01T00:00:00Z"} {
		if got := c.get(historyPath + query).is(422); !strings.Contains(string(got.body), `"loc":["query","start_date"]`) {
			t.Errorf("%s: %s", query, got.body)
		}
	}
}

// What the client hangs up on is neither a fault of Postgres nor of the server.
func TestClientThatLeaves(t *testing.T) {
	c := serve(t, func(c *Config) { c.Faults = faultsOn("slow_endpoint", `{"factor":1,"add":"1m"}`) })
	ctx, cancel := context.WithCancel(t.Context())
	request := c.request("POST", forecastPath, body(t), nil).WithContext(ctx)
	failed := make(chan error, 1)
	go func() {
		answered, err := c.http.Do(request)
		if err == nil {
			_, _ = io.Copy(io.Discard, answered.Body)
			err = answered.Body.Close()
		}
		failed <- err
	}()
	eventually(t, "in flight", func() bool { return c.metric("http_requests_in_flight") == 1 })
	cancel()
	if err := <-failed; err == nil {
		t.Error("there was an answer")
	}
	eventually(t, "counted as gone", func() bool {
		return c.metric(`http_requests_total{code="499",method="POST",route="/api/v1/cashflow/forecast"}`) == 1
	})
}
