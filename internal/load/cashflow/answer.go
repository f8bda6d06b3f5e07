package cashflow

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"soakd/internal/load"
)

// number is a number of an answer; set is false when it is absent or null.
type number struct {
	value float64
	set   bool
}

// number reads a number that a float64 can hold, or null.
func (r *reader) number() number {
	if r.isNull() {
		return number{}
	}
	return number{value: r.mustNumber(), set: true}
}

// mustNumber reads a number that a float64 can hold.
func (r *reader) mustNumber() float64 {
	if !isNumber(r.peek()) {
		r.mismatch("a number")
		return 0
	}
	start := r.at
	value, inRange := r.float()
	if !inRange && r.broken == nil {
		r.mistake(fmt.Errorf("the number %s at byte %d is out of range", clip(r.text[start:r.at]), start))
	}
	return value
}

// identifier is an id as it stands in an answer: a string, or a number as its
// digits. It is valid as long as the answer is.
type identifier []byte

// identifier reads a string, a number or null.
func (r *reader) identifier() identifier {
	switch c := r.peek(); {
	case c == '"':
		return r.str()
	case isNumber(c):
		start := r.at
		r.decimal()
		return r.text[start:r.at]
	case !r.isNull():
		r.mismatch("an id")
	}
	return nil
}

// string reads a string; null is nil.
func (r *reader) string() []byte {
	switch {
	case r.peek() == '"':
		return r.str()
	case !r.isNull():
		r.mismatch("a text")
	}
	return nil
}

// maxID bounds an id in bytes: a UUID has 36.
const maxID = 64

// check returns an error when id cannot be remembered and put into a path.
func (id identifier) check() error {
	if len(id) == 0 {
		return errors.New("there is no id")
	}
	if len(id) > maxID {
		return fmt.Errorf("the id has %d characters, more than %d", len(id), maxID)
	}
	for _, c := range id {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return fmt.Errorf("the id %s has characters other than letters, digits, - and _", clip(id))
		}
	}
	return nil
}

// period is one period of a forecast.
type period struct {
	number, interest, scheduled, prepayment, total, balance float64
}

// periodFields is how many fields a period has, and dateField the one of these
// that no check needs. It is known so that it costs less to go by.
const (
	periodFields = 7
	dateField    = 1
)

// periodNames are the names of a period's fields as [reader.field] wants them.
func periodNames() [periodFields]string {
	return [periodFields]string{
		`"period":`, `"date":`, `"interest":`, `"scheduled_principal":`, `"prepayment":`, `"total":`, `"balance":`,
	}
}

// neededFields has a bit for each field that a period must have.
const neededFields = (1<<periodFields - 1) &^ (1 << dateField)

// periods reads a list of periods into the room of list; null is none.
func (r *reader) periods(list []period) []period {
	list = list[:0]
	if !r.list() {
		return list
	}
	names := periodNames()
	for r.next(']') {
		list = append(list, r.period(&names))
	}
	return list
}

// period reads an object, every known field of which must be there and be a number.
func (r *reader) period(names *[periodFields]string) period {
	if r.peek() != '{' {
		r.mismatch("a period")
		return period{}
	}
	var figures [len(names)]float64
	have := 0
	r.begin()
	for i := r.field(names[:], 0); i != noField; i = r.field(names[:], i+1) {
		if i == otherField || i == dateField {
			r.skip()
			continue
		}
		figures[i] = r.mustNumber()
		have |= 1 << i
	}
	if have != neededFields {
		r.incomplete(names, have)
	}
	return period{figures[0], figures[2], figures[3], figures[4], figures[5], figures[6]}
}

// incomplete notes the first field that a period does not have.
func (r *reader) incomplete(names *[periodFields]string, have int) {
	for i, name := range names {
		if neededFields&^have&(1<<i) != 0 {
			r.mistake(fmt.Errorf("a period has no %s", strings.Trim(name, `":`)))
			return
		}
	}
}

