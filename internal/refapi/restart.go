package refapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sys/unix"
)

// restartedEnv marks a process that took over from itself, and says whether it
// ends with its parent, as one does whose parent gave it the socket.
const restartedEnv, asChild, alone = "REFAPI_RESTARTED", "as a child", "alone"

// successor is what the process becomes: the same program on the same socket.
type successor struct {
	path  string
	env   []string
	child bool // it ends with the parent
}

// newSuccessor prepares it. The listening socket stays open from one to the
// other, so that new connections wait instead of being refused. The faults that
// are on, and the version, are carried on.
func newSuccessor(listener net.Listener, a *API, child bool) (*successor, error) {
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		return nil, errors.New("the listener is not one of TCP")
	}
	file, err := tcp.File()
	if err != nil {
		return nil, fmt.Errorf("duplicate the listening socket: %w", err)
	}
	descriptor, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD, 3) // without close-on-exec, unlike file
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("duplicate the listening socket: %w", err)
	}
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program: %w", err)
	}
	faults, err := json.Marshal(a.faults.carried())
	if err != nil {
		return nil, fmt.Errorf("write down the faults: %w", err)
	}
	standing := alone
	if child {
		standing = asChild
	}
	changed := map[string]string{
		"REFAPI_LISTEN": fmt.Sprint("fd:", descriptor), "REFAPI_FAULTS": string(faults), "REFAPI_VERSION": a.Version(), restartedEnv: standing,
		"REFAPI_FAULT_LATENCY": "", "REFAPI_FAULT_ERROR_RATIO": "", // among the faults
	}
	s := &successor{path: path, child: child}
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if _, ok := changed[name]; !ok {
			s.env = append(s.env, variable)
		}
	}
	for name, value := range changed {
		s.env = append(s.env, name+"="+value)
	}
	return s, nil
}

// takeOver replaces the process: its memory, threads and other descriptors are
// gone, and every connection breaks, as when it had died. It returns only when
// that failed.
func (s *successor) takeOver() error {
	runtime.LockOSThread() // what dieWithParent asks for is the thread's
	defer runtime.UnlockOSThread()
	if s.child {
		if err := dieWithParent(); err != nil {
			return err
		}
	}
	return fmt.Errorf("restart %s: %w", s.path, syscall.Exec(s.path, os.Args, s.env))
}

// incarnation is a process that took over from itself. Exec keeps the kernel's
// start time and CPU time of a process, but for who looks from outside another
// one has started.
type incarnation struct {
	start time.Time
	cpu   float64 // seconds that were used before
}

// startedAnew returns nil for a process that was simply started.
func startedAnew(getenv func(string) string) *incarnation {
	if getenv(restartedEnv) == "" {
		return nil
	}
	used := 0.0
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) == nil {
		used = time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
	}
	return &incarnation{start: time.Now(), cpu: used}
}

// collector returns the metrics of the process, from its start on.
func (i *incarnation) collector() prometheus.Collector {
	process := collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})
	if i == nil {
		return process
	}
	return &fromStart{process, i}
}

// fromStart corrects what exec keeps.
type fromStart struct {
	prometheus.Collector
	*incarnation
}

// Collect implements [prometheus.Collector].
func (f *fromStart) Collect(values chan<- prometheus.Metric) {
	all := make(chan prometheus.Metric)
	go func() {
		f.Collector.Collect(all)
		close(all)
	}()
	for one := range all {
		switch desc := one.Desc(); {
		case strings.Contains(desc.String(), `"process_start_time_seconds"`):
			const micro = 1e6
			one = prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(f.start.UnixMicro())/micro)
		case strings.Contains(desc.String(), `"process_cpu_seconds_total"`):
			one = corrected{one, f.cpu}
		}
		values <- one
	}
}

// corrected is a counter without what it held before the start.
type corrected struct {
	prometheus.Metric
	before float64
}

// Write implements [prometheus.Metric].
func (c corrected) Write(to *dto.Metric) error {
	if err := c.Metric.Write(to); err != nil {
		return err
	}
	if value := max(to.GetCounter().GetValue()-c.before, 0); to.Counter != nil {
		to.Counter.Value = &value
	}
	return nil
}
