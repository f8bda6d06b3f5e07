package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"soakd/internal/exporter"
	"soakd/internal/exporter/push"
	"soakd/internal/judge"
	"soakd/internal/load"
	"soakd/internal/load/auth"
	"soakd/internal/load/cashflow"
	"soakd/internal/probes"
	"soakd/internal/report"
)

// runCommand is `soakd run`.
func runCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, err := readConfig(command{name: "run"}, args, stdout)
	if err != nil {
		return err
	}
	keepMemoryLow()
	shown, log := cfg.shown(stdout, stderr)
	d, err := newDaemon(ctx, cfg, shown, log)
	if err != nil {
		return err
	}
	return d.run(ctx)
}

// keepMemoryLow lets the heap grow by half between two collections instead of
// doubling: a request allocates next to nothing, so they are rare either way.
// Whoever sets GOGC decides otherwise.
func keepMemoryLow() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// traffic is everything that sends: made from the configuration, nothing sent yet.
type traffic struct {
	source   *auth.Source
	workload *load.Workload
	mix      *load.Mix
	client   *load.Client
}

// userAgent says what soakd is to whoever reads the target's logs.
func userAgent() string { return "soakd/" + report.Version() + " (soak test)" }

func newTraffic(cfg *config, log *slog.Logger) (*traffic, error) {
	source, err := auth.New(auth.Config{
		Token: cfg.AuthToken, TokenFile: cfg.AuthTokenFile,
		JWTSecret: cfg.JWTSecret, JWTAudience: cfg.JWTAudience, JWTTTL: cfg.JWTTTL, UserPrefix: cfg.userPrefix(),
	}, log)
	if err != nil {
		return nil, fmt.Errorf("authentication: %w", err)
	}
	workload, err := cashflow.New(cashflow.Config{
		APIVersion: cfg.APIVersion, Users: cfg.Users, Seed: cfg.Seed,
		VersionHeader: cfg.VersionHeader,
		CanMint:       source.CanMint(), SharedIdentity: source.SharedIdentity(), Anonymous: source.Anonymous(),
	})
	if err != nil {
		return nil, err
	}
	if workload, err = cfg.tagSettings.of(workload); err != nil {
		return nil, err
	}
	mix, err := load.NewMix(workload, cfg.Users, cfg.Seed)
	if err != nil {
		return nil, err
	}
	mix.InShards(cfg.Shard.of)
	client, err := cfg.client(load.ClientConfig{
		Target: cfg.TargetURL, UserAgent: userAgent(), Token: source.Token, MaxResponseBytes: cfg.MaxResponseBytes,
	}, cfg.AllowedHosts, log)
	if err != nil {
		return nil, err
	}
	return &traffic{source: source, workload: workload, mix: mix, client: client}, nil
}

// daemon is one run: everything that works at the same time, wired once.
type daemon struct {
	cfg   *config
	log   *slog.Logger
	shown progress
	start time.Time
	// note is said at the start; see [beginning].
	note string

	traffic   *traffic
	metrics   *exporter.Metrics
	recorder  *load.Recorder
	engine    *load.Engine
	probes    []probes.Probe
	board     *probes.Board
	poller    *probes.Poller
	windows   *windows
	server    *exporter.Server
	judgement *judgement
	gate      *gate
	// annotator is nil when there is no Grafana to write to.
	annotator *annotator
	// pusher is nil when nothing is to be pushed.
	pusher *push.Pusher
}

