package api

import (
	"slices"
	"strings"
	"testing"

	"soakd/internal/probes"
	"soakd/internal/probes/exposition"
)

func TestVersionOfAPage(t *testing.T) {
	for text, want := range map[string]string{
		"app_info{version=\"v1.4.2\"} 1\n":                                                    "v1.4.2",
		"target_info{service_name=\"api\",service_version=\"7\"} 1\n":                         "7",
		"app_build_info{version=\"2\",revision=\"x\"} 1\nbuild_info{version=\"3\"} 1\n":       "2",
		"app_info{version=\"a\"} 1\napp_info{version=\"b\"} 1\nbuild_info{version=\"3\"} 1\n": "3",
		"app_info{version=\"\"} 1\n":                                                          "",
		"app_info{version=\"" + strings.Repeat("v", 65) + "\"} 1\n":                           "",
		"app_info{name=\"x\"} 1\n":                                                            "",
		"up 1\n":                                                                              "",
	} {
		v := versions{desc: &probes.Desc{Name: VersionInfo}, series: knownVersions()}
		page, err := exposition.Read("text/plain; version=0.0.4", strings.NewReader(text), exposition.NamesOf(v.selectors()))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := v.value(page)
		if ok != (want != "") || (ok && (!slices.Equal(got.labels, []string{want}) || got.amount != 1)) {
			t.Errorf("%q gave %+v, want %q", text, got, want)
		}
	}
}

func TestVersionSeries(t *testing.T) {
	got, err := parseVersionSeries("my:app_build_info:version")
	if err != nil || len(got) != 1 || got[0] != (versionSeries{"my:app_build_info", "version"}) {
		t.Errorf("%v %v", got, err)
	}
	for _, wrong := range []string{"app_info", ":version", "app info:version", "app_info:", `app_info{x="y"}:version`} {
		if _, err := parseVersionSeries(wrong); err == nil || !strings.Contains(err.Error(), "metric:label") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}
