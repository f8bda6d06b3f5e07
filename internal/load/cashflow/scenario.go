package cashflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"soakd/internal/load"
)

const (
	checkReadBack = "read_back"
	checkFound    = "scenario_found"
	checkInList   = "in_list"
	checkForeign  = "foreign_scenario"
	checkName     = "name_unchanged"
)

const (
	// pageSize is how many entries a list has at most.
	pageSize = 100
	// clockSlack is by how much the times that two workers of the target give to
	// two of its records may be out of order.
	clockSlack = time.Second
)

// wording is the kind of text in a scenario's name.
type wording uint8

const (
	plainText wording = iota
	sqlText
	scriptText
)

// wordings returns the names of each kind. They do no harm to a target that takes
// them for more than text: SQL that only reads, scripts that only call alert.
func (k wording) names() []string {
	switch k {
	case sqlText:
		return []string{
			"' OR '1'='1",
			"'; SELECT pg_sleep(0); --",
			`" UNION SELECT NULL, NULL, NULL --`,
			"Robert'); SELECT 1; --",
		}
	case scriptText:
		return []string{
			"<script>alert(1)</script>",
			`"><img src=x onerror=alert(1)>`,
			"{{7*7}} ${7*7} <%= 7*7 %>",
			"javascript:alert('x')//\\",
		}
	default:
		return []string{
			"Base case", "Rising rates", "Früh getilgt", "Scénario prudent", "金利上昇", "Плавающая ставка",
			`Plan "B" & co.`, "50% more / 10% less", "What's next?", "Refinancing 🏠",
		}
	}
}

// scenarioRecipe is all it takes to make a scenario's content again.
type scenarioRecipe struct {
	recipe
	wording wording
}

// scenarioMemo is what the checks need to know about a scenario that was saved
// or asked for.
type scenarioMemo struct {
	id     string
	recipe scenarioRecipe
	save   uint64
}

func (r scenarioRecipe) name() string {
	names := r.wording.names()
	return names[r.a%uint64(len(names))] + " " + strconv.FormatUint(r.b>>40, 16)
}

func (r scenarioRecipe) description() string {
	return fmt.Sprintf("Saved by a soak test.\nVariant %d\tof its kind.", r.b%1000)
}

// scenario returns the body that saves the scenario of a recipe.
func (w *workload) scenario(r scenarioRecipe) []byte {
	q := question{portfolio: w.portfolio(r.recipe, usualSize())}
	e := encoder{buf: make([]byte, 0, q.size()+questionBytes)}
	e.open()
	e.text("name", r.name())
	e.text("description", r.description())
	if e.key("forecast_params") {
		e.question(&q)
	}
	e.close()
	return e.buf
}

func (w *workload) saveCase(name string, class load.Class, weight float64, text wording) *load.Case {
	checks := []string{checkJSONForm, checkShape, checkForeign, checkReadBack}
	timeout := standardTimeout
	if text != plainText {
		checks = []string{checkJSONForm, checkShape, checkForeign, checkName}
		timeout = invalidTimeout
	}
	return &load.Case{
		Name: name, Class: class, Weight: weight, Timeout: timeout,
		Statuses: []int{http.StatusCreated, http.StatusOK},
		Build: func(d load.Draw) (*load.Request, error) {
			if err := w.known(d.User); err != nil {
				return nil, err
			}
			r := scenarioRecipe{recipe: fresh(d.Rand, w.today()), wording: text}
			return w.post(w.paths.save, w.scenario(r), &scenarioMemo{recipe: r, save: w.people.saves.Add(1)}), nil
		},
		Checks: checks,
		Verify: w.verifySave,
	}
}

// verifySave checks the answer to a save and remembers the scenario.
func (w *workload) verifySave(x *load.Exchange, fail func(string, error)) {
	memo, ok := x.Request.Memo.(*scenarioMemo)
	if !ok {
		fail(checkShape, errors.New("the request is not of this case"))
		return
	}
	var got scenarioAnswer
	if !decode(x, &got, fail) {
		return
	}
	if err := got.ID.check(); err != nil {
		fail(checkShape, err)
		return
	}
	if err := w.foreign(x.User, &got); err != nil {
		fail(checkForeign, err)
		return
	}
	w.people.saved(x.User, scenario{
		made:   made{id: string(got.ID), sent: x.Sent, received: x.Received},
		recipe: memo.recipe, save: memo.save,
	})
	check := checkReadBack
	if memo.recipe.wording != plainText {
		check = checkName
	}
	switch {
	case got.Name == nil && check == checkName:
		fail(checkShape, errors.New("there is no name"))
	case got.Name != nil && *got.Name != memo.recipe.name():
		fail(check, fmt.Errorf("the name came back as %s, %s was sent", clip(*got.Name), clip(memo.recipe.name())))
	}
}

