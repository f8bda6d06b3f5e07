package cashflow

import (
	"slices"

	"soakd/internal/load"
)

// The tags that cases have beside their names and classes.
const (
	// tagRead, tagWrite: the case changes nothing at the target, or may; each has one
	// of them. A forecast writes too: to the user's history.
	tagRead  = "read"
	tagWrite = "write"
	// tagCompute: the target calculates.
	tagCompute = "compute"
	// tagScenarios: about saved scenarios.
	tagScenarios = "scenarios"
	// tagAuth: about who may do what.
	tagAuth = "auth"
)

// tagged lists the cases of the tags that do not follow from what a case says of itself.
func tagged() map[string][]string {
	return map[string][]string{
		tagCompute: {"forecast", "forecast_monte_carlo", "sensitivity", "complex_analysis"},
		tagScenarios: {
			"save_scenario", "list_scenarios", "get_scenario", "invalid_sql_in_name", "invalid_script_in_name",
			foreignScenario, unknownID, "invalid_scenario_id",
		},
		tagAuth: {"invalid_token_missing", "invalid_token_expired", "invalid_token_forged", foreignScenario},
	}
}

// tag gives cases their tags.
func tag(cases []*load.Case) {
	lists := tagged()
	for _, c := range cases {
		c.Tags = append(c.Tags, tagWrite)
		if c.ReadOnly {
			c.Tags[len(c.Tags)-1] = tagRead
		}
		for _, name := range []string{tagCompute, tagScenarios, tagAuth} {
			if slices.Contains(lists[name], c.Name) {
				c.Tags = append(c.Tags, name)
			}
		}
	}
}
