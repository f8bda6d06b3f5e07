package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
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
			flags.BoolVar(&options.write, "write", false, "try every case once, those that write included, as a run would")
		},
		adjust: func(cfg *config) error { cfg.ownTarget = options.self; return nil },
	}, args, stdout)
	if err != nil {
		return err
	}
	if options.self {
		return checkSelf(ctx, cfg, stdout)
	}
	t, err := newTraffic(cfg, cfg.logger(stderr))
	if err != nil {
		return usageError{err}
	}
	defer t.client.Close()
	c := &checker{cfg: cfg, traffic: t, stdout: stdout}
	c.plan()
	c.try(ctx, options.write)
	c.probe(ctx)
	return c.verdict()
}

// checker gathers what is wrong.
type checker struct {
	cfg         *config
	traffic     *traffic
	stdout      io.Writer
	unreachable []error
	wrong       []error
}

func (c *checker) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.stdout, format, args...) // nobody reads: the exit code says it
}

// plan says what would run.
func (c *checker) plan() {
	w := c.traffic.workload
	c.printf("soakd run would send %s to %s: %s arrivals a second, %d virtual users (%s), seed %d\n\n",
		w.Name, c.cfg.TargetURL, c.cfg.Rate, c.cfg.Users, c.traffic.source.Describe(), c.cfg.Seed)
	table := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	c.row(table, "case", "class", "a second", "time limit", "least interval a user")
	for _, one := range w.Cases {
		least := "-"
		if one.MinInterval > 0 {
			least = one.MinInterval.String()
		}
		c.row(table, one.Name, string(one.Class), fmt.Sprintf("%.3g", w.Share(one)*c.cfg.Rate.PerSecond()), one.Timeout.String(), least)
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

// try sends the cases once: those that only read, or all.
func (c *checker) try(ctx context.Context, write bool) {
	c.printf("\n")
	var left int
	for _, one := range c.traffic.workload.Cases {
		if !write && !one.ReadOnly {
			left++
			continue
		}
		result, err := load.TryOnce(ctx, c.traffic.client, c.traffic.mix, one, c.traffic.source.User(0))
		switch {
		case errors.Is(err, load.ErrNoState):
			c.printf("case %s: not tried: the virtual user has nothing saved yet\n", one.Name)
		case err != nil:
			c.printf("case %s: %v\n", one.Name, err)
			c.wrong = append(c.wrong, err)
		default:
			c.judge(result)
		}
	}
	if left > 0 {
		c.printf("%d cases that write were not tried (--write tries them)\n", left)
	}
}

func (c *checker) judge(r load.Result) {
	if !r.Failed() {
		c.printf("case %s: ok, %v\n", r.Case.Name, r.Duration.Round(time.Microsecond))
		return
	}
	c.printf("case %s: %s: %s\n", r.Case.Name, r.Outcome, r.Reason)
	err := fmt.Errorf("case %s: %s: %s", r.Case.Name, r.Outcome, r.Reason)
	if r.Status == 0 {
		c.unreachable = append(c.unreachable, err)
		return
	}
	c.wrong = append(c.wrong, err)
}

// probe polls each configured dependency once.
func (c *checker) probe(ctx context.Context) {
	for _, kind := range c.cfg.kinds {
		if !kind.Config.Enabled() {
			c.printf("probe %s: off, it has no URL\n", kind.Name)
			continue
		}
		if err := c.poll(ctx, kind); err != nil {
			c.printf("probe %s: %s: %v\n", kind.Name, kind.Config.Summary(), err)
			c.unreachable = append(c.unreachable, fmt.Errorf("probe %s: %w", kind.Name, err))
		}
	}
}

func (c *checker) poll(ctx context.Context, kind probes.Kind) error {
	probe, err := kind.Config.Open(c.cfg.logger(io.Discard))
	if err != nil {
		return err
	}
	defer probe.Close()
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ProbeTimeout)
	defer cancel()
	reading, err := probe.Poll(ctx)
	if err != nil {
		return err
	}
	c.printf("probe %s: ok, %s, %d values\n", kind.Name, kind.Config.Summary(), len(reading.Samples))
	return nil
}

// verdict turns what was found into the error whose exit code says it.
func (c *checker) verdict() error {
	switch {
	case len(c.unreachable) > 0:
		return fmt.Errorf("%d of the checks could not reach what they check", len(c.unreachable))
	case len(c.wrong) > 0:
		return failedError{fmt.Errorf("%d of the checks failed", len(c.wrong))}
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
