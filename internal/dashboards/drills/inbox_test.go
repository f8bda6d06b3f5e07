package drills

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"soakd/internal/dashboards"
)

// notice is an alert as Alertmanager tells the webhook of it.
type notice struct {
	Status              string
	Labels, Annotations map[string]string
	Fingerprint         string
	StartsAt            time.Time
}

// key is what drills are about: an alert of one soakd.
type key struct{ alert, instance string }

func (n *notice) key() key { return key{n.Labels["alertname"], n.Labels["instance"]} }

// inbox is the webhook: it keeps what it was told, by the alert's fingerprint, and
// takes note of what nobody expects.
type inbox struct {
	severities map[string]string

	mu       sync.Mutex
	alerts   map[string]*notice
	fired    map[key]int // how often it was told that one fires
	expected map[key]bool
	wrong    []string
}

func newInbox() *inbox {
	in := &inbox{severities: map[string]string{}, alerts: map[string]*notice{}, fired: map[key]int{}, expected: map[key]bool{}}
	for _, a := range dashboards.Default().Alerts() {
		in.severities[a.Name] = string(a.Severity)
	}
	return in
}

// ServeHTTP takes a message of Alertmanager
// (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config).
func (in *inbox) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var message struct{ Alerts []*notice }
	err := json.NewDecoder(r.Body).Decode(&message)
	in.mu.Lock()
	defer in.mu.Unlock()
	if err != nil {
		in.wrong = append(in.wrong, "not a message of Alertmanager: "+err.Error())
		return
	}
	for _, n := range message.Alerts {
		in.take(n)
	}
}

func (in *inbox) take(n *notice) {
	in.alerts[n.Fingerprint] = n
	if n.Status != "firing" {
		return
	}
	in.fired[n.key()]++
	if !in.expected[n.key()] {
		in.wrong = append(in.wrong, fmt.Sprintf("at %s nobody expects %v: %s", time.Now().Format(time.TimeOnly), n.key(), n.Annotations["description"]))
	}
	if problem := in.problem(n); problem != "" {
		in.wrong = append(in.wrong, fmt.Sprintf("%v: %s: %v", n.key(), problem, n.Annotations))
	}
}

// problem says what an alert lacks for whoever is woken by it.
func (in *inbox) problem(n *notice) string {
	if n.Labels["severity"] != in.severities[n.Labels["alertname"]] {
		return "severity " + n.Labels["severity"]
	}
	for _, name := range []string{"summary", "description"} {
		text := n.Annotations[name]
		for _, bad := range []string{"<error", "<no value>", "%!", "{{", "NaN", "  "} {
			if text == "" || strings.Contains(text, bad) {
				return name + " is empty or holds " + bad
			}
		}
	}
	if !strings.Contains(n.Annotations["runbook"], "#"+strings.ToLower(n.Labels["alertname"])) {
		return "no link to its section of the runbook"
	}
	if !strings.Contains(n.Annotations["dashboard"], "/d/soakd") {
		return "no link to a dashboard"
	}
	return ""
}

// expect allows alerts of an instance from now on.
func (in *inbox) expect(instance string, alerts ...string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, a := range alerts {
		in.expected[key{a, instance}] = true
	}
}

// firing reports whether it was told that an alert fires, and it has not been
// resolved since.
func (in *inbox) firing(k key) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, n := range in.alerts {
		if n.key() == k && n.Status == "firing" {
			return true
		}
	}
	return false
}

// count is how often it was told that an alert fires.
func (in *inbox) count(k key) int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.fired[k]
}

// open lists what fires.
func (in *inbox) open() []key {
	in.mu.Lock()
	defer in.mu.Unlock()
	open := map[key]bool{}
	for _, n := range in.alerts {
		if n.Status == "firing" {
			open[n.key()] = true
		}
	}
	return slices.SortedFunc(maps.Keys(open), func(a, b key) int { return strings.Compare(a.alert+a.instance, b.alert+b.instance) })
}

// complaints are what was wrong with what came.
func (in *inbox) complaints() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.wrong)
}

// escaped is a query in a URL.
func escaped(query string) string { return url.QueryEscape(query) }
