package cashflow

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"soakd/internal/load"
)

const (
	checkReadBack = "read_back"
	checkFound    = "scenario_found"
	checkInList   = "in_list"
	checkForeign  = "foreign_scenario"
	checkName     = "name_unchanged"
	// checkStale: what was confirmed a moment ago is not there. It may yet come, as
	// from a replica that lags or a cache; when it does not it is lost, which the
	// other checks tell as soon as it is missing for longer than readLag.
	checkStale = "stale_read"
)

// readLag is how long after a save was confirmed a read that lacks it counts as
// stale. What is missing later than that is lost to its user.
const readLag = 30 * time.Second

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

// name returns one of the kind's names, the one of a random number. They do no
// harm to a target that takes them for more than text: SQL that only reads,
// scripts that only call alert.
func (k wording) name(random uint64) string {
	switch k {
	case sqlText:
		return pick(random, [...]string{
			"' OR '1'='1",
			"'; SELECT pg_sleep(0); --",
			`" UNION SELECT NULL, NULL, NULL --`,
			"Robert'); SELECT 1; --",
		})
	case scriptText:
		return pick(random, [...]string{
			"<script>alert(1)</script>",
			`"><img src=x onerror=alert(1)>`,
			"{{7*7}} ${7*7} <%= 7*7 %>",
			"javascript:alert('x')//\\",
		})
	default:
		names := [...]string{
			"Base case", "Rising rates", "Früh getilgt", "Scénario prudent", "金利上昇", "Плавающая ставка",
			`Plan "B" & co.`, "50% more / 10% less", "What's next?", "Refinancing 🏠",
		}
		return names[random%uint64(len(names))]
	}
}

// pick returns the name of a random number.
func pick(random uint64, names [4]string) string { return names[random%uint64(len(names))] }

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
	// confirmed is when the save of the scenario that is asked for was.
	confirmed time.Time
	// home is where the memo is given back; nil when it was not taken from there.
	home *sync.Pool
}

// Release implements [load.Releaser].
func (m *scenarioMemo) Release() {
	if m.home != nil {
		m.home.Put(m)
	}
}

func (w *workload) newScenarioMemo(id string, r scenarioRecipe, save uint64) *scenarioMemo {
	m, ok := w.scenarioMemos.Get().(*scenarioMemo)
	if !ok {
		m = &scenarioMemo{home: &w.scenarioMemos}
	}
	m.id, m.recipe, m.save, m.confirmed = id, r, save, time.Time{}
	return m
}

// appendName appends the scenario's name.
func (r scenarioRecipe) appendName(b []byte) []byte {
	b = append(append(b, r.wording.name(r.a)...), ' ')
	return strconv.AppendUint(b, r.b>>40, 16)
}

// appendDescription appends the scenario's description.
func (r scenarioRecipe) appendDescription(b []byte) []byte {
	b = append(b, "Saved by a soak test.\nVariant "...)
	b = strconv.AppendUint(b, r.b%1000, 10)
	return append(b, "\tof its kind."...)
}

// scenarioBytes bounds the body that saves a scenario.
const scenarioBytes = 2*questionBytes + maxUsual*loanBytes

