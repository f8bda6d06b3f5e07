package cashflow

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"

	"soakd/internal/load"
)

// Names of checks: label values.
const (
	// checkJSONForm: the answer is JSON, and says so.
	checkJSONForm = "json"
	// checkShape: the answer has the fields that the other checks need.
	checkShape = "shape"

	checkPrincipal   = "principal_conserved"
	checkNonNegative = "balance_nonnegative"
	checkFalls       = "balance_falls"
	checkTotals      = "totals_match"
	checkNPVFalls    = "npv_falls"

	checkOrder      = "mc_order"
	checkSeed       = "mc_seed"
	checkIterations = "mc_iterations"

	checkZeroShift = "zero_shift"
	checkMonotone  = "shift_monotone"
)

const (
	// cent is the greatest error of a figure that is kept to a cent.
	cent = 0.01
	// tiny absorbs the rounding of a float64 sum beside a cent.
	tiny = 1e-6
)

// role says which earlier answers a forecast can be held against.
type role int

const (
	// alone: a portfolio that is run once.
	alone role = iota
	// base and raised: a portfolio of the user's book, with its own discount rate
	// or with that raised.
	base
	raised
	// repeatable: a Monte Carlo run with a seed, of a portfolio of a book.
	repeatable
)

// forecastMemo is what the checks need to know about a forecast that was sent.
type forecastMemo struct {
	question
	role role
	// born names the portfolio within the user's book.
	born day
	// digest is the hash of the request of a repeatable run.
	digest uint64
	// room is for the loans.
	room [maxLoans]loan
	// home is where the memo is given back; nil when it was not taken from there.
	home *sync.Pool
}

// maxLoans is how many loans a portfolio has at most, maxUsual a usual one.
const (
	maxLoans = 15
	maxUsual = 5
)

// Release implements [load.Releaser].
func (m *forecastMemo) Release() {
	if m.home != nil {
		m.home.Put(m)
	}
}

// newMemo returns a memo that knows nothing yet.
func (w *workload) newMemo() *forecastMemo {
	m, ok := w.memos.Get().(*forecastMemo)
	if !ok {
		m = &forecastMemo{home: &w.memos}
	}
	m.question, m.role, m.born, m.digest = question{}, alone, 0, 0
	return m
}

// usualSize and complexSize are how many loans a portfolio has.
func usualSize() span[int]   { return span[int]{1, maxUsual} }
func complexSize() span[int] { return span[int]{8, maxLoans} }

const (
	monteCarloIterations = 100
	complexIterations    = 1000
)

// forecastKind is one of the cases that ask for a forecast.
type forecastKind struct {
	name   string
	class  load.Class
	weight float64
	limits limits
	// ask makes the question of one request.
	ask func(w *workload, d load.Draw, m *forecastMemo)
	// checks are those of [forecastChecks] that apply.
	checks []string
}

// forecastCheck is one thing that a right answer satisfies.
type forecastCheck struct {
	name string
	run  func(w *workload, x *load.Exchange, sent *forecastMemo, got *forecastAnswer) error
}

// forecastChecks are run in this order; shape comes first, and when it fails the
// others have nothing to stand on.
func forecastChecks() []forecastCheck {
	return []forecastCheck{
		{checkShape, forecastShape},
		{checkPrincipal, principalConserved},
		{checkNonNegative, balanceNonNegative},
		{checkFalls, balanceFalls},
		{checkTotals, totalsMatch},
		{checkNPVFalls, npvFalls},
		{checkIterations, iterationsEchoed},
		{checkOrder, quantilesOrdered},
		{checkSeed, seedRepeats},
		{checkZeroShift, zeroShiftIsBase},
		{checkMonotone, shiftsMonotone},
	}
}

