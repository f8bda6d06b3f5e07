// Package push sends what a registry gathers to a Pushgateway or by Prometheus remote
// write: for runs that are over before anybody scrapes them.
package push

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"soakd/internal/secret"
)

// The destinations, as metrics and logs name them.
const (
	Pushgateway = "pushgateway"
	RemoteWrite = "remote_write"
)

// Destination is where to push and who says so.
type Destination struct {
	// URL is http or https; "" means that nothing is pushed there. That of a Pushgateway
	// is its own address, that of remote write the full one, such as
	// http://prometheus:9090/api/v1/write.
	URL string
	// Token is sent as a bearer token, or with User as the password of basic
	// authentication.
	User  string
	Token secret.String
}

// Histograms says in which form remote write sends histograms.
type Histograms string

const (
	// Classic histograms are understood by every receiver.
	Classic Histograms = "classic"
	// Native ones need a receiver that takes them: Prometheus 2.40 with the feature
	// native-histograms, or 3.
	Native Histograms = "native"
	// Both forms have different names and do not get into each other's way.
	Both Histograms = "both"
)

// Config says what is pushed where.
type Config struct {
	Pushgateway, RemoteWrite Destination
	// Job and Instance name the source of every series; neither may be empty.
	Job, Instance string
	// Labels are added to every series that has none of the same name.
	Labels map[string]string
	// Histograms is for remote write; "" means Classic. A Pushgateway gets both.
	Histograms Histograms
	// Timeout bounds one push to one destination with all its attempts; 0 means 10 s.
	Timeout time.Duration
	// Roots may have signed the certificates of the destinations; nil means the system's.
	Roots *x509.CertPool
	// Log is told when the pushes of Run begin to fail and when they succeed again; nil
	// means nobody is.
	Log *slog.Logger
}

// Figures count the pushes to each destination that is set.
type Figures map[string]Figure

// Figure counts the pushes to one destination.
type Figure struct{ Pushes, Failures int64 }

// Pusher pushes. It may be used from several goroutines; pushes take turns.
type Pusher struct {
	targets []*target
	timeout time.Duration
	log     *slog.Logger
	// turn keeps the order of pushes, and so of timestamps.
	turn sync.Mutex
	mu   sync.Mutex // guards the figures of the targets
}

// target is one destination with its account.
type target struct {
	name string
	send func(context.Context, []*dto.MetricFamily, time.Time) error
	// check asks whether a push would be taken, and changes nothing.
	check  func(context.Context) error
	close  func()
	host   string
	figure Figure
}

// defaultTimeout bounds a push where nobody says.
const defaultTimeout = 10 * time.Second

// New returns a pusher, or an error that says what is wrong with cfg and holds no
// secret. Nothing is sent.
func New(cfg Config) (*Pusher, error) {
	if cfg.Job == "" || cfg.Instance == "" {
		return nil, errors.New("pushed series need a job and an instance")
	}
	p := &Pusher{timeout: cfg.Timeout, log: cfg.Log}
	if p.timeout <= 0 {
		p.timeout = defaultTimeout
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if cfg.Pushgateway.URL != "" {
		t, err := newGateway(&cfg)
		if err != nil {
			return nil, fmt.Errorf("the Pushgateway's URL: %w", err)
		}
		p.targets = append(p.targets, t)
	}
	if cfg.RemoteWrite.URL != "" {
		t, err := newRemoteWrite(&cfg)
		if err != nil {
			return nil, fmt.Errorf("the URL for remote write: %w", err)
		}
		p.targets = append(p.targets, t)
	}
	return p, nil
}

// Close closes the connections that are idle.
func (p *Pusher) Close() {
	for _, t := range p.targets {
		t.close()
	}
}

// Figures returns the account so far.
func (p *Pusher) Figures() Figures {
	p.mu.Lock()
	defer p.mu.Unlock()
	figures := Figures{}
	for _, t := range p.targets {
		figures[t.name] = t.figure
	}
	return figures
}

// Push sends what is gathered now to all destinations at the same time, and returns
// after at most the timeout. Destinations that did not take it are in the error, which
// holds no secrets. A push that the caller cuts off by ctx is not counted.
func (p *Pusher) Push(ctx context.Context, from prometheus.Gatherer) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	families, err := from.Gather()
	if err != nil && len(families) == 0 {
		return fmt.Errorf("gather what is to be pushed: %w", err)
	}
	now, cutOff := time.Now(), ctx.Err
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	errs := make([]error, len(p.targets))
	var all sync.WaitGroup
	for i, t := range p.targets {
		all.Go(func() {
			if err := retried(ctx, func(ctx context.Context) error { return t.send(ctx, families, now) }); err != nil {
				errs[i] = fmt.Errorf("push to %s (%s): %w", t.name, t.host, err)
			}
			if cutOff() == nil {
				p.account(t, errs[i])
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// account counts a push.
func (p *Pusher) account(t *target, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t.figure.Pushes++
	if err != nil {
		t.figure.Failures++
	}
}

// Run pushes every interval until ctx ends. What fails is counted and said in the log
// once, until all destinations take a push again. The last push of a run is the caller's.
func (p *Pusher) Run(ctx context.Context, from prometheus.Gatherer, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if ctx.Err() != nil { // both came at once
			return
		}
		switch err := p.Push(ctx, from); {
		case ctx.Err() != nil: // cut off
			return
		case err != nil && !failing:
			p.log.Warn("the metrics cannot be pushed, and it is tried on", "every", every, "err", err)
			failing = true
		case err == nil && failing:
			p.log.Info("the metrics are pushed again")
			failing = false
		}
	}
}

// Check asks every destination whether it would take a push, and changes nothing there.
// The result has an entry for each, nil where all is well, by its name and host.
func (p *Pusher) Check(ctx context.Context) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	results := map[string]error{}
	for _, t := range p.targets {
		results[t.name+" ("+t.host+")"] = t.check(ctx)
	}
	return results
}

// Reached reports whether what failed was told by a destination, or what answers in its
// place.
func Reached(err error) bool {
	var answer *answerError
	return errors.As(err, &answer)
}

// withLabels returns the labels of a metric with those that are added, sorted by name. The
// metric's own win.
func withLabels(own []*dto.LabelPair, added map[string]string) []*dto.LabelPair {
	all := slices.Clone(own)
	for _, name := range slices.Sorted(maps.Keys(added)) {
		if !slices.ContainsFunc(own, func(l *dto.LabelPair) bool { return l.GetName() == name }) {
			all = append(all, &dto.LabelPair{Name: &name, Value: new(added[name])})
		}
	}
	return all
}
