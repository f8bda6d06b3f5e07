package answers

import (
	"fmt"
	"time"

	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// failures watches the valid requests that fail.
func failures(cfg Config) watch {
	return watch{
		Config: cfg, kind: finding.Errors, what: "share of failed requests", counts: failed,
		burstLength: 7, spread: 3, outage: 0.9, end: int(10 * time.Minute / slotLength),
		say: func(p *problem) string {
			return fmt.Sprintf("%.3g %% of the valid requests %s fail since %s (%d of %d), %s",
				100*p.sum.share(), p.whom(), clock(p.onset), p.sum.bad, p.sum.n, p.against())
		},
	}
}

// failed counts the failed requests of a valid case. What got no answer does not
// count when soakd was not fit: that may be its own doing. Wrong content and rate
// limits are judged elsewhere.
func failed(w *window.Window, c *window.Case) ratio {
	if c.Invalid {
		return ratio{}
	}
	fit := w.Length > window.Short || w.IsFit()
	var r ratio
	for _, o := range c.Outcomes {
		switch o.Name {
		case serverError, "rejected_valid", "unauthorized":
			r.add(o.N, o.N)
		case "timeout", "connect", "reset", "tls", "dns":
			if fit {
				r.add(o.N, o.N)
			}
		case rateLimited:
		default:
			r.add(0, o.N)
		}
	}
	return r
}

// rateLimits watches the requests that are answered 429.
func rateLimits(cfg Config) watch {
	return watch{
		Config: cfg, kind: finding.RateLimited, what: "share of rate-limited requests",
		counts: func(_ *window.Window, c *window.Case) ratio {
			return ratio{window.Of(c.Outcomes, rateLimited), c.Requests()}
		},
		spread: 1, outage: 2, anyNew: true, end: int(cfg.Quiet / slotLength),
		say: func(p *problem) string {
			return fmt.Sprintf("%.3g %% of the requests %s are answered 429 since %s (%d of %d), %s",
				100*p.sum.share(), p.whom(), clock(p.onset), p.sum.bad, p.sum.n, p.against())
		},
	}
}