// The answers, as far as a check needs them. Unknown fields are ignored.
type (
	forecastAnswer struct {
		ID      identifier
		Periods []period
		Loans   []loanAnswer
		Summary summaryAnswer
		// MonteCarlo and Sensitivity are nil or one of the two below.
		MonteCarlo  *monteCarloAnswer
		Sensitivity *sensitivityAnswer
		monteCarlo  monteCarloAnswer
		sensitivity sensitivityAnswer
		// sums is room for [detailsMatch].
		sums []float64
	}
	loanAnswer struct {
		Kind           []byte
		TotalPrincipal number
		TotalInterest  number
		FinalBalance   number
		Periods        []period
	}
	summaryAnswer struct {
		NPV            number
		IRR            number
		Duration       number
		Modified       number
		Convexity      number
		AverageLife    number
		TotalPrincipal number
		TotalInterest  number
		TotalCashFlow  number
	}
	monteCarloAnswer struct {
		Iterations number
		Seed       number
		Mean       number
		StdDev     number
		P5         number
		Median     number
		P95        number
		CILower    number
		CIUpper    number
	}
	sensitivityAnswer struct {
		BaseNPV      number
		InterestRate []shiftAnswer
		Prepayment   []shiftAnswer
	}
	shiftAnswer struct {
		Shift number
		NPV   number
	}
	// scenarioAnswer is a saved scenario.
	scenarioAnswer struct {
		ID     identifier
		UserID identifier
		// Name is nil when it is absent.
		Name []byte
	}
	// row is an entry of a list of scenarios or of a history.
	row struct {
		ID        identifier
		UserID    identifier
		CreatedAt time.Time
	}
)

// forecast reads the answer to a forecast.
func (r *reader) forecast(got *forecastAnswer) {
	got.reset()
	if !r.object() {
		return
	}
	names := [...]string{`"id":`, `"cached":`, `"periods":`, `"loans":`, `"summary":`, `"monte_carlo":`, `"sensitivity":`}
	for i := r.field(names[:], 0); i != noField; i = r.field(names[:], i+1) {
		switch i {
		case 0:
			got.ID = r.identifier()
		case 2:
			got.Periods = r.periods(got.Periods)
		case 3:
			got.Loans = r.loans(got.Loans)
		case 4:
			r.summary(&got.Summary)
		case 5:
			got.MonteCarlo = r.monteCarlo(&got.monteCarlo)
		case 6:
			got.Sensitivity = r.sensitivity(&got.sensitivity)
		default:
			r.skip()
		}
	}
}

// big tells that the answer had more than any right one.
func (got *forecastAnswer) big() bool {
	room := cap(got.Periods) + cap(got.Loans) + cap(got.sensitivity.InterestRate) + cap(got.sensitivity.Prepayment)
	for _, l := range got.Loans[:cap(got.Loans)] {
		room += cap(l.Periods)
	}
	return room > keptPeriods
}

// reset keeps the room for the lists and nothing else.
func (got *forecastAnswer) reset() {
	for i := range got.Loans {
		got.Loans[i].Kind = nil // it points into the answer
	}
	got.ID, got.Summary = nil, summaryAnswer{}
	got.Periods, got.Loans = got.Periods[:0], got.Loans[:0]
	got.MonteCarlo, got.Sensitivity = nil, nil
}

// loans reads a list of loans into the room of list, and of the lists in it.
func (r *reader) loans(list []loanAnswer) []loanAnswer {
	list = list[:0]
	if !r.list() {
		return list
	}
	for r.next(']') {
		if len(list) == cap(list) {
			list = append(list, loanAnswer{})
		} else {
			list = list[:len(list)+1]
		}
		last := &list[len(list)-1]
		*last = loanAnswer{Periods: last.Periods[:0]}
		r.loan(last)
	}
	return list
}

