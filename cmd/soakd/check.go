package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"soakd/internal/exporter"
	"soakd/internal/load"
	"soakd/internal/probes"
)

// checkOptions are the flags of `soakd check` alone.
type checkOptions struct{ self, write bool }

// checkCommand is `soakd check`: it says what `soakd run` would do with the same
// settings and reaches the target and every dependency once.
func checkCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var options checkOptions
	cfg, err := readConfig(command{
		name: "check",
		flags: func(flags *flag.FlagSet) {
			flags.BoolVar(&options.self, "self", false, "only ask the soakd that runs at SOAKD_LISTEN whether it is healthy (for container health checks)")
			flags.BoolVar(&options.write, "write", false, "try every case once, those that write included, as a run would: saves a few scenarios for two virtual users")
		},
		adjust: func(cfg *config) error { cfg.selfOnly = options.self; return nil },
	}, args, stdout)
	if err != nil {
		return err
	}
	if options.self {
		return checkSelf(ctx, cfg, stdout)
	}
	// Two virtual users are enough for every case: the second has what the first
	// must not see.
	few := *cfg
	few.Users = min(cfg.Users, 2)
	t, err := newTraffic(&few, cfg.logger(stderr))
	if err != nil {
		return usageError{err}
	}
	c := &checker{cfg: cfg, traffic: t, users: few.Users, stdout: stdout}
	c.plan()
	c.try(ctx, options.write)
	c.probe(ctx, options.write)
	c.grafana(ctx)
	c.destinations(ctx)
	if ctx.Err() != nil {
		return errors.New("interrupted before everything was checked")
	}
	return c.verdict()
}

// checker gathers what is wrong.
type checker struct {
	cfg     *config
	traffic *traffic
	// users is how many of the virtual users take part.
	users  int
	stdout io.Writer
	// answered counts the requests that the target answered at all, unanswered
	// those that it did not.
	answered, unanswered int
	// unreachable and wrong count the probes that could not reach anything, and
	// the requests and probes that did and found something wrong.
	unreachable, wrong int
}

func (c *checker) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.stdout, format, args...) // nobody reads: the exit code says it
}

// plan says what would run.
func (c *checker) plan() {
	w := c.traffic.workload
	c.printf("soakd run would send %s to %s for %d virtual users (%s), seed %d\nload: %s\nconnections: %s\n\n",
		w.Name, c.cfg.TargetURL, c.cfg.Users, c.traffic.source.Describe(), c.cfg.Seed, c.cfg.loadSettings.describe(), c.cfg.connectionSettings.describe(c.cfg.TargetURL))
	table := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	c.row(table, "case", "class", "share", "time limit", "least interval a user", "tags beside these")
	for _, one := range w.Cases {
		least := "-"
		if one.MinInterval > 0 {
			least = one.MinInterval.String()
		}
		c.row(table, one.Name, string(one.Class), fmt.Sprintf("%.3g %%", 100*w.Share(one)), one.Timeout.String(), least, strings.Join(one.Tags, " "))
	}
	_ = table.Flush() // as printf
	if o := w.Opening; o != nil {
		c.printf("\nfirst, for each virtual user: %d x %s\n", o.Times, o.Case.Name)
	}
	for _, note := range w.Notes {
		c.printf("left out: %s\n", note)
	}
}

func (c *checker) row(w io.Writer, cells ...string) {
	for _, cell := range cells {
		_, _ = fmt.Fprintf(w, "%s\t", cell) // as printf
	}
	_, _ = fmt.Fprintln(w) // as printf
}

// try sends the cases once: those that only read, or all. What others ask for is
// saved first.
func (c *checker) try(ctx context.Context, write bool) {
	c.printf("\n")
	// One that cannot be had shows in the cases below, with the reason.
	peer, unreached := load.Reach(ctx, c.traffic.client)
	if unreached == nil {
		c.printf("connection: to %s, %s\n", peer.Address, peer.Protocol)
	}
	var saved *load.Case
	if opening := c.traffic.workload.Opening; opening != nil && write {
		saved = opening.Case
		for user := range c.users {
			c.send(ctx, saved, user)
		}
	}
	left := 0
	for _, one := range c.traffic.workload.Cases {
		switch {
		case !write && !one.ReadOnly:
			left++
		case ctx.Err() != nil:
			return
		case c.silent():
			c.printf("the other cases were not tried: the target does not answer\n")
			return
		case one != saved:
			c.send(ctx, one, 0)
		}
	}
	if left > 0 {
		c.printf("%d cases that write were not tried (--write tries them)\n", left)
	}
	if unreached != nil && c.answered+c.unanswered == 0 { // there was none to show it
		c.printf("connection: %v\n", unreached)
		c.unreachable++
	}
}

// patience is how many requests a target may leave without an answer before it
// counts as one that gives none.
const patience = 2

// silent reports whether the target has not answered once in all that time.
func (c *checker) silent() bool { return c.answered == 0 && c.unanswered >= patience }

// send tries a case for a virtual user.
func (c *checker) send(ctx context.Context, one *load.Case, index int) {
	user := c.traffic.source.User(index)
	name := one.Name
	if index > 0 {
		name += fmt.Sprintf(" of virtual user %d", index+1)
	}
	result, err := load.TryOnce(ctx, c.traffic.client, c.traffic.mix, one, user)
	switch {
	case errors.Is(err, load.ErrNoState):
		c.printf("case %s: not tried: nothing is saved yet\n", name)
		return
	case err != nil:
		c.printf("case %s: %v\n", name, err)
		c.wrong++
		return
	case result.Failed():
		c.printf("case %s: %s: %s\n", name, result.Outcome, result.Reason)
	default:
		c.printf("case %s: ok, %v\n", name, result.Duration.Round(time.Microsecond))
	}
	switch {
	case !result.Answered():
		c.unanswered++
	case result.Failed():
		c.answered++
		c.wrong++
	default:
		c.answered++
	}
}

