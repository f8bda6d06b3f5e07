// Package schedule says when each arrival is due. It is pure arithmetic: no
// clock, no goroutine, and the same answer on every machine.
//
// A [Shape] is a rate over time; [Arrivals] walks along it and takes changes of
// the rate while the run goes on; [Think] is the pause of a user in closed mode.
//
// Everything is counted in whole units of half a millionth of an arrival a second
// times a nanosecond, 2*10^15 of which are one arrival. A rate that goes from a to b
// millionths a second over D ns has, x ns after its start, let through
//
//	S(x) = 2*a*x + (b-a)*x*x/D
//
// units, and (a+b)*D of them in all, which is a whole number: the sums over segments,
// periods and weeks have no rounding error, and no due time drifts.
package schedule