// newDaemon wires a run top to bottom. It listens, and sends nothing yet.
func newDaemon(ctx context.Context, cfg *config, shown progress, log *slog.Logger) (_ *daemon, err error) {
	if err := cfg.clearReports(); err != nil {
		return nil, err
	}
	d := &daemon{cfg: cfg, log: log, shown: shown, start: time.Now()}
	defer func() {
		if err != nil {
			closeAll(d.probes)
			d.closeHistory()
		}
	}()
	if d.traffic, err = newTraffic(cfg, log); err != nil {
		return nil, usageError{err}
	}
	for _, note := range d.traffic.workload.Notes {
		log.Info("left out of the workload", "what", note)
	}
	if d.probes, err = openProbes(cfg.kinds, log); err != nil {
		return nil, usageError{err}
	}
	d.recorder = load.NewRecorder(d.traffic.workload, d.start)
	d.metrics = exporter.NewMetrics(d.recorder)
	if err := d.judgeTarget(ctx); err != nil {
		return nil, err
	}
	if d.gate, err = cfg.newGate(ctx, d.traffic.workload, d.judgement.chronicle); err != nil {
		return nil, err
	}
	d.judgement.watch = d.gate.window
	if err := d.watch(); err != nil {
		return nil, err
	}
	if err := d.watchPushes(); err != nil {
		return nil, err
	}
	served := exporter.ServerConfig{
		Listen: cfg.Listen, WebConfigFile: cfg.WebConfigFile, Metrics: d.metrics, Page: report.Page(d.status), Log: log,
		API: exporter.API{Judgement: d.judgement, Status: func() any { return report.Document(d.status()) }, Writable: cfg.EnableLifecycle},
	}
	if cfg.EnableLifecycle {
		served.Load = d.engine
	}
	d.server, err = exporter.NewServer(ctx, served)
	if err != nil {
		return nil, err
	}
	if d.annotator, err = newAnnotator(cfg, d.server.URL(), d.judgement.lastEvent(), d.start, log); err != nil {
		return nil, usageError{err}
	}
	if d.annotator != nil {
		d.metrics.WatchAnnotations(d.annotator.writer.Figures)
	}
	return d, nil
}

// judgeTarget makes the judgement, which takes up what is in the history.
func (d *daemon) judgeTarget(ctx context.Context) error {
	judged, err := d.cfg.judgeConfig(d.traffic.workload)
	if err != nil {
		return usageError{err}
	}
	collector := newCollector(d.recorder, d.traffic.workload.Versions, d.cfg.TargetVersion, d.start)
	collector.log = d.log
	if d.judgement, err = newJudgement(collector, judged); err != nil {
		return usageError{err}
	}
	chronicle, err := openChronicle(ctx, d.cfg, d.traffic.workload.Name, d.start, d.log)
	if err != nil || chronicle == nil {
		return err
	}
	d.judgement.chronicle = chronicle
	chronicle.restore(ctx, d.judgement.judge, d.start)
	return chronicle.references(ctx, d.judgement, d.traffic.workload.Name, d.cfg.Baseline)
}

// closeHistory closes the history of a run that does not take place.
func (d *daemon) closeHistory() {
	if d.judgement != nil && d.judgement.chronicle != nil {
		d.judgement.chronicle.end(context.Background(), d.judgement, time.Now(), judge.Unknown)
	}
}

// makeEngine makes the engine of the model that is set.
func (d *daemon) makeEngine() (err error) {
	cfg := d.cfg
	engine := load.EngineConfig{
		Mix: d.traffic.mix, Client: d.traffic.client, User: d.traffic.source.User, Closed: cfg.users(),
		MaxInFlight: cfg.MaxInFlight, MaxWaiting: cfg.MaxWaiting, MaxLateness: cfg.MaxLateness,
		Ahead: cfg.ConnectionsAhead, Growth: cfg.ConnectionGrowth, IdleTimeout: cfg.ConnectionIdleTimeout, ResolveEvery: cfg.DNSInterval,
		Duration: cfg.Duration, Grace: cfg.ShutdownGrace,
		Sink: load.Sinks{d.recorder, d.judgement.collector.seconds, newFailureLog(d.log)}, Lag: d.recorder, Log: d.log,
	}
	if engine.Manners, err = cfg.manners(d.traffic.source.SharedIdentity()); err != nil {
		return err
	}
	if !cfg.closed() {
		if engine.Arrivals, err = cfg.arrivals(); err != nil {
			return err
		}
		if engine.Sleeper, err = load.NewSleeper(); err != nil {
			return err
		}
	}
	d.engine, err = load.NewEngine(engine)
	if err != nil && engine.Sleeper != nil {
		engine.Sleeper.Close()
	}
	return err
}

