// Package load makes the traffic: a pure [Schedule] says when each arrival is
// due, a seeded [Mix] says what it is, the open-loop [Engine] sends it through
// the [Client] and gives one [Result] for each request to a sink.
//
// Every arrival is accounted for. At any moment
//
//	scheduled = sent + waiting + dropped
//
// and every request has two latencies: from the moment its arrival was due
// (what a user would have felt; free of coordinated omission) and from the
// moment it was sent (what the target took).
package load
