package report

import (
	"slices"
	"testing"
)

func TestLegendsNameWhatDiffers(t *testing.T) {
	const backends = "soakd_postgres_backends"
	for _, test := range []struct {
		list []series
		want []string
	}{
		{[]series{{id: "x", name: "soakd_postgres_blocked_backends", labels: `server="main"`}}, []string{"postgres_blocked_backends"}},
		{
			[]series{
				{name: "soakd_postgres_max_connections", labels: `server="main"`},
				{name: backends, labels: `server="main",application="api, new",state="idle"`},
				{name: backends, labels: `server="main",application="soakd",state="idle"`},
				{name: backends, labels: `server="main",application="soakd",state="active"`},
			},
			[]string{"postgres_max_connections", "postgres_backends api, new idle", "postgres_backends soakd idle", "postgres_backends soakd active"},
		},
		{[]series{{id: "a{}", name: "a"}, {id: "a{b}", name: "a"}}, []string{"a", "a{b}"}},
	} {
		if got := legendNames(test.list); !slices.Equal(got, test.want) {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