func forecastKinds() []forecastKind {
	plain := []string{checkShape, checkPrincipal, checkNonNegative, checkFalls, checkTotals}
	with := func(more ...string) []string { return append(append([]string(nil), plain...), more...) }
	return []forecastKind{
		{"forecast", standard, 10, limits{timeout: standardTimeout}, askUsual, with(checkNPVFalls)},
		{"forecast_monte_carlo", "monte_carlo", 2, limits{timeout: longTimeout}, askMonteCarlo, with(checkIterations, checkOrder, checkSeed)},
		{"sensitivity", "sensitivity", 1, limits{timeout: longTimeout}, askSensitivity, with(checkZeroShift, checkMonotone)},
		{
			"complex_analysis", "complex", 1,
			limits{timeout: complexTimeout, interval: complexInterval},
			askComplex,
			with(checkIterations, checkOrder, checkSeed, checkZeroShift, checkMonotone),
		},
	}
}

// forecastCase makes the case of a kind.
func (w *workload) forecastCase(k forecastKind) *load.Case {
	var checks []forecastCheck
	for _, c := range forecastChecks() {
		for _, name := range k.checks {
			if c.name == name {
				checks = append(checks, c)
			}
		}
	}
	return &load.Case{
		Name: k.name, Class: k.class, Method: http.MethodPost, Weight: k.weight,
		Timeout: k.limits.timeout, MinInterval: k.limits.interval,
		Statuses: []int{http.StatusOK},
		Build: func(d load.Draw) (*load.Request, error) {
			if err := w.known(d.User); err != nil {
				return nil, err
			}
			memo := w.newMemo()
			k.ask(w, d, memo)
			body := encodeQuestion(d.Buffer(memo.size()), &memo.question, alteration{})
			d.Keep(body)
			if memo.role == repeatable {
				memo.digest = w.people.hash(body)
			}
			return w.post(&d, w.paths.forecast, body, memo), nil
		},
		Checks: append([]string{checkJSONForm}, k.checks...),
		Verify: func(x *load.Exchange, fail func(string, error)) { w.verifyForecast(checks, x, fail) },
	}
}

// recent draws the birthday of a portfolio of the book: the smaller of two draws,
// so that recent ones come more often (15/64 the newest, 1/64 the oldest).
func recent(r *rand.Rand, today day) day {
	return today - day(min(r.IntN(bookSize), r.IntN(bookSize)))
}

// askUsual runs a portfolio of the book unchanged (60 %), with its discount rate
// raised (15 %), or a new one (25 %).
func askUsual(w *workload, d load.Draw, m *forecastMemo) {
	today := w.today()
	share := d.Rand.IntN(100)
	if share >= 75 {
		m.portfolio = w.portfolio(fresh(d.Rand, today), usualSize(), m.room[:])
		return
	}
	m.role, m.born = base, recent(d.Rand, today)
	m.portfolio = w.portfolio(w.booked(usualBook, d.User.Index, m.born), usualSize(), m.room[:])
	if share >= 60 {
		m.role = raised
		m.discount += raise
	}
}

// askMonteCarlo runs one of the two newest portfolios of the book with a fixed
// seed (50 %), or a new portfolio with a seed (30 %) or without one (20 %).
func askMonteCarlo(w *workload, d load.Draw, m *forecastMemo) {
	w.mostlyBooked(d, m, usualBook, 50, usualSize())
	m.iterations = monteCarloIterations
	if m.role == alone && d.Rand.IntN(50) < 20 {
		m.seed = 0
	}
}

func askSensitivity(w *workload, d load.Draw, m *forecastMemo) {
	w.mostlyBooked(d, m, usualBook, 50, usualSize())
	m.role, m.seed = alone, 0
	m.sensitivity = true
}

func askComplex(w *workload, d load.Draw, m *forecastMemo) {
	w.mostlyBooked(d, m, complexBook, 50, complexSize())
	m.iterations, m.detailed, m.sensitivity = complexIterations, true, true
}

// mostlyBooked asks about one of the two newest portfolios of a book in the
// given share of 100, else about a new one, with a seed for Monte Carlo.
func (w *workload) mostlyBooked(d load.Draw, m *forecastMemo, book purpose, ofHundred int, size span[int]) {
	today := w.today()
	var from recipe
	if d.Rand.IntN(100) < ofHundred {
		m.role, m.born = repeatable, today-day(d.Rand.IntN(2))
		from = w.booked(book, d.User.Index, m.born)
	} else {
		from = fresh(d.Rand, today)
	}
	m.portfolio = w.portfolio(from, size, m.room[:])
	m.seed = 1 + int64(stir(from.a^from.b)>>33) // 1..2^31: any language holds it
}

