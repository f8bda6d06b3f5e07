package report

import (
	"bytes"
	"cmp"
	_ "embed" // the page's template
	"html/template"
	"math"
	"net/http"
	"time"

	"soakd/internal/load"
	"soakd/internal/probes"
)

//go:embed page.html
var pageText string

// Page serves the run as a page that a person reads: the account of arrivals,
// each case, each probe with its latest values. It needs no script and nothing
// from elsewhere, and it reloads itself every five seconds.
func Page(status func() Status) http.Handler {
	page := template.Must(template.New("page").Funcs(template.FuncMap{
		"span": span, "clock": clock, "number": number, "busy": busy, "version": Version,
		"percent": percent, "ago": ago, "values": values, "hit": hitRatio, "pool": pool,
		"pace": pace, "share": percentOf, "rounded": rounded, "circuit": circuit, "reasons": reasons, "unfit": unfitCounts,
		"latest": latest, "when": when,
	}).Parse(pageText))
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var body bytes.Buffer
		if err := page.Execute(&body, status()); err != nil {
			http.Error(w, "the page could not be made", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(body.Bytes()) // the reader has gone: nobody to tell
	})
}

func percent(part, whole int64) string {
	if whole == 0 {
		return "-"
	}
	return percentOf(float64(part) / float64(whole))
}

// rounded prints a rate that is aimed at: three digits are enough to see it move.
func rounded(rate float64) string { return number(math.Round(1e3*rate) / 1e3) }

// circuit is the state of the circuit, and where there is none that the load flows.
func circuit(t load.Throttle) load.CircuitState { return cmp.Or(t.Circuit.State, load.CircuitClosed) }

func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return clock(time.Since(t)) + " ago"
}

// value is one sample for the page.
type value struct{ Name, Labels, Value string }

func values(s probes.Status) []value {
	list := make([]value, 0, len(s.Samples))
	for _, sample := range s.Samples {
		labels := ""
		for i, label := range sample.Labels {
			if i > 0 {
				labels += " "
			}
			labels += label
		}
		list = append(list, value{sample.Desc.Name, labels, number(sample.Value)})
	}
	return list
}