func (r *reader) loan(got *loanAnswer) {
	if !r.object() {
		return
	}
	names := [...]string{
		`"loan_type":`, `"principal":`, `"total_principal":`, `"total_interest":`, `"final_balance":`, `"term_months":`, `"periods":`,
	}
	for i := r.field(names[:], 0); i != noField; i = r.field(names[:], i+1) {
		switch i {
		case 0:
			got.Kind = r.string()
		case 2:
			got.TotalPrincipal = r.number()
		case 3:
			got.TotalInterest = r.number()
		case 4:
			got.FinalBalance = r.number()
		case 6:
			got.Periods = r.periods(got.Periods)
		default:
			r.skip()
		}
	}
}

// numbers reads an object of numbers: each that is among names goes to the
// place of the same index.
func (r *reader) numbers(names []string, places []*number) {
	for i := r.field(names, 0); i != noField; i = r.field(names, i+1) {
		if i == otherField {
			r.skip()
			continue
		}
		*places[i] = r.number()
	}
}

func (r *reader) summary(got *summaryAnswer) {
	if !r.object() {
		return
	}
	*got = summaryAnswer{}
	r.numbers([]string{
		`"npv":`, `"irr":`, `"duration":`, `"modified_duration":`, `"convexity":`, `"weighted_average_life":`,
		`"total_principal":`, `"total_interest":`, `"total_cash_flow":`,
	}, []*number{
		&got.NPV, &got.IRR, &got.Duration, &got.Modified, &got.Convexity, &got.AverageLife,
		&got.TotalPrincipal, &got.TotalInterest, &got.TotalCashFlow,
	})
}

// monteCarlo reads into room and returns it, nil for null.
func (r *reader) monteCarlo(room *monteCarloAnswer) *monteCarloAnswer {
	if !r.object() {
		return nil
	}
	*room = monteCarloAnswer{}
	r.numbers([]string{
		`"iterations":`, `"seed":`, `"mean":`, `"std_dev":`, `"p5":`, `"median":`, `"p95":`, `"ci_lower":`, `"ci_upper":`,
	}, []*number{
		&room.Iterations, &room.Seed, &room.Mean, &room.StdDev, &room.P5, &room.Median, &room.P95, &room.CILower, &room.CIUpper,
	})
	return room
}

// sensitivity reads into room and returns it, nil for null.
func (r *reader) sensitivity(room *sensitivityAnswer) *sensitivityAnswer {
	if !r.object() {
		return nil
	}
	room.reset()
	names := [...]string{`"base_npv":`, `"interest_rate":`, `"prepayment":`}
	for i := r.field(names[:], 0); i != noField; i = r.field(names[:], i+1) {
		switch i {
		case 0:
			room.BaseNPV = r.number()
		case 1:
			room.InterestRate = r.shifts(room.InterestRate)
		case 2:
			room.Prepayment = r.shifts(room.Prepayment)
		default:
			r.skip()
		}
	}
	return room
}

// reset keeps the room for the lists.
func (got *sensitivityAnswer) reset() {
	*got = sensitivityAnswer{InterestRate: got.InterestRate[:0], Prepayment: got.Prepayment[:0]}
}

func (r *reader) shifts(list []shiftAnswer) []shiftAnswer {
	list = list[:0]
	if !r.list() {
		return list
	}
	for r.next(']') {
		var got shiftAnswer
		if r.object() {
			r.numbers([]string{`"shift":`, `"npv":`}, []*number{&got.Shift, &got.NPV})
		}
		list = append(list, got)
	}
	return list
}

// saved reads the answer to the save of a scenario.
func (r *reader) saved() (got scenarioAnswer) {
	if !r.object() {
		return got
	}
	names := [...]string{`"id":`, `"user_id":`, `"name":`, `"created_at":`}
	for i := r.field(names[:], 0); i != noField; i = r.field(names[:], i+1) {
		switch i {
		case 0:
			got.ID = r.identifier()
		case 1:
			got.UserID = r.identifier()
		case 2:
			got.Name = r.string()
		case 3:
			r.instant()
		default:
			r.skip()
		}
	}
	return got
}

// column is what a field of an entry is.
type column uint8

const (
	noColumn column = iota
	idColumn
	ownerColumn
	nameColumn
	timeColumn
)

