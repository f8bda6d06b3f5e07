// Package cashflow is the built-in workload: the traffic of people who work with
// a Credit Cashflow Engine, the invalid input that such a service meets, and the
// checks that tell a right answer from a wrong one.
//
// # What is sent
//
// Everything a request holds is a pure function of the run's seed, the virtual
// user, the day (UTC) and the random numbers of its arrival; only scenario ids
// come from what the target answered. The order in which requests are built and
// answered does not matter: the same seed on the same day sends the same bytes.
//
// So that the target's cache sees what it would see in use, each virtual user
// works on a book of eight portfolios. The portfolio that a user began on a day
// is a function of (seed, user, day); the book on a day holds those of the last
// eight days, so that each day a new one takes the place of the oldest, and no
// state is needed to know them. A forecast is an unchanged run of a portfolio of
// the book (60 %, recent ones more often), the same with the discount rate
// raised by one percentage point (15 %), or a new portfolio, run once (25 %).
//
// A part of it can be selected by tags: the names of cases, their classes, and read
// or write, compute (forecasts), scenarios (saving and reading them) and auth (tokens
// and what is another's).
//
// # What is kept
//
// A virtual user remembers what the checks need: the newest 20 scenarios that it
// saved and the newest 20 forecasts that it made, by id, the net present value
// of each portfolio of its book, and the figures of its last four repeatable
// Monte Carlo runs. Saved content is not kept but made again from its numbers.
// That is at most 9 KiB a user, whatever the length of a run.
//
// Only what the target confirmed is missed: a save that was not answered, as in an
// outage, is no word about what is kept. What was confirmed less than 30 s before a
// read that lacks it may yet come (stale_read); later it is lost.
//
// # What a request costs
//
// Next to nothing beside sending it: requests are written into the buffers of
// the draw, what the checks must know is in a memo that is used again, and an
// answer is read once, from front to end, into room that is used again too. What
// is allocated is the id that is remembered of an answer, or the path that has
// one. Every answer is checked. See docs/decisions/0007-reading-answers.md.
package cashflow
