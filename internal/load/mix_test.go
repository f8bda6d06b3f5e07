package load

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func testCase(name string, weight float64) *Case {
	return &Case{
		Name: name, Class: "standard", Weight: weight, Timeout: time.Second, Statuses: []int{200},
		Build: func(Draw) (*Request, error) { return &Request{Method: "GET", Path: "/" + name}, nil },
	}
}

func testWorkload() *Workload {
	limited := testCase("limited", 1)
	limited.MinInterval = time.Minute
	save := testCase("save", 2)
	return &Workload{
		Name:    "test",
		Cases:   []*Case{testCase("often", 6), save, limited, testCase("seldom", 1), testCase("never", 0)},
		Opening: &Opening{Case: save, Times: 3},
	}
}

func draws(t *testing.T, users int, seed uint64, n int64, spacing time.Duration) []Arrival {
	t.Helper()
	mix, err := NewMix(testWorkload(), users, seed)
	if err != nil {
		t.Fatal(err)
	}
	arrivals := make([]Arrival, n)
	for i := range arrivals {
		arrivals[i] = mix.Next(int64(i), time.Duration(i)*spacing)
	}
	return arrivals
}

func TestMixSameSeedSameSequence(t *testing.T) {
	sequence := func(seed uint64) string {
		var b strings.Builder
		mix, err := NewMix(testWorkload(), 7, seed)
		if err != nil {
			t.Fatal(err)
		}
		for n := range int64(2000) {
			a := mix.Next(n, time.Duration(n)*time.Second)
			fmt.Fprintf(&b, "%d %s %d %d\n", a.N, a.Case.Name, a.User, mix.Rand(n).Uint64())
		}
		return b.String()
	}
	if first, again := sequence(1), sequence(1); first != again {
		t.Error("the same seed gave two sequences")
	}
	if sequence(1) == sequence(2) {
		t.Error("two seeds gave the same sequence")
	}
}

func TestMixOpensWithEveryUser(t *testing.T) {
	count := map[int]int{}
	for _, a := range draws(t, 10, 1, 30, time.Millisecond) {
		if a.Case.Name != "save" {
			t.Fatalf("arrival %d is %s, want the opening's", a.N, a.Case.Name)
		}
		count[a.User]++
	}
	for user := range 10 {
		if count[user] != 3 {
			t.Errorf("user %d opens with %d arrivals, want 3", user, count[user])
		}
	}
}

// Each shard opens with all of its own users, and after that draws for an arrival
// what the whole schedule would.
func TestMixInShards(t *testing.T) {
	const users, shards = 10, 5 // 5 divides 10: counted by n, a shard would have 2 users
	whole := draws(t, users, 1, 1000, time.Hour)
	for shard := range int64(shards) {
		mix, err := NewMix(testWorkload(), users, 1)
		if err != nil {
			t.Fatal(err)
		}
		mix.InShards(shards)
		opened := map[int]int{}
		for n := shard; n < int64(len(whole)); n += shards {
			a := mix.Next(n, time.Duration(n)*time.Hour)
			switch here := n / shards; {
			case here < 3*users:
				if a.Case.Name != "save" {
					t.Fatalf("shard %d: arrival %d is %s, want the opening's", shard, n, a.Case.Name)
				}
				opened[a.User]++
			case a.Case.Name != whole[n].Case.Name:
				t.Fatalf("shard %d: arrival %d is %s, in one piece %s", shard, n, a.Case.Name, whole[n].Case.Name)
			}
		}
		for user := range users {
			if opened[user] != 3 {
				t.Errorf("shard %d: user %d opens with %d arrivals, want 3", shard, user, opened[user])
			}
		}
	}
}

// The shares of 10^5 draws must lie within five standard deviations of the weights.
func TestMixDrawsByWeight(t *testing.T) {
	const n = 100_000
	count := map[string]float64{}
	users := map[int]int{}
	for _, a := range draws(t, 4, 3, n+12, time.Hour)[12:] {
		count[a.Case.Name]++
		users[a.User]++
	}
	for name, weight := range map[string]float64{"often": 6, "save": 2, "limited": 1, "seldom": 1} {
		p := weight / 10
		if deviation := math.Abs(count[name]/n - p); deviation > 5*math.Sqrt(p*(1-p)/n) {
			t.Errorf("%s: share %.4f, want %.4f", name, count[name]/n, p)
		}
	}
	if count["never"] != 0 {
		t.Error("a case of weight 0 was drawn")
	}
	for user := range 4 {
		if got := float64(users[user]) / n; math.Abs(got-0.25) > 0.01 {
			t.Errorf("user %d has %.3f of the arrivals, want a quarter", user, got)
		}
	}
}

func TestMixKeepsTheLimitOfAUser(t *testing.T) {
	last := map[int]time.Duration{}
	var limited, replaced int
	for _, a := range draws(t, 5, 9, 60_000, 10*time.Millisecond) {
		if a.InsteadOf != nil {
			replaced++
			if a.InsteadOf.Name != "limited" || a.Case.MinInterval != 0 {
				t.Fatalf("arrival %d: %s instead of %s", a.N, a.Case.Name, a.InsteadOf.Name)
			}
		}
		if a.Case.Name != "limited" {
			continue
		}
		limited++
		if before, ok := last[a.User]; ok && a.Due-before < time.Minute {
			t.Fatalf("user %d: again after %v", a.User, a.Due-before)
		}
		last[a.User] = a.Due
	}
	// Ten minutes, five users, once a minute each: close to 50, never more.
	if limited < 45 || limited > 50 {
		t.Errorf("%d limited arrivals in ten minutes, want 45 to 50", limited)
	}
	if replaced == 0 {
		t.Error("no draw was replaced")
	}
}

func TestNewMixReportsEveryMistake(t *testing.T) {
	broken := &Workload{Name: "broken", Cases: []*Case{
		{Name: "Bad Name", Weight: math.NaN(), Timeout: -1, MinInterval: -1},
		testCase("twice", 1), testCase("twice", 1),
	}}
	broken.Cases[1].Fallback = testCase("stranger", 1)
	broken.Opening = &Opening{}
	_, err := NewMix(broken, 1, 1)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"workload broken", "name must be lower-case", "no class", "weight NaN", "timeout -1ns", "least interval -1ns",
		"expects no status", "builds no request", "twice: stands twice", "fallback stranger", "the opening needs",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not mention %q:\n%v", want, err)
		}
	}
	if _, err := NewMix(testWorkload(), 0, 1); err == nil {
		t.Error("no users were taken")
	}
	onlyLimited := &Workload{Name: "limited", Cases: []*Case{testCase("a", 1)}}
	onlyLimited.Cases[0].MinInterval = time.Second
	if _, err := NewMix(onlyLimited, 1, 1); err == nil {
		t.Error("a workload of limited cases alone was taken")
	}
}
