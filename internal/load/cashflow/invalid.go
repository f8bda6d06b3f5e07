package cashflow

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"soakd/internal/load"
)

const (
	checkNamesField = "names_field"
	checkConnection = "connection"
)

const (
	// bigBody is the size of a body that is too large, in bytes: the target's
	// limit is 1 MiB.
	bigBody = 1<<20 + 1<<16
	// depth is how many levels deep the nested body is.
	depth = 1000
)

// fault is one kind of invalid input.
type fault struct {
	name     string
	statuses []int
	build    func(w *workload, d load.Draw) (*load.Request, error)
	// named tells that one field is at fault, so that the answer must name it.
	named bool
	// reads tells that the request is a GET, which changes nothing.
	reads bool
	// methods tells that there are several HTTP methods; else reads tells which it is.
	methods bool
	// mayClose tells that the target may close the connection.
	mayClose bool
	// unavailable says why the case must be left out; nil or "" keeps it.
	unavailable func(Config) string
}

// invalidMemo is the field at fault, or empty.
type invalidMemo struct{ field string }

// invalidCases makes all cases of invalid input, which share a weight of 1, and
// says which were left out.
func (w *workload) invalidCases() (cases []*load.Case, notes []string) {
	for _, f := range append(w.bodyFaults(), accessFaults()...) {
		if f.unavailable != nil {
			if reason := f.unavailable(w.cfg); reason != "" {
				notes = append(notes, fmt.Sprintf("%s is left out: %s", f.name, reason))
				continue
			}
		}
		cases = append(cases, w.invalidCase(f))
	}
	for _, c := range cases {
		if c.Name == foreignScenario {
			c.Fallback, c.NeedsOpening = named(cases, unknownID), true
		}
	}
	// Unusual text is not invalid: it must be taken as the data it is.
	cases = append(cases,
		w.saveCase("invalid_sql_in_name", classInvalid, 0, sqlText),
		w.saveCase("invalid_script_in_name", classInvalid, 0, scriptText))
	for _, c := range cases {
		c.Weight = 1 / float64(len(cases))
	}
	return cases, notes
}

