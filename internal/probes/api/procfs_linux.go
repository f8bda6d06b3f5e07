package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/procfs"

	"soakd/internal/probes"
)

// localSourcesMissing says why processes and control groups cannot be read here.
func localSourcesMissing() error { return nil }

const (
	// ticksPerSecond is the unit of times in /proc/pid/stat: USER_HZ, which is 100
	// on all architectures that Go runs on (proc_pid_stat(5), sysconf(3)).
	ticksPerSecond = 100
	// maxThreadsRead bounds the threads whose context switches are read at a poll:
	// each is a file.
	maxThreadsRead = 2000
)

// processSource reads a process of this machine and its children from /proc.
type processSource struct {
	target  processTarget
	fs      procfs.FS
	shared  map[string]*probes.Desc
	metrics localMetrics
	// restarts is the description of the restarts.
	restarts *probes.Desc
	log      *slog.Logger
	// warned tells that a lack of rights was logged.
	warned bool

	generation generation
	// root is the first of the roots at the last scan.
	root    procfs.ProcStat
	tallies tallies
}

// tallies are the counters of one generation.
type tallies struct {
	cpu, read, written, voluntary, involuntary tally
}

func newProcessSource(target processTarget, shared map[string]*probes.Desc, metrics localMetrics, log *slog.Logger) (source, error) {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, fmt.Errorf("open /proc: %w", err)
	}
	return &processSource{target: target, fs: proc, shared: shared, metrics: metrics, restarts: shared[restartsTotal], log: log}, nil
}

func (p *processSource) close() {}

// read reads the processes of the target as they are now.
func (p *processSource) read(context.Context) ([]value, probes.Cost, error) {
	values, err := p.scan()
	if err != nil {
		err = becauseLocal(fmt.Errorf("read the %s: %w", p.target, err))
	}
	return values, probes.Cost{}, err
}

func (p *processSource) scan() ([]value, error) {
	all, err := p.allStats()
	if err != nil {
		return nil, err
	}
	candidates := make(map[int]candidate, len(all))
	for pid, stat := range all {
		candidates[pid] = candidate{pid: pid, parent: stat.PPID, name: stat.Comm, ended: stat.State == "Z"}
	}
	roots, err := p.target.roots(candidates)
	if err != nil {
		return nil, err
	}
	if err := p.checkSame(all[roots[0]]); err != nil {
		return nil, err
	}
	starts := make([]uint64, len(roots))
	for i, root := range roots {
		starts[i] = all[root].Starttime
	}
	if p.generation.observe(starts) {
		p.tallies = tallies{}
	}
	members := make([]procfs.ProcStat, 0, len(roots))
	for _, pid := range family(roots, candidates) {
		members = append(members, all[pid])
	}
	return p.values(members, all)
}

// checkSame refuses the process that was given a number which another had.
func (p *processSource) checkSame(root procfs.ProcStat) error {
	before := p.root
	if p.target.pid != 0 && before.PID != 0 && before.Starttime != root.Starttime && before.Comm != root.Comm {
		return probes.Because(probes.ReasonMissing, fmt.Errorf("it has ended; its number is now that of %.20q and was that of %.20q", root.Comm, before.Comm))
	}
	p.root = root
	return nil
}

// allStats returns every process of the machine by its number.
func (p *processSource) allStats() (map[int]procfs.ProcStat, error) {
	processes, err := p.fs.AllProcs()
	if err != nil {
		return nil, err
	}
	all := make(map[int]procfs.ProcStat, len(processes))
	for _, process := range processes {
		if stat, err := process.Stat(); err == nil { // else it has ended
			all[process.PID] = stat
		}
	}
	return all, nil
}

// values adds up what the members of the family have. The processes are read one
// after the other: one that ends meanwhile is left out of what is read of it.
func (p *processSource) values(members []procfs.ProcStat, all map[int]procfs.ProcStat) ([]value, error) {
	lives := func(id processID) bool { return all[id.pid].PID != 0 && all[id.pid].Starttime == id.start }
	var resident, threadCount float64
	for _, stat := range members {
		if stat.State != "Z" {
			resident += float64(stat.ResidentMemory())
			threadCount += float64(stat.NumThreads)
		}
	}
	values := []value{
		{desc: p.shared[cpuSeconds], amount: p.tallies.cpu.add(cpuUsages(members, all), lives)},
		{desc: p.shared[residentMemory], amount: resident},
		{desc: p.shared[threads], amount: threadCount},
		{desc: p.shared[restartsTotal], amount: float64(p.generation.restarts)},
		{desc: p.metrics.processes, amount: float64(len(members))},
	}
	start, err := p.oldestStart(members)
	if err == nil {
		values = append(values, value{desc: p.shared[startTime], amount: start})
	}
	values = append(values, p.files(members)...)
	values = append(values, p.storage(members, all, lives)...)
	return append(values, p.switches(members)...), err
}

func idOf(stat procfs.ProcStat) processID { return processID{pid: stat.PID, start: stat.Starttime} }

