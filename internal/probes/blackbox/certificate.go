package blackbox

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"soakd/internal/probes"
)

// certificateProbe watches the certificates that a TLS server shows.
type certificateProbe struct {
	address  string
	network  string
	tls      tlsSettings
	starttls []step

	label                            string
	verified, expiry, version, phase *probes.Desc
}

func parseCertificate(e entry) (spec, error) {
	p := &certificateProbe{}
	var s spec
	known := options{
		"starttls": starttls(&p.starttls), "ip": family(&p.network), "timeout": limit(&s.timeout),
	}.with(p.tls.options())
	var err error
	if p.address, err = address(unquote(e.words[0])); err != nil {
		return s, err
	}
	if err := errors.Join(known.parse(e.words[1:]), p.tls.check()); err != nil {
		return s, err
	}
	s.open = func(descs *probes.Descs, label string) poll {
		p.label = label
		p.verified = descs.Gauge("soakd_certificate_verified", "Whether the server's certificate is valid, for its name, and signed by a known authority (1) or not (0).", "probe")
		p.expiry = descs.Gauge("soakd_certificate_expiry_timestamp_seconds", "When the server's own certificate (leaf), the first of all that it shows (shown), and the best chain to a known authority (chain; absent when there is none) expire, in seconds since 1970.", "probe", "of")
		p.version = descs.Gauge("soakd_certificate_tls_version_info", "TLS version that was agreed on, always 1.", "probe", "version")
		p.phase = descs.Gauge("soakd_certificate_phase_seconds", "Time of each phase of the latest poll: dns, connect, tls.", "probe", "phase")
		return p.poll
	}
	return s, nil
}

func (p *certificateProbe) poll(ctx context.Context, reading *probes.Reading) error {
	w := newWay(ctx, p.network)
	defer w.close()
	err := p.shake(w, reading)
	w.add(reading, p.phase, p.label)
	state := w.certificates()
	if state == nil {
		return err
	}
	chains, wrong := p.tls.verify(*state, p.address)
	p.add(reading, state, longest(chains))
	return errors.Join(wrong, err)
}

// shake connects and makes the handshake, with any certificate: what it is
// worth is found out afterwards.
func (p *certificateProbe) shake(w *way, reading *probes.Reading) error {
	conn, err := w.connect(p.address)
	if err != nil {
		return err
	}
	defer reading.Cost.Add(time.Now())
	if err := startTLS(conn, p.starttls); err != nil {
		return err
	}
	lenient := p.tls
	lenient.insecure = true
	_, err = w.secure(conn, &lenient, p.address)
	return err
}

// add adds what the certificates tell; chainEnd is zero when they do not verify.
func (p *certificateProbe) add(reading *probes.Reading, state *tls.ConnectionState, chainEnd time.Time) {
	expires := func(of string, at time.Time) {
		reading.Add(p.expiry, float64(at.Unix()), p.label, of)
	}
	expires("leaf", state.PeerCertificates[0].NotAfter)
	expires("shown", earliest(state.PeerCertificates))
	verified := 0.0
	if !chainEnd.IsZero() {
		verified = 1
		expires("chain", chainEnd)
	}
	reading.Add(p.verified, verified, p.label)
	reading.Add(p.version, 1, p.label, tlsVersion(state.Version))
}
