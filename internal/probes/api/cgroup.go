package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"soakd/internal/probes"
)

// cgroupSource reads a control group of version 2, whose files are described in
// Documentation/admin-guide/cgroup-v2.rst of Linux. A file is there only when its
// controller is on: what is missing has no value.
type cgroupSource struct {
	path  string
	files fs.FS
	rules []cgroupRule
}

// cgroupRule says that a metric is the sum of entries of files, times scale.
type cgroupRule struct {
	desc    *probes.Desc
	labels  []string
	scale   float64
	entries []cgroupEntry
}

// cgroupEntry is one number of a file; key is "" in a file of one number. It is
// subtracted when less is set.
type cgroupEntry struct {
	file, key string
	less      bool
}

const microseconds = 1e-6

func newCgroupSource(path string, shared map[string]*probes.Desc, own localMetrics) *cgroupSource {
	one := func(file, key string) []cgroupEntry { return []cgroupEntry{{file: file, key: key}} }
	rules := []cgroupRule{
		{desc: shared[cpuSeconds], scale: microseconds, entries: one("cpu.stat", "usage_usec")},
		{desc: own.throttled, scale: microseconds, entries: one("cpu.stat", "throttled_usec")},
		{desc: own.throttledPeriods, entries: one("cpu.stat", "nr_throttled")},
		{desc: own.periods, entries: one("cpu.stat", "nr_periods")},
		{desc: own.cpuLimit, entries: one("cpu.max", "")},
		// As a process counts it: its own pages and the mapped ones of files.
		{desc: shared[residentMemory], entries: []cgroupEntry{{file: "memory.stat", key: "anon"}, {file: "memory.stat", key: "file_mapped"}}},
		{desc: own.memoryUsed, entries: one("memory.current", "")},
		// As the kubelet counts it.
		{desc: own.workingSet, entries: []cgroupEntry{{file: "memory.current"}, {file: "memory.stat", key: "inactive_file", less: true}}},
		{desc: own.fileMemory, entries: one("memory.stat", "file")},
		{desc: own.memoryLimit, entries: one("memory.max", "")},
		{desc: own.ooms, entries: one("memory.events", "oom_kill")},
		{desc: shared[threads], entries: one("pids.current", "")},
		{desc: own.maxThreads, entries: one("pids.max", "")},
		{desc: own.storageBytes, labels: []string{"read"}, entries: one("io.stat", "rbytes")},
		{desc: own.storageBytes, labels: []string{"written"}, entries: one("io.stat", "wbytes")},
	}
	for file, desc := range map[string]*probes.Desc{"cpu.pressure": own.cpuPressure, "memory.pressure": own.memoryPressure, "io.pressure": own.ioPressure} {
		for _, kind := range []string{"some", "full"} {
			rules = append(rules, cgroupRule{desc: desc, labels: []string{kind}, scale: microseconds, entries: one(file, kind)})
		}
	}
	return &cgroupSource{path: path, files: os.DirFS(path), rules: rules}
}

func (c *cgroupSource) close() {}

// read reads each file once.
func (c *cgroupSource) read(context.Context) ([]value, probes.Cost, error) {
	// Version 1 and other folders have no such file; every group of version 2 has.
	if _, err := fs.Stat(c.files, "cgroup.controllers"); err != nil {
		return nil, probes.Cost{}, becauseLocal(fmt.Errorf("read control group %s: it is away, or not one of cgroup version 2: %w", c.path, err))
	}
	contents := map[string]map[string]float64{}
	var errs []error
	for _, rule := range c.rules {
		for _, entry := range rule.entries {
			if _, done := contents[entry.file]; done {
				continue
			}
			numbers, err := readCgroupFile(c.files, entry.file)
			if err != nil {
				errs = append(errs, becauseLocal(fmt.Errorf("read control group %s: %w", c.path, err)))
			}
			contents[entry.file] = numbers
		}
	}
	return cgroupValues(c.rules, contents), probes.Cost{}, errors.Join(errs...)
}

// cgroupValues returns the metrics of which every number is there.
func cgroupValues(rules []cgroupRule, contents map[string]map[string]float64) []value {
	var values []value
	for _, rule := range rules {
		sum, whole := 0.0, true
		for _, entry := range rule.entries {
			number, ok := contents[entry.file][entry.key]
			whole = whole && ok
			if entry.less {
				number = -number
			}
			sum += number
		}
		if !whole {
			continue
		}
		if rule.scale != 0 {
			sum *= rule.scale
		}
		// The files are not of one moment: a difference may be below 0.
		values = append(values, value{desc: rule.desc, labels: rule.labels, amount: max(0, sum)})
	}
	return values
}

// maxCgroupFile bounds one file, in bytes; memory.stat has about 2 KiB.
const maxCgroupFile = 64 << 10

// readCgroupFile returns the numbers of a file, none when it is not there or
// when what it tells of is not on (ENODEV, EOPNOTSUPP for pressure).
func readCgroupFile(files fs.FS, name string) (map[string]float64, error) {
	file, err := files.Open(name)
	if err != nil {
		if isAbsent(err) {
			return nil, nil //nolint:nilnil // no controller, no numbers
		}
		return nil, err
	}
	defer file.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(io.LimitReader(file, maxCgroupFile))
	switch {
	case isAbsent(err):
		return nil, nil //nolint:nilnil // no controller, no numbers
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	numbers, err := parseCgroupFile(name, string(text))
	if err != nil {
		return nil, probes.Because(probes.ReasonProtocol, fmt.Errorf("%s: %w", name, err))
	}
	return numbers, nil
}

// isAbsent reports whether a file of a control group is not there or is off.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EOPNOTSUPP)
}

// parseCgroupFile returns the numbers of a file by key.
func parseCgroupFile(name, text string) (map[string]float64, error) {
	numbers := map[string]float64{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		var err error
		switch {
		case len(fields) == 0:
		case name == "cpu.max":
			err = addQuota(numbers, fields)
		case strings.HasSuffix(name, ".pressure"), name == "io.stat":
			err = addPairs(numbers, name == "io.stat", fields)
		case len(fields) == 1:
			err = addNumber(numbers, "", fields[0])
		case len(fields) == 2:
			err = addNumber(numbers, fields[0], fields[1])
		default:
			err = fmt.Errorf("%d words in a line, want a key and a number", len(fields))
		}
		if err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

// addNumber adds a number that is not below 0; "max" stands for none.
func addNumber(numbers map[string]float64, key, text string) error {
	if text == "max" {
		return nil
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%.40q is not a number", text)
	}
	numbers[key] += float64(number)
	return nil
}

// addQuota adds the CPUs that "quota period", both in µs, allows.
func addQuota(numbers map[string]float64, fields []string) error {
	limit := map[string]float64{}
	for i, field := range fields {
		if err := addNumber(limit, []string{"quota", "period"}[min(i, 1)], field); err != nil {
			return err
		}
	}
	if quota, limited := limit["quota"]; limited && limit["period"] > 0 {
		numbers[""] = quota / limit["period"]
	}
	return nil
}

// addPairs adds the pairs of "first key=number ...": of io.stat, where first is a
// device, each key; of a pressure file the total under first, in µs.
func addPairs(numbers map[string]float64, devices bool, fields []string) error {
	for _, pair := range fields[1:] {
		key, number, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("%.40q is not key=number", pair)
		}
		switch {
		case !devices && key != "total", devices && key != "rbytes" && key != "wbytes":
			continue
		case !devices:
			key = fields[0]
		}
		if err := addNumber(numbers, key, number); err != nil {
			return err
		}
	}
	return nil
}
