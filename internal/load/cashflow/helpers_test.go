package cashflow

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"soakd/internal/load"
)

// testDay is the day of all tests that do not need another.
func testDay() time.Time { return time.Date(2026, 3, 1, 15, 4, 5, 0, time.UTC) }

// bench is a workload with its cases by name.
type bench struct {
	*load.Workload
	cases map[string]*load.Case
}

func newBench(t testing.TB, cfg Config) *bench {
	t.Helper()
	if cfg.Users == 0 {
		cfg.Users = 10
	}
	if cfg.Today == nil {
		cfg.Today = testDay
	}
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Workload: w, cases: make(map[string]*load.Case)}
	for _, c := range w.Cases {
		b.cases[c.Name] = c
	}
	return b
}

// all has every case there is.
func newFullBench(t testing.TB) *bench { return newBench(t, Config{CanMint: true, Seed: 7}) }

func testUser(i int) load.User { return load.User{Index: i, ID: fmt.Sprintf("vu-%04d", i+1)} }

// drawOf is what the engine draws from for one arrival.
func drawOf(user int, arrival uint64) load.Draw {
	return load.Draw{User: testUser(user), Rand: rand.New(rand.NewPCG(1, arrival))}
}

func (b *bench) build(t testing.TB, name string, d load.Draw) *load.Request {
	t.Helper()
	r, err := b.cases[name].Build(d)
	if err != nil {
		t.Fatalf("build %s: %v", name, err)
	}
	return r
}

// verify returns the names of the checks that an answer fails, and the messages.
func (b *bench) verify(name string, x *load.Exchange) (failed []string, messages string) {
	var lines []string
	c := b.cases[name]
	if c.Verify == nil {
		return nil, ""
	}
	c.Verify(x, func(check string, err error) {
		failed = append(failed, check)
		lines = append(lines, check+": "+err.Error())
		if !slices.Contains(c.Checks, check) {
			lines = append(lines, "NOT IN Checks: "+check)
		}
	})
	return failed, strings.Join(lines, "; ")
}

// expect requires an answer to fail exactly the checks named.
func (b *bench) expect(t testing.TB, what, name string, x *load.Exchange, want ...string) {
	t.Helper()
	failed, messages := b.verify(name, x)
	if !slices.Equal(failed, want) {
		t.Errorf("%s: failed %v, want %v: %s", what, failed, want, messages)
	}
	if strings.Contains(messages, "NOT IN Checks") {
		t.Errorf("%s: %s", what, messages)
	}
}

// answered is an exchange that took 100 ms and began so long after the test's day.
func answered(user int, r *load.Request, status int, body []byte, after time.Duration) *load.Exchange {
	sent := testDay().Add(after)
	return &load.Exchange{
		User: testUser(user), Request: r, Sent: sent, Received: sent.Add(100 * time.Millisecond),
		Response: &load.Response{
			Status: status, Body: body,
			Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}},
		},
	}
}

