package api

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"soakd/internal/probes"
	"soakd/internal/probes/exposition"
)

// VersionInfo is the metric that holds what a replica says its version is.
const VersionInfo = "soakd_api_version_info"

// maxVersion bounds the text of a version, in bytes.
const maxVersion = 64

// versionSeries is a series of the page whose label gives the target's version.
type versionSeries struct{ metric, label string }

// knownVersions are the usual names, in order: by custom, of Prometheus' own
// version package as services use it, and of the OpenTelemetry resource.
func knownVersions() []versionSeries {
	return []versionSeries{{"app_info", "version"}, {"app_build_info", "version"}, {"build_info", "version"}, {"target_info", "service_version"}}
}

// seriesForm is how an own series is written: metric:label.
var seriesForm = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*:[a-zA-Z_][a-zA-Z0-9_]*$`)

// parseVersionSeries reads metric:label; "" are the usual names.
func parseVersionSeries(text string) ([]versionSeries, error) {
	if text == "" {
		return knownVersions(), nil
	}
	if !seriesForm.MatchString(text) {
		return nil, errors.New("must be metric:label, such as myapp_build_info:version")
	}
	at := strings.LastIndexByte(text, ':')
	return []versionSeries{{text[:at], text[at+1:]}}, nil
}

// versions are where the version may stand on a page, and how soakd calls it.
type versions struct {
	desc   *probes.Desc
	series []versionSeries
}

func (v versions) selectors() []exposition.Selector {
	var list []exposition.Selector
	for _, s := range v.series {
		list = append(list, exposition.Selector{Name: s.metric})
	}
	return list
}

// value returns the version that the page gives, if it gives one and only one.
func (v versions) value(page exposition.Page) (value, bool) {
	for _, s := range v.series {
		found := page.Labels(s.metric, s.label)
		if len(found) != 1 || !plainVersion(found[0]) {
			continue
		}
		return value{desc: v.desc, labels: found, amount: 1}, true
	}
	return value{}, false
}

// plainVersion reports whether a text can be a version: 1 to 64 printable ASCII
// characters without spaces.
func plainVersion(text string) bool {
	return text != "" && len(text) <= maxVersion && !slices.ContainsFunc([]byte(text), func(b byte) bool { return b <= ' ' || b > '~' })
}
