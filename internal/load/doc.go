// Package load makes the traffic: pure [schedule.Arrivals] say when each arrival
// is due, a seeded [Mix] says what it is, and the [Engine] sends it over one of its
// connections and gives one [Result] for each request to a sink. In closed mode
// users take the place of the schedule.
//
// Every arrival is accounted for. At any moment
//
//	scheduled = sent + waiting + dropped
//
// and every request has two latencies: from the moment its arrival was due
// (what a user would have felt; free of coordinated omission) and from the
// moment it was sent (what the target took).
package load
