package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// noGrafana is when soakd writes no annotations.
const noGrafana = "where soakd writes to no Grafana (SOAKD_GRAFANA_URL)"

// annotationPanels show whether what soakd writes into Grafana arrives there.
func annotationPanels() []Panel {
	return []Panel{
		{
			Title: "Annotations for Grafana", Unit: "short", Width: 12, EmptyWhen: noGrafana,
			Description: "Annotations written to Grafana in the last 10 minutes, attempts that it refused or did not answer, and annotations that were never written. Attempts that fail all the time: the log of soakd says once what would be right, and soakd check tries it; mostly the token has expired.",
			Targets:     []Target{{Query: sum("increase("+sel("soakd_annotations_total")+"[10m])", "result", "instance"), Legend: "{{result}} {{instance}}"}},
		},
		{
			Title: "Annotations that wait", Unit: "short", Width: 12, EmptyWhen: noGrafana,
			Description: "Annotations that Grafana does not have yet: 0 but for moments. A climb is a Grafana that is away; from 1000 on the oldest are dropped. /api/v1/events and the history have all of them.",
			Targets:     []Target{{Query: sum(sel("soakd_annotations_pending"), "instance"), Legend: "{{instance}}"}},
		},
	}
}

// noPushes is when soakd pushes nothing.
const noPushes = "where soakd pushes nothing (SOAKD_PUSHGATEWAY_URL, SOAKD_REMOTE_WRITE_URL)"

// pushPanel shows whether what soakd pushes arrives.
func pushPanel() Panel {
	return Panel{
		Title: "Pushes", Unit: "short", Width: gridColumns, EmptyWhen: noPushes,
		Description: "Pushes of all metrics in the last 10 minutes, and those that failed after all attempts; there is one at the end of a run, and more with SOAKD_PUSH_INTERVAL. The log of soakd says why one failed, and soakd check asks the destination.",
		Targets: []Target{
			{Query: sum("increase("+sel("soakd_pushes_total")+"[10m])", "destination", "instance"), Legend: "to {{destination}} {{instance}}"},
			{Query: sum("increase("+sel("soakd_push_failures_total")+"[10m])", "destination", "instance"), Legend: "failed to {{destination}} {{instance}}"},
		},
	}
}

// writtenAnnotations shows what soakd wrote into Grafana's own store, where it does.
func writtenAnnotations() dashboard.AnnotationQuery {
	return dashboard.AnnotationQuery{
		Name: "Written by soakd", Datasource: &common.DataSourceRef{Type: new("grafana"), Uid: new("-- Grafana --")}, Enable: true,
		IconColor: "rgba(0, 211, 255, 1)",
		// The kit's own type of it (dashboard.AnnotationTarget) does not fit its field.
		Target: variants.UnknownDataquery{"type": "tags", "tags": []string{tag}, "matchAny": false, "limit": 200},
	}
}
