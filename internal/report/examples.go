package report

import "soakd/internal/load"

// ExamplesOf returns failed requests in the form in which reports have them.
func ExamplesOf(list []load.Example) []Example {
	var examples []Example
	for _, one := range list {
		examples = append(examples, Example{
			Case: one.Case.Name, Outcome: string(one.Outcome), Reason: one.Reason, Curl: one.Curl, At: one.At, TraceID: one.TraceID.String(),
		})
	}
	return examples
}
