package api

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"soakd/internal/probes"
)

var testStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestAnswersAreKeptForAWhile(t *testing.T) {
	server := startDNS(t)
	one, two := []string{"127.0.0.1"}, []string{"127.0.0.2"}
	server.set(func(s *dnsServer) { s.hosts["api.test"] = one })
	d := discovery{host: "api.test", port: "80", resolver: server.resolver(), interval: 30 * time.Second}
	ask := func(after time.Duration, again bool, want []string, fails bool) {
		t.Helper()
		got, err := d.addresses(t.Context(), testStart.Add(after), again)
		if !slices.Equal(got, want) || (err != nil) != fails || fails && probes.ReasonOf(err) != probes.ReasonDNS {
			t.Errorf("after %v: %v, %v; want %v", after, got, err, want)
		}
	}
	first, second := []string{"127.0.0.1:80"}, []string{"127.0.0.2:80"}
	ask(0, false, first, false)
	server.set(func(s *dnsServer) { s.hosts["api.test"] = two })
	asked := server.questions()
	ask(29*time.Second, false, first, false)
	if server.questions() != asked {
		t.Error("asked before it was time to")
	}
	ask(30*time.Second, false, second, false)
	server.set(func(s *dnsServer) { s.hosts["api.test"] = one })
	ask(31*time.Second, true, first, false) // after a failure

	server.set(func(s *dnsServer) { s.failing = true })
	ask(62*time.Second, false, first, true)
	ask(63*time.Second, false, first, true) // it fails until there is an answer
	server.set(func(s *dnsServer) { s.failing, s.hosts["api.test"] = false, nil })
	ask(64*time.Second, false, first, true) // an answer without addresses
	server.set(func(s *dnsServer) { delete(s.hosts, "api.test") })
	ask(31*time.Second+keepAnswer, false, first, true) // no such name
	ask(32*time.Second+keepAnswer, false, nil, true)
	server.set(func(s *dnsServer) { s.hosts["api.test"] = two })
	ask(33*time.Second+keepAnswer, false, second, false)
}

func TestSeats(t *testing.T) {
	type step struct {
		at        time.Duration
		addresses string // one letter each
		seats     string // upper case when it has left, . when free
		leftOut   int
	}
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	many := letters[:maxReplicas]
	for name, steps := range map[string][]step{
		"in order, and kept":        {{0, "abc", "abc", 0}, {1, "bc", "Abc", 0}, {2, "abc", "abc", 0}},
		"a move takes a new seat":   {{0, "ab", "ab", 0}, {time.Minute, "bc", "Abc", 0}},
		"seats are used again":      {{0, "ab", "ab", 0}, {1, "b", "Ab", 0}, {2 + holdSeat, "bc", "cb", 0}},
		"and not before":            {{0, "ab", "ab", 0}, {1, "b", "Ab", 0}, {1 + holdSeat, "bc", "Abc", 0}},
		"more than there are seats": {{0, many + "89", many, 2}, {1, many[1:] + "9", "9" + many[1:], 0}},
		"all leave":                 {{0, "ab", "ab", 0}, {1, "", "AB", 0}, {2 + holdSeat, "", "..", 0}, {3 + holdSeat, "c", "c.", 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var seats []seat
			for i, s := range steps {
				var addresses []string
				for _, letter := range s.addresses {
					addresses = append(addresses, string(letter))
				}
				before := slices.Clone(seats)
				next, leftOut := seated(seats, addresses, testStart.Add(s.at))
				if !slices.Equal(seats, before) {
					t.Error("the seats of before were changed")
				}
				seats = next
				if got := written(seats); got != s.seats || leftOut != s.leftOut {
					t.Errorf("step %d: %s, %d left out; want %s, %d", i, got, leftOut, s.seats, s.leftOut)
				}
			}
		})
	}
}

func written(seats []seat) string {
	text := ""
	for _, s := range seats {
		switch {
		case s.address == "":
			text += "."
		case !s.left.IsZero():
			text += string(s.address[0] - 'a' + 'A')
		default:
			text += s.address
		}
	}
	return text
}

// Replicas come and go for weeks: every address is new, and no more labels are
// needed than there are seats.
func TestSeatsAreBounded(t *testing.T) {
	var seats []seat
	for hour := range 24 * 21 {
		addresses := make([]string, 5)
		for i := range addresses {
			addresses[i] = fmt.Sprintf("10.0.%d.%d:8000", hour, i)
		}
		var leftOut int
		seats, leftOut = seated(seats, addresses, testStart.Add(time.Duration(hour)*time.Hour))
		if leftOut != 0 || len(seats) > 10 {
			t.Fatalf("hour %d: %d seats, %d left out", hour, len(seats), leftOut)
		}
	}
}
