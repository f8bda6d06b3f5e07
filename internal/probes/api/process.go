package api

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"soakd/internal/probes"
)

// processTarget says which process of this machine is read, in one of three ways.
type processTarget struct {
	pid  int
	file string
	name string
}

func (t processTarget) isSet() bool { return t != processTarget{} }

func (t processTarget) String() string {
	switch {
	case t.pid != 0:
		return "process " + strconv.Itoa(t.pid)
	case t.file != "":
		return "process of " + t.file
	default:
		return "process " + t.name
	}
}

// kernelNameSize is how many bytes of a process's name the kernel keeps
// (TASK_COMM_LEN less the zero, proc_pid_comm(5)).
const kernelNameSize = 15

// candidate is a process as the choice of roots sees it. One that has ended and
// is not yet waited for is no root, but its use counts with its family's.
type candidate struct {
	pid, parent int
	name        string
	ended       bool
}

// roots returns the numbers of the processes at the top: the one that is
// configured, or all of that name whose parent has another.
func (t processTarget) roots(all map[int]candidate) ([]int, error) {
	pid, err := t.number()
	if err != nil {
		return nil, err
	}
	var roots []int
	for _, process := range all {
		switch {
		case process.ended:
		case pid != 0 && process.pid == pid:
			roots = append(roots, process.pid)
		case pid == 0 && process.name == t.kernelName() && all[process.parent].name != process.name:
			roots = append(roots, process.pid)
		}
	}
	if len(roots) == 0 {
		return nil, probes.Because(probes.ReasonMissing, errors.New("there is none"))
	}
	slices.Sort(roots)
	return roots, nil
}

func (t processTarget) kernelName() string { return t.name[:min(len(t.name), kernelNameSize)] }

// number returns the process's number, 0 when it goes by its name.
func (t processTarget) number() (int, error) {
	if t.file == "" {
		return t.pid, nil
	}
	text, err := os.ReadFile(t.file)
	if err != nil {
		return 0, becauseLocal(err)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text[:min(len(text), 64)])), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 0 {
		return 0, probes.Because(probes.ReasonProtocol, fmt.Errorf("%s does not start with the number of a process", t.file))
	}
	return pid, nil
}

// family returns the roots and all their descendants, parents before children.
func family(roots []int, all map[int]candidate) []int {
	children := map[int][]int{}
	for _, process := range all {
		children[process.parent] = append(children[process.parent], process.pid)
	}
	members, seen := []int{}, map[int]bool{}
	for queue := roots; len(queue) > 0; queue = queue[1:] {
		if pid := queue[0]; !seen[pid] {
			seen[pid] = true
			members = append(members, pid)
			queue = append(queue, children[pid]...)
		}
	}
	return members
}