// verifyForecast runs the checks of a forecast and remembers what later ones need.
func (w *workload) verifyForecast(checks []forecastCheck, x *load.Exchange, fail func(string, error)) {
	sent, ok := x.Request.Memo.(*forecastMemo)
	if !ok {
		fail(checkShape, errors.New("the request is not of this case"))
		return
	}
	a := w.answer()
	defer w.done(a)
	if !a.take(x, fail) {
		return
	}
	got := &a.figures
	a.forecast(got)
	if !a.finish(fail) {
		return
	}
	for _, check := range checks {
		err := check.run(w, x, sent, got)
		if err == nil {
			continue
		}
		fail(check.name, err)
		if check.name == checkShape {
			return
		}
	}
	w.people.forecast(x.User, made{id: string(got.ID), sent: x.Sent, received: x.Received})
}

// forecastShape wants every field that a check needs, and as many periods and
// loans as were asked for.
func forecastShape(_ *workload, _ *load.Exchange, sent *forecastMemo, got *forecastAnswer) error {
	if err := got.ID.check(); err != nil {
		return err
	}
	if err := periodsShape(got.Periods, sent.periods()); err != nil {
		return err
	}
	if len(got.Loans) != len(sent.loans) {
		return fmt.Errorf("%d loans, %d were sent", len(got.Loans), len(sent.loans))
	}
	for i := range got.Loans {
		if err := loanShape(&sent.question, i, &got.Loans[i]); err != nil {
			return fmt.Errorf("loan %d: %w", i+1, err)
		}
	}
	s := &got.Summary
	err := firstAbsent("the summary", required{"npv", s.NPV}, required{"duration", s.Duration},
		required{"modified_duration", s.Modified}, required{"convexity", s.Convexity},
		required{"weighted_average_life", s.AverageLife}, required{"total_principal", s.TotalPrincipal},
		required{"total_interest", s.TotalInterest}, required{"total_cash_flow", s.TotalCashFlow})
	if err != nil {
		return err
	}
	return errors.Join(monteCarloShape(sent, got.MonteCarlo), sensitivityShape(sent, got.Sensitivity))
}

func periodsShape(periods []period, want int) error {
	if len(periods) != want {
		return fmt.Errorf("%d periods, want %d", len(periods), want)
	}
	for i := range periods {
		if periods[i].number != float64(i+1) {
			return fmt.Errorf("period %d is numbered %v", i+1, periods[i].number)
		}
	}
	return nil
}

func loanShape(sent *question, i int, got *loanAnswer) error {
	asked := &sent.loans[i]
	if string(got.Kind) != asked.kind {
		return fmt.Errorf("the type is %s, %s was sent", clip(got.Kind), asked.kind)
	}
	err := firstAbsent("it", required{"total_principal", got.TotalPrincipal},
		required{"total_interest", got.TotalInterest}, required{"final_balance", got.FinalBalance})
	if err != nil || !sent.detailed {
		return err
	}
	return periodsShape(got.Periods, min(sent.horizon, asked.term))
}

// principalConserved: what is lent is paid back, to a cent a loan, when the
// horizon covers its term.
func principalConserved(_ *workload, _ *load.Exchange, sent *forecastMemo, got *forecastAnswer) error {
	for i := range sent.loans {
		if sent.loans[i].term > sent.horizon {
			continue
		}
		lent, paid := sent.loans[i].principal.units(), got.Loans[i].TotalPrincipal.value
		if math.Abs(paid-lent) > cent+tiny {
			return fmt.Errorf("loan %d: %.2f was lent and %.2f paid back", i+1, lent, paid)
		}
	}
	return nil
}

