package schedule

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestReplay(t *testing.T) {
	for name, test := range map[string]struct {
		csv       string
		recording Recording
		rates     map[time.Duration]string
	}{
		"steps stay at the last": {
			"time,rate\n0,50\n60,100\n90,0.25\n",
			Recording{},
			map[time.Duration]string{0: "50", 59 * time.Second: "50", 60 * time.Second: "100", 90 * time.Second: "0.25", time.Hour: "0.25"},
		},
		"lines": {
			"0,50\n60,100\n90,10\n",
			Recording{Linear: true},
			map[time.Duration]string{0: "50", 30 * time.Second: "75", 75 * time.Second: "55", time.Hour: "10"},
		},
		"looped steps hold the last as long as the one before": {
			"0,1\n60,2\n90,3\n",
			Recording{Loop: true},
			map[time.Duration]string{0: "1", 119 * time.Second: "3", 120 * time.Second: "1", (1000*120 + 60) * time.Second: "2"},
		},
		"looped lines end with the last": {
			"0,1\n60,2\n90,3\n",
			Recording{Loop: true, Linear: true},
			map[time.Duration]string{75 * time.Second: "2.5", 90 * time.Second: "1", 120 * time.Second: "1.5"},
		},
		"durations, comments, blanks and a mark": {
			"\xef\xbb\xbf# a recording\nTime, Rate\n1m,5\n\n1m30.5s, 6\n",
			Recording{},
			map[time.Duration]string{30499 * time.Millisecond: "5", 30500 * time.Millisecond: "6"},
		},
		"times of day, across zones": {
			"2026-01-31T12:00:00Z,5\n2026-01-31T13:00:00.25+01:00,6\r\n",
			Recording{},
			map[time.Duration]string{249 * time.Millisecond: "5", 250 * time.Millisecond: "6"},
		},
		"seconds since 1970, many decimals": {
			"1769860800.5,33.3333335\n1769860801,0.66666666666666666\n",
			Recording{},
			map[time.Duration]string{0: "33.333334", 500 * time.Millisecond: "0.666667"},
		},
		"scaled": {
			"0,50\n1,0\n2,1000000\n",
			Recording{Scale: 300_000},
			map[time.Duration]string{0: "15", time.Second: "0", 2 * time.Second: "300000"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := must(t)(Replay(strings.NewReader(test.csv), test.recording))
			for at, want := range test.rates {
				if got := s.RateAt(at); got != rateOf(t, want) {
					t.Errorf("rate %s after %v, want %s", got, at, want)
				}
			}
		})
	}
}

// 30 arrivals a loop of 2 minutes, for weeks.
func TestReplayLoopsExactly(t *testing.T) {
	s := must(t)(Replay(strings.NewReader("0,0.25\n60,0\n90,0.5\n"), Recording{Loop: true}))
	for loop := range int64(20_000) {
		if due, ok := s.Due(loop * 30); !ok || due != time.Duration(loop)*120*time.Second {
			t.Fatalf("loop %d starts at %v, %v", loop, due, ok)
		}
		if due, ok := s.Due(loop*30 + 15); !ok || due != time.Duration(loop)*120*time.Second+90*time.Second {
			t.Fatalf("loop %d goes on at %v, %v, behind its pause", loop, due, ok)
		}
	}
}

