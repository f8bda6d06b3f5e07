package answers

import (
	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// Outcomes of requests, as internal/load names them.
const (
	acceptedInvalid = "accepted_invalid"
	leakedInternals = "leaked_internals"
	serverError     = "server_error"
	rateLimited     = "rate_limited"
)

// family is what one fault shows as: mistakes of one family are one symptom,
// whatever cases and checks notice them.
type family struct {
	kind finding.Kind
	// name tells families of one kind apart.
	name string
}

// foreignCase asks for another user's scenario. When it is answered, that is no
// input that should have been refused for its form: it is another's data.
const foreignCase = "invalid_foreign_scenario"

// byRequest is the family of that.
func byRequest() family { return family{finding.ForeignData, "by_request"} }

// soaksOwn is the check that fails when soakd's own check broke: no word about the target.
const soaksOwn = "soakd_check_panic"

// familyOf says what a failed check tells; false when it tells nothing about the
// target. The checks are those of internal/load and internal/load/cashflow. One
// that is not known, of a workload from a file, stands for itself.
func familyOf(check string) (family, bool) {
	switch check {
	case soaksOwn:
		return family{}, false
	case "foreign_scenario", "foreign_history":
		return family{finding.ForeignData, ""}, true
	case "scenario_found", "in_list", "forecast_in_history":
		return family{finding.DataLost, ""}, true
	case "stale_read":
		return family{finding.StaleRead, ""}, true
	case "mc_order", "mc_seed", "mc_iterations":
		return family{finding.WrongAnswer, "monte_carlo"}, true
	case "zero_shift", "shift_monotone":
		return family{finding.WrongAnswer, "sensitivity"}, true
	case "principal_conserved", "balance_nonnegative", "balance_falls", "totals_match", "npv_falls":
		return family{finding.WrongAnswer, "cash_flows"}, true
	case "json", "shape", "status", "response_size", "http_protocol":
		return family{finding.WrongAnswer, "form"}, true
	case "read_back", "name_unchanged":
		return family{finding.WrongAnswer, "saved_content"}, true
	case "newest_first", "filter_holds":
		return family{finding.WrongAnswer, "history"}, true
	}
	return family{finding.WrongAnswer, check}, true
}

// mistake is how often one case made a mistake of one family in a window.
type mistake struct {
	family
	check string // "" when an outcome tells it
	n     int64
}

// mistakes appends what is wrong with the answers to a case.
func mistakes(list []mistake, c *window.Case) []mistake {
	add := func(f family, n int64) {
		if n > 0 {
			list = append(list, mistake{family: f, n: n})
		}
	}
	accepted := family{finding.AcceptedInvalid, ""}
	if c.Name == foreignCase {
		accepted = byRequest()
	}
	add(accepted, window.Of(c.Outcomes, acceptedInvalid))
	add(family{finding.LeakedInternals, ""}, window.Of(c.Outcomes, leakedInternals))
	if c.Invalid {
		add(family{finding.InvalidServerError, ""}, window.Of(c.Outcomes, serverError))
	}
	for _, check := range c.Checks {
		if f, ok := familyOf(check.Name); ok && check.N > 0 {
			list = append(list, mistake{f, check.Name, check.N})
		}
	}
	return list
}
