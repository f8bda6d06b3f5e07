package cashflow

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"soakd/internal/load"
)

// answers lets a workload see answers that close their connection or not, and
// counts what it reports.
type answers struct {
	b        *bench
	valid    *load.Exchange
	invalid  map[string]*load.Exchange
	names    []string
	reported map[string]int
}

func newAnswers(t testing.TB) *answers {
	t.Helper()
	b := newFullBench(t)
	a := &answers{b: b, invalid: map[string]*load.Exchange{}, reported: map[string]int{}}
	a.valid = answered(0, b.build(t, "health", drawOf(0, 1)), 200, []byte(`{"status":"ok"}`), 0)
	for _, c := range b.Cases {
		if c.Invalid && !slices.Contains(c.Checks, checkNamesField) && c.Name != foreignScenario {
			a.invalid[c.Name] = answered(0, b.build(t, c.Name, drawOf(0, 1)), c.Statuses[0], []byte(`{"detail":"no"}`), 0)
			a.names = append(a.names, c.Name)
		}
	}
	return a
}

// see shows one answer of a case, "" for valid traffic, and returns whether it
// was reported.
func (a *answers) see(name string, closing bool) bool {
	x, c := a.valid, a.b.cases["health"]
	if name != "" {
		x, c = a.invalid[name], a.b.cases[name]
	}
	before := a.reported[name]
	x.Response.Closing = closing
	c.Verify(x, func(check string, _ error) {
		if check != checkConnection {
			panic(c.Name + " fails " + check)
		}
		a.reported[name]++
	})
	return a.reported[name] > before
}

// mixed shows n answers of the usual mix: 1 in 33 to invalid input, its cases at
// random. closing decides which of them close.
func (a *answers) mixed(n int, seed uint64, closing func(i int, name string) bool) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		name := ""
		if rng.IntN(33) == 0 {
			name = a.names[rng.IntN(len(a.names))]
		}
		a.see(name, closing(i, name))
	}
}

// proxy closes each of its connections at its hundredth request, as one with
// keepalive_requests 100 does. Requests take any connection.
func proxy(connections int) func(int, string) bool {
	rng := rand.New(rand.NewPCG(9, 9))
	served := make([]int, connections)
	for i := range served {
		served[i] = rng.IntN(100)
	}
	return func(int, string) bool {
		at := rng.IntN(connections)
		served[at] = (served[at] + 1) % 100
		return served[at] == 0
	}
}

func TestClosingsOfAnyTrafficAreNoFinding(t *testing.T) {
	for name, closing := range map[string]func(int, string) bool{
		"a proxy that closes every hundredth": proxy(256),
		"no connection is kept":               func(int, string) bool { return true },
		"a rolling restart of four": func(i int, _ string) bool {
			// For 2 000 answers in each 100 000, one of four at a time is on its way out.
			return i%100_000 < 2_000 && (i/500+i*7)%4 == 0
		},
		"a restart of all": func(i int, _ string) bool { return i%50_000 < 1_000 },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAnswers(t)
			a.mixed(1_000_000, 4, closing) // enough for two in a row of one case by chance
			if len(a.reported) > 0 {
				t.Errorf("reported: %v", a.reported)
			}
		})
	}
}

func TestClosingsOfInvalidInputAreFound(t *testing.T) {
	const culprit = "invalid_json_malformed"
	for name, others := range map[string]func(int, string) bool{
		"nothing else closes":                 func(int, string) bool { return false },
		"a proxy closes every hundred-first":  func(i int, _ string) bool { return i%101 == 0 },
		"everything closed until a while ago": func(i int, _ string) bool { return i < 10_000 },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAnswers(t)
			closed := 0
			a.mixed(40_000, 5, func(i int, name string) bool {
				if name == culprit {
					closed++
				}
				return name == culprit || others(i, name)
			})
			if len(a.reported) != 1 || a.reported[culprit] < closed/2 || closed < 50 {
				t.Errorf("reported %v of %d closings of %s", a.reported, closed, culprit)
			}
		})
	}
}

// The bounds of the rule, one answer at a time.
func TestClosingRule(t *testing.T) {
	const culprit = "invalid_token_missing"
	valid := func(a *answers, n, closed int) {
		for i := range n {
			a.see("", i < closed)
		}
	}
	for _, test := range []struct {
		what                 string
		run, valid, closings int
		want                 bool
	}{
		{"five in a row", 5, 100, 0, true},
		{"four in a row", 4, 100, 0, false},
		{"too little valid traffic", 5, 99, 0, false},
		{"one of a hundred", 5, 100, 1, false},
		{"one of a hundred and one", 5, 101, 1, true},
		{"more in a row", 9, 100, 0, true},
	} {
		a := newAnswers(t)
		valid(a, 1000, 0) // before the first closing: does not count
		var reported bool
		for i := range test.run {
			reported = a.see(culprit, true)
			if i == test.run-2 {
				valid(a, test.valid, test.closings)
			}
		}
		if reported != test.want {
			t.Errorf("%s: reported %v, want %v", test.what, reported, test.want)
		}
	}

	a := newAnswers(t)
	for range 4 {
		a.see(culprit, true)
	}
	valid(a, 200, 0)
	a.see(culprit, false)
	if a.see(culprit, true) {
		t.Error("an answer that left the connection open does not end the row")
	}
}

// Meant for the race detector; no answer goes uncounted.
func TestClosingsConcurrently(t *testing.T) {
	valid := new(validTraffic)
	c := &load.Case{}
	valid.watch(c)
	invalid := closings{valid: valid}
	var (
		group    sync.WaitGroup
		reported atomic.Int64
	)
	for range 8 {
		group.Go(func() {
			for i := range 100 {
				for range 50 {
					c.Verify(&load.Exchange{Response: &load.Response{}}, nil)
				}
				if i == 0 {
					c.Verify(&load.Exchange{Response: &load.Response{Closing: true}}, nil)
				}
				if invalid.answered(true) != nil {
					reported.Add(1)
				}
			}
		})
	}
	group.Wait()
	if got := valid.now(); got != (validCount{answers: 8*100*50 + 8, closed: 8}) {
		t.Errorf("counted %+v", got)
	}
	if n := reported.Load(); n < 1 || n > 8*100-(closingsInRow-1) {
		t.Errorf("%d of 800 closings were reported", n)
	}
}