func TestReplayErrors(t *testing.T) {
	for csv, want := range map[string]string{
		"":                                   "r.csv: 0 rows of time and rate: give at least two, such as 0,50 and 60,100",
		"time,rate\n0,5\n":                   "r.csv: 1 rows of time and rate: give at least two, such as 0,50 and 60,100",
		"at,rate\n0,5\n":                     `r.csv:1:1: "at" is not a time: give seconds such as 60, a duration such as 1m30s, or RFC 3339 such as 2026-01-31T12:00:00Z; the header, if any, is time,rate`,
		"time,rate\ntime,rate\n":             `r.csv:2:1: "time" is not a time: give seconds such as 60, a duration such as 1m30s, or RFC 3339 such as 2026-01-31T12:00:00Z; the header, if any, is time,rate`,
		"0,5\ntime,rate\n":                   `r.csv:2:1: "time" is not a time in the form of the first row: give seconds such as 60 or 0.5`,
		"0,5\n1m,6\n":                        `r.csv:2:1: "1m" is not a time in the form of the first row: give seconds such as 60 or 0.5`,
		"0s,5\n60,6\n":                       `r.csv:2:1: "60" is not a time in the form of the first row: give a duration such as 1m30s`,
		"2026-01-31T12:00:00Z,5\n60,6\n":     `r.csv:2:1: "60" is not a time in the form of the first row: give RFC 3339 such as 2026-01-31T12:00:00Z`,
		"0,5\n60,6\n60,7\n":                  `r.csv:3:1: time "60" is not after the one of the row before: give times that rise`,
		"9,5\n8,6\n":                         `r.csv:2:1: time "8" is not after the one of the row before: give times that rise`,
		"0,5\n31622401,6\n":                  `r.csv:2:1: time "31622401" is more than 8784h after the first row: give a shorter recording`,
		"0,5\n-1,6\n":                        `r.csv:2:1: "-1" is not a time in the form of the first row: give seconds such as 60 or 0.5`,
		"0,5,6\n":                            "r.csv:1:1: 3 fields: give two, time and rate, such as 60,100",
		"0,5\n1\n":                           "r.csv:2:1: 1 fields: give two, time and rate, such as 60,100",
		"0,5\n60,-6\n":                       `r.csv:2:4: "-6" is not a rate: give arrivals a second as a decimal number from 0, such as 50 or 0.5, that times the scale 1 is at most 1000000`,
		"0,5\n60,NaN\n":                      `r.csv:2:4: "NaN" is not a rate: give arrivals a second as a decimal number from 0, such as 50 or 0.5, that times the scale 1 is at most 1000000`,
		"0,5\n60,1e3\n":                      `r.csv:2:4: "1e3" is not a rate: give arrivals a second as a decimal number from 0, such as 50 or 0.5, that times the scale 1 is at most 1000000`,
		"0,5\n60,1000001\n":                  `r.csv:2:4: "1000001" is not a rate: give arrivals a second as a decimal number from 0, such as 50 or 0.5, that times the scale 1 is at most 1000000`,
		"0,5\n60," + strings.Repeat("9", 99): `r.csv:2:4: "9999999999999999999999999999999999999999"... is not a rate: give arrivals a second as a decimal number from 0, such as 50 or 0.5, that times the scale 1 is at most 1000000`,
		"0,0\n60,0\n":                        "r.csv: every rate is 0: give at least one above 0",
		"0,5\n\"1\" ,6\n":                    `r.csv:2:3: extraneous or missing " in quoted-field: give rows of time,rate such as 60,100`,
	} {
		_, err := Replay(strings.NewReader(csv), Recording{Name: "r.csv"})
		if err == nil || err.Error() != want {
			t.Errorf("%.40q:\n got %v\nwant %s", csv, err, want)
		}
	}
}

func TestReplayIsBounded(t *testing.T) {
	var rows strings.Builder
	for i := range maxReplayRows + 1 {
		fmt.Fprintf(&rows, "%d,5\n", i)
	}
	for want, csv := range map[string]string{
		"r.csv:100001: more than 100000 rows: give a recording with fewer": rows.String(),
		"r.csv: more than 8 MiB: give a recording with fewer rows":         strings.Repeat("# nothing\n", maxReplayBytes/10+1),
	} {
		if _, err := Replay(strings.NewReader(csv), Recording{Name: "r.csv"}); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := Replay(strings.NewReader("0,0\n60,0\n"), Recording{Name: "r.csv", Loop: true}); err == nil || err.Error() != "r.csv: every rate of the part that repeats is 0: give at least one above 0" {
		t.Errorf("a loop of nothing: %v", err)
	}
	broken := errors.New("the disk is gone")
	if _, err := Replay(iotest.ErrReader(broken), Recording{Name: "r.csv"}); !errors.Is(err, broken) || err.Error() != "reading r.csv: the disk is gone" {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

func FuzzReplay(f *testing.F) {
	f.Add("time,rate\n0,50\n60,100\n", true, false, uint64(1_000_000))
	f.Add("1m,5\n1m30.5s,6\n", false, true, uint64(1))
	f.Add("2026-01-31T12:00:00Z,0\n2026-01-31T13:00:00+01:00,6\n", true, true, uint64(MaxRate))
	f.Add("\"0\n,\"5", false, false, uint64(0))
	f.Fuzz(func(t *testing.T, csv string, linear, loop bool, scale uint64) {
		s, err := Replay(strings.NewReader(csv), Recording{Name: "f", Linear: linear, Loop: loop, Scale: Rate(scale % uint64(MaxRate))})
		if err != nil {
			if !strings.Contains(err.Error(), ": ") {
				t.Errorf("%q does not say where", err)
			}
			return
		}
		exact := exactly(s)
		for n := range int64(20) {
			if _, ok := s.Due(n * n * n * n); ok {
				checkDue(t, exact, n*n*n*n)
			}
		}
	})
}
