package api

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
)

func TestReadsAProcessWithItsChildren(t *testing.T) {
	h := startHelper(t, "family", "target")
	probe := open(t, Config{PID: h.pid()})
	first := mustPoll(t, probe)
	if first["processes"] != 1 || first["threads"] < 1 || first["resident_memory_bytes"] < 1<<20 || first["restarts_total"] != 0 {
		t.Errorf("first: %v", first)
	}
	own := open(t, Config{PID: os.Getpid()})
	if now := mustPoll(t, own)["start_time_seconds"]; first["start_time_seconds"] < now || first["start_time_seconds"] > now+600 {
		t.Errorf("started at %v, the test itself at %v", first["start_time_seconds"], now)
	}

	h.do(t, "open 20")
	h.do(t, "allocate 64")
	h.do(t, "burn 200")
	second := mustPoll(t, probe)
	if second["open_fds"] != first["open_fds"]+20 || second["max_fds"] != first["max_fds"] || second["fd_saturation_ratio"] != second["open_fds"]/second["max_fds"] {
		t.Errorf("files: %v, then %v", first, second)
	}
	if grown := second["resident_memory_bytes"] - first["resident_memory_bytes"]; grown < 60<<20 || grown > 90<<20 {
		t.Errorf("64 MiB of memory became %v bytes", grown)
	}
	if used := second["cpu_seconds_total"] - first["cpu_seconds_total"]; used < 0.18 {
		t.Errorf("200 ms of CPU time became %v s", used)
	}
	if second["context_switches_total[voluntary]"] <= first["context_switches_total[voluntary]"] {
		t.Errorf("context switches: %v, then %v", first, second)
	}

	h.do(t, "child")
	h.do(t, "child: burn 200")
	h.do(t, "child: child")
	h.do(t, "child: child: burn 200")
	third := mustPoll(t, probe)
	if third["processes"] != 3 || third["cpu_seconds_total"] < second["cpu_seconds_total"]+0.36 || third["max_fds"] != 3*first["max_fds"] || third["open_fds"] <= second["open_fds"] {
		t.Errorf("with two descendants: %v, before %v", third, second)
	}
	agrees(t, h, third["cpu_seconds_total"]-0.4, 0.2) // what those that live have used is not in
	h.do(t, "child: child: burn 100")
	h.do(t, "child: burn 100")
	h.do(t, "wait")
	for i := range 3 {
		got := mustPoll(t, probe)
		if got["processes"] != 1 || got["cpu_seconds_total"] < third["cpu_seconds_total"]+0.18 || got["restarts_total"] != 0 {
			t.Errorf("poll %d after the children's end: %v, before %v", i, got, third)
		}
		agrees(t, h, got["cpu_seconds_total"], 0.1) // nothing is counted twice
		third["cpu_seconds_total"] = max(third["cpu_seconds_total"], got["cpu_seconds_total"]-0.2)
	}
}

// agrees compares with what the kernel tells the process itself, which has the
// ticks of each process (0.01 s) in full.
func agrees(t *testing.T, h *helper, seconds, tolerance float64) {
	t.Helper()
	used, err := strconv.Atoi(h.ask("used"))
	if err != nil || math.Abs(seconds-float64(used)/1000) > tolerance {
		t.Errorf("%v s of CPU time, getrusage tells %d ms, %v", seconds, used, err)
	}
}

