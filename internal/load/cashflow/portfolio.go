package cashflow

import (
	"math/bits"
	"math/rand/v2"
	"time"
)

// cents is an amount of money in hundredths of the currency's unit. Amounts and
// rates are whole numbers, so that what is sent has no rounding to argue about.
type cents int64

// units returns the amount in the currency's unit.
func (c cents) units() float64 { return float64(c) / 100 }

// rate is a fraction in millionths: 45 000 is 4.5 %.
type rate int64

const (
	basisPoint rate = 100
	percent    rate = 10_000
)

// day counts days since 1970-01-01 (UTC).
type day int32

func dayOf(t time.Time) day { return day(t.UTC().Unix() / 86_400) }

// time returns the start of the day.
func (d day) time() time.Time { return time.Unix(int64(d)*86_400, 0).UTC() }

// loan is one loan as it is asked for.
type loan struct {
	kind       string
	principal  cents
	rate       rate
	term       int // months
	start      day
	prepayment rate // a year (CPR); 0 is left out of the request
	variable   bool
	// For a variable rate: months between resets, and the bounds.
	adjust     int
	cap, floor rate
}

// portfolio is what a forecast is asked for.
type portfolio struct {
	loans    []loan
	discount rate
	horizon  int // months
}

// periods is how many periods a forecast of p has.
func (p *portfolio) periods() int {
	longest := 0
	for i := range p.loans {
		longest = max(longest, p.loans[i].term)
	}
	return min(p.horizon, longest)
}

// span is a closed range.
type span[T ~int | ~int64] struct{ low, high T }

// product is the range of typical loans of one kind.
type product struct {
	kind       string
	principal  span[cents]
	rate       span[rate]
	terms      []int
	prepayment span[rate]
	// variable is how many of 100 such loans have a variable rate.
	variable int64
}

const thousand cents = 1_000_00

// products are the typical values of the target's users.
func products() []product {
	return []product{
		{"mortgage", span[cents]{100 * thousand, 500 * thousand}, span[rate]{3 * percent, 6 * percent}, []int{180, 240, 360}, span[rate]{1 * percent, 3 * percent}, 0},
		{"auto_loan", span[cents]{20 * thousand, 50 * thousand}, span[rate]{4 * percent, 8 * percent}, []int{36, 48, 60, 72}, span[rate]{}, 0},
		{"personal_loan", span[cents]{5 * thousand, 25 * thousand}, span[rate]{6 * percent, 15 * percent}, []int{12, 24, 36, 48}, span[rate]{}, 0},
		{"business_loan", span[cents]{50 * thousand, 1000 * thousand}, span[rate]{450 * basisPoint, 8 * percent}, []int{12, 24, 36, 48, 60}, span[rate]{}, 50},
		{"credit_line", span[cents]{10 * thousand, 100 * thousand}, span[rate]{7 * percent, 17 * percent}, []int{12, 24, 36}, span[rate]{}, 100},
	}
}

// horizons are the usual forecast lengths, in months.
func horizons() []int { return []int{12, 24, 36, 60, 120, 360} }

// bookSize is how many portfolios a virtual user works on; see the package.
const bookSize = 8

const (
	// startWindow: loans start within the last 90 days, today included.
	startWindow day = 90
	// discountFloor and rateFloor: discount rates and floors of variable loans are at least 1 %.
	discountFloor = 1 * percent
	rateFloor     = 1 * percent
	// raise is what a re-run with a higher discount rate adds to it.
	raise = 1 * percent
)

// dice is a small generator on the stack: the same numbers for the same two
// seeds, on every machine and for every version of soakd's code that draws alike.
type dice struct{ pcg rand.PCG }

func newDice(a, b uint64) dice {
	var d dice
	d.pcg.Seed(a, b)
	return d
}

// below returns 0..n-1 by multiplying and keeping the high word (Lemire, "Fast
// random integer generation in an interval", 2019); for n below 2^40 its bias is
// below 2^-24, and nobody can see it.
func (d *dice) below(n int64) int64 {
	high, _ := bits.Mul64(d.pcg.Uint64(), uint64(n))
	return int64(high)
}

func (d *dice) chance(ofHundred int64) bool { return d.below(100) < ofHundred }

func between[T ~int | ~int64](d *dice, s span[T]) T {
	return s.low + T(d.below(int64(s.high-s.low)+1))
}

func oneOf[T any](d *dice, list []T) T { return list[d.below(int64(len(list)))] }

// generator makes portfolios.
type generator struct {
	seed     uint64
	products []product
	horizons []int
}

func newGenerator(seed uint64) *generator {
	return &generator{seed: seed, products: products(), horizons: horizons()}
}

// purpose separates the random numbers of the kinds of book.
type purpose uint64

const (
	usualBook purpose = iota + 1
	complexBook
)

// recipe is all it takes to make a portfolio, or a scenario, again.
type recipe struct {
	a, b uint64
	// born is the day before which its loans start.
	born day
}

// booked returns the recipe of the portfolio that a user began on a day.
func (g *generator) booked(p purpose, user int, born day) recipe {
	return recipe{a: stir(g.seed ^ stir(uint64(p))), b: stir(uint64(user)<<32 | uint64(uint32(born))), born: born}
}

// fresh returns the recipe of a portfolio that nobody has had.
func fresh(r *rand.Rand, today day) recipe {
	return recipe{a: r.Uint64(), b: r.Uint64(), born: today}
}

// stir is the finaliser of SplitMix64 (Steele, Lea, Flood, 2014): neighbouring
// numbers become independent ones.
func stir(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// portfolio makes the portfolio of a recipe: loans of random kinds, as many as
// size allows, which room must hold.
func (g *generator) portfolio(of recipe, size span[int], room []loan) portfolio {
	d := newDice(of.a, of.b)
	loans := room[:between(&d, size)]
	var sum rate
	for i := range loans {
		loans[i] = g.loan(&d, of.born)
		sum += loans[i].rate
	}
	mean := sum / rate(len(loans))
	return portfolio{
		loans:    loans,
		discount: max(mean-between(&d, span[rate]{50 * basisPoint, 150 * basisPoint}), discountFloor),
		horizon:  oneOf(&d, g.horizons),
	}
}

func (g *generator) loan(d *dice, born day) loan {
	p := &g.products[d.below(int64(len(g.products)))]
	l := loan{
		kind:      p.kind,
		principal: between(d, p.principal),
		rate:      inBasisPoints(d, p.rate),
		term:      oneOf(d, p.terms),
		// A portfolio stays in the book for some days and must not grow too old in it.
		start:      born - day(d.below(int64(startWindow-bookSize+1))),
		prepayment: inBasisPoints(d, p.prepayment),
		variable:   d.chance(p.variable),
	}
	if l.variable {
		l.adjust = 6 + 6*int(d.below(2))
		l.cap = l.rate + inBasisPoints(d, span[rate]{1 * percent, 3 * percent})
		l.floor = max(l.rate-inBasisPoints(d, span[rate]{1 * percent, 2 * percent}), rateFloor)
	}
	return l
}

// inBasisPoints draws a rate of four decimals, as rates are quoted.
func inBasisPoints(d *dice, s span[rate]) rate {
	return between(d, span[rate]{s.low / basisPoint, s.high / basisPoint}) * basisPoint
}
