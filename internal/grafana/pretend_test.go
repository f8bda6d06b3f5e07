package grafana_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "glsa_0123456789abcdef_secret"

// kept is an annotation as the pretended Grafana keeps it.
type kept struct {
	ID           int64    `json:"id"`
	DashboardUID string   `json:"dashboardUID"`
	Time         int64    `json:"time"`
	TimeEnd      int64    `json:"timeEnd"`
	Tags         []string `json:"tags"`
	Text         string   `json:"text"`
}

// pretended answers as Grafana's documented annotation API does, and refuses what that
// would not take: https://grafana.com/docs/grafana/latest/developer-resources/api-reference/http-api/annotations/
type pretended struct {
	t *testing.T

	mu    sync.Mutex
	all   []kept
	last  int64
	calls []string
	// answer, when it is not nil, answers in the place of Grafana; with false it does not.
	answer func(w http.ResponseWriter, r *http.Request) bool
	// granted is what the token may do; nil means that this Grafana does not tell.
	granted map[string][]string
	// lose takes what comes and gives no good answer, so often.
	lose int
}

func newPretended(t *testing.T) (*pretended, *httptest.Server) {
	t.Helper()
	p := &pretended{t: t}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return p, server
}

// ServeHTTP implements [http.Handler].
func (p *pretended) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.calls = append(p.calls, r.Method+" "+r.URL.Path)
	answer := p.answer
	p.mu.Unlock()
	if answer != nil && answer(w, r) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+token {
		say(w, http.StatusUnauthorized, map[string]any{"message": "Invalid API key"})
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/grafana")
	switch {
	case r.Method == http.MethodGet && path == "/api/annotations":
		say(w, http.StatusOK, p.find(r))
	case r.Method == http.MethodPost && path == "/api/annotations":
		p.add(w, r)
	case r.Method == http.MethodPatch && strings.HasPrefix(path, "/api/annotations/"):
		p.change(w, r, strings.TrimPrefix(path, "/api/annotations/"))
	case r.Method == http.MethodGet && path == "/api/access-control/user/permissions" && p.granted != nil:
		say(w, http.StatusOK, p.granted)
	default:
		say(w, http.StatusNotFound, map[string]any{"message": "Not found"})
	}
}

func say(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(document) // the client may have gone
}

// read takes a body strictly: no field that the API does not have.
func (p *pretended) read(w http.ResponseWriter, r *http.Request) (kept, bool) {
	var sent kept
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&sent)
	tags, _ := json.Marshal(sent.Tags)
	switch {
	case err != nil || r.Header.Get("Content-Type") != "application/json":
		p.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	case sent.Text == "":
		err = io.ErrUnexpectedEOF
	case len(tags) > 500:
		err = io.ErrShortBuffer
	}
	if err != nil {
		say(w, http.StatusBadRequest, map[string]any{"message": "bad request data"})
	}
	return sent, err == nil
}

func (p *pretended) add(w http.ResponseWriter, r *http.Request) {
	sent, ok := p.read(w, r)
	if !ok {
		return
	}
	p.last++
	sent.ID = p.last
	if sent.TimeEnd == 0 {
		sent.TimeEnd = sent.Time
	}
	p.all = append(p.all, sent)
	if p.lost(w) {
		return
	}
	say(w, http.StatusOK, map[string]any{"message": "Annotation added", "id": sent.ID})
}

// lost answers in the place of Grafana what a proxy says that gave up waiting.
func (p *pretended) lost(w http.ResponseWriter) bool {
	if p.lose == 0 {
		return false
	}
	p.lose--
	w.WriteHeader(http.StatusGatewayTimeout)
	return true
}

func (p *pretended) change(w http.ResponseWriter, r *http.Request, text string) {
	sent, ok := p.read(w, r)
	if !ok {
		return
	}
	id, _ := strconv.ParseInt(text, 10, 64)
	i := slices.IndexFunc(p.all, func(k kept) bool { return k.ID == id })
	if i < 0 {
		say(w, http.StatusNotFound, map[string]any{"message": "Could not find annotation to update"})
		return
	}
	one := &p.all[i]
	one.Text = sent.Text
	if sent.Time > 0 {
		one.Time = sent.Time
	}
	if sent.TimeEnd > 0 {
		one.TimeEnd = sent.TimeEnd
	}
	if sent.Tags != nil {
		one.Tags = sent.Tags
	}
	say(w, http.StatusOK, map[string]any{"message": "Annotation patched"})
}

// find returns the newest first, as Grafana does.
func (p *pretended) find(r *http.Request) []kept {
	found := []kept{}
	for _, one := range slices.Backward(p.all) {
		if !slices.ContainsFunc(r.URL.Query()["tags"], func(tag string) bool { return !slices.Contains(one.Tags, tag) }) {
			found = append(found, one)
		}
	}
	return found
}

// has returns all annotations and the calls so far.
func (p *pretended) has() ([]kept, []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all), slices.Clone(p.calls)
}

// answers makes it answer otherwise from now on; nil, as Grafana does.
func (p *pretended) answers(with func(w http.ResponseWriter, r *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = with
}

// always answers every call with a status.
func always(status int, headers ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		say(w, status, map[string]any{"message": http.StatusText(status)})
		return true
	}
}

// roundTrip answers a call without a socket. Whoever does not wait for the answer has
// none.
func (p *pretended) roundTrip(r *http.Request) (*http.Response, error) {
	answered := make(chan *http.Response, 1)
	go func() {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		response := w.Result()
		response.Request = r
		answered <- response
	}()
	select {
	case response := <-answered:
		return response, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}