// balanceNonNegative: nobody pays back more than is owed.
func balanceNonNegative(_ *workload, _ *load.Exchange, _ *forecastMemo, got *forecastAnswer) error {
	if err := noneNegative(got.Periods); err != nil {
		return err
	}
	for i := range got.Loans {
		if final := got.Loans[i].FinalBalance.value; final < -cent {
			return fmt.Errorf("loan %d ends with a balance of %.2f", i+1, final)
		}
		if err := noneNegative(got.Loans[i].Periods); err != nil {
			return fmt.Errorf("loan %d: %w", i+1, err)
		}
	}
	return nil
}

func noneNegative(periods []period) error {
	for i := range periods {
		if periods[i].balance < -cent {
			return fmt.Errorf("the balance after period %d is %.2f", i+1, periods[i].balance)
		}
	}
	return nil
}

// balanceFalls: without a drawdown a balance never rises.
func balanceFalls(_ *workload, _ *load.Exchange, sent *forecastMemo, got *forecastAnswer) error {
	var lent float64
	for i := range sent.loans {
		principal := sent.loans[i].principal.units()
		lent += principal
		if err := neverRises(principal, got.Loans[i].Periods, 1); err != nil {
			return fmt.Errorf("loan %d: %w", i+1, err)
		}
	}
	return neverRises(lent, got.Periods, len(sent.loans))
}

// neverRises checks balances that are sums of so many loans: each may be off by
// a cent.
func neverRises(lent float64, periods []period, loans int) error {
	last, tolerance := lent, cent*float64(loans)+tiny
	for i := range periods {
		if periods[i].balance > last+tolerance {
			return fmt.Errorf("the balance rises from %.2f to %.2f in period %d", last, periods[i].balance, i+1)
		}
		last = periods[i].balance
	}
	return nil
}

// totalsMatch: each total is the sum of its parts, to a cent for each addend.
func totalsMatch(_ *workload, _ *load.Exchange, sent *forecastMemo, got *forecastAnswer) error {
	var interest, principal, total float64
	for i := range got.Periods {
		p := &got.Periods[i]
		if !near(p.total, p.interest+p.scheduled+p.prepayment, 3) {
			return fmt.Errorf("period %d: the total is %.2f, its parts sum to %.2f", i+1, p.total, p.interest+p.scheduled+p.prepayment)
		}
		interest += p.interest
		principal += p.scheduled + p.prepayment
		total += p.total
	}
	n, s := len(got.Periods), &got.Summary
	for _, sum := range []struct {
		name          string
		got, periods  float64
		addendsPerRow int
	}{
		{"total_interest", s.TotalInterest.value, interest, 1},
		{"total_principal", s.TotalPrincipal.value, principal, 2},
		{"total_cash_flow", s.TotalCashFlow.value, total, 1},
	} {
		if !near(sum.got, sum.periods, n*sum.addendsPerRow) {
			return fmt.Errorf("%s is %.2f, the periods sum to %.2f", sum.name, sum.got, sum.periods)
		}
	}
	if !sent.detailed {
		return nil
	}
	return detailsMatch(got)
}

// detailsMatch: with detailed analysis the periods of the loans make up those of
// the portfolio, and each loan's interest is the sum of its periods.
func detailsMatch(got *forecastAnswer) error {
	got.sums = slices.Grow(got.sums[:0], len(got.Periods))[:len(got.Periods)]
	sums := got.sums
	clear(sums)
	for i := range got.Loans {
		var interest float64
		for k := range got.Loans[i].Periods {
			interest += got.Loans[i].Periods[k].interest
			sums[k] += got.Loans[i].Periods[k].total
		}
		if want := got.Loans[i].TotalInterest.value; !near(want, interest, len(got.Loans[i].Periods)) {
			return fmt.Errorf("loan %d: total_interest is %.2f, its periods sum to %.2f", i+1, want, interest)
		}
	}
	for k := range sums {
		if !near(got.Periods[k].total, sums[k], len(got.Loans)) {
			return fmt.Errorf("period %d: the total is %.2f, those of the loans sum to %.2f", k+1, got.Periods[k].total, sums[k])
		}
	}
	return nil
}

