package objective

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"soakd/internal/judge/finding"
)

const (
	// none is the text that switches objectives off.
	none = "none"
	// maxObjectives bounds the series that come of them.
	maxObjectives = 50
	// example is what a mistake is answered with.
	example = `write "name: availability>=99.5%" or "name: class=standard latency<=1s for 99%"`
)

// promise splits what follows the name. Its parts: class, availability, threshold, share.
var promise = regexp.MustCompile(`^(?:class\s*=\s*([^\s=<>]+)\s+)?(?:availability\s*>=\s*([^\s%]+)\s*%|latency\s*<=\s*(\S+)\s+for\s+([^\s%]+)\s*%)$`)

// Parse reads objectives, divided by semicolons or line ends:
//
//	answers: availability>=99.5%
//	fast: class=monte_carlo latency<=5s for 99%
//
// Without class= one is about all valid requests; class=invalid is about invalid
// input. "" gives [Defaults] of the classes, "none" no objectives. classes are
// those of the workload; empty when they are not known. The error joins every mistake.
func Parse(text string, classes []string) ([]Objective, error) {
	switch strings.TrimSpace(text) {
	case "":
		return Defaults(classes), nil
	case none:
		return nil, nil
	}
	var all []Objective
	var errs []error
	number := 0
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ';' || r == '\n' }) {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		number++
		o, err := parseOne(part, classes)
		if err != nil {
			errs = append(errs, fmt.Errorf("objective %d (%.80q): %w", number, part, err))
			continue
		}
		if slices.ContainsFunc(all, func(other Objective) bool { return other.Name == o.Name }) {
			errs = append(errs, fmt.Errorf("objective %d: the name %q is taken; each needs its own", number, o.Name))
			continue
		}
		all = append(all, o)
	}
	if number == 0 {
		errs = append(errs, fmt.Errorf("objectives: there are none in %.80q; %s, or %q", text, example, none))
	}
	if number > maxObjectives {
		errs = append(errs, fmt.Errorf("objectives: %d are too many; at most %d", number, maxObjectives))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return all, nil
}

func parseOne(text string, classes []string) (Objective, error) {
	name, rest, found := strings.Cut(text, ":")
	parts := promise.FindStringSubmatch(strings.TrimSpace(rest))
	if !found || parts == nil {
		return Objective{}, errors.New(example)
	}
	o := Objective{Name: strings.TrimSpace(name), Class: parts[1], Kind: Availability}
	if o.Class == "" {
		o.Class = finding.AllTraffic
	}
	share := parts[2]
	var errs []error
	if parts[3] != "" {
		o.Kind, share = Latency, parts[4]
		threshold, err := time.ParseDuration(parts[3])
		if err != nil {
			errs = append(errs, fmt.Errorf("the threshold %.20q must be a duration such as 250ms or 5s", parts[3]))
			threshold = time.Second // for the other checks
		}
		o.Threshold = threshold
	}
	target, err := strconv.ParseFloat(share, 64)
	if err != nil {
		errs = append(errs, fmt.Errorf("the share %.20q must be a number of percent such as 99.5", share))
		target = 50 // for the other checks
	}
	o.Target = target / 100
	if len(classes) > 0 && o.Class != finding.AllTraffic && o.Class != Invalid && !slices.Contains(classes, o.Class) {
		errs = append(errs, fmt.Errorf("the workload has no class %.40q; it has %s", o.Class, strings.Join(classes, ", ")))
	}
	errs = append(errs, o.Validate())
	return o, errors.Join(errs...)
}