// foreign returns an error when a scenario that was given to user is another's.
func (w *workload) foreign(user load.User, got *scenarioAnswer) error {
	if err := w.foreignOwner(user, got.UserID); err != nil {
		return err
	}
	if w.people.ownedByAnother(user.Index, string(got.ID)) {
		return fmt.Errorf("scenario %s was saved by another user", clip(string(got.ID)))
	}
	return nil
}

// foreignOwner returns an error when a record's owner is named and is not user.
// Whom an opaque token stands for is not known, nor who a user is to a target
// that is sent no token. The subject of a JWT is known, whoever shares it.
func (w *workload) foreignOwner(user load.User, owner identifier) error {
	if w.cfg.Anonymous || user.ID == "" || owner == "" || string(owner) == user.ID {
		return nil
	}
	return fmt.Errorf("it belongs to %s, not to %s", clip(string(owner)), user.ID)
}

func (w *workload) listCase() *load.Case {
	return &load.Case{
		Name: "list_scenarios", Class: standard, Weight: 5, Timeout: standardTimeout,
		ReadOnly: true, Statuses: []int{http.StatusOK},
		Build: func(d load.Draw) (*load.Request, error) {
			if err := w.known(d.User); err != nil {
				return nil, err
			}
			return w.get(w.paths.list, nil), nil
		},
		Checks: []string{checkJSONForm, checkShape, checkForeign, checkInList},
		Verify: w.verifyList,
	}
}

func (w *workload) verifyList(x *load.Exchange, fail func(string, error)) {
	var got []scenarioAnswer
	if !decode(x, &got, fail) {
		return
	}
	if err := listShape(got); err != nil {
		fail(checkShape, err)
		return
	}
	for i := range got {
		if err := w.foreign(x.User, &got[i]); err != nil {
			fail(checkForeign, fmt.Errorf("entry %d: %w", i+1, err))
			break
		}
	}
	page := page{
		size:   len(got),
		has:    func(id string) bool { return listHas(got, id) },
		sorted: listSorted(got),
	}
	if lost := page.lost(w.people.scenarios(x.User), x.Sent); lost != nil {
		w.people.forget(x.User.Index, lost.id) // each loss is reported once
		fail(checkInList, fmt.Errorf("scenario %s, saved %v before, is not among the %d listed",
			lost.id, x.Sent.Sub(lost.received).Round(time.Millisecond), len(got)))
	}
}

