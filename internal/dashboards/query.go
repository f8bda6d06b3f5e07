package dashboards

import "strings"

// sel selects the series of a metric at the chosen soakd instances.
func sel(metric string, matchers ...string) string {
	all := append([]string{`job=~"$job"`, `instance=~"$instance"`}, matchers...)
	return metric + "{" + strings.Join(all, ",") + "}"
}

// rate is the increase a second of a counter.
func rate(selector string) string { return "rate(" + selector + "[$__rate_interval])" }

// sum adds up over everything but the given labels.
func sum(query string, by ...string) string { return aggregate("sum", query, by) }

// worst takes the highest value of each combination of the given labels.
func worst(query string, by ...string) string { return aggregate("max", query, by) }

// lowest takes the lowest value of each combination of the given labels.
func lowest(query string, by ...string) string { return aggregate("min", query, by) }

func aggregate(operation, query string, by []string) string {
	if len(by) == 0 {
		return operation + "(" + query + ")"
	}
	return operation + " by (" + strings.Join(by, ", ") + ") (" + query + ")"
}

// quantile reads a quantile from the buckets of a classic histogram, added up
// over everything but the given labels.
func quantile(q, buckets string, by ...string) string {
	return "histogram_quantile(" + q + ", " + sum(rate(buckets), append(by, "le")...) + ")"
}

// orZero gives 0 where nothing has failed yet: failures is a query whose series
// exist only from the first failure on, all one with the same labels whose
// series are always there.
func orZero(failures, all string) string { return failures + " or 0 * " + all }

// orNone is orZero for a query by one label whose values nobody knows
// beforehand: while there are no failures at all it gives one 0 with the label's
// value "none".
func orNone(label, failures, all string) string {
	return failures + ` or label_replace(0 * ` + all + `, "` + label + `", "none", "", "") unless on () ` + failures
}

// share is part/whole, absent while whole is 0.
func share(part, whole string) string { return "(" + part + ") / (" + whole + " > 0)" }
