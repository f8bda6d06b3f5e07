package load

import (
	"math"
	"os"
	"runtime"
	"testing"
	"testing/fstest"
	"time"
)

func TestCgroupCPUs(t *testing.T) {
	none := math.Inf(1)
	for _, c := range []struct {
		name  string
		files map[string]string
		want  float64
	}{
		{"no cgroups", nil, none},
		{"version 2 without a quota", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n"}, none},
		{"version 2", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, 0.5},
		{"version 2, a stricter parent", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n", "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
		}, 1.5},
		{"version 2 in a container", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2},
		{"version 2, the host's path in a container", map[string]string{"proc/self/cgroup": "0::/../x\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2},
		{"version 1", map[string]string{
			"proc/self/cgroup": "3:memory:/a\n2:cpu,cpuacct:/a\n1:name=systemd:/a\n0::/a\n",
			"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us":      "25000\n",
			"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us":     "100000\n",
			"sys/fs/cgroup/cpu,cpuacct/other/cpu.cfs_quota_us":  "1000\n",
			"sys/fs/cgroup/cpu,cpuacct/other/cpu.cfs_period_us": "100000\n",
		}, 0.25},
		{"version 1 without a quota", map[string]string{
			"proc/self/cgroup": "2:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
		}, none},
		{"nonsense", map[string]string{"proc/self/cgroup": "x\n0::/a\n", "sys/fs/cgroup/a/cpu.max": "many\n", "sys/fs/cgroup/cpu.max": "1 0"}, none},
	} {
		root := fstest.MapFS{}
		for name, text := range c.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := cgroupCPUs(root); got != c.want {
			t.Errorf("%s: %v CPUs, want %v", c.name, got, c.want)
		}
	}
}

func TestAvailableCPUs(t *testing.T) {
	if got, want := AvailableCPUs(fstest.MapFS{}), float64(min(runtime.GOMAXPROCS(0), runtime.NumCPU())); got != want {
		t.Errorf("%v CPUs without a quota, want %v", got, want)
	}
	half := fstest.MapFS{
		"proc/self/cgroup":      {Data: []byte("0::/\n")},
		"sys/fs/cgroup/cpu.max": {Data: []byte("50000 100000\n")},
	}
	if got := AvailableCPUs(half); got != 0.5 {
		t.Errorf("%v CPUs with a quota of half a CPU, want 0.5", got)
	}
	if got := AvailableCPUs(os.DirFS("/")); got <= 0 || got > float64(runtime.NumCPU()) {
		t.Errorf("%v CPUs on this machine of %d", got, runtime.NumCPU())
	}
}

// The CPU time of a process rises with its work.
func TestProcessCPU(t *testing.T) {
	before, ok := ProcessCPU()
	if !ok {
		t.Skip("the CPU time of a process is not known on this system")
	}
	for sum, rounds := 0, 0; ; rounds++ {
		for i := range 1_000_000 {
			sum += i * rounds
		}
		if after, _ := ProcessCPU(); after-before >= 10*time.Millisecond {
			return
		}
		if rounds > 1_000_000 {
			t.Fatalf("the CPU time stays at %v (%d)", before, sum)
		}
	}
}
