package refapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"soakd/internal/refapi/finance"
)

// Limits of a request.
const (
	maxLoans         = 100
	maxMonths        = 600
	maxIterations    = 10_000
	maxShifts        = 50
	maxPrincipal     = 1e12
	maxNameRunes     = 200
	maxDescribeRunes = 2000
)

// What an absent field means.
const (
	defaultIterations = 1000
	defaultConfidence = 0.95
)

// forecastRequest is a valid forecast request with its defaults filled in.
// Equal ones have equal answers; its JSON is the canonical form of a request.
type forecastRequest struct {
	Loans         []loanRequest
	DiscountRate  float64
	Months        int
	Detailed      bool
	MonteCarlo    *monteCarloRequest  `json:",omitempty"`
	Sensitivities *sensitivityRequest `json:",omitempty"`
}

type loanRequest struct {
	Type      string
	Principal float64
	Rate      float64
	Term      int
	Start     time.Time
	CPR       float64
	Period    int      // months between resets; 0 for a fixed rate
	Cap       *float64 `json:",omitempty"`
	Floor     *float64 `json:",omitempty"`
}

type monteCarloRequest struct {
	Iterations int
	Confidence float64
	Seed       *int64 // nil: to be drawn
}

type sensitivityRequest struct {
	Rate []float64
	CPR  []float64
}

// scenarioRequest is a valid request to save a scenario.
type scenarioRequest struct {
	name, description string
	params            []byte // forecast_params as they were sent
}

// decodeForecast reads the body of a forecast request. The first error is for
// a body that is no JSON, the list for fields that are wrong.
func decodeForecast(body []byte) (forecastRequest, []fieldError, error) {
	v, err := parse(body)
	if err != nil {
		return forecastRequest{}, nil, err
	}
	bad := []fieldError{}
	request := readForecast(v, []any{"body"}, &bad)
	return request, bad, nil
}

// decodeScenario reads the body of a request to save a scenario.
func decodeScenario(body []byte) (scenarioRequest, []fieldError, error) {
	v, err := parse(body)
	if err != nil {
		return scenarioRequest{}, nil, err
	}
	bad := []fieldError{}
	f := fieldsOf(v, []any{"body"}, &bad)
	var request scenarioRequest
	if name, ok := f.require("name"); ok {
		request.name = f.string("name", name, 1, maxNameRunes)
	}
	if description, ok := f.given("description"); ok {
		request.description = f.string("description", description, 0, maxDescribeRunes)
	}
	if params, ok := f.require("forecast_params"); ok {
		readForecast(params, []any{"body", "forecast_params"}, &bad)
		request.params = params.raw
	}
	return request, bad, nil
}

func readForecast(v value, loc []any, bad *[]fieldError) forecastRequest {
	f := fieldsOf(v, loc, bad)
	request := forecastRequest{
		DiscountRate:  f.requireNumber("discount_rate", fraction()),
		Months:        f.requireInteger("forecast_months", 1, maxMonths),
		Detailed:      f.boolean("detailed_analysis"),
		MonteCarlo:    readMonteCarlo(f),
		Sensitivities: readSensitivities(f),
	}
	if list, ok := f.require("loans"); ok {
		for i, item := range f.list("loans", list, 1, maxLoans) {
			request.Loans = append(request.Loans, readLoan(fieldsOf(item, at(loc, "loans", i), bad)))
		}
	}
	return request
}

func readLoan(f fields) loanRequest {
	loan := loanRequest{
		Principal: f.requireNumber("principal", limits{low: 0, openLow: true, high: maxPrincipal}),
		Rate:      f.requireNumber("interest_rate", fraction()),
		Term:      f.requireInteger("term_months", 1, maxMonths),
		Start:     f.requireDate("start_date"),
		CPR:       f.numberOr("prepayment_assumption", 0, fraction()),
	}
	if kind, ok := f.require("loan_type"); ok {
		loan.Type = f.oneOf("loan_type", kind, "mortgage", "auto_loan", "personal_loan", "business_loan", "credit_line")
	}
	readReset(f, &loan)
	return loan
}

