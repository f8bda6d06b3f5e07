package report

import (
	"regexp"
	"strings"
)

// labelPair is a label as Prometheus writes it.
var labelPair = regexp.MustCompile(`[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\.)*"`)

// legendNames are short names of the series of one chart: without soakd_, and of the
// labels the values of those alone that are not the same for all that have them. The
// chart's lines keep the whole names.
func legendNames(list []series) []string {
	counts, whole := map[string]int{}, map[string]int{}
	for _, one := range list {
		for _, pair := range labelPair.FindAllString(one.labels, -1) {
			label, _, _ := strings.Cut(pair, "=")
			counts[pair]++
			whole[label]++
		}
	}
	names, seen := make([]string, len(list)), map[string]bool{}
	for i, one := range list {
		parts := []string{strings.TrimPrefix(one.name, "soakd_")}
		for _, pair := range labelPair.FindAllString(one.labels, -1) {
			label, value, _ := strings.Cut(pair, "=")
			if counts[pair] < whole[label] {
				parts = append(parts, strings.Trim(value, `"`))
			}
		}
		names[i] = shorten(oneLine(strings.Join(parts, " ")), 60)
		if seen[names[i]] {
			names[i] = one.id
		}
		seen[names[i]] = true
	}
	return names
}
