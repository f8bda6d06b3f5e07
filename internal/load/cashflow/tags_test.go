package cashflow

import (
	"slices"
	"strings"
	"testing"

	"soakd/internal/load"
)

func TestTags(t *testing.T) {
	b := newFullBench(t)
	of := map[string][]string{}
	for _, c := range b.Cases {
		if c.HasTag(tagRead) == c.HasTag(tagWrite) || c.HasTag(tagRead) != c.ReadOnly {
			t.Errorf("%s: tags %v", c.Name, c.Tags)
		}
		for _, tag := range c.Tags {
			of[tag] = append(of[tag], c.Name)
		}
	}
	for name, list := range tagged() {
		for _, one := range list {
			if !slices.Contains(of[name], one) {
				t.Errorf("there is no case %s of the tag %s", one, name)
			}
		}
		delete(of, name)
	}
	if len(of) != 2 { // read and write
		t.Errorf("tags that are not in the list: %v", of)
	}
	for name := range tagged() {
		for _, c := range b.Cases {
			if c.Name == name || string(c.Class) == name {
				t.Errorf("%s is a tag and a case or class", name)
			}
		}
	}
}

// Whatever is excluded is never sent, and whatever remains can be built once what it
// needs is there.
func TestSelectionsOfTheWorkload(t *testing.T) {
	for name, test := range map[string]struct {
		selection load.Selection
		opening   bool
		has, not  []string
	}{
		"read":             {load.Selection{Tags: []string{tagRead}}, true, []string{"get_scenario", "save_scenario", "history"}, []string{"forecast"}},
		"never write":      {load.Selection{Exclude: []string{tagWrite}}, false, []string{"list_scenarios", "history", unknownID}, []string{"save_scenario", "get_scenario", "forecast", "invalid_method"}},
		"compute":          {load.Selection{Tags: []string{tagCompute}}, false, []string{"forecast", "complex_analysis"}, []string{"health", "save_scenario"}},
		"valid":            {load.Selection{Exclude: []string{"invalid"}}, true, []string{"forecast"}, []string{foreignScenario, "invalid_sql_in_name"}},
		"invalid":          {load.Selection{Tags: []string{"invalid"}}, true, []string{foreignScenario, unknownID, "save_scenario"}, []string{"forecast"}},
		"foreign scenario": {load.Selection{Tags: []string{foreignScenario}}, true, []string{unknownID, "save_scenario"}, []string{"get_scenario"}},
		"auth":             {load.Selection{Tags: []string{tagAuth}}, true, []string{"invalid_token_forged"}, []string{"list_scenarios"}},
	} {
		t.Run(name, func(t *testing.T) {
			part, err := newFullBench(t).Select(test.selection)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, c := range part.Cases {
				names = append(names, c.Name)
			}
			for _, one := range test.has {
				if !slices.Contains(names, one) {
					t.Errorf("%s is missing", one)
				}
			}
			for _, one := range test.not {
				if slices.Contains(names, one) {
					t.Errorf("%s is there", one)
				}
			}
			if (part.Opening != nil) != test.opening {
				t.Errorf("the opening is %+v", part.Opening)
			}
			if _, err := load.NewMix(part, 2, 1); err != nil {
				t.Error(err)
			}
			if !strings.HasPrefix(part.Name, "cashflow[") {
				t.Errorf("it is named %s", part.Name)
			}
		})
	}
}
