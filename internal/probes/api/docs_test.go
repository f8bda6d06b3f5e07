package api

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"soakd/internal/probes"
)

var update = flag.Bool("update", false, "write docs/api-metrics.md anew")

// languages are the columns of the documentation.
func languages() []string {
	return []string{"Python", "Go", "JVM", "Node", ".NET", "Rust", "OpenTelemetry"}
}

// docs/api-metrics.md says what the table says.
func TestDocumentIsCurrent(t *testing.T) {
	const path = "../../../docs/api-metrics.md"
	want := document()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // a public document
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/api-metrics.md is not what the table of names says: run make docs")
	}
}

// document makes the page: first what each language has, then all names.
func document() string {
	var text strings.Builder
	text.WriteString(`# What is read of the target's /metrics

Written by ` + "`make docs`" + ` from the table in ` + "`internal/probes/api`" + `; a test keeps it current.

Text 0.0.4 and 1.0.0, OpenMetrics 1.0 and 0.0.1, and delimited protobuf are read, up to 10 MiB each (after gzip) and 50 000 series of the
names below. Of several names of one metric the first that the page has counts; its series are added up. A value that is missing, NaN
or negative gives no metric. Names with dots are found as with underscores. Own names go into ` + "`SOAKD_API_METRICS_ALIASES`" + `, before these.

## By language

The number of names that are known; "-" where no common library of the language exports it, so that it needs an own name. "By custom"
in the list below means that the library exports nothing by itself and that services name it so. The column OpenTelemetry is the semantic
conventions, whatever the language.

`)
	fmt.Fprintf(&text, "| metric | %s |\n|---%s|\n", strings.Join(languages(), " | "), strings.Repeat("|---", len(languages())))
	var descs probes.Descs
	mapped(&descs)
	for _, desc := range descs {
		fmt.Fprintf(&text, "| `%s` |", desc.Name)
		for _, language := range languages() {
			fmt.Fprintf(&text, " %s |", known(desc.Name, language))
		}
		text.WriteString("\n")
	}
	for _, desc := range descs {
		fmt.Fprintf(&text, "\n## %s\n\n%s\n\n| name | languages | library |\n|---|---|---|\n", desc.Name, desc.Help)
		for _, a := range knownAliases() {
			if a.metric == desc.Name {
				fmt.Fprintf(&text, "| %s | %s | %s |\n", row(a), a.languages, a.library)
			}
		}
	}
	return text.String()
}

// known counts the names of the metric in the language.
func known(metric, language string) string {
	count := 0
	for _, a := range knownAliases() {
		if a.metric == metric && strings.Contains(", "+a.languages+",", ", "+language+",") {
			count++
		}
	}
	if count == 0 {
		return "-"
	}
	return fmt.Sprint(count)
}

// row is the name with its labels and what is made of it.
func row(a alias) string {
	name := a.target
	for label, value := range a.match {
		name += fmt.Sprintf("{%s=%q}", label, value)
	}
	name = "`" + name + "`"
	if a.minus != "" {
		name += " - `" + a.minus + "`"
	}
	if a.scale != 0 {
		name += fmt.Sprintf(" × %g", a.scale)
	}
	if len(a.labels) > 0 {
		name = strings.Join(a.labels, ", ") + ": " + name
	}
	return name
}
