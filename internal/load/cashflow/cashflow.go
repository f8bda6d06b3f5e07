package cashflow

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"soakd/internal/load"
)

// The classes that several cases share.
const (
	standard     load.Class = "standard"
	classInvalid load.Class = "invalid"
)

// Time limits of the cases, and the least time between two complex analyses of
// one virtual user.
const (
	healthTimeout   = 2 * time.Second
	standardTimeout = 10 * time.Second
	longTimeout     = 30 * time.Second
	complexTimeout  = time.Minute
	invalidTimeout  = 10 * time.Second
	complexInterval = time.Minute
)

// limits bound a case in time.
type limits struct{ timeout, interval time.Duration }

// openingSaves is how many scenarios a virtual user saves when it starts.
const openingSaves = 5

// MaxUsers is the most virtual users that there can be. It keeps the memory of
// the population within 1 GiB.
const MaxUsers = 100_000

// Config says what the workload is for.
type Config struct {
	// APIVersion is the version in the path, /api/<version>; empty means "v1".
	// See [ValidAPIVersion].
	APIVersion string
	// Users is the number of virtual users, 1..[MaxUsers]. A user must be driven by
	// one process only, else the checks of what the target keeps go wrong.
	Users int
	// Seed makes the requests; see the package.
	Seed uint64
	// Today is the clock that start dates are relative to; nil means time.Now.
	// Only the day (UTC) counts.
	Today func() time.Time
	// CanMint tells that an expired token can be made.
	CanMint bool
	// SharedIdentity tells that the users may be one and the same to the target.
	SharedIdentity bool
	// Anonymous tells that no token is ever sent: the target does not ask for one.
	Anonymous bool
	// VersionHeader is the header in which the answer to a health check gives the
	// target's version; without it the field "version" of the answer counts.
	VersionHeader string
}

// ValidAPIVersion reports whether version can stand in a path: 1..32 letters,
// digits, dots, dashes and underscores.
func ValidAPIVersion(version string) bool {
	strange := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("._-", r)
	}
	return version != "" && len(version) <= 32 && !strings.ContainsFunc(version, strange)
}

func (cfg *Config) validate() error {
	var errs []error
	if !ValidAPIVersion(cfg.APIVersion) {
		errs = append(errs, fmt.Errorf("API version %.40q: it must be 1..32 letters, digits, dots, dashes or underscores, such as v1", cfg.APIVersion))
	}
	if cfg.Users < 1 || cfg.Users > MaxUsers {
		errs = append(errs, fmt.Errorf("%d virtual users: it must be 1..%d", cfg.Users, MaxUsers))
	}
	return errors.Join(errs...)
}

// workload is what the cases have in common.
type workload struct {
	*generator
	cfg    Config
	paths  paths
	people *population
	valid  *validTraffic
	// versions are those that the target's health checks give.
	versions *load.Versions
	// answers, memos and scenarioMemos keep what was used to be used again.
	answers, memos, scenarioMemos sync.Pool
}

// paths are those of the operations, with the API's version.
type paths struct{ forecast, save, list, scenario, history string }

// New returns the built-in workload, or an error that joins everything that is
// wrong with cfg. The workload remembers its virtual users: use it for one run.
func New(cfg Config) (*load.Workload, error) {
	if cfg.APIVersion == "" {
		cfg.APIVersion = "v1"
	}
	if cfg.Today == nil {
		cfg.Today = time.Now
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("cashflow workload: %w", err)
	}
	prefix := "/api/" + cfg.APIVersion + "/cashflow"
	w := &workload{
		generator: newGenerator(cfg.Seed),
		cfg:       cfg,
		paths: paths{
			forecast: prefix + "/forecast", save: prefix + "/scenario/save", list: prefix + "/scenarios",
			scenario: prefix + "/scenario/", history: prefix + "/history",
		},
		people: newPopulation(cfg.Users, cfg.SharedIdentity),
		valid:  new(validTraffic), versions: new(load.Versions),
	}
	return w.assemble(), nil
}

// assemble puts the cases together: the mix of the target's users.
func (w *workload) assemble() *load.Workload {
	save := w.saveCase("save_scenario", standard, 2, plainText)
	whole := &load.Workload{Name: "cashflow", Opening: &load.Opening{Case: save, Times: openingSaves}, Versions: w.versions}
	whole.Cases = append(whole.Cases, w.healthCase())
	for _, kind := range forecastKinds() {
		whole.Cases = append(whole.Cases, w.forecastCase(kind))
	}
	whole.Cases = append(whole.Cases,
		w.listCase(), w.getCase(save), save, w.historyCase("history", 3, false), w.historyCase("history_filtered", 1, true))
	invalid, notes := w.invalidCases()
	whole.Cases = append(whole.Cases, invalid...)
	whole.Notes = notes
	tag(whole.Cases)
	for _, c := range whole.Cases {
		if !c.Invalid {
			w.valid.watch(c)
		}
	}
	return whole
}

func (w *workload) today() day { return dayOf(w.cfg.Today()) }

// known refuses a user whom the workload has no memory for, and takes note of
// who the others are.
func (w *workload) known(user load.User) error {
	if user.Index < 0 || user.Index >= len(w.people.members) {
		return fmt.Errorf("virtual user %d: the workload was made for %d", user.Index, len(w.people.members))
	}
	w.people.adopt(user)
	return nil
}

func (w *workload) post(d *load.Draw, path string, body []byte, memo any) *load.Request {
	r := d.NewRequest()
	r.Method, r.Path, r.Body, r.ContentType, r.Memo = http.MethodPost, path, body, "application/json", memo
	return r
}

func (w *workload) get(d *load.Draw, path string, memo any) *load.Request {
	r := d.NewRequest()
	r.Method, r.Path, r.Memo = http.MethodGet, path, memo
	return r
}

func (w *workload) healthCase() *load.Case {
	return &load.Case{
		Name: "health", Class: "health", Method: http.MethodGet, Weight: 5, Timeout: healthTimeout,
		ReadOnly: true, Statuses: []int{http.StatusOK},
		Build: func(d load.Draw) (*load.Request, error) {
			r := w.get(&d, "/health", nil)
			r.Credentials = load.NoToken
			return r, nil
		},
		Checks: []string{checkJSONForm, checkShape},
		Verify: func(x *load.Exchange, fail func(string, error)) {
			a := w.answer()
			defer w.done(a)
			if !a.take(x, fail) {
				return
			}
			status, version := a.health()
			if !a.finish(fail) {
				return
			}
			if len(status) == 0 {
				fail(checkShape, errors.New("there is no status"))
			}
			w.noteVersion(x.Response, version)
		},
	}
}

// noteVersion takes note of the version that an answer to a health check gives.
func (w *workload) noteVersion(response *load.Response, field []byte) {
	if w.cfg.VersionHeader != "" && response.Header != nil {
		if version := response.Header.Get(w.cfg.VersionHeader); version != "" {
			field = []byte(version)
		}
	}
	if len(field) > 0 {
		w.versions.Note(field)
	}
}
