package api

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
)

func TestReadsAControlGroup(t *testing.T) {
	linuxOnly(t)
	folder := t.TempDir()
	// As Linux 6.12 writes them.
	for name, text := range map[string]string{
		"cgroup.controllers": "cpu io memory pids\n",
		"cpu.stat":           "usage_usec 12500000\nuser_usec 9000000\nsystem_usec 3500000\nnice_usec 0\ncore_sched.force_idle_usec 0\nnr_periods 400\nnr_throttled 25\nthrottled_usec 1250000\nnr_bursts 0\nburst_usec 0\n",
		"cpu.max":            "150000 100000\n",
		"memory.current":     "209715200\n",
		"memory.max":         "268435456\n",
		"memory.events":      "low 0\nhigh 0\nmax 17\noom 3\noom_kill 2\noom_group_kill 0\n",
		"memory.stat":        "anon 104857600\nfile 52428800\nkernel 1048576\nfile_mapped 4194304\ninactive_anon 0\nactive_anon 104857600\ninactive_file 31457280\nactive_file 20971520\n",
		"pids.current":       "42\n",
		"pids.max":           "max\n",
		"cpu.pressure":       "some avg10=1.00 avg60=0.50 avg300=0.10 total=7000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n",
		"memory.pressure":    "some avg10=0.00 avg60=0.00 avg300=0.00 total=250000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"io.stat":            "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=1000 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n",
	} {
		write(t, filepath.Join(folder, name), text)
	}
	probe := open(t, Config{CGroup: folder})
	want := map[string]float64{
		"cpu_seconds_total": 12.5, "cpu_throttled_seconds_total": 1.25, "cpu_throttled_periods_total": 25, "cpu_periods_total": 400, "cpu_limit_cores": 1.5,
		"resident_memory_bytes": 109051904, "memory_used_bytes": 209715200, "memory_working_set_bytes": 178257920, "memory_file_bytes": 52428800,
		"memory_limit_bytes": 268435456, "oom_kills_total": 2, "threads": 42,
		"storage_bytes_total[read]": 5096, "storage_bytes_total[written]": 8192,
		"cpu_pressure_seconds_total[some]": 7, "cpu_pressure_seconds_total[full]": 0.5,
		"memory_pressure_seconds_total[some]": 0.25, "memory_pressure_seconds_total[full]": 0,
	}
	got, err := poll(t, probe)
	if err != nil || !maps.EqualFunc(got, want, near) {
		t.Errorf("%v\ngot  %v\nwant %v", err, got, want)
	}

	// No limits, and a controller that is off.
	write(t, filepath.Join(folder, "memory.max"), "max\n")
	write(t, filepath.Join(folder, "cpu.max"), "max 100000\n")
	for _, name := range []string{"memory.stat", "io.stat", "cpu.pressure", "memory.pressure"} {
		remove(t, filepath.Join(folder, name))
	}
	got, err = poll(t, probe)
	want = map[string]float64{
		"cpu_seconds_total": 12.5, "cpu_throttled_seconds_total": 1.25, "cpu_throttled_periods_total": 25, "cpu_periods_total": 400,
		"memory_used_bytes": 209715200, "oom_kills_total": 2, "threads": 42,
	}
	if err != nil || !maps.EqualFunc(got, want, near) {
		t.Errorf("without limits: %v\ngot  %v\nwant %v", err, got, want)
	}

	// A file that cannot be read in full keeps the others.
	write(t, filepath.Join(folder, "cpu.stat"), "usage_usec many\n")
	got, err = poll(t, probe)
	if probes.ReasonOf(err) != probes.ReasonProtocol || !strings.Contains(err.Error(), `cpu.stat: "many" is not a number`) || got["threads"] != 42 || got["cpu_seconds_total"] != 0 {
		t.Errorf("garbage: %v, %v", got, err)
	}
	remove(t, filepath.Join(folder, "cgroup.controllers"))
	got, err = poll(t, probe)
	if probes.ReasonOf(err) != probes.ReasonMissing || !errors.Is(err, os.ErrNotExist) || len(got) != 0 {
		t.Errorf("not a group: %v, %v", got, err)
	}
}

// refusing are the files of a control group of which one, or none ("."), may not
// be read.
type refusing struct {
	fs.FS
	name string
}

func (r refusing) Open(name string) (fs.File, error) {
	if name == r.name || r.name == "." {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EACCES}
	}
	return r.FS.Open(name)
}

// A file that may not be read is no fault of the network.
func TestFilesThatMayNotBeRead(t *testing.T) {
	linuxOnly(t)
	folder := t.TempDir()
	write(t, filepath.Join(folder, "cgroup.controllers"), "cpu\n")
	write(t, filepath.Join(folder, "pids.current"), "42\n")
	for name, threads := range map[string]float64{"cpu.stat": 42, ".": 0} {
		opened := open(t, Config{CGroup: folder}).(*probe)
		source := opened.members.(fixed)[0].sources[0].(*cgroupSource)
		source.files = refusing{source.files, name}
		if got, err := poll(t, opened); probes.ReasonOf(err) != probes.ReasonPermission || got["threads"] != threads {
			t.Errorf("%s: %q, %v, %v", name, probes.ReasonOf(err), err, got)
		}
	}
	for err, want := range map[error]probes.Reason{
		&fs.PathError{Err: syscall.EACCES}:                                        probes.ReasonPermission,
		&fs.PathError{Err: syscall.ENOENT}:                                        probes.ReasonMissing,
		&fs.PathError{Err: syscall.EIO}:                                           probes.ReasonOther,
		probes.Because(probes.ReasonProtocol, &fs.PathError{Err: syscall.ENOENT}): probes.ReasonProtocol,
	} {
		if got := probes.ReasonOf(becauseLocal(err)); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

// The kernel's own files, where it has groups of version 2. The group at the top
// has no files of its limits, but those of its CPU time.
func TestReadsTheKernelsControlGroup(t *testing.T) {
	linuxOnly(t)
	folder := ""
	for _, candidate := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		_, err := os.Stat(filepath.Join(candidate, "cgroup.controllers"))
		_, statErr := os.Stat(filepath.Join(candidate, "cpu.stat"))
		if err == nil && statErr == nil {
			folder = candidate
		}
	}
	if folder == "" {
		t.Skip("this machine has no control groups of version 2")
	}
	probe := open(t, Config{CGroup: folder})
	first, err := poll(t, probe)
	if err != nil || first["cpu_seconds_total"] <= 0 {
		t.Fatalf("%v, %v", first, err)
	}
	probetest.Eventually(t, probe, "the CPU time of the machine rises", func(v probetest.Values, err error) bool {
		return err == nil && v[`soakd_api_cpu_seconds_total{replica="local"}`] > first["cpu_seconds_total"]
	})
}

func FuzzCgroupFile(f *testing.F) {
	f.Add("cpu.max", "max 100000\n")
	f.Add("cpu.pressure", "some avg10=1.00 total=7\n")
	f.Add("io.stat", "8:0 rbytes=4096\n")
	f.Add("memory.stat", "anon 1\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		numbers, err := parseCgroupFile(name, text)
		for key, number := range numbers {
			if err != nil || number < 0 || number != number {
				t.Errorf("%q is %v with %v", key, number, err)
			}
		}
	})
}

func linuxOnly(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("processes and control groups are read on Linux only")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
