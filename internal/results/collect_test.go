package results_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"soakd/internal/results"
)

func isUnreadable(err error) bool { return errors.Is(err, results.ErrUnreadable) }

// jtl makes a file of JMeter's: a line a request that ended at that ms and took as long.
func jtl(requests ...[3]int) string {
	var b strings.Builder
	b.WriteString("timeStamp,elapsed,label,success\n")
	for _, r := range requests {
		fmt.Fprintf(&b, "%d,%d,case %d,true\n", 1795658280000+r[0]-r[1], r[1], r[2])
	}
	return b.String()
}

// The order of lines that lie close together changes nothing.
func TestDisorder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var ordered [][3]int
	for i := range 3000 {
		ordered = append(ordered, [3]int{100 * i, 1 + random.IntN(900), random.IntN(5)})
	}
	a, before, err := text(jtl(ordered...), "")
	if err != nil {
		t.Fatal(err)
	}
	checkSums(t, a, before)
	mixed := slices.Clone(ordered)
	for from := 0; from < len(mixed); from += 300 { // half a minute each
		part := mixed[from : from+300]
		random.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
	}
	b, after, err := text(jtl(mixed...), "")
	if err != nil {
		t.Fatal(err)
	}
	checkSums(t, b, after)
	if len(b.Notes) > 0 || len(before) != len(after) || b.Run.Elapsed != a.Run.Elapsed {
		t.Fatalf("%v, %d and %d windows", b.Notes, len(before), len(after))
	}
	for i := range before {
		if before[i].Sent != after[i].Sent || before[i].Covered != after[i].Covered {
			t.Errorf("window %d has %d and %d", i, before[i].Sent, after[i].Sent)
		}
	}
}

// What comes far too late counts all the same, and it is said.
func TestTooLate(t *testing.T) {
	r, windows, err := text(jtl([3]int{1000, 5, 0}, [3]int{200_000, 5, 0}, [3]int{2000, 5, 0}), "")
	if err != nil {
		t.Fatal(err)
	}
	checkSums(t, r, windows)
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "1 of 3 requests stand more than 1m0s behind") {
		t.Errorf("%v", r.Notes)
	}
	// In between nothing ended, and the windows tell.
	if len(windows) != 21 || windows[5].Sent != 0 || windows[5].Covered != windows[5].Length {
		t.Errorf("%d windows", len(windows))
	}
}

func TestTooManyNames(t *testing.T) {
	var requests [][3]int
	for i := range 1000 {
		requests = append(requests, [3]int{1000 + i, 1, i})
	}
	r, windows, err := text(jtl(requests...), "")
	if err != nil {
		t.Fatal(err)
	}
	checkSums(t, r, windows)
	if len(r.Run.Cases) != 200 || byName(t, r, results.Others).Requests != 801 {
		t.Errorf("%d cases", len(r.Run.Cases))
	}
}

// endless is a stream of so many bytes: a head, and then a part again and again.
type endless struct {
	head, part string
	left       int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, errors.New("read too far")
	}
	if e.head == "" {
		e.head = e.part
	}
	n := copy(p, e.head)
	e.head = e.head[n:]
	e.left -= n
	return n, nil
}

// A line without an end, or a quote, must not take all memory there is.
func TestLinesWithoutEnd(t *testing.T) {
	for format, head := range map[results.Format]string{
		results.K6CSV:      "metric_name,timestamp,metric_value\n\"",
		results.JMeterCSV:  "timeStamp,elapsed,label,success\n\"",
		results.VegetaCSV:  "1795657750189365555,200,3,1,2,\"",
		results.VegetaJSON: `{"code":"`,
		results.K6JSON:     `{"metric":"http_req_duration`,
	} {
		_, err := results.Read("file", &endless{head, strings.Repeat("x", 4000), 70 << 20}, results.Options{Format: format})
		if err == nil || !strings.Contains(err.Error(), "longer than 64 MiB") {
			t.Errorf("%s: %v", format, err)
		}
	}
}

// An error of reading is no mistake in the file.
func TestReadingFails(t *testing.T) {
	_, err := results.Read("file", &endless{"metric_name,timestamp,metric_value\n", "http_reqs,1795657785,1\n", 200_000}, results.Options{})
	if err == nil || isUnreadable(err) || !strings.Contains(err.Error(), "read file: read too far") {
		t.Errorf("%v", err)
	}
	if _, err := results.File(t.TempDir(), results.Options{}); !isUnreadable(err) {
		t.Errorf("a folder: %v", err)
	}
	if _, err := results.File("nowhere", results.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// Two moments of different years in one file would be millions of windows.
func TestRunsOfYears(t *testing.T) {
	content := []byte("timeStamp,elapsed,label,success\n")
	for day := range 400 {
		content = fmt.Appendf(content, "%d,85,a,true\n", 1795658287870+int64(day)*86_000_000)
	}
	if _, _, err := text(string(content), results.JMeterCSV); err == nil || !isUnreadable(err) || !strings.Contains(err.Error(), "lies more than 8784h0m0s from the first") {
		t.Errorf("%v", err)
	}
}