// probe polls each configured dependency once, those that write only where that
// was asked for. One that gave something and hides the rest was reached, and
// something is wrong with it.
func (c *checker) probe(ctx context.Context, write bool) {
	for _, kind := range c.cfg.kinds {
		if !kind.Config.Enabled() {
			continue
		}
		if _, writes := kind.Config.(probes.Writer); writes && !write {
			c.printf("probe %s: not tried, it writes (--write tries it)\n", kind.Name)
			continue
		}
		summary := kind.Config.Summary()
		opened, err := kind.Config.Open(c.cfg.logger(io.Discard))
		if err != nil {
			c.printf("probe %s: %s: %v\n", kind.Name, summary, err)
			c.unreachable++
		}
		if len(opened) > 1 { // said once of all of them
			c.printf("probes %s: %s\n", kind.Name, summary)
			summary = ""
		}
		for _, probe := range opened {
			c.probeOnce(ctx, probe, summary)
		}
	}
	if off := switchedOff(c.cfg.kinds); len(off) > 0 {
		c.printf("probes that are off, with nothing to watch: %s\n", strings.Join(off, ", "))
	}
}

// probeOnce polls a probe. summary says what it watches, "" where that was said.
func (c *checker) probeOnce(ctx context.Context, probe probes.Probe, summary string) {
	name, lead, what := probe.Name(), "", ""
	if summary != "" {
		lead, what = summary+": ", summary+", "
	}
	switch reading, err := c.poll(ctx, probe); {
	case err == nil:
		c.printf("probe %s: ok, %s%d values\n", name, what, len(reading.Samples))
	case reached(reading, err):
		c.printf("probe %s: %s%d values, but not all: %v\n", name, lead, len(reading.Samples), err)
		c.wrong++
	default:
		c.printf("probe %s: %s%v\n", name, lead, err)
		c.unreachable++
	}
}

// reached reports whether a poll that failed has reached anything. One that
// could ask for nothing on its way has not, though it may have values about the
// way itself: that a replica is not up, how long the DNS took.
func reached(reading probes.Reading, err error) bool {
	switch probes.ReasonOf(err) {
	case probes.ReasonDNS, probes.ReasonConnect, probes.ReasonTimeout, probes.ReasonReset:
		return len(reading.Samples) > 0 && reading.Cost.Queries > 0
	}
	return len(reading.Samples) > 0
}

// probeGrace is how long a poll and the close after it may go on after their
// time, together: as long as in a run.
const probeGrace = 4 * time.Second

// poll polls a probe once and closes it. One that does not come back is left
// behind: soakd ends soon.
func (c *checker) poll(ctx context.Context, probe probes.Probe) (probes.Reading, error) {
	done := make(chan probes.Result, 1)
	go func() {
		reading, err := probes.PollOnce(ctx, probe, time.Now().Add(c.cfg.ProbeTimeout))
		if closeErr := probes.CloseOnce(probe); closeErr != nil {
			reading, err = probes.Reading{}, closeErr
		}
		done <- probes.Result{Reading: reading, Err: err}
	}()
	overdue := time.NewTimer(c.cfg.ProbeTimeout + probeGrace)
	defer overdue.Stop()
	select {
	case result := <-done:
		return result.Reading, result.Err
	case <-overdue.C:
		return probes.Reading{}, fmt.Errorf("poll %w", probes.ErrHung)
	}
}

// verdict turns what was found into the error whose exit code says it. A target
// that answers some requests and not others was reached.
func (c *checker) verdict() error {
	unreachable, wrong := c.unreachable, c.wrong
	if c.answered == 0 {
		unreachable += c.unanswered
	} else {
		wrong += c.unanswered
	}
	switch {
	case unreachable > 0 && wrong > 0:
		return fmt.Errorf("%d of the checks could not reach what they check, and %d failed", unreachable, wrong)
	case unreachable > 0:
		return fmt.Errorf("%d of the checks could not reach what they check", unreachable)
	case wrong > 0:
		return failedError{fmt.Errorf("%d of the checks failed", wrong)}
	}
	c.printf("all reached\n")
	return nil
}

// selfTimeout bounds the health check of a running soakd.
const selfTimeout = 3 * time.Second

// checkSelf asks the soakd that listens here whether it is healthy. With
// authentication on, that it asks for credentials is answer enough.
func checkSelf(ctx context.Context, cfg *config, stdout io.Writer) error {
	scheme, err := exporter.Scheme(cfg.WebConfigFile)
	if err != nil {
		return usageError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, selfTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+exporter.LocalAddress(cfg.Listen)+"/-/healthy", http.NoBody)
	if err != nil {
		return usageError{fmt.Errorf("SOAKD_LISTEN %s: %w", cfg.Listen, err)}
	}
	// The certificate is for the name others use, not for the loopback address.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}} //nolint:gosec // see above
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("no soakd answers at %s: %w", cfg.Listen, err)
	}
	defer response.Body.Close() //nolint:errcheck // only the status counts
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusUnauthorized {
		return failedError{fmt.Errorf("soakd at %s answered %s", cfg.Listen, response.Status)}
	}
	_, err = fmt.Fprintln(stdout, "healthy")
	return err
}
