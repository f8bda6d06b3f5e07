package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// processWith finds the process that has an argument.
func processWith(argument string) (int, error) {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, line := range lines {
		text, err := os.ReadFile(line) //nolint:gosec // in /proc
		if err == nil && bytes.Contains(text, []byte(argument+"\x00")) {
			return strconv.Atoi(filepath.Base(filepath.Dir(line)))
		}
	}
	return 0, fmt.Errorf("no process has the argument %s", argument)
}

// cpuTime is what the threads of a process have used: on a machine that does other
// work too it says more than the time of an answer. The first number of schedstat
// is time on a CPU in nanoseconds.
// https://docs.kernel.org/scheduler/sched-stats.html
func cpuTime(pid int) (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("process %d has no schedstat: %w", pid, err)
	}
	var all time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // in /proc
		if err != nil {
			continue // the thread has ended
		}
		number, _, _ := bytes.Cut(text, []byte(" "))
		used, err := strconv.ParseInt(string(number), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", file, err)
		}
		all += time.Duration(used)
	}
	return all, nil
}