// near reports whether a and b are equal to a cent for each addend of a sum.
func near(a, b float64, addends int) bool {
	return math.Abs(a-b) <= cent*float64(max(addends, 1))+tiny+1e-9*math.Abs(a)
}

// npvFalls: a portfolio is worth less at a higher discount rate, because all its
// cash flows are positive.
func npvFalls(w *workload, x *load.Exchange, sent *forecastMemo, got *forecastAnswer) error {
	if sent.role != base && sent.role != raised {
		return nil
	}
	v := w.people.value(x.User.Index, sent.born, sent.role == raised, got.Summary.NPV)
	if !v.base.set || !v.raised.set || v.raised.value < v.base.value {
		return nil
	}
	return fmt.Errorf("the present value is %.2f at the loans' discount rate and %.2f at one percentage point more", v.base.value, v.raised.value)
}

// iterationsEchoed: as many iterations were made as were asked for.
func iterationsEchoed(_ *workload, _ *load.Exchange, sent *forecastMemo, got *forecastAnswer) error {
	if made := got.MonteCarlo.Iterations.value; made != float64(sent.iterations) {
		return fmt.Errorf("%v iterations, %d were asked for", made, sent.iterations)
	}
	return nil
}

// quantilesOrdered: a lower quantile is not above a higher one.
func quantilesOrdered(_ *workload, _ *load.Exchange, _ *forecastMemo, got *forecastAnswer) error {
	m := got.MonteCarlo
	for _, order := range []struct {
		name             string
		low, median, top float64
	}{
		{"p5, median and p95", m.P5.value, m.Median.value, m.P95.value},
		{"ci_lower, median and ci_upper", m.CILower.value, m.Median.value, m.CIUpper.value},
	} {
		if order.low > order.median+tiny || order.median > order.top+tiny {
			return fmt.Errorf("%s are %.2f, %.2f and %.2f", order.name, order.low, order.median, order.top)
		}
	}
	if m.StdDev.value < 0 {
		return fmt.Errorf("the standard deviation is %v", m.StdDev.value)
	}
	return nil
}

// monteCarloFigures are the results of a Monte Carlo run.
type monteCarloFigures struct{ mean, stdDev, p5, median, p95, lower, upper float64 }

func (m *monteCarloAnswer) figures() monteCarloFigures {
	return monteCarloFigures{m.Mean.value, m.StdDev.value, m.P5.value, m.Median.value, m.P95.value, m.CILower.value, m.CIUpper.value}
}

// differs returns the name of the first figure that is not the same in both. A
// cent and a billionth are the last digits of a target that rounds, or that
// adds up in another order on another machine.
func (f monteCarloFigures) differs(other monteCarloFigures) (name string, a, b float64) {
	for _, pair := range []struct {
		name string
		a, b float64
	}{
		{"mean", f.mean, other.mean},
		{"std_dev", f.stdDev, other.stdDev},
		{"p5", f.p5, other.p5},
		{"median", f.median, other.median},
		{"p95", f.p95, other.p95},
		{"ci_lower", f.lower, other.lower},
		{"ci_upper", f.upper, other.upper},
	} {
		if !near(pair.a, pair.b, 1) {
			return pair.name, pair.a, pair.b
		}
	}
	return "", 0, 0
}

// seedRepeats: the seed that was sent is the one that was used, and the same
// request with the same seed gives the same figures.
func seedRepeats(w *workload, x *load.Exchange, sent *forecastMemo, got *forecastAnswer) error {
	if used := got.MonteCarlo.Seed; sent.seed != 0 && used.set && used.value != float64(sent.seed) {
		return fmt.Errorf("the seed is %v, %d was sent", used.value, sent.seed)
	}
	if sent.role != repeatable {
		return nil
	}
	now := got.MonteCarlo.figures()
	last, known := w.people.draw(x.User.Index, sent.digest, now)
	if !known {
		return nil
	}
	if name, a, b := now.differs(last); name != "" {
		return fmt.Errorf("%s is %v, and was %v for the same request with the same seed", name, a, b)
	}
	return nil
}