// readReset reads how a variable rate moves. What a fixed loan says of it must
// be valid too, and does nothing.
func readReset(f fields, loan *loanRequest) {
	variable := false
	if kind, ok := f.members["rate_type"]; ok {
		variable = f.oneOf("rate_type", kind, "fixed", "variable") == "variable"
	}
	period := 0
	if v, ok := f.given("rate_adjustment_period"); ok {
		period = f.integerWithin("rate_adjustment_period", v, 1, maxMonths)
	} else if variable {
		f.fail("rate_adjustment_period", "missing", "Field required for a variable rate")
	}
	high, low := f.optionalNumber("rate_cap", fraction()), f.optionalNumber("rate_floor", fraction())
	if high != nil && low != nil && *low > *high {
		f.fail("rate_floor", "less_than_equal", "Input should be less than or equal to rate_cap")
	}
	if variable {
		loan.Period, loan.Cap, loan.Floor = period, high, low
	}
}

func readMonteCarlo(f fields) *monteCarloRequest {
	wanted := f.boolean("run_monte_carlo")
	m := monteCarloRequest{
		Iterations: f.integerOr("monte_carlo_iterations", defaultIterations, 1, maxIterations),
		Confidence: f.numberOr("monte_carlo_confidence_interval", defaultConfidence,
			limits{low: 0, high: 1, openLow: true, openHigh: true}),
	}
	if v, ok := f.given("seed"); ok {
		seed, _ := f.integer("seed", v)
		m.Seed = &seed
	}
	if !wanted {
		return nil
	}
	return &m
}

func readSensitivities(f fields) *sensitivityRequest {
	v, ok := f.given("sensitivities")
	if !ok {
		return nil
	}
	inner := fieldsOf(v, at(f.loc, "sensitivities"), f.bad)
	return &sensitivityRequest{Rate: readShifts(inner, "interest_rate"), CPR: readShifts(inner, "prepayment")}
}

func readShifts(f fields, name string) []float64 {
	v, ok := f.given(name)
	if !ok {
		return nil
	}
	items := fields{loc: at(f.loc, name), bad: f.bad}
	var shifts []float64
	for i, item := range f.list(name, v, 0, maxShifts) {
		shifts = append(shifts, items.number(i, item, limits{low: -1, high: 1}))
	}
	return shifts
}

// cacheable reports whether the same request always has the same answer.
func (r *forecastRequest) cacheable() bool { return r.MonteCarlo == nil || r.MonteCarlo.Seed != nil }

// key names the answer in the cache.
func (r *forecastRequest) key() (string, error) {
	canonical, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("write the canonical request: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return "cashflow:forecast:" + answerFormat + ":" + hex.EncodeToString(sum[:]), nil
}

// portfolio turns the request into what can be computed.
func (r *forecastRequest) portfolio() *finance.Portfolio {
	p := &finance.Portfolio{
		Loans:        make([]finance.Loan, len(r.Loans)),
		DiscountRate: r.DiscountRate,
		Horizon:      r.Months,
	}
	for i, loan := range r.Loans {
		p.Loans[i] = finance.Loan{Principal: loan.Principal, Rate: loan.Rate, Term: loan.Term, CPR: loan.CPR}
		if loan.Period == 0 {
			continue
		}
		reset := finance.Reset{Period: loan.Period, Cap: math.Inf(1)}
		if loan.Cap != nil {
			reset.Cap = *loan.Cap
		}
		if loan.Floor != nil {
			reset.Floor = *loan.Floor
		}
		p.Loans[i].Reset = reset
	}
	return p
}

// earliest is the first start date, from which the portfolio's months count.
func (r *forecastRequest) earliest() time.Time {
	first := r.Loans[0].Start
	for _, loan := range r.Loans {
		if loan.Start.Before(first) {
			first = loan.Start
		}
	}
	return first
}
