package cashflow

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// compared holds a scenario that comes back against what was sent.
func compared(t testing.TB, sent, got string) error {
	t.Helper()
	var c content
	if err := c.prepare([]byte(sent)); err != nil {
		t.Fatal(err)
	}
	r := newReader()
	r.start([]byte(got))
	r.kept(&c)
	if broken, wrong := r.end(); broken != nil || wrong != nil {
		t.Fatalf("%s: %v, %v", got, broken, wrong)
	}
	return c.difference()
}

func TestDifferenceIsNamed(t *testing.T) {
	const sent = `{"name":"Plan \"B\"","forecast_params":{"loans":[{"principal":100.5,"rate_type":"fixed"},{"principal":7}],"on":true,"none":null}}`
	for _, test := range []struct{ what, old, new, want string }{
		{"nothing", "", "", ""},
		{"a text", `B\"`, `C\"`, `.name was saved as "Plan \"B\"" and came back as "\"Plan \\\"C\\\"\""`},
		{"the same text, escaped", `Plan`, `\u0050lan`, ""},
		{"a number", `100.5`, `100.51`, `.forecast_params.loans[0].principal was saved as 100.5 and came back as "100.51"`},
		{"the same number", `100.5`, `1005e-1`, ""},
		{"a number's last digit", `100.5`, `100.50000000000001`, ""},
		{"a number that is none", `100.5`, `"100.5"`, `.forecast_params.loans[0].principal was saved as 100.5 and came back as "\"100.5\""`},
		{"a number beyond a float64", `100.5`, `1e999`, `.forecast_params.loans[0].principal was saved as 100.5 and came back as "1e999"`},
		{"a missing field", `,"rate_type":"fixed"`, ``, `.forecast_params.loans[0].rate_type was saved and is missing`},
		{"a field more", `"on"`, `"more":[1,{"a":2}],"on"`, ""},
		{"a missing item", `,{"principal":7}`, ``, `.forecast_params.loans is no list of 2`},
		{"an item more", `{"principal":7}`, `{"principal":7},{}`, `.forecast_params.loans is no list of 2`},
		{"an item of another kind", `{"principal":7}`, `[7]`, `.forecast_params.loans[1] is no object`},
		{"no list", `[{"principal":100.5,"rate_type":"fixed"},{"principal":7}]`, `{}`, `.forecast_params.loans is no list of 2`},
		{"a word", `true`, `false`, `.forecast_params.on was saved as true and came back as "false"`},
		{"null", `null`, `0`, `.forecast_params.none was saved as null and came back as "0"`},
		{"the last of two counts", `"on":true`, `"on":false,"on":true`, ""},
		{"the last of two is wrong", `"on":true`, `"on":true,"on":1`, `.forecast_params.on was saved as true and came back as "1"`},
		{"the last of two objects lacks a field", `,"none":null}}`, `,"none":null},"forecast_params":{"on":true,"none":null}}`, `.forecast_params.loans was saved and is missing`},
	} {
		got := strings.Replace(sent, test.old, test.new, 1)
		if test.old != "" && got == sent {
			t.Fatalf("%s: %s is not in the text", test.what, test.old)
		}
		message := ""
		if err := compared(t, sent, got); err != nil {
			message = err.Error()
		}
		if message != test.want {
			t.Errorf("%s: %q, want %q", test.what, message, test.want)
		}
	}
}

// holds is what compared means, on decoded documents.
func holds(have, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		fields, ok := have.(map[string]any)
		for name, value := range want {
			field, found := fields[name]
			ok = ok && found && holds(field, value)
		}
		return ok
	case []any:
		items, ok := have.([]any)
		ok = ok && len(items) == len(want)
		for i := range want {
			ok = ok && holds(items[i], want[i])
		}
		return ok
	case float64:
		number, ok := have.(float64)
		return ok && math.Abs(number-want) <= 1e-12*math.Abs(want)
	default:
		return have == want
	}
}

// Whatever is sent and comes back, the verdict is that of the decoded documents.
func FuzzContent(f *testing.F) {
	w := &workload{generator: newGenerator(7)}
	sent := string(w.scenario(scenarioRecipe{recipe: recipe{1, 2, 20_000}}))
	f.Add(sent, sent)
	f.Add(sent, strings.Replace(sent, "forecast_months", "months", 1))
	f.Add(`{"a":[1,{"b":null}],"c":{"d":"x"}}`, `{"c":{"e":1,"d":"x"},"a":[1,{"b":null}]}`)
	f.Add(`{"a":{"b":1,"c":2}}`, `{"a":{"b":1,"c":2},"a":{"b":1}}`)
	f.Add(`{"a":1,"a":2}`, `{"a":2}`)
	f.Fuzz(func(t *testing.T, sent, got string) {
		var want, have map[string]any
		if json.Unmarshal([]byte(sent), &want) != nil || want == nil || json.Unmarshal([]byte(got), &have) != nil || have == nil {
			t.Skip()
		}
		var c content
		if c.prepare([]byte(sent)) != nil {
			t.Skip()
		}
		if twice(&c, 0) {
			t.Skip() // soakd sends no field twice
		}
		r := newReader()
		r.start([]byte(got))
		c.got = r.text
		r.compare(&c, 0)
		if broken, wrong := r.end(); broken != nil || wrong != nil {
			t.Skip() // invalid UTF-8
		}
		if err := c.difference(); (err == nil) != holds(have, want) {
			t.Errorf("%s for %s: %v", got, sent, err)
		}
	})
}

// twice reports whether a field comes twice below a node.
func twice(c *content, at int) bool {
	seen := map[string]bool{}
	for i := at + 1; i < c.nodes[at].after; i = c.nodes[i].after {
		if c.nodes[at].kind == '{' && seen[string(c.nodes[i].name)] || twice(c, i) {
			return true
		}
		seen[string(c.nodes[i].name)] = true
	}
	return false
}