// entryForm is the form of a list's entries: the names of their fields, as
// [reader.field] wants them, and what these are.
type entryForm struct {
	fields  int // how many there are
	names   [9]string
	columns [9]column
}

// scenarioForm is the form of the list of scenarios, historyForm that of the
// history. Fields that no check needs are there to cost less to go by.
func scenarioForm() entryForm {
	return entryForm{
		fields:  5,
		names:   [9]string{`"id":`, `"user_id":`, `"name":`, `"description":`, `"created_at":`},
		columns: [9]column{idColumn, ownerColumn, nameColumn, noColumn, timeColumn},
	}
}

func historyForm() entryForm {
	return entryForm{
		fields: 9,
		names: [9]string{
			`"id":`, `"user_id":`, `"created_at":`, `"npv":`, `"irr":`, `"loans":`, `"forecast_months":`, `"monte_carlo":`, `"cached":`,
		},
		columns: [9]column{idColumn, ownerColumn, timeColumn},
	}
}

// rows reads the entries of a list that was begun into the room of list.
func (r *reader) rows(list []row, form entryForm) []row {
	list = list[:0]
	for r.next(']') {
		list = append(list, row{})
		if r.object() {
			r.row(&form, &list[len(list)-1])
		}
	}
	return list
}

// row reads the fields of an entry.
func (r *reader) row(form *entryForm, got *row) {
	names := form.names[:form.fields]
	for i := r.field(names, 0); i != noField; i = r.field(names, i+1) {
		what := noColumn
		if i != otherField {
			what = form.columns[i]
		}
		switch what {
		case idColumn:
			got.ID = r.identifier()
		case ownerColumn:
			got.UserID = r.identifier()
		case timeColumn:
			got.CreatedAt = r.instant()
		case nameColumn:
			r.string()
		default:
			r.skip()
		}
	}
}

// health reads the health's status and, where it gives one, the version; nil when
// they are absent.
func (r *reader) health() (status, version []byte) {
	if !r.object() {
		return nil, nil
	}
	names := [...]string{`"status":`, `"version":`}
	for i := r.field(names[:], 0); i != noField; i = r.field(names[:], i+1) {
		switch i {
		case otherField:
			r.skip()
		case 0:
			status = r.string()
		default:
			version = r.version()
		}
	}
	return status, version
}

// version reads a version: a text, or a number as its digits. Whatever else stands
// there is none, and no mistake.
func (r *reader) version() []byte {
	if c := r.peek(); c == '"' || isNumber(c) {
		return r.identifier()
	}
	r.skip()
	return nil
}

// required is a number that must be there, with its name for the message.
type required struct {
	name string
	number
}

// firstAbsent returns an error for the first of numbers that is not set.
func firstAbsent(where string, numbers ...required) error {
	for _, n := range numbers {
		if !n.set {
			return fmt.Errorf("%s has no %s", where, n.name)
		}
	}
	return nil
}

// checkJSON returns what is wrong with an answer that must be JSON, apart from
// what is in it.
func checkJSON(header load.Header, body []byte) error {
	if !isJSON(header.Get("Content-Type")) {
		return fmt.Errorf("the content type is %s, not application/json", clip(header.Get("Content-Type")))
	}
	if len(body) == 0 {
		return errors.New("the body is empty")
	}
	return nil
}

// isJSON reports whether a content type is application/json or another kind of
// JSON (RFC 6839), such as application/problem+json.
func isJSON(contentType string) bool {
	if contentType == "application/json" {
		return true
	}
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.TrimSpace(kind)
	return strings.EqualFold(kind, "application/json") ||
		(len(kind) > 5 && strings.EqualFold(kind[len(kind)-5:], "+json"))
}

// clip quotes text for a message, its beginning only when it is long: answers
// of a target that went wrong can be anything.
func clip[T ~string | ~[]byte](text T) string {
	const limit = 60
	if len(text) <= limit {
		return strconv.Quote(string(text))
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strconv.Quote(string(text[:cut])) + "..."
}