// cpuUsages gives the CPU seconds of each member and of the children it has
// waited for.
func cpuUsages(members []procfs.ProcStat, all map[int]procfs.ProcStat) []usage {
	scan := make([]usage, 0, len(members))
	for _, stat := range members {
		scan = append(scan, usage{
			id: idOf(stat), parent: idOf(all[stat.PPID]),
			own: float64(stat.UTime+stat.STime) / ticksPerSecond, inherited: float64(max(0, stat.CUTime)+max(0, stat.CSTime)) / ticksPerSecond,
		})
	}
	return scan
}

// oldestStart is when the oldest member started, in seconds since 1970.
func (p *processSource) oldestStart(members []procfs.ProcStat) (float64, error) {
	oldest := members[0]
	for _, stat := range members {
		if stat.Starttime < oldest.Starttime {
			oldest = stat
		}
	}
	return oldest.StartTime()
}

// files gives the open files and their limits, nothing when the rights lack.
func (p *processSource) files(members []procfs.ProcStat) []value {
	var open, limit, worst float64
	for _, stat := range members {
		if stat.State == "Z" {
			continue
		}
		process, err := p.fs.Proc(stat.PID)
		if err != nil {
			continue
		}
		count, err := process.FileDescriptorsLen()
		if p.refused("open files", err) {
			return nil
		}
		limits, limitErr := process.Limits()
		if err != nil || limitErr != nil || limits.OpenFiles == 0 {
			continue
		}
		open += float64(count)
		limit += float64(limits.OpenFiles)
		worst = max(worst, float64(count)/float64(limits.OpenFiles))
	}
	if limit == 0 {
		return nil
	}
	return []value{
		{desc: p.shared[openFDs], amount: open},
		{desc: p.shared[maxFDs], amount: limit},
		{desc: p.metrics.fdSaturation, amount: worst},
	}
}

// storage gives the bytes read and written, nothing when the rights lack. What
// /proc/pid/io tells holds the children that were waited for (Linux,
// kernel/exit.c, wait_task_zombie).
func (p *processSource) storage(members []procfs.ProcStat, all map[int]procfs.ProcStat, lives func(processID) bool) []value {
	var read, written []usage
	for _, stat := range members {
		process, err := p.fs.Proc(stat.PID)
		if err != nil {
			continue
		}
		io, err := process.IO()
		if stat.State != "Z" && p.refused("input and output", err) {
			return nil
		}
		id, parent := idOf(stat), idOf(all[stat.PPID])
		switch before, known := p.tallies.read.last[id]; {
		case err == nil:
			read = append(read, usage{id: id, parent: parent, inherited: float64(io.ReadBytes)})
			written = append(written, usage{id: id, parent: parent, inherited: float64(io.WriteBytes)})
		case known: // one that has ended stays as it was last seen until it is waited for
			read, written = append(read, before), append(written, p.tallies.written.last[id])
		}
	}
	if len(read) == 0 {
		return nil
	}
	return []value{
		{desc: p.metrics.storageBytes, labels: []string{"read"}, amount: p.tallies.read.add(read, lives)},
		{desc: p.metrics.storageBytes, labels: []string{"written"}, amount: p.tallies.written.add(written, lives)},
	}
}

// switches gives the context switches of all threads, which /proc/pid/status
// tells of the main thread only. Those of a thread that has ended are kept as
// they were last seen.
func (p *processSource) switches(members []procfs.ProcStat) []value {
	var voluntary, involuntary []usage
	for _, stat := range members {
		tasks, err := p.fs.AllThreads(stat.PID)
		if err != nil {
			continue
		}
		if len(voluntary)+len(tasks) > maxThreadsRead {
			return nil
		}
		for _, task := range tasks {
			status, err := task.NewStatus()
			if err != nil {
				continue
			}
			id := processID{pid: task.PID, start: stat.Starttime}
			voluntary = append(voluntary, usage{id: id, own: float64(status.VoluntaryCtxtSwitches)})
			involuntary = append(involuntary, usage{id: id, own: float64(status.NonVoluntaryCtxtSwitches)})
		}
	}
	if len(voluntary) == 0 {
		return nil
	}
	never := func(processID) bool { return false } // and nobody inherits them
	return []value{
		{desc: p.metrics.contextSwitches, labels: []string{"voluntary"}, amount: p.tallies.voluntary.add(voluntary, never)},
		{desc: p.metrics.contextSwitches, labels: []string{"involuntary"}, amount: p.tallies.involuntary.add(involuntary, never)},
	}
}

// refused reports whether err says that soakd may not read something of the
// processes, and logs the first time that it does.
func (p *processSource) refused(what string, err error) bool {
	if !errors.Is(err, os.ErrPermission) {
		return false
	}
	if !p.warned {
		p.warned = true
		p.log.Warn("no right to read all of the target's process: run soakd as its user or as root", "process", p.target.String(), "lacks", what)
	}
	return true
}
