package dashboards

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// parsed is what a query refers to.
type parsed struct {
	selectors []selector
	// grouped are the labels in by (...), on (...) and group_left (...).
	grouped []string
}

type selector struct {
	metric   string
	matchers []matcher
}

type matcher struct{ label, operator, value string }

var (
	quotedText   = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	rangeText    = regexp.MustCompile(`\[[^\]]*\]`)
	groupText    = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	offsetText   = regexp.MustCompile(`\boffset\s+\S+`)
	selectorText = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})?(\s*\()?`)
	matcherText  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)(=~|!~|!=|=)("(?:[^"\\]|\\.)*")`)
)

// parse takes a query apart as far as its names go. It knows as much of PromQL
// as the queries of this package need.
func parse(query string) parsed {
	var p parsed
	query = rangeText.ReplaceAllString(query, "")
	for _, group := range groupText.FindAllStringSubmatch(query, -1) {
		for _, label := range strings.Split(group[2], ",") {
			if label = strings.TrimSpace(label); label != "" {
				p.grouped = append(p.grouped, label)
			}
		}
	}
	query = groupText.ReplaceAllString(query, " ")
	query = offsetText.ReplaceAllString(query, " ")
	for _, found := range selectorText.FindAllStringSubmatch(withoutArguments(query), -1) {
		name, matchers, call := found[1], found[2], found[3]
		if call != "" || slices.Contains([]string{"and", "or", "unless", "bool"}, name) {
			continue
		}
		s := selector{metric: name}
		for _, m := range matcherText.FindAllStringSubmatch(matchers, -1) {
			s.matchers = append(s.matchers, matcher{m[1], m[2], strings.Trim(m[3], `"`)})
		}
		p.selectors = append(p.selectors, s)
	}
	return p
}

// withoutArguments blanks texts that stand outside of braces: the arguments of
// label_replace.
func withoutArguments(query string) string {
	var b strings.Builder
	for {
		open := strings.IndexByte(query, '{')
		if open < 0 {
			return b.String() + quotedText.ReplaceAllString(query, " ")
		}
		shut := open + strings.IndexByte(query[open:], '}') + 1
		b.WriteString(quotedText.ReplaceAllString(query[:open], " "))
		b.WriteString(query[open:shut])
		query = query[shut:]
	}
}

func TestParse(t *testing.T) {
	const query = `label_replace(0 * sum by (job, le) (rate(soakd_x_bucket{job=~"$job",class!="invalid"}[$__rate_interval])), "a", "b", "", "")
		unless on (job) increase(level:soakd_y:sum[1h] offset 10m) == bool 0`
	got := parse(query)
	if len(got.selectors) != 2 || got.selectors[0].metric != "soakd_x_bucket" || got.selectors[1].metric != "level:soakd_y:sum" {
		t.Errorf("selectors %+v", got.selectors)
	}
	want := []matcher{{"job", "=~", "$job"}, {"class", "!=", "invalid"}}
	if !slices.Equal(got.selectors[0].matchers, want) {
		t.Errorf("matchers %+v, want %+v", got.selectors[0].matchers, want)
	}
	if !slices.Equal(got.grouped, []string{"job", "le", "job"}) {
		t.Errorf("grouped by %q", got.grouped)
	}
}