// watch makes the engine and the poller and connects both with the metrics.
func (d *daemon) watch() error {
	err := d.makeEngine()
	if err != nil {
		return err
	}
	if d.windows, err = d.judgeOwnWork(); err != nil {
		return err
	}
	d.metrics.WatchTraffic(exporter.Traffic{
		Counts: d.engine.Counts, TargetRate: d.engine.TargetRate, Transfer: d.traffic.client.Transfer, Users: d.cfg.Users,
		Phase: d.engine.Phase, Run: d.cfg.runInfo(),
		Throttle: d.engine.Throttle, Fitness: d.windows.fitness.Status, CPUShare: d.windows.cpuShare,
	})
	polling := probes.Settings{Interval: d.cfg.ProbeInterval, Timeout: d.cfg.ProbeTimeout, MaxBackoff: max(d.cfg.ProbeInterval, maxProbeBackoff)}
	names := make([]string, len(d.probes))
	for i, probe := range d.probes {
		names[i] = probe.Name()
	}
	d.board = probes.NewBoard(names, polling.Staleness())
	d.metrics.WatchProbes(d.probes, d.board)
	d.metrics.WatchJudgement(d.judgement.readings)
	if chronicle := d.judgement.chronicle; chronicle != nil {
		d.metrics.WatchHistory(chronicle.figures)
	}
	d.poller, err = probes.New(d.probes, polling, func(result probes.Result) {
		d.board.Put(result)
		d.judgement.probe(result)
	}, d.log)
	return err
}

// maxProbeBackoff bounds how late the recovery of a dependency can be seen.
const maxProbeBackoff = 30 * time.Second

// openProbes makes the probes that are configured and says once which are off.
func openProbes(kinds []probes.Kind, log *slog.Logger) ([]probes.Probe, error) {
	var (
		opened []probes.Probe
		errs   []error
	)
	for _, kind := range kinds {
		if !kind.Config.Enabled() {
			continue
		}
		ofKind, err := kind.Config.Open(log)
		if err != nil {
			errs = append(errs, fmt.Errorf("probe %s: %w", kind.Name, err))
			continue
		}
		opened = append(opened, ofKind...)
	}
	if err := errors.Join(errs...); err != nil {
		closeAll(opened)
		return nil, err
	}
	if off := switchedOff(kinds); len(off) > 0 {
		log.Info("probes that are off, with nothing to watch", "probes", strings.Join(off, ", "))
	}
	return opened, nil
}

// switchedOff names the kinds that have nothing to watch.
func switchedOff(kinds []probes.Kind) []string {
	var off []string
	for _, kind := range kinds {
		if !kind.Config.Enabled() {
			off = append(off, kind.Name)
		}
	}
	return off
}

func closeAll(opened []probes.Probe) {
	for _, probe := range opened {
		probe.Close()
	}
}

// run sends until the duration is over or ctx ends. Probes and the server go on
// while the last requests finish; everything has ended when run returns.
func (d *daemon) run(ctx context.Context) error {
	d.shown.start(d.beginning())
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, background := errgroup.WithContext(background)
	group.Go(func() error { return d.server.Run(background) })
	group.Go(func() error { d.poll(background); return nil })
	group.Go(func() error { d.shown.follow(background, d.course()); return nil })
	group.Go(func() error { d.windows.run(background); return nil })
	group.Go(func() error { d.pushes(background); return nil })
	if chronicle := d.judgement.chronicle; chronicle != nil {
		group.Go(func() error { chronicle.write(background, d.judgement); return nil })
	}

	if a := d.annotator; a != nil {
		group.Go(func() error { a.run(background, d.judgement); return nil })
		group.Go(func() error { a.writer.Run(background); return nil })
	}

	// Traffic ends with ctx, and when the server or the poller fails.
	sending, halt := context.WithCancel(ctx)
	defer halt()
	defer context.AfterFunc(background, halt)()
	defer context.AfterFunc(ctx, func() { d.server.SetReady(false) })()
	d.server.SetReady(true)
	if d.cfg.AbortEarly {
		d.gate.endWith(halt)
	}
	d.engine.Run(sending)
	d.server.SetReady(false)
	stop()
	return d.finish(ctx, group.Wait())
}

