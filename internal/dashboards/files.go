package dashboards

import "fmt"

// RulesFile is the name of the rule file among [Files].
const RulesFile = "rules/soakd.yaml"

// Files returns every file that Grafana and Prometheus read, by its name below
// dashboards/. The content depends on this package alone.
func (s Settings) Files() map[string][]byte {
	files := map[string][]byte{RulesFile: written(RulesYAML(s.Rules()))}
	for _, dashboard := range s.All() {
		files[dashboard.File] = written(dashboard.JSON())
	}
	return files
}

// written returns the content of a file. Descriptions are constants of this
// package, so that one which cannot be written is a defect that every test shows.
func written(content []byte, err error) []byte {
	if err != nil {
		panic(fmt.Sprintf("dashboards: %v", err))
	}
	return content
}