func toJSON(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// object is JSON in a form in which single fields can be altered.
type object = map[string]any

// reread turns an answer into plain objects and lists, a deep copy.
func reread(t testing.TB, v any) object {
	t.Helper()
	var o object
	if err := json.Unmarshal(toJSON(t, v), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// at walks into nested objects and lists: a string is a field, an int an entry
// (negative ones count from the end).
func at(v any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			v = v.(object)[step]
		case int:
			list := v.([]any)
			v = list[(step+len(list))%len(list)]
		}
	}
	return v
}

// add adds to a number of a nested object.
func add(o object, by float64, path ...any) {
	parent := at(o, path[:len(path)-1]...).(object)
	name := path[len(path)-1].(string)
	parent[name] = parent[name].(float64) + by
}

// put sets a field of a nested object; nil removes it.
func put(o object, value any, path ...any) {
	parent := at(o, path[:len(path)-1]...).(object)
	name := path[len(path)-1].(string)
	if value == nil {
		delete(parent, name)
		return
	}
	parent[name] = value
}

// The model: a small second implementation of the contract's arithmetic, for
// right answers. It reads the request as it was sent.

type modelRequest struct {
	Loans []struct {
		Kind       string  `json:"loan_type"`
		Principal  float64 `json:"principal"`
		Rate       float64 `json:"interest_rate"`
		Term       int     `json:"term_months"`
		Prepayment float64 `json:"prepayment_assumption"`
		Cap        float64 `json:"rate_cap"`
		Floor      float64 `json:"rate_floor"`
		Adjust     int     `json:"rate_adjustment_period"`
	} `json:"loans"`
	Discount      float64 `json:"discount_rate"`
	Months        int     `json:"forecast_months"`
	MonteCarlo    bool    `json:"run_monte_carlo"`
	Iterations    int     `json:"monte_carlo_iterations"`
	Seed          int64   `json:"seed"`
	Detailed      bool    `json:"detailed_analysis"`
	Sensitivities *struct {
		Rate       []float64 `json:"interest_rate"`
		Prepayment []float64 `json:"prepayment"`
	} `json:"sensitivities"`
}

type modelPeriod struct{ interest, scheduled, prepaid, balance float64 }

func (p modelPeriod) total() float64 { return p.interest + p.scheduled + p.prepaid }

// schedule is the life of one loan up to the horizon, with shifted rates.
func (r *modelRequest) schedule(i int, rateShift, prepaymentShift float64) []modelPeriod {
	l := r.Loans[i]
	yearly := max(l.Rate+rateShift, 0)
	smm := 1 - math.Pow(1-min(max(l.Prepayment+prepaymentShift, 0), 1), 1.0/12)
	balance := l.Principal
	var periods []modelPeriod
	for k := 0; k < l.Term && k < r.Months; k++ {
		if l.Adjust > 0 && k == l.Adjust {
			yearly = min(max(yearly, l.Floor), l.Cap)
		}
		monthly, left := yearly/12, float64(l.Term-k)
		payment := balance / left
		if monthly > 0 {
			payment = balance * monthly / (1 - math.Pow(1+monthly, -left))
		}
		p := modelPeriod{interest: balance * monthly}
		p.scheduled = payment - p.interest
		if k == l.Term-1 {
			p.scheduled = balance
		}
		p.prepaid = (balance - p.scheduled) * smm
		balance -= p.scheduled + p.prepaid
		p.balance = max(balance, 0)
		periods = append(periods, p)
	}
	return periods
}

func (r *modelRequest) npv(rateShift, prepaymentShift float64) float64 {
	var npv float64
	for i := range r.Loans {
		npv -= r.Loans[i].Principal
		for k, p := range r.schedule(i, rateShift, prepaymentShift) {
			npv += p.total() * math.Pow(1+r.Discount/12, -float64(k+1))
		}
	}
	return npv
}

// toCents rounds as a target does that answers in cents.
func toCents(x float64) float64 { return math.Round(x*100) / 100 }

func periodObject(k int, p modelPeriod) object {
	return object{
		"period": k + 1, "date": "2026-04-01", "interest": toCents(p.interest), "scheduled_principal": toCents(p.scheduled),
		"prepayment": toCents(p.prepaid), "total": toCents(p.total()), "balance": toCents(p.balance), "later_addition": object{"a": []any{"}"}},
	}
}

// answerForecast is a right answer to a forecast request.
func answerForecast(t testing.TB, body []byte, id string) object {
	t.Helper()
	var r modelRequest
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("the request is not what the contract says: %v\n%s", err, body)
	}
	var sums []modelPeriod
	loans := make([]any, len(r.Loans))
	for i, l := range r.Loans {
		var interest, principal float64
		details := []any{}
		last := l.Principal
		for k, p := range r.schedule(i, 0, 0) {
			if k == len(sums) {
				sums = append(sums, modelPeriod{})
			}
			sums[k].interest += p.interest
			sums[k].scheduled += p.scheduled
			sums[k].prepaid += p.prepaid
			sums[k].balance += p.balance
			interest += p.interest
			principal += p.scheduled + p.prepaid
			last = p.balance
			details = append(details, periodObject(k, p))
		}
		answer := object{
			"loan_type": l.Kind, "principal": l.Principal, "total_principal": toCents(principal),
			"total_interest": toCents(interest), "final_balance": toCents(last), "term_months": l.Term,
		}
		if r.Detailed {
			answer["periods"] = details
		}
		loans[i] = answer
	}
	var interest, principal float64
	periods := make([]any, len(sums))
	for k, p := range sums {
		interest += p.interest
		principal += p.scheduled + p.prepaid
		periods[k] = periodObject(k, p)
	}
	npv := r.npv(0, 0)
	answer := object{
		"id": id, "cached": false, "periods": periods, "loans": loans,
		"summary": object{
			"npv": toCents(npv), "irr": nil, "duration": 2.5, "modified_duration": 2.4, "convexity": 9.1, "weighted_average_life": 2.6,
			"total_principal": toCents(principal), "total_interest": toCents(interest), "total_cash_flow": toCents(principal + interest),
		},
	}
	if r.MonteCarlo {
		answer["monte_carlo"] = modelMonteCarlo(&r, npv)
	}
	if r.Sensitivities != nil {
		answer["sensitivity"] = modelSensitivity(&r, npv)
	}
	return reread(t, answer)
}

