package blackbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"soakd/internal/probes"
	"soakd/internal/secret"
)

// tcpProbe connects to a port and speaks a few lines where asked to.
type tcpProbe struct {
	address  string
	network  string
	useTLS   bool
	tls      tlsSettings
	starttls []step
	steps    []step

	label                  string
	times                  *probes.Times
	phase, connect, expiry *probes.Desc
}

func parseTCP(e entry) (spec, error) {
	p := &tcpProbe{}
	var s spec
	known := options{
		"send": {repeats: true, take: func(value string) error {
			s.hidden = append(s.hidden, secret.New(value))
			return p.addStep(step{send: value + "\r\n"})
		}},
		"expect": {repeats: true, take: func(value string) error {
			wanted, err := compile(value)
			return errors.Join(err, p.addStep(step{expect: wanted}))
		}},
		"starttls": starttls(&p.starttls), "tls": flag(&p.useTLS), "insecure": flag(&p.tls.insecure),
		"ip": family(&p.network), "timeout": limit(&s.timeout),
	}.with(p.tls.options())
	var err error
	if p.address, err = address(unquote(e.words[0])); err != nil {
		return s, err
	}
	if err := errors.Join(known.parse(e.words[1:]), p.check()); err != nil {
		return s, err
	}
	s.open = p.open
	return s, nil
}

func (p *tcpProbe) addStep(next step) error {
	if p.steps = append(p.steps, next); len(p.steps) > maxSteps {
		return fmt.Errorf("more than %d steps", maxSteps)
	}
	if strings.ContainsAny(strings.TrimSuffix(next.send, "\r\n"), "\r\n") {
		return errors.New("is more than one line; give it again for the next")
	}
	return nil
}

func (p *tcpProbe) check() error {
	switch {
	case p.starttls != nil && p.useTLS:
		return errors.New("options starttls, tls: give one of them")
	case p.starttls == nil && !p.useTLS && p.tls.used():
		return errors.New("options ca, cert, key, insecure, server_name: they need tls=true or starttls")
	}
	return p.tls.check()
}

func (p *tcpProbe) open(descs *probes.Descs, label string) poll {
	p.label = label
	p.times = probes.NewTimes()
	p.phase = descs.Gauge("soakd_tcp_phase_seconds", "Time of each phase of the latest poll: dns, connect, tls, dialogue.", "probe", "phase")
	p.connect = descs.Histogram("soakd_tcp_connect_seconds", "Time to resolve the name and to connect, of all polls that could.", "probe")
	p.expiry = descs.Gauge("soakd_tcp_certificate_expiry_timestamp_seconds", "When the first of the certificates that the server shows expires, in seconds since 1970; absent without TLS.", "probe")
	return p.poll
}

func (p *tcpProbe) poll(ctx context.Context, reading *probes.Reading) error {
	w := newWay(ctx, p.network)
	defer w.close()
	start := time.Now()
	conn, err := w.connect(p.address)
	if err != nil {
		return err
	}
	p.times.Observe(time.Since(start))
	reading.AddTimes(p.connect, p.times, p.label)
	err = p.speak(w, conn, reading)
	w.add(reading, p.phase, p.label)
	if state := w.certificates(); state != nil {
		reading.Add(p.expiry, float64(earliest(state.PeerCertificates).Unix()), p.label)
	}
	return err
}

// speak does what is to be done once connected.
func (p *tcpProbe) speak(w *way, conn net.Conn, reading *probes.Reading) error {
	defer reading.Cost.Add(time.Now())
	if p.starttls != nil {
		if err := startTLS(conn, p.starttls); err != nil {
			return err
		}
	}
	if p.starttls != nil || p.useTLS {
		secured, err := w.secure(conn, &p.tls, p.address)
		if err != nil {
			return err
		}
		conn = secured
	}
	if len(p.steps) == 0 {
		return nil
	}
	start := time.Now()
	if err := newDialogue(conn).run(p.steps); err != nil {
		return err
	}
	w.spent(phaseDialogue, start)
	return nil
}

// startTLS asks for TLS in the protocol of the server.
func startTLS(conn net.Conn, steps []step) error {
	d := newDialogue(conn)
	if err := d.run(steps); err != nil {
		return fmt.Errorf("starttls: %w", err)
	}
	return d.quiet()
}