func listShape(got []scenarioAnswer) error {
	if got == nil {
		return errors.New("null where a list belongs")
	}
	for i := range got {
		if err := got[i].ID.check(); err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	return nil
}

// listSorted reports whether a list shows that its newest entries come first.
func listSorted(list []scenarioAnswer) bool {
	for i := range list {
		if list[i].CreatedAt.IsZero() {
			return false
		}
	}
	return newestFirst(len(list), func(i int) time.Time { return list[i].CreatedAt.Time }) == nil
}

func listHas(list []scenarioAnswer, id string) bool {
	for i := range list {
		if string(list[i].ID) == id {
			return true
		}
	}
	return false
}

// page is the newest part of what the target keeps for a user.
type page struct {
	size int
	has  func(id string) bool
	// sorted tells that the newest come first.
	sorted bool
}

// lost returns one of known that should be on the page and is not.
//
// What was confirmed before the page was asked for must be there when the page
// is all there is. When it is full, newer records may have pushed the missing
// one out; but not when an older one of known is still there, one that was
// confirmed before the missing one was even asked for.
func (p *page) lost(known []made, asked time.Time) *made {
	for i := range known {
		missing := &known[i]
		if !missing.received.Before(asked) || p.has(missing.id) {
			continue
		}
		if p.size < pageSize || (p.sorted && p.hasOlder(known, missing)) {
			return missing
		}
	}
	return nil
}

func (p *page) hasOlder(known []made, than *made) bool {
	for i := range known {
		if known[i].received.Add(clockSlack).Before(than.sent) && p.has(known[i].id) {
			return true
		}
	}
	return false
}

// newestFirst returns an error when the times of a list rise. Equal times, and
// those of two workers whose clocks differ a little, are no rise.
func newestFirst(n int, at func(i int) time.Time) error {
	for i := 1; i < n; i++ {
		if at(i).After(at(i - 1).Add(clockSlack)) {
			return fmt.Errorf("entry %d is of %s, entry %d of %s", i, at(i-1).Format(time.RFC3339), i+1, at(i).Format(time.RFC3339))
		}
	}
	return nil
}

func (w *workload) getCase(save *load.Case) *load.Case {
	return &load.Case{
		Name: "get_scenario", Class: standard, Weight: 3, Timeout: standardTimeout,
		// 404 is here so that a lost scenario is told apart by its own check.
		ReadOnly: true, Statuses: []int{http.StatusOK, http.StatusNotFound},
		Build: func(d load.Draw) (*load.Request, error) {
			if err := w.known(d.User); err != nil {
				return nil, err
			}
			s, found := w.people.anyScenario(d.User.Index, d.Rand)
			if !found {
				return nil, load.ErrNoState
			}
			return w.get(w.paths.scenario+s.id, &scenarioMemo{id: s.id, recipe: s.recipe, save: s.save}), nil
		},
		Checks:   []string{checkFound, checkJSONForm, checkShape, checkForeign, checkReadBack},
		Verify:   w.verifyGet,
		Fallback: save,
	}
}

func (w *workload) verifyGet(x *load.Exchange, fail func(string, error)) {
	memo, ok := x.Request.Memo.(*scenarioMemo)
	if !ok {
		fail(checkShape, errors.New("the request is not of this case"))
		return
	}
	if x.Response.Status == http.StatusNotFound {
		w.people.forget(x.User.Index, memo.id)
		if !w.people.mayBeGone(memo.save) {
			fail(checkFound, fmt.Errorf("scenario %s was saved and is not found", memo.id))
		}
		return
	}
	var head scenarioAnswer
	if !decode(x, &head, fail) {
		return
	}
	if err := head.ID.check(); err != nil {
		fail(checkShape, err)
		return
	}
	if err := w.foreign(x.User, &head); err != nil {
		fail(checkForeign, err)
	}
	if string(head.ID) != memo.id {
		fail(checkReadBack, fmt.Errorf("scenario %s came back for %s", clip(string(head.ID)), memo.id))
		return
	}
	if err := sameContent(w.scenario(memo.recipe), x.Response.Body); err != nil {
		fail(checkReadBack, err)
	}
}

// sameContent returns an error when a field of sent is not in got, or has
// another value. Fields that were not sent may be there too.
func sameContent(sent, got []byte) error {
	var want, have any
	if err := json.Unmarshal(sent, &want); err != nil {
		return fmt.Errorf("make the saved scenario again: %w", err)
	}
	if err := json.Unmarshal(got, &have); err != nil {
		return fmt.Errorf("read the scenario: %w", err)
	}
	return contains(have, want, "")
}

// contains returns an error for the first difference, at path. Its depth is that
// of want, which is soakd's own.
func contains(have, want any, path string) error {
	switch want := want.(type) {
	case map[string]any:
		fields, ok := have.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is no object", path)
		}
		for name, value := range want {
			field, found := fields[name]
			if !found {
				return fmt.Errorf("%s.%s was saved and is missing", path, name)
			}
			if err := contains(field, value, path+"."+name); err != nil {
				return err
			}
		}
		return nil
	case []any:
		items, ok := have.([]any)
		if !ok || len(items) != len(want) {
			return fmt.Errorf("%s is no list of %d", path, len(want))
		}
		for i := range want {
			if err := contains(items[i], want[i], path+"["+strconv.Itoa(i)+"]"); err != nil {
				return err
			}
		}
		return nil
	case float64:
		if number, ok := have.(float64); ok && math.Abs(number-want) <= 1e-12*math.Abs(want) {
			return nil
		}
	default:
		if have == want {
			return nil
		}
	}
	return fmt.Errorf("%s was saved as %s and came back as %s", path, clip(fmt.Sprint(want)), clip(fmt.Sprint(have)))
}