// modelMonteCarlo draws present values around npv.
func modelMonteCarlo(r *modelRequest, npv float64) object {
	rng := rand.New(rand.NewPCG(uint64(r.Seed), 1))
	draws := make([]float64, r.Iterations)
	var sum float64
	for i := range draws {
		draws[i] = npv + 1000*rng.NormFloat64()
		sum += draws[i]
	}
	sort.Float64s(draws)
	quantile := func(q float64) float64 { return toCents(draws[int(q*float64(len(draws)-1))]) }
	return object{
		"iterations": r.Iterations, "confidence_interval": 0.95, "seed": r.Seed, "mean": toCents(sum / float64(len(draws))), "std_dev": 1000.5,
		"p5": quantile(0.05), "median": quantile(0.5), "p95": quantile(0.95), "ci_lower": quantile(0.025), "ci_upper": quantile(0.975),
	}
}

func modelSensitivity(r *modelRequest, npv float64) object {
	rates, prepayments := []any{}, []any{}
	for _, shift := range r.Sensitivities.Rate {
		rates = append(rates, object{"shift": shift, "npv": toCents(r.npv(shift, 0))})
	}
	for _, shift := range r.Sensitivities.Prepayment {
		prepayments = append(prepayments, object{"shift": shift, "npv": toCents(r.npv(0, shift))})
	}
	return object{"base_npv": toCents(npv), "interest_rate": rates, "prepayment": prepayments}
}

// hashID makes an arrival number of an id.
func hashID(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // never fails
	return h.Sum64()
}

// place is what the engine keeps for one request in flight, to be used again.
type place struct {
	request load.Request
	scratch []byte
	pcg     rand.PCG
	rng     *rand.Rand
}

func newPlace() *place {
	p := &place{scratch: make([]byte, 0, 16<<10)}
	p.rng = rand.New(&p.pcg)
	return p
}

// build makes a request as the engine does.
func (p *place) build(c *load.Case, user load.User, arrival uint64) (*load.Request, error) {
	p.request = load.Request{}
	p.pcg.Seed(1, arrival)
	return c.Build(load.Draw{User: user, Rand: p.rng, Request: &p.request, Scratch: &p.scratch})
}

// release gives back what a request holds.
func release(r *load.Request) {
	if memo, ok := r.Memo.(load.Releaser); ok {
		memo.Release()
	}
}

func (r scenarioRecipe) name() string { return string(r.appendName(nil)) }

func (r scenarioRecipe) description() string { return string(r.appendDescription(nil)) }

// scenario is the body that saves the scenario of a recipe.
func (w *workload) scenario(r scenarioRecipe) []byte { return w.appendScenario(nil, r) }