// finish judges the run that is over, writes what is to be written, and returns what
// it came to. failure is what failed beside the traffic.
func (d *daemon) finish(ctx context.Context, failure error) error {
	d.judgement.finish()
	d.push(ctx)
	if d.annotator != nil {
		d.annotator.finish(ctx, d.judgement)
	}
	run, circumstances := d.finished(ctx.Err() != nil, failure)
	written, err := d.writeReports(run, circumstances)
	d.keep(ctx, run)
	d.shown.finish(run, written)
	if d.cfg.Duration == 0 { // somebody stopped it, which comes to nothing
		return errors.Join(failure, err)
	}
	if run.Conclusion.Result != judge.Fail {
		return outcome(&run.Conclusion) // which has err
	}
	return errors.Join(outcome(&run.Conclusion), err)
}

// poll runs the probes. One that hangs at the end is soakd's own trouble: it does
// not turn a good run into a bad one.
func (d *daemon) poll(ctx context.Context) {
	if err := d.poller.Run(ctx); err != nil {
		d.log.Error("a probe did not end", "err", err)
	}
}

// readings are the figures of the judgement, for metrics.
func (j *judgement) readings() judge.Readings {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.judge.Readings()
}

// status is what the page, the progress line and the table show.
func (d *daemon) status() report.Status {
	now := time.Now()
	cases, all := d.recorder.Summary()
	return report.Status{
		Target: d.cfg.TargetURL, Workload: d.traffic.workload.Name, Rate: d.cfg.rate(),
		Start: d.start, Elapsed: now.Sub(d.start), Duration: d.cfg.Duration, Counts: d.engine.Counts(),
		Closed: d.cfg.closed(), Users: d.cfg.Users, TargetRate: d.engine.TargetRate(), Phase: d.engine.Phase(), Throttle: d.engine.Throttle(), Fitness: d.windows.fitness.Status(),
		Cases: cases, All: all, Probes: d.board.Snapshot(now),
		Verdict: d.judgement.Verdict(false), Findings: d.judgement.Findings(),
	}
}

// beginning says what runs and where to look.
func (d *daemon) beginning() beginning {
	var watched []report.Watched
	for _, kind := range d.cfg.kinds {
		if kind.Config.Enabled() {
			watched = append(watched, report.Watched{Name: kind.Name, What: kind.Config.Summary()})
		}
	}
	if off := switchedOff(d.cfg.kinds); len(off) > 0 {
		watched = append(watched, report.Watched{Name: "off", What: strings.Join(off, ", ")})
	}
	return beginning{status: d.status(), watched: watched, note: d.note, heading: report.Heading{
		URL: d.server.URL(), Auth: d.traffic.source.Describe(), Users: d.cfg.Users,
		Load: d.cfg.loadSettings.describe(), Connection: d.cfg.connectionSettings.describe(d.cfg.TargetURL),
		Judged: d.judgement.describe(), Kept: d.judgement.kept(),
	}}
}

// course is the run as it is shown.
func (d *daemon) course() course {
	c := course{status: d.status, window: func(now time.Time) (report.Status, load.Window) {
		status := d.status()
		return status, d.recorder.NextWindow(now, status.Counts)
	}}
	if len(d.cfg.Thresholds) > 0 {
		c.thresholds = d.gate.judged
	}
	return c
}