func monteCarloShape(sent *forecastMemo, got *monteCarloAnswer) error {
	switch {
	case sent.iterations == 0:
		return nil
	case got == nil:
		return errors.New("there is no monte_carlo")
	}
	return firstAbsent("monte_carlo", required{"iterations", got.Iterations}, required{"mean", got.Mean},
		required{"std_dev", got.StdDev}, required{"p5", got.P5}, required{"median", got.Median},
		required{"p95", got.P95}, required{"ci_lower", got.CILower}, required{"ci_upper", got.CIUpper})
}

// sensitivityShape wants the shifts that were sent, in any order.
func sensitivityShape(sent *forecastMemo, got *sensitivityAnswer) error {
	switch {
	case !sent.sensitivity:
		return nil
	case got == nil:
		return errors.New("there is no sensitivity")
	}
	if err := firstAbsent("sensitivity", required{"base_npv", got.BaseNPV}); err != nil {
		return err
	}
	if err := shiftsShape(got.InterestRate, rateShifts()); err != nil {
		return fmt.Errorf("sensitivity, interest_rate: %w", err)
	}
	if err := shiftsShape(got.Prepayment, prepaymentShifts()); err != nil {
		return fmt.Errorf("sensitivity, prepayment: %w", err)
	}
	return nil
}

func shiftsShape(got []shiftAnswer, sent [5]rate) error {
	if len(got) != len(sent) {
		return fmt.Errorf("%d shifts, %d were sent", len(got), len(sent))
	}
	for i := range got {
		if err := firstAbsent("a shift", required{"shift", got[i].Shift}, required{"npv", got[i].NPV}); err != nil {
			return err
		}
	}
	for _, shift := range sent {
		if _, found := npvAt(got, shift); !found {
			return fmt.Errorf("the shift %v is not there", float64(shift)/1e6)
		}
	}
	return nil
}

// npvAt returns the present value at a shift.
func npvAt(shifts []shiftAnswer, shift rate) (float64, bool) {
	for i := range shifts {
		if math.Abs(shifts[i].Shift.value-float64(shift)/1e6) < 1e-9 {
			return shifts[i].NPV.value, true
		}
	}
	return 0, false
}

// zeroShiftIsBase: a shift of nothing changes nothing.
func zeroShiftIsBase(_ *workload, _ *load.Exchange, _ *forecastMemo, got *forecastAnswer) error {
	atZero, _ := npvAt(got.Sensitivity.InterestRate, 0)
	atZeroToo, _ := npvAt(got.Sensitivity.Prepayment, 0)
	want := got.Summary.NPV.value
	for _, figure := range []struct {
		name string
		npv  float64
	}{
		{"base_npv", got.Sensitivity.BaseNPV.value},
		{"interest_rate at shift 0", atZero},
		{"prepayment at shift 0", atZeroToo},
	} {
		if !near(figure.npv, want, 1) {
			return fmt.Errorf("%s is %.2f, the present value is %.2f", figure.name, figure.npv, want)
		}
	}
	return nil
}

// shiftsMonotone: the present value goes one way as the rates are shifted, and
// does go. Which way depends on whether the target discounts at the shifted rate.
func shiftsMonotone(_ *workload, _ *load.Exchange, _ *forecastMemo, got *forecastAnswer) error {
	shifts := rateShifts()
	var values [len(shifts)]float64
	for i, shift := range shifts {
		values[i], _ = npvAt(got.Sensitivity.InterestRate, shift)
	}
	direction := values[len(values)-1] - values[0]
	if math.Abs(direction) <= cent {
		return fmt.Errorf("the present value does not change from shift %v to %v", float64(shifts[0])/1e6, float64(shifts[len(shifts)-1])/1e6)
	}
	for i := 1; i < len(values); i++ {
		if step := values[i] - values[i-1]; step*direction < 0 && math.Abs(step) > cent+tiny {
			return fmt.Errorf("the present value goes from %.2f to %.2f between shifts %v and %v, against the others",
				values[i-1], values[i], float64(shifts[i-1])/1e6, float64(shifts[i])/1e6)
		}
	}
	return nil
}
