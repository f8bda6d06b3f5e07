package cashflow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"soakd/internal/load"
)

// Requests that are built in room that was used before are those that are built
// in new room.
func TestReusedRoomBuildsTheSame(t *testing.T) {
	used, fresh := newFullBench(t), newFullBench(t)
	for user := range 10 {
		saveAs(t, used, user, fmt.Sprint("saved-", user))
		saveAs(t, fresh, user, fmt.Sprint("saved-", user))
	}
	p := newPlace()
	for arrival := range uint64(60) {
		for i, c := range used.Cases {
			user := testUser(int(arrival) % 10)
			got, err := p.build(c, user, arrival)
			want, wantErr := fresh.Cases[i].Build(drawOf(user.Index, arrival))
			if err != nil || wantErr != nil {
				t.Fatalf("%s %d: %v, %v", c.Name, arrival, err, wantErr)
			}
			if fmt.Sprint(got.Method, got.Path, got.ContentType, got.Credentials, string(got.Body)) !=
				fmt.Sprint(want.Method, want.Path, want.ContentType, want.Credentials, string(want.Body)) {
				t.Fatalf("%s %d is built as\n%s %s %s, want\n%s %s %s", c.Name, arrival, got.Method, got.Path, got.Body, want.Method, want.Path, want.Body)
			}
			if memo, ok := got.Memo.(*forecastMemo); ok {
				memo.check(t, want.Memo.(*forecastMemo))
			}
			if c.Name == "forecast" && got != &p.request {
				t.Fatal("the request is not the one that was given")
			}
			release(got)
		}
	}
}

// check compares what two memos know.
func (m *forecastMemo) check(t *testing.T, want *forecastMemo) {
	t.Helper()
	if fmt.Sprint(m.question) != fmt.Sprint(want.question) || m.role != want.role || m.born != want.born || (m.digest == 0) != (want.digest == 0) {
		t.Fatalf("the memo is %+v, want %+v", m.question, want.question)
	}
}

// What is remembered of an answer is not part of its body, which is written over.
func TestNothingOfABodyIsKept(t *testing.T) {
	b := newFullBench(t)
	scribble := func(x *load.Exchange) {
		for i := range x.Response.Body {
			x.Response.Body[i] = '#'
		}
	}
	save := b.build(t, "save_scenario", drawOf(0, 1))
	x := answered(0, save, 201, []byte(`{"id":"saved\u002done","user_id":"vu-0001"}`), 0)
	b.expect(t, "save", "save_scenario", x)
	scribble(x)
	forecast := b.build(t, "forecast", drawOf(0, 1))
	x = answered(0, forecast, 200, toJSON(t, answerForecast(t, forecast.Body, "made-one")), 0)
	b.expect(t, "forecast", "forecast", x)
	scribble(x)

	if get := b.build(t, "get_scenario", drawOf(0, 1)); get.Path != "/api/v1/cashflow/scenario/saved-one" {
		t.Errorf("asks for %s", get.Path)
	}
	b.expect(t, "list", "list_scenarios", answered(0, b.build(t, "list_scenarios", drawOf(0, 1)), 200, []byte(`[{"id":"saved-one"}]`), time.Hour))
	b.expect(t, "history", "history", answered(0, b.build(t, "history", drawOf(0, 1)), 200,
		[]byte(`[{"id":"made-one","created_at":"2026-03-01T15:04:05Z"}]`), time.Hour))
}

// Room that is kept holds nothing of the answer, and none that was only made by
// an answer that is wrong.
func TestRoomIsTidied(t *testing.T) {
	read := func(body string) (a *answer, kept bool) {
		a = &answer{reader: *newReader()}
		a.start([]byte(body))
		if strings.HasPrefix(body, "[") {
			a.list()
			a.entries = a.rows(a.entries, scenarioForm())
		} else {
			a.forecast(&a.figures)
		}
		if broken, wrong := a.end(); broken != nil || wrong != nil {
			t.Fatalf("%.60s: %v, %v", body, broken, wrong)
		}
		kept = a.tidy()
		return a, kept
	}
	_, golden := goldenAnswer()
	a, kept := read(golden)
	if !kept || a.text != nil || a.figures.ID != nil || cap(a.figures.Periods) < 12 || a.figures.Loans[:1][0].Kind != nil {
		t.Errorf("after a forecast: kept %v, %+v", kept, a.figures)
	}
	a, kept = read(`[` + strings.Repeat(`{"id":"a","user_id":"b"},`, 99) + `{"id":"a","user_id":"b"}]`)
	if !kept || len(a.entries) != 100 {
		t.Errorf("after a list: kept %v, %d entries", kept, len(a.entries))
	}
	for _, entry := range a.entries {
		if entry.ID != nil || entry.UserID != nil {
			t.Fatalf("an entry keeps %s and %s", entry.ID, entry.UserID)
		}
	}
	for what, body := range map[string]string{
		"many entries": `[` + strings.Repeat(`{},`, keptElements) + `{}]`,
		"many loans":   `{"loans":[` + strings.Repeat(`{},`, 20_000) + `{}]}`,
		"many shifts":  `{"sensitivity":{"prepayment":[` + strings.Repeat(`{},`, 20_000) + `{}]}}`,
		"long escapes": `{"id":"` + strings.Repeat(`\n`, keptText+1) + `"}`,
	} {
		if _, kept := read(body); kept {
			t.Errorf("%s: the room is kept", what)
		}
	}
}