func named(cases []*load.Case, name string) *load.Case {
	for _, c := range cases {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func (w *workload) invalidCase(f fault) *load.Case {
	c := &load.Case{
		Name: f.name, Class: classInvalid, Method: f.method(), Timeout: invalidTimeout, Statuses: f.statuses, Invalid: true, ReadOnly: f.reads,
		Build: func(d load.Draw) (*load.Request, error) {
			if err := w.known(d.User); err != nil {
				return nil, err
			}
			return f.build(w, d)
		},
		Checks: []string{checkJSONForm},
	}
	if f.named {
		c.Checks = append(c.Checks, checkNamesField)
	}
	if !f.mayClose {
		c.Checks = append(c.Checks, checkConnection)
	}
	closings := &closings{valid: w.valid}
	c.Verify = func(x *load.Exchange, fail func(string, error)) {
		w.verifyError(x, f.named, fail)
		if f.mayClose {
			return
		}
		if err := closings.answered(x.Response.Closing); err != nil {
			fail(checkConnection, err)
		}
	}
	return c
}

// method is the one HTTP method of the fault's requests, or "".
func (f *fault) method() string {
	switch {
	case f.methods:
		return ""
	case f.reads:
		return http.MethodGet
	}
	return http.MethodPost
}

// verifyError checks the body of a rejection.
func (w *workload) verifyError(x *load.Exchange, named bool, fail func(string, error)) {
	a := w.answer()
	defer w.done(a)
	if !a.take(x, fail) {
		return
	}
	memo, ok := x.Request.Memo.(*invalidMemo)
	found := false
	if ok && named {
		found = a.mentions(memo.field)
	} else {
		a.skip()
	}
	if a.finish(fail) && named && !found {
		fail(checkNamesField, fmt.Errorf("the answer does not name the field at fault: %s", clip(x.Response.Body)))
	}
}

// mentions reads a value and reports whether a name or text of it holds field:
// the loc of FastAPI, the key of an object of errors, or a sentence. An input that
// is quoted, as FastAPI does, proves nothing and is left out.
func (r *reader) mentions(field string) (found bool) {
	switch r.peek() {
	case '"':
		return bytes.Contains(r.str(), []byte(field))
	case '[':
		for r.begin(); r.next(']'); {
			found = r.mentions(field) || found
		}
	case '{':
		for r.begin(); r.next('}'); {
			name := r.name()
			if string(name) == "input" || string(name) == "body" {
				r.skip()
				continue
			}
			found = bytes.Contains(name, []byte(field)) || found
			found = r.mentions(field) || found
		}
	default:
		r.skip()
	}
	return found
}

// rejected are the statuses of input that is not acceptable. 422 is for what is
// well-formed and wrong, 400 for what is not well-formed; frameworks draw the
// line between the two in different places and both tell the client the same.
func rejected() []int { return []int{http.StatusUnprocessableEntity, http.StatusBadRequest} }

// spoiled is the fault of one field of a forecast request with a wrong value,
// one of raws; "" leaves the field out.
func spoiled(name, field string, raws ...string) fault {
	return fault{
		name: name, statuses: rejected(), named: true,
		build: func(w *workload, d load.Draw) (*load.Request, error) {
			return w.spoil(d, alteration{field: field, raw: raws[d.Rand.IntN(len(raws))]}), nil
		},
	}
}

// spoil asks a question that is right but for one field.
func (w *workload) spoil(d load.Draw, alter alteration) *load.Request {
	q := w.anyQuestion(d)
	body := encodeQuestion(d.Buffer(q.size()+len(alter.raw)), &q, alter)
	d.Keep(body)
	return w.post(&d, w.paths.forecast, body, &invalidMemo{field: alter.field})
}

// anyQuestion makes a small valid question, with Monte Carlo so that those of its
// fields can be spoiled too.
func (w *workload) anyQuestion(d load.Draw) question {
	return question{
		portfolio:  w.portfolio(fresh(d.Rand, w.today()), span[int]{1, 2}, make([]loan, 2)),
		iterations: monteCarloIterations, seed: 1 + int64(d.Rand.Uint64()>>33),
	}
}

// anyBody is a small valid body.
func (w *workload) anyBody(d load.Draw) []byte {
	q := w.anyQuestion(d)
	body := encodeQuestion(d.Buffer(q.size()), &q, alteration{})
	d.Keep(body)
	return body
}

// bodyFaults are the faults of what is sent to the forecast.
func (w *workload) bodyFaults() []fault {
	literal := spoiled("invalid_principal_nan", "principal", "NaN", "Infinity", "-Infinity")
	literal.named = false // NaN is no JSON: the parser cannot know the field
	duplicate := spoiled("invalid_duplicate_keys", "discount_rate", `0.03,"discount_rate":0.05`)
	duplicate.named = false // nor need it say which key
	return append([]fault{
		{name: "invalid_missing_field", statuses: rejected(), named: true, build: buildMissing},
		spoiled("invalid_loans_type", "loans", "{}", `"none"`, "7"),
		spoiled("invalid_discount_rate", "discount_rate", "-0.01", "-1"),
		spoiled("invalid_principal_zero", "principal", "0", "0.0"),
		spoiled("invalid_principal_negative", "principal", "-1", "-250000.5"),
		spoiled("invalid_principal_huge", "principal", "1e308"),
		spoiled("invalid_principal_text", "principal", `"NaN"`, `"Infinity"`, `"-Infinity"`),
		literal,
		spoiled("invalid_rate", "interest_rate", "1.01", "4.5"),
		spoiled("invalid_term_zero", "term_months", "0"),
		spoiled("invalid_term_long", "term_months", "601"),
		spoiled("invalid_term_fraction", "term_months", "1.5"),
		spoiled("invalid_loan_type", "loan_type", `"payday_loan"`, `"house"`, `""`),
		spoiled("invalid_date", "start_date", `"soon"`, `"2026-13-01"`, `"31.12.2025"`),
		spoiled("invalid_february_30", "start_date", `"2026-02-30"`, `"2024-02-30"`),
		spoiled("invalid_loans_empty", "loans", "[]"),
		spoiled("invalid_iterations", "monte_carlo_iterations", "10001"),
		spoiled("invalid_confidence_zero", "monte_carlo_confidence_interval", "0"),
		spoiled("invalid_confidence_one", "monte_carlo_confidence_interval", "1"),
		duplicate,
	}, w.formFaults()...)
}

// buildMissing leaves out a field that has no default.
func buildMissing(w *workload, d load.Draw) (*load.Request, error) {
	fields := [...]string{"loans", "loan_type", "principal", "interest_rate", "term_months", "discount_rate", "forecast_months"}
	return w.spoil(d, alteration{field: fields[d.Rand.IntN(len(fields))]}), nil
}

// formFaults are bodies that are no proper JSON of a proper size.
func (w *workload) formFaults() []fault {
	big, deep := w.big(), nested()
	asJSON := func(body func(w *workload, d load.Draw) []byte) func(*workload, load.Draw) (*load.Request, error) {
		return func(w *workload, d load.Draw) (*load.Request, error) {
			return w.post(&d, w.paths.forecast, body(w, d), &invalidMemo{}), nil
		}
	}
	return []fault{
		{name: "invalid_json_malformed", statuses: rejected(), build: asJSON(malformed)},
		{name: "invalid_json_truncated", statuses: rejected(), build: asJSON(func(w *workload, d load.Draw) []byte {
			body := w.anyBody(d)
			return body[:1+d.Rand.IntN(len(body)-1)]
		})},
		{
			name: "invalid_content_type",
			// 415 says it best; a framework that reads the body by its type finds no
			// object in it and says 422 or 400.
			statuses: append([]int{http.StatusUnsupportedMediaType}, rejected()...),
			build: func(w *workload, d load.Draw) (*load.Request, error) {
				r := w.post(&d, w.paths.forecast, w.anyBody(d), &invalidMemo{})
				r.ContentType = "text/plain"
				return r, nil
			},
		},
		{name: "invalid_body_empty", statuses: rejected(), build: asJSON(func(*workload, load.Draw) []byte { return []byte{} })},
		{
			name: "invalid_body_big", mayClose: true,
			// Some servers in front of an application know no 413.
			statuses: []int{http.StatusRequestEntityTooLarge, http.StatusBadRequest},
			build:    asJSON(func(*workload, load.Draw) []byte { return big }),
		},
		{name: "invalid_json_deep", statuses: rejected(), build: asJSON(func(*workload, load.Draw) []byte { return deep })},
	}
}

// malformed spoils the syntax of a valid body in one of the usual ways.
func malformed(w *workload, d load.Draw) []byte {
	body := w.anyBody(d)
	switch d.Rand.IntN(4) {
	case 0: // a missing colon
		return bytes.Replace(body, []byte(`":`), []byte(`" `), 1)
	case 1: // a comma before the end
		return append(body[:len(body)-1], ",}"...)
	case 2: // the quotes of another language
		return bytes.ReplaceAll(body, []byte(`"`), []byte(`'`))
	default: // two bodies in one
		return append(body, body...)
	}
}

// big is valid but for its size: a body with a long unknown field.
func (w *workload) big() []byte {
	from := w.booked(usualBook, 0, w.today())
	q := question{portfolio: w.portfolio(from, span[int]{1, 1}, make([]loan, 1))}
	rest := encodeQuestion(nil, &q, alteration{})
	rest[0] = ',' // instead of its opening brace
	const start = `{"note":"`
	note := strings.Repeat("x", bigBody-len(start)-len(`"`)-len(rest))
	return slices.Concat([]byte(start), []byte(note), []byte(`"`), rest)
}

// nested has loans that are lists in lists; the object around is a level too.
func nested() []byte {
	levels := depth - 1
	return []byte(`{"discount_rate":0.05,"forecast_months":12,"loans":` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + "}")
}

const (
	foreignScenario = "invalid_foreign_scenario"
	unknownID       = "invalid_scenario_unknown"
)

// accessFaults are requests for what the user must not or cannot have.
func accessFaults() []fault {
	// 401 fits; older releases of a common framework say 403 when there is no token.
	refused := []int{http.StatusUnauthorized, http.StatusForbidden}
	needsToken := func(cfg Config) string {
		if cfg.Anonymous {
			return "no token is configured, so the target is taken to ask for none"
		}
		return ""
	}
	return []fault{
		{name: "invalid_token_missing", reads: true, statuses: refused, build: buildWith(load.NoToken), unavailable: needsToken},
		{
			name: "invalid_token_expired", reads: true, statuses: refused, build: buildWith(load.ExpiredToken),
			unavailable: func(cfg Config) string {
				if cfg.CanMint {
					return ""
				}
				return "an expired token can only be made with a JWT secret"
			},
		},
		{name: "invalid_token_forged", reads: true, statuses: refused, build: buildWith(load.ForgedToken), unavailable: needsToken},
		{
			// 404 does not even say that it exists; 403 keeps it just as well.
			name: foreignScenario, reads: true, statuses: []int{http.StatusNotFound, http.StatusForbidden}, build: buildForeign,
			unavailable: func(cfg Config) string {
				if cfg.SharedIdentity || cfg.Users < 2 {
					return "it needs two virtual users with tokens of their own"
				}
				return ""
			},
		},
		{name: unknownID, reads: true, statuses: []int{http.StatusNotFound}, build: func(w *workload, d load.Draw) (*load.Request, error) {
			return w.get(&d, w.paths.scenario+randomUUID(d.Rand), &invalidMemo{}), nil
		}},
		{
			// A route that only matches UUIDs says 404.
			name: "invalid_scenario_id", reads: true, statuses: append([]int{http.StatusNotFound}, rejected()...),
			build: func(w *workload, d load.Draw) (*load.Request, error) {
				ids := [...]string{"not-a-uuid", "42", "%27%20OR%201%3D1", strings.Repeat("f", 200)}
				return w.get(&d, w.paths.scenario+ids[d.Rand.IntN(len(ids))], &invalidMemo{}), nil
			},
		},
		{
			// Methods that the operation does not have; a target that has one after all
			// may change something. For one that no server has,
			// 501 would be right (RFC 9110, 15.6.2), and look like an error of the server.
			name: "invalid_method", methods: true, statuses: []int{http.StatusMethodNotAllowed},
			build: func(w *workload, d load.Draw) (*load.Request, error) {
				methods := [...]string{http.MethodDelete, http.MethodPatch, http.MethodPut}
				r := w.get(&d, w.paths.forecast, &invalidMemo{})
				r.Method = methods[d.Rand.IntN(len(methods))]
				return r, nil
			},
		},
	}
}

func buildWith(credentials load.Credentials) func(*workload, load.Draw) (*load.Request, error) {
	return func(w *workload, d load.Draw) (*load.Request, error) {
		r := w.get(&d, w.paths.list, &invalidMemo{})
		r.Credentials = credentials
		return r, nil
	}
}

// buildForeign asks for a scenario that another virtual user saved.
func buildForeign(w *workload, d load.Draw) (*load.Request, error) {
	users := len(w.people.members)
	other := (d.User.Index + 1 + d.Rand.IntN(users-1)) % users
	s, found := w.people.anyScenario(other, d.Rand)
	if !found {
		return nil, load.ErrNoState
	}
	return w.get(&d, w.paths.scenario+s.id, &invalidMemo{}), nil
}

// randomUUID returns a version 4 UUID (RFC 9562, 5.4) of the arrival's numbers.
func randomUUID(r *rand.Rand) string {
	var id uuid.UUID
	binary.LittleEndian.PutUint64(id[:8], r.Uint64())
	binary.LittleEndian.PutUint64(id[8:], r.Uint64())
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}
