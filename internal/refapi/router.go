package refapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// base is the path of the API's version.
const base = "/api/v1"

// requestTimeout bounds a request, from the end of its header on.
const requestTimeout = 60 * time.Second

// endpoint is one operation. The user is that of the token, or "" where none is needed.
type endpoint struct {
	name         string // as faults call it
	method, path string
	open         bool // needs no token
	serve        func(r *http.Request, user string) (answer, error)
}

func (a *API) endpoints() []endpoint {
	return []endpoint{
		{name: opHealth, method: http.MethodGet, path: "/health", open: true, serve: a.health},
		{name: opForecast, method: http.MethodPost, path: base + "/cashflow/forecast", serve: a.forecast},
		{name: opSave, method: http.MethodPost, path: base + "/cashflow/scenario/save", serve: a.saveScenario},
		{name: opScenarios, method: http.MethodGet, path: base + "/cashflow/scenarios", serve: a.listScenarios},
		{name: opScenario, method: http.MethodGet, path: base + "/cashflow/scenario/{id}", serve: a.getScenario},
		{name: opHistory, method: http.MethodGet, path: base + "/cashflow/history", serve: a.listHistory},
	}
}

// routes builds the handler of the whole API.
func (a *API) routes() http.Handler {
	scrape := a.metrics.handler()
	refused := a.identified(refuseMethod(a, []string{http.MethodGet, http.MethodHead}))
	counted := a.identified(a.observed(newRouter(a)))
	admin := a.identified(a.administration())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-App-Version"] = *a.version.Load()
		switch {
		case a.config.AdminToken.IsSet() && strings.HasPrefix(r.URL.Path, adminPath):
			admin.ServeHTTP(w, r)
		case r.URL.Path != "/metrics":
			counted.ServeHTTP(w, r)
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			scrape.ServeHTTP(w, r)
		default:
			refused.ServeHTTP(w, r)
		}
	})
}

// router finds the operation for a path. [http.ServeMux] is not used because
// it answers some paths with a redirect in HTML.
type router struct {
	api   *API
	paths map[string]methods // by path
}

// methods are what one path knows.
type methods struct {
	handlers map[string]http.Handler // by method
	others   http.Handler
}

func newRouter(a *API) *router {
	t := &router{api: a, paths: make(map[string]methods)}
	for _, e := range a.endpoints() {
		known := methods{handlers: map[string]http.Handler{e.method: a.serveEndpoint(e)}}
		if e.method == http.MethodGet { // net/http leaves out the body of an answer to HEAD
			known.handlers[http.MethodHead] = known.handlers[e.method]
		}
		known.others = refuseMethod(a, slices.Collect(maps.Keys(known.handlers)))
		t.paths[e.path] = known
	}
	return t
}

// ServeHTTP implements [http.Handler] and notes the pattern that matched.
func (t *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	pattern, known, ok := t.match(r)
	if !ok {
		t.api.writeError(w, r, fail(http.StatusNotFound, "no such route"))
		return
	}
	r.Pattern = pattern
	handler, ok := known.handlers[r.Method]
	if !ok {
		handler = known.others
	}
	handler.ServeHTTP(w, r)
}

// match looks for the path itself, then for one that ends in {id}.
func (t *router) match(r *http.Request) (string, methods, bool) {
	if known, ok := t.paths[r.URL.Path]; ok {
		return r.URL.Path, known, true
	}
	slash := strings.LastIndexByte(r.URL.Path, '/')
	if slash < 0 || slash == len(r.URL.Path)-1 {
		return "", methods{}, false
	}
	pattern := r.URL.Path[:slash] + "/{id}"
	known, ok := t.paths[pattern]
	r.SetPathValue("id", r.URL.Path[slash+1:])
	return pattern, known, ok
}

// refuseMethod answers 405.
func refuseMethod(a *API, allowed []string) http.Handler {
	slices.Sort(allowed)
	header := strings.Join(allowed, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", header)
		a.writeError(w, r, fail(http.StatusMethodNotAllowed, "the route does not know this method"))
	})
}

type contextKey int

const requestIDKey contextKey = iota

// requestID is what the request is called in answers and logs.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// identified gives the request an id and a deadline, and turns a panic into an answer.
func (a *API) identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-ID")
		if !printable(id) {
			id = uuid.NewString()
		}
		w.Header().Set("X-Request-ID", id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), requestIDKey, id), requestTimeout)
		defer cancel()
		recorded := &recorder{ResponseWriter: w, request: r} // whose context ends when the client leaves, and no sooner
		r = r.WithContext(ctx)
		defer a.recovered(recorded, r)
		next.ServeHTTP(recorded, r)
	})
}

// printable reports whether an id may be echoed and logged.
func printable(id string) bool {
	const longest = 128
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return id != "" && len(id) <= longest
}

// recovered answers a request whose handler panicked; an answer that has begun
// is cut off, so that it is not taken for a whole one.
func (a *API) recovered(w *recorder, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if w.status != 0 || cause == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so too
		a.logger.Error("panic while answering", "request_id", requestID(r.Context()), "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
		panic(http.ErrAbortHandler)
	}
	a.writeError(w, r, &panicked{cause, debug.Stack()})
}

// observed counts and times the request.
func (a *API) observed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		a.metrics.inFlight.Inc()
		recorded, _ := w.(*recorder)
		finished := false
		defer func() {
			a.metrics.inFlight.Dec()
			status := recorded.status
			if !finished {
				status = http.StatusInternalServerError // a panic, which is answered further out
			}
			a.metrics.observe(r.Method, route(r), status, time.Since(start))
		}()
		next.ServeHTTP(w, r)
		finished = true
	})
}

// route is the pattern that answers the request, a bounded label.
func route(r *http.Request) string {
	if r.Pattern == "" {
		return unmatched
	}
	return r.Pattern
}

// serveEndpoint checks who asks, and answers.
func (a *API) serveEndpoint(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		result, err := a.answerEndpoint(e, w, r)
		if err == nil {
			err = write(w, result)
		}
		if err != nil {
			a.writeError(w, r, err)
		}
	})
}

// answerEndpoint answers, with the faults that are on.
func (a *API) answerEndpoint(e endpoint, w http.ResponseWriter, r *http.Request) (answer, error) {
	faults := a.effects()
	if recorded, ok := w.(*recorder); ok {
		if err := faults.arrive(recorded, r, e.name); err != nil {
			return answer{}, err
		}
	}
	user := ""
	if !e.open {
		var err error
		if user, err = a.authenticate(r); err != nil {
			return answer{}, err
		}
	}
	start := time.Now()
	result, err := e.serve(r, user)
	if faults == nil {
		return result, err
	}
	var told *failure
	refused := errors.As(err, &told) && told.status < http.StatusInternalServerError
	switch {
	case refused && invalidStatus(told.status):
		return faults.refused(e.name, err)
	case !refused:
		if gone := sleep(r.Context(), faults.delay(e.name, result.class, time.Since(start))); gone != nil {
			return answer{}, gone
		}
	}
	return result, err
}

// authenticate returns the user of the token, who must be the one the client names.
func (a *API) authenticate(r *http.Request) (string, error) {
	user, err := a.verifier.user(r)
	if err != nil {
		return "", fail(http.StatusUnauthorized, err.Error())
	}
	if claimed := r.Header.Get("X-User-ID"); claimed != "" && claimed != user {
		return "", fail(http.StatusForbidden, "X-User-ID is not the user of the token")
	}
	return user, nil
}
