//go:build !race

package cashflow

import (
	"testing"
	"time"

	"soakd/internal/load"
)

// A request that is right costs next to nothing, also of the collector: what is
// allocated is the id that is remembered, or the path that has one. (The race
// detector makes pools forget, so that this is not measured with it.)
func TestAllocations(t *testing.T) {
	w := newFullBench(t)
	for i := range 20 {
		saveAs(t, w, 0, "saved-"+string(rune('a'+i)))
		forecastAs(t, w, 0, "made-"+string(rune('a'+i)), 0)
	}
	for name, most := range map[string]float64{
		"health": 0, "forecast": 1, "forecast_monte_carlo": 1, "sensitivity": 1, "complex_analysis": 1,
		"list_scenarios": 0, "get_scenario": 1, "save_scenario": 1, "history": 0, "history_filtered": 0,
		"invalid_scenario_unknown": 4, "invalid_principal_huge": 3,
	} {
		c, p := w.cases[name], newPlace()
		r, err := p.build(c, testUser(0), 5)
		if err != nil {
			t.Fatal(err)
		}
		x := answered(0, r, c.Statuses[0], rightAnswer(t, w, name, r), time.Hour)
		w.expect(t, name, name, x)
		fail := func(check string, err error) { t.Errorf("%s: %s: %v", name, check, err) }
		got := testing.AllocsPerRun(200, func() {
			if x.Request, err = p.build(c, x.User, 5); err != nil {
				t.Fatal(err)
			}
			c.Verify(x, fail)
			release(x.Request)
		})
		if got > most {
			t.Errorf("%s: %v allocations a request, want at most %v", name, got, most)
		}
	}
}

// rightAnswer makes a right answer to a request.
func rightAnswer(t testing.TB, w *bench, name string, r *load.Request) []byte {
	t.Helper()
	switch name {
	case "health":
		return []byte(`{"status":"ok"}`)
	case "list_scenarios":
		return toJSON(t, listed(testDay(), 80, w.ids("saved-")...))
	case "history", "history_filtered":
		return toJSON(t, listed(testDay().Add(time.Hour), 80, w.ids("made-")...))
	case "get_scenario":
		memo := r.Memo.(*scenarioMemo)
		content := reread(t, rawJSON((&workload{generator: newGenerator(7)}).scenario(memo.recipe)))
		content["id"] = memo.id
		return toJSON(t, content)
	case "save_scenario":
		return toJSON(t, object{"id": "saved-a", "name": r.Memo.(*scenarioMemo).recipe.name()})
	case "invalid_scenario_unknown", "invalid_principal_huge":
		return []byte(`{"detail":[{"loc":["body","loans",0,"principal"]}]}`)
	}
	return toJSON(t, answerForecast(t, r.Body, "made-a"))
}

// ids are those of the 20 things that were made with a prefix, the newest first.
func (b *bench) ids(prefix string) []string {
	var ids []string
	for i := range 20 {
		ids = append(ids, prefix+string(rune('a'+19-i)))
	}
	return ids
}
