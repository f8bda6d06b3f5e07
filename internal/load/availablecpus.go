package load

import (
	"io/fs"
	"math"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// AvailableCPUs returns how many CPUs this process may keep busy: the least of
// GOMAXPROCS, the CPUs it may run on and the quota of its cgroups, whose files lie
// in root, the root of the file system.
//
// GOMAXPROCS follows the quota since Go 1.25, but rounds it up and does not go
// below 2: a container with half a CPU would look three quarters idle at its
// limit. So the quota is read here.
func AvailableCPUs(root fs.FS) float64 {
	cpus := float64(min(runtime.GOMAXPROCS(0), runtime.NumCPU()))
	return min(cpus, cgroupCPUs(root))
}

// cgroupCPUs returns the least CPU quota of the process's cgroup and those above
// it, in CPUs; +Inf when there is none. Quotas are cpu.max in version 2
// (Documentation/admin-guide/cgroup-v2.rst) and cpu.cfs_quota_us in version 1
// (Documentation/scheduler/sched-bwc.rst).
func cgroupCPUs(root fs.FS) float64 {
	least := math.Inf(1)
	membership, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return least
	}
	for line := range strings.Lines(string(membership)) {
		// hierarchy:controllers:path, see cgroups(7)
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		mount, quota := "sys/fs/cgroup", quotaV2
		if fields[1] != "" {
			mount, quota = path.Join(mount, fields[1]), quotaV1
		}
		// A container may see the host's path and only its own cgroup, at the
		// mount: directories that are not there have no quota.
		for dir := path.Join("/", fields[2]); ; dir = path.Dir(dir) {
			least = min(least, quota(root, path.Join(mount, dir)))
			if dir == "/" {
				break
			}
		}
	}
	return least
}

// quotaV2 reads "quota period" or "max period", both in us.
func quotaV2(root fs.FS, dir string) float64 {
	text, err := fs.ReadFile(root, path.Join(dir, "cpu.max"))
	if err != nil {
		return math.Inf(1)
	}
	quota, period, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	return quotient(quota, period)
}

// quotaV1 reads the two files of version 1; a quota of -1 is none.
func quotaV1(root fs.FS, dir string) float64 {
	quota, err := fs.ReadFile(root, path.Join(dir, "cpu.cfs_quota_us"))
	if err != nil {
		return math.Inf(1)
	}
	period, err := fs.ReadFile(root, path.Join(dir, "cpu.cfs_period_us"))
	if err != nil {
		return math.Inf(1)
	}
	return quotient(strings.TrimSpace(string(quota)), strings.TrimSpace(string(period)))
}

func quotient(quota, period string) float64 {
	q, err := strconv.ParseInt(quota, 10, 64)
	if err != nil || q <= 0 {
		return math.Inf(1)
	}
	p, err := strconv.ParseInt(period, 10, 64)
	if err != nil || p <= 0 {
		return math.Inf(1)
	}
	return float64(q) / float64(p)
}
