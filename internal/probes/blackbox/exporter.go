package blackbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"soakd/internal/probes"
	"soakd/internal/probes/exposition"
	"soakd/internal/secret"
)

// ExporterConfig lists Prometheus exporters and the series wanted of them.
type ExporterConfig struct {
	Probes     secret.String `envconfig:"EXPORTER_PROBES" desc:"Prometheus exporters to read series from, at most 20, separated by semicolons or ends of lines, each as name=URL [option=value ...] with the options token_file (bearer token, read at each poll), header ('Name: value', repeatable), ca, cert, key (PEM files), server_name, insecure (true), ip (any, 4 or 6) and timeout. Secret, because a URL may hold a password."`
	ProbesFile string        `envconfig:"EXPORTER_PROBES_FILE" desc:"File with the Prometheus exporters, one a line."`
	Series     string        `envconfig:"EXPORTER_SERIES" desc:"Series to take from exporters (SOAKD_EXPORTER_PROBES), at most 100, separated by semicolons or ends of lines, each as name=exporter:metric{label=\"value\"} [option=value ...] with the options fold (sum, max, min or avg: how several series that match become one; otherwise sum) and type (gauge or counter; otherwise counter where the metric ends in _total, _count, _sum or _bucket and is summed). Quantiles of summaries are not taken. The name is the value of the label series of soakd_exporter_value (gauges) and soakd_exporter_value_total (counters)."`

	specs []spec
}

// Enabled reports whether there is anything to read.
func (c *ExporterConfig) Enabled() bool {
	return c.Probes.IsSet() || c.ProbesFile != "" || c.Series != ""
}

// Validate returns every mistake, joined.
func (c *ExporterConfig) Validate() error {
	variable := variableOf(exporterKind)
	resolved, err := resolve(variable, c.Probes, c.ProbesFile)
	if err != nil || (!resolved.IsSet() && c.Series == "") {
		return err
	}
	wanted, seriesErr := parseSeries("SOAKD_EXPORTER_SERIES", c.Series)
	c.specs, err = parseSpecs(variable, resolved.Value(), maxExporters, func(e entry) (spec, error) {
		return parseExporter(e, wanted[e.name])
	})
	if err != nil || seriesErr != nil {
		return errors.Join(err, seriesErr)
	}
	return checkExporters("SOAKD_EXPORTER_SERIES", wanted, c.specs)
}

// Summary names the probes.
func (c *ExporterConfig) Summary() string { return summary(c.specs) }

// Open makes a probe of each exporter. Validate must have been called.
func (c *ExporterConfig) Open(*slog.Logger) ([]probes.Probe, error) {
	return open(exporterKind, c.specs)
}

// exporterProbe reads chosen series of one exporter.
type exporterProbe struct {
	request request
	wanted  []wantedSeries
	names   map[string]bool

	label          string
	gauge, counter *probes.Desc
}

func parseExporter(e entry, wanted []wantedSeries) (spec, error) {
	p := &exporterProbe{wanted: wanted}
	var selectors []exposition.Selector
	for _, one := range wanted {
		selectors = append(selectors, one.selector)
	}
	p.names = exposition.NamesOf(selectors)
	var s spec
	known := options{"timeout": limit(&s.timeout)}.with(p.request.options())
	words, err := p.request.target(e.words)
	if err != nil {
		return s, err
	}
	if err := errors.Join(known.parse(words), p.request.check()); err != nil {
		return s, err
	}
	if p.request.header.Get("Accept") == "" {
		err = p.request.addHeader("Accept: " + exposition.Accept())
	}
	s.hidden, s.open = p.request.hidden(), p.open
	return s, err
}

func (p *exporterProbe) open(descs *probes.Descs, label string) poll {
	p.label = label
	p.gauge = descs.Gauge("soakd_exporter_value", "Value of a series that SOAKD_EXPORTER_SERIES names, where it is a gauge.", "probe", "series")
	p.counter = descs.Counter("soakd_exporter_value_total", "Value of a series that SOAKD_EXPORTER_SERIES names, where it is a counter.", "probe", "series")
	return p.poll
}

func (p *exporterProbe) poll(ctx context.Context, reading *probes.Reading) error {
	page, err := p.fetch(ctx, &reading.Cost)
	if err != nil {
		return err
	}
	var errs []error
	for _, one := range p.wanted {
		value, err := one.value(page)
		if err != nil {
			errs = append(errs, fmt.Errorf("series %s: %w", one.name, err))
			continue
		}
		desc := p.gauge
		if one.counter {
			desc = p.counter
		}
		reading.Add(desc, value, p.label, one.name)
	}
	return errors.Join(errs...)
}

// fetch reads the page. The package exposition bounds it.
func (p *exporterProbe) fetch(ctx context.Context, cost *probes.Cost) (exposition.Page, error) {
	x, err := p.request.send(ctx)
	defer x.finish(cost)
	if err != nil {
		return exposition.Page{}, err
	}
	if err := judgeStatus(x.response.StatusCode, []statusRange{{200, 200}}); err != nil {
		return exposition.Page{}, err
	}
	page, err := exposition.Read(x.response.Header.Get("Content-Type"), x.response.Body, p.names)
	if err != nil {
		return page, fmt.Errorf("read the page: %w", answerError(ctx, err))
	}
	return page, nil
}