// appendScenario writes the body that saves the scenario of a recipe into the
// empty buffer b.
func (w *workload) appendScenario(b []byte, r scenarioRecipe) []byte {
	var (
		loans [maxUsual]loan
		text  [128]byte // a name and a description are shorter
	)
	q := question{portfolio: w.portfolio(r.recipe, usualSize(), loans[:])}
	e := encoder{buf: b}
	e.open()
	e.text("name", r.appendName(text[:0]))
	e.text("description", r.appendDescription(text[:0]))
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
		Name: name, Class: class, Method: http.MethodPost, Weight: weight, Timeout: timeout,
		Statuses: []int{http.StatusCreated, http.StatusOK},
		Build: func(d load.Draw) (*load.Request, error) {
			if err := w.known(d.User); err != nil {
				return nil, err
			}
			r := scenarioRecipe{recipe: fresh(d.Rand, w.today()), wording: text}
			body := w.appendScenario(d.Buffer(scenarioBytes), r)
			d.Keep(body)
			return w.post(&d, w.paths.save, body, w.newScenarioMemo("", r, w.people.saves.Add(1))), nil
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
	a := w.answer()
	defer w.done(a)
	if !a.take(x, fail) {
		return
	}
	got := a.saved()
	if !a.finish(fail) {
		return
	}
	if err := got.ID.check(); err != nil {
		fail(checkShape, err)
		return
	}
	if err := w.foreign(x.User, got.UserID, got.ID); err != nil {
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
	a.own = memo.recipe.appendName(a.own[:0])
	switch {
	case got.Name == nil && check == checkName:
		fail(checkShape, errors.New("there is no name"))
	case got.Name != nil && !bytes.Equal(got.Name, a.own):
		fail(check, fmt.Errorf("the name came back as %s, %s was sent", clip(got.Name), clip(a.own)))
	}
}

// foreign returns an error when a scenario that was given to user is another's.
func (w *workload) foreign(user load.User, owner, id identifier) error {
	if err := w.foreignOwner(user, owner); err != nil {
		return err
	}
	if w.people.ownedByAnother(user.Index, id) {
		return savedByAnother(id)
	}
	return nil
}

func savedByAnother(id identifier) error {
	return fmt.Errorf("scenario %s was saved by another user", clip(id))
}

// foreignOwner returns an error when a record's owner is named and is not user.
// Whom an opaque token stands for is not known, nor who a user is to a target
// that is sent no token. The subject of a JWT is known, whoever shares it.
func (w *workload) foreignOwner(user load.User, owner identifier) error {
	if w.cfg.Anonymous || user.ID == "" || len(owner) == 0 || string(owner) == user.ID {
		return nil
	}
	return fmt.Errorf("it belongs to %s, not to %s", clip(owner), user.ID)
}

func (w *workload) listCase() *load.Case {
	return &load.Case{
		Name: "list_scenarios", Class: standard, Method: http.MethodGet, Weight: 5, Timeout: standardTimeout,
		ReadOnly: true, NeedsOpening: true, Statuses: []int{http.StatusOK},
		Build: func(d load.Draw) (*load.Request, error) {
			if err := w.known(d.User); err != nil {
				return nil, err
			}
			return w.get(&d, w.paths.list, nil), nil
		},
		Checks: []string{checkJSONForm, checkShape, checkForeign, checkInList, checkStale},
		Verify: w.verifyList,
	}
}

func (w *workload) verifyList(x *load.Exchange, fail func(string, error)) {
	a := w.answer()
	defer w.done(a)
	if !a.take(x, fail) {
		return
	}
	isList := a.list()
	if isList {
		a.entries = a.rows(a.entries, scenarioForm())
	}
	if !a.finish(fail) {
		return
	}
	rows := a.entries
	if err := listShape(isList, rows); err != nil {
		fail(checkShape, err)
		return
	}
	if err := w.foreignEntry(x.User, rows); err != nil {
		fail(checkForeign, err) // another's list says nothing about what this user lost
		return
	}
	a.known = w.people.scenarios(x.User, a.known[:0])
	page := page{entries: rows, sorted: listSorted(rows)}
	lost := page.lost(a.known, x.Sent)
	if lost == nil {
		return
	}
	check := lost.check(checkInList, x.Sent)
	if check != checkStale {
		w.people.forget(x.User.Index, lost.id) // each loss is reported once
	}
	fail(check, fmt.Errorf("scenario %s, saved %v before, is not among the %d listed",
		lost.id, x.Sent.Sub(lost.received).Round(time.Millisecond), len(rows)))
}

// foreignEntry returns an error for the first entry of a list that is another's
// than user's.
func (w *workload) foreignEntry(user load.User, rows []row) error {
	owned := w.people.firstOfAnother(user.Index, rows)
	for i := range rows[:owned] {
		if err := w.foreignOwner(user, rows[i].UserID); err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	if owned == len(rows) {
		return nil
	}
	err := w.foreignOwner(user, rows[owned].UserID)
	if err == nil {
		err = savedByAnother(rows[owned].ID)
	}
	return fmt.Errorf("entry %d: %w", owned+1, err)
}

func listShape(isList bool, rows []row) error {
	if !isList {
		return errors.New("null where a list belongs")
	}
	for i := range rows {
		if err := rows[i].ID.check(); err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	return nil
}

// listSorted reports whether a list shows that its newest entries come first.
func listSorted(rows []row) bool {
	for i := range rows {
		if rows[i].CreatedAt.IsZero() {
			return false
		}
	}
	return newestFirst(rows) == nil
}

// page is the newest part of what the target keeps for a user.
type page struct {
	entries []row
	// sorted tells that the newest come first.
	sorted bool
}

func (p *page) has(id string) bool {
	for i := range p.entries {
		if string(p.entries[i].ID) == id {
			return true
		}
	}
	return false
}

// check is the one that fails when what was made is missing from an answer that
// was asked for at the given time: the loss, or [checkStale] while it may yet come.
func (m *made) check(loss string, asked time.Time) string {
	if asked.Sub(m.received) < readLag {
		return checkStale
	}
	return loss
}

// lost returns the one of known that should be on the page, is not, and was
// confirmed first: what is missing for longest says most.
//
// What was confirmed before the page was asked for must be there when the page
// is all there is. When it is full, newer records may have pushed the missing
// one out; but not when an older one of known is still there, one that was
// confirmed before the missing one was even asked for.
func (p *page) lost(known []made, asked time.Time) (oldest *made) {
	for i := range known {
		missing := &known[i]
		if !missing.received.Before(asked) || p.has(missing.id) {
			continue
		}
		if oldest != nil && !missing.received.Before(oldest.received) {
			continue
		}
		if len(p.entries) < pageSize || (p.sorted && p.hasOlder(known, missing)) {
			oldest = missing
		}
	}
	return oldest
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
func newestFirst(rows []row) error {
	for i := 1; i < len(rows); i++ {
		before, at := rows[i-1].CreatedAt, rows[i].CreatedAt
		if at.After(before.Add(clockSlack)) {
			return fmt.Errorf("entry %d is of %s, entry %d of %s", i, before.Format(time.RFC3339), i+1, at.Format(time.RFC3339))
		}
	}
	return nil
}

func (w *workload) getCase(save *load.Case) *load.Case {
	return &load.Case{
		Name: "get_scenario", Class: standard, Method: http.MethodGet, Weight: 3, Timeout: standardTimeout,
		// 404 is here so that a lost scenario is told apart by its own check.
		ReadOnly: true, NeedsOpening: true, Statuses: []int{http.StatusOK, http.StatusNotFound},
		Build: func(d load.Draw) (*load.Request, error) {
			if err := w.known(d.User); err != nil {
				return nil, err
			}
			s, found := w.people.anyScenario(d.User.Index, d.Rand)
			if !found {
				return nil, load.ErrNoState
			}
			memo := w.newScenarioMemo(s.id, s.recipe, s.save)
			memo.confirmed = s.received
			return w.get(&d, w.paths.scenario+s.id, memo), nil
		},
		Checks:   []string{checkFound, checkJSONForm, checkShape, checkForeign, checkReadBack, checkStale},
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
		w.notFound(x, memo, fail)
		return
	}
	a := w.answer()
	defer w.done(a)
	if !a.take(x, fail) {
		return
	}
	a.own = w.appendScenario(a.own[:0], memo.recipe)
	if err := a.content.prepare(a.own); err != nil {
		fail(checkReadBack, err)
		return
	}
	head := a.kept(&a.content)
	if !a.finish(fail) {
		return
	}
	if err := head.ID.check(); err != nil {
		fail(checkShape, err)
		return
	}
	if err := w.foreign(x.User, head.UserID, head.ID); err != nil {
		fail(checkForeign, err) // that its content is another's too is the same fault
		return
	}
	if string(head.ID) != memo.id {
		fail(checkReadBack, fmt.Errorf("scenario %s came back for %s", clip(head.ID), memo.id))
		return
	}
	if err := a.content.difference(); err != nil {
		fail(checkReadBack, err)
	}
}

// notFound judges the answer that a scenario that was saved is not there.
func (w *workload) notFound(x *load.Exchange, memo *scenarioMemo, fail func(string, error)) {
	kept := made{id: memo.id, received: memo.confirmed}
	gone := w.people.mayBeGone(memo.save)
	check := kept.check(checkFound, x.Sent)
	if gone || check != checkStale {
		w.people.forget(x.User.Index, memo.id) // each loss is reported once
	}
	if !gone {
		fail(check, fmt.Errorf("scenario %s, saved %v before, is not found", memo.id, x.Sent.Sub(memo.confirmed).Round(time.Millisecond)))
	}
}
