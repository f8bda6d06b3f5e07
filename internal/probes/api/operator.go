package api

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"soakd/internal/probes"
)

// maxAliases bounds the operator's list.
const maxAliases = 100

// Aliases are the operator's own names. Use [Aliases.Decode].
type Aliases struct {
	text string
	list []alias
}

// Decode parses soakd_name{label="value"}=target_name{label="value"} entries
// that are separated by commas; the braces may be left out on either side, and
// the quotes where the value has no special character. A target may be a
// difference: total{pool="a"}-idle.
func (a *Aliases) Decode(text string) error {
	a.text, a.list = text, nil
	if strings.TrimSpace(text) == "" {
		return nil
	}
	for _, entry := range splitOutside(text, ',') {
		parsed, err := parseAlias(entry)
		if err != nil {
			return fmt.Errorf("%q: %w", strings.TrimSpace(entry), err)
		}
		a.list = append(a.list, parsed)
	}
	return nil
}

// String returns the text that was decoded.
func (a Aliases) String() string { return a.text }

// validate checks the left sides, which Decode leaves alone.
func (a Aliases) validate() error {
	var errs []error
	if len(a.list) > maxAliases {
		errs = append(errs, fmt.Errorf("has %d entries; at most %d are taken", len(a.list), maxAliases))
	}
	var descs probes.Descs
	known := mapped(&descs)
	for _, entry := range a.list {
		if known[entry.metric] == nil {
			errs = append(errs, fmt.Errorf("%s is none of soakd's metrics that can be mapped (%s)", entry.metric, names(descs)))
		}
	}
	return errors.Join(errs...)
}

func names(descs probes.Descs) string {
	var found []string
	for _, desc := range descs {
		found = append(found, desc.Name)
	}
	return strings.Join(found, ", ")
}

// poolName bounds the pool's label values: the operator configures them.
var poolName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// parseAlias parses one entry.
func parseAlias(entry string) (alias, error) {
	sides := splitOutside(entry, '=')
	if len(sides) != 2 {
		return alias{}, errors.New("want soakd_name=target_name")
	}
	metric, labels, err := parseSelector(sides[0])
	if err != nil {
		return alias{}, err
	}
	parsed, err := parseTarget(sides[1])
	if err != nil {
		return alias{}, err
	}
	parsed.metric = metric
	parsed.labels, err = labelValues(metric, labels)
	return parsed, err
}

// parseTarget parses name{label="value"}, or that less another name: of all
// connections those that are idle.
func parseTarget(text string) (alias, error) {
	terms := splitOutside(text, '-')
	if len(terms) > 2 {
		return alias{}, errors.New("want at most one name that is subtracted")
	}
	target, match, err := parseSelector(terms[0])
	if err != nil || len(terms) == 1 {
		return alias{target: target, match: match}, err
	}
	minus, own, err := parseSelector(terms[1])
	if err == nil && len(own) > 0 {
		err = fmt.Errorf("%s is subtracted with the labels of %s; want none of its own", minus, target)
	}
	return alias{target: target, match: match, minus: minus}, err
}

// labelValues returns the values of soakd's metric in their order.
func labelValues(metric string, labels map[string]string) ([]string, error) {
	switch metric {
	case poolConnections:
		return poolLabels(labels)
	case poolWaits, poolWaitSeconds, poolTimeouts:
		if len(labels) != 1 || !poolName.MatchString(labels["pool"]) {
			return nil, fmt.Errorf(`%s wants {pool="name"}: a name of a-z, 0-9 and _ up to 32 characters`, metric)
		}
		return []string{labels["pool"]}, nil
	}
	if len(labels) > 0 {
		return nil, fmt.Errorf("%s has no labels", metric)
	}
	return nil, nil
}

// poolLabels returns the label values of poolConnections.
func poolLabels(labels map[string]string) ([]string, error) {
	states := []string{"in_use", "idle", "max", "waiting"}
	if len(labels) != 2 || !poolName.MatchString(labels["pool"]) || !slices.Contains(states, labels["state"]) {
		return nil, fmt.Errorf(`%s wants {pool="name",state="..."}: a name of a-z, 0-9 and _ up to 32 characters, and a state of %s`, poolConnections, strings.Join(states, ", "))
	}
	return []string{labels["pool"], labels["state"]}, nil
}

var selector = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?$`)

// parseSelector parses name{label="value",...}.
func parseSelector(text string) (string, map[string]string, error) {
	found := selector.FindStringSubmatch(strings.TrimSpace(text))
	if found == nil {
		return "", nil, fmt.Errorf("%q is not a metric name with labels", strings.TrimSpace(text))
	}
	labels := map[string]string{}
	if strings.TrimSpace(found[2]) == "" {
		return found[1], labels, nil
	}
	for _, pair := range splitOutside(found[2], ',') {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || name == "" {
			return "", nil, fmt.Errorf("%q is not label=\"value\"", pair)
		}
		labels[name] = strings.Trim(value, `"`)
	}
	return found[1], labels, nil
}

// splitOutside splits text at the separators that stand outside of braces and
// quotes.
func splitOutside(text string, separator rune) []string {
	var parts []string
	depth, quoted, from := 0, false, 0
	for i, r := range text {
		switch {
		case r == '"':
			quoted = !quoted
		case quoted:
		case r == '{':
			depth++
		case r == '}':
			depth--
		case r == separator && depth == 0:
			parts = append(parts, text[from:i])
			from = i + 1
		}
	}
	return append(parts, text[from:])
}