func mustPoll(t *testing.T, probe probes.Probe) map[string]float64 {
	t.Helper()
	got, err := poll(t, probe)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAProcessThatIsRestarted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	probe := open(t, Config{PIDFile: file})
	missing := func(what string) {
		t.Helper()
		if got, err := poll(t, probe); probes.ReasonOf(err) != probes.ReasonMissing || len(got) != 0 {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	missing("no file")
	first := startHelper(t, "family", "first")
	write(t, file, fmt.Sprintf("%d\n", first.pid()))
	first.do(t, "burn 100")
	before := mustPoll(t, probe)
	first.end()
	missing("the process has ended")
	second := startHelper(t, "family", "second")
	write(t, file, strconv.Itoa(second.pid()))
	got := mustPoll(t, probe)
	if got["restarts_total"] != 1 || got["cpu_seconds_total"] >= before["cpu_seconds_total"] || got["start_time_seconds"] < before["start_time_seconds"] {
		t.Errorf("after a restart: %v, before %v", got, before)
	}
	write(t, file, "seven\n")
	if _, err := poll(t, probe); probes.ReasonOf(err) != probes.ReasonProtocol || !strings.Contains(err.Error(), "does not start with the number of a process") {
		t.Errorf("garbage: %v", err)
	}
	write(t, file, strconv.Itoa(second.pid()))
	if got := mustPoll(t, probe); got["restarts_total"] != 1 {
		t.Errorf("and back: %v", got)
	}
}

// The kernel keeps 15 bytes of a name.
func TestProcessesByName(t *testing.T) {
	name := fmt.Sprintf("soakd-t%d-target", os.Getpid())
	probe := open(t, Config{Process: name})
	if _, err := poll(t, probe); probes.ReasonOf(err) != probes.ReasonMissing {
		t.Errorf("none of the name: %v", err)
	}
	one := startHelper(t, "family", name)
	one.do(t, "child") // of the same name: not counted twice
	if got := mustPoll(t, probe); got["processes"] != 2 {
		t.Errorf("one with a child: %v", got)
	}
	startHelper(t, "family", name)
	if got := mustPoll(t, probe); got["processes"] != 3 || got["restarts_total"] != 0 {
		t.Errorf("two: %v", got)
	}
}

func TestRootsAndFamilies(t *testing.T) {
	all := map[int]candidate{}
	for _, c := range []candidate{
		{pid: 1, name: "init"},
		{pid: 10, parent: 1, name: "api"},
		{pid: 11, parent: 10, name: "api"},
		{pid: 12, parent: 11, name: "helper"},
		{pid: 20, parent: 1, name: "api"},
		{pid: 30, parent: 1, name: "api", ended: true},
		{pid: 40, parent: 40, name: "odd"},
	} {
		all[c.pid] = c
	}
	roots, err := processTarget{name: "api"}.roots(all)
	if err != nil || !slices.Equal(roots, []int{10, 20}) {
		t.Errorf("roots %v, %v", roots, err)
	}
	if got := family([]int{10}, all); !slices.Equal(got, []int{10, 11, 12}) {
		t.Errorf("family %v", got)
	}
	if got := family([]int{40}, all); !slices.Equal(got, []int{40}) {
		t.Errorf("its own parent: %v", got)
	}
	if _, err := (processTarget{pid: 30}).roots(all); probes.ReasonOf(err) != probes.ReasonMissing {
		t.Errorf("ended: %v", err)
	}
}

func TestANumberThatAnotherProcessWasGiven(t *testing.T) {
	h := startHelper(t, "family", "target")
	opened := open(t, Config{PID: h.pid()}).(*probe)
	mustPoll(t, opened)
	source := opened.members.(fixed)[0].sources[0].(*processSource)
	source.root.Starttime--
	source.root.Comm = "another"
	if _, err := poll(t, opened); probes.ReasonOf(err) != probes.ReasonMissing || !strings.Contains(err.Error(), `was that of "another"`) {
		t.Errorf("%v", err)
	}
}

func TestThePageComesFirst(t *testing.T) {
	h := startHelper(t, "family", "target")
	h.do(t, "burn 50")
	proxy := probetest.NewProxy(t, strings.TrimSuffix(strings.TrimPrefix(serve(t, page("process_cpu_seconds_total 100\nprocess_resident_memory_bytes 7\n")), "http://"), "/metrics"))
	probe := open(t, Config{MetricsURL: "http://" + proxy.Address() + "/metrics", PID: h.pid()})
	got := mustPoll(t, probe)
	if got["cpu_seconds_total"] != 100 || got["resident_memory_bytes"] != 7 || got["processes"] != 1 || got["open_fds"] < 3 {
		t.Errorf("both: %v", got)
	}
	proxy.Down()
	values, err := probetest.Poll(t, probe, pollTime)
	label := `{replica="` + proxy.Address() + `"}`
	_, hasCPU := values["soakd_api_cpu_seconds_total"+label]
	if probes.ReasonOf(err) != probes.ReasonConnect || hasCPU || values["soakd_api_resident_memory_bytes"+label] < 1<<20 || values["soakd_api_replica_up"+label] != 0 {
		t.Errorf("without the page: %v, %v", values, err)
	}
}

// What the rights lack for is absent, and the rest is read without an error.
func TestAProcessOfAnotherUser(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read all processes")
	}
	got := mustPoll(t, open(t, Config{PID: 1}))
	if _, has := got["storage_bytes_total[read]"]; has || got["processes"] < 1 || got["threads"] < 1 || got["start_time_seconds"] <= 0 {
		t.Errorf("%v", got)
	}
}

// BenchmarkProcess reads the test itself: nearly all of the time goes into
// finding the children among all processes of the machine.
func BenchmarkProcess(b *testing.B) {
	m := newMetrics(nil, nil)
	source, err := newProcessSource(processTarget{pid: os.Getpid()}, m.shared, m.local, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := source.read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
