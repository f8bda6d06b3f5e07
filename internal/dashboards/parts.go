package dashboards

import (
	"regexp"
	"slices"
)

// Part is what a soakd may have or not.
type Part string

// The parts. Those of probes are called as the kind of probe.
const (
	Postgres       Part = "postgres"
	PostgresCanary Part = "postgres_canary"
	Redis          Part = "redis"
	RedisCanary    Part = "redis_canary"
	API            Part = "api"
	Endpoints      Part = "endpoint"
	TCP            Part = "tcp"
	DNS            Part = "dns"
	Certificates   Part = "certificate"
	Exporters      Part = "exporter"
	Objectives     Part = "objectives"
	History        Part = "history"
	// Notes are the annotations that soakd writes into Grafana.
	Notes Part = "annotations"
	// Pushes are those to a Pushgateway or by remote write.
	Pushes Part = "push"
)

// Parts returns every part.
func Parts() []Part {
	return []Part{Postgres, PostgresCanary, Redis, RedisCanary, API, Endpoints, TCP, DNS, Certificates, Exporters, Objectives, History, Notes, Pushes}
}

// ofPart finds the metrics that only a part gives. The alternatives are tried in
// order: the canary's before those of its server.
var ofPart = regexp.MustCompile(`\bsoakd_(postgres_canary|postgres|redis_canary|redis|api|endpoint|tcp|dns|certificate|exporter|slo|history|annotations|pushes|push)_`)

// partOf is the part whose metrics start so.
func partOf(prefix string) Part {
	switch prefix {
	case "slo":
		return Objectives
	case "pushes":
		return Pushes
	}
	return Part(prefix)
}

// gone reports whether a query has nothing to give: every part that it asks is
// left out. One that asks no part in particular always has.
func (s Settings) gone(query string) bool {
	asked := ofPart.FindAllStringSubmatch(query, -1)
	return len(asked) > 0 && !slices.ContainsFunc(asked, func(one []string) bool {
		return !slices.Contains(s.Without, partOf(one[1]))
	})
}

// belongs are the parts that a dashboard is about: without all of them it is left
// out, together with what it shows besides.
func belongs(uid string) []Part {
	return map[string][]Part{
		postgresUID: {Postgres, PostgresCanary}, redisUID: {Redis, RedisCanary}, apiUID: {API}, sloUID: {Objectives},
		dependenciesUID: {Endpoints, TCP, DNS, Certificates, Exporters},
	}[uid]
}

// lacks reports whether there are such parts and all of them are left out.
func (s Settings) lacks(parts []Part) bool {
	return len(parts) > 0 && !slices.ContainsFunc(parts, func(p Part) bool { return !slices.Contains(s.Without, p) })
}

// fitting leaves out of the dashboards what this soakd does not have, and links to
// what is left out.
func (s Settings) fitting(all []Dashboard) []Dashboard {
	var kept []Dashboard
	for _, d := range all {
		if s.lacks(belongs(d.UID)) {
			continue
		}
		d.Variables = slices.DeleteFunc(slices.Clone(d.Variables), func(v Variable) bool { return s.gone(v.Selector) })
		d.Rows = s.fittingRows(d.Rows)
		if len(d.Rows) > 0 {
			kept = append(kept, d)
		}
	}
	there := func(uid string) bool {
		return slices.ContainsFunc(kept, func(d Dashboard) bool { return d.UID == uid })
	}
	for _, d := range kept {
		for _, row := range d.Rows {
			for i := range row.Panels {
				if !there(row.Panels[i].Detail) {
					row.Panels[i].Detail = ""
				}
			}
		}
	}
	return kept
}

// annotations are those that have something to mark.
func (s Settings) annotations() []Annotation {
	return slices.DeleteFunc(Annotations(), func(a Annotation) bool { return s.gone(a.Signal) })
}

// fittingRows leaves out panels without queries, and rows that only have texts left.
func (s Settings) fittingRows(all []Row) []Row {
	var kept []Row
	for _, row := range all {
		var panels []Panel
		shows, showed := false, false
		for _, p := range row.Panels {
			asks := len(p.Targets) > 0
			p = s.fittingPanel(p)
			showed = showed || asks
			shows = shows || len(p.Targets) > 0
			if len(p.Targets) > 0 || !asks {
				panels = append(panels, p)
			}
		}
		if row.Panels = panels; shows || !showed {
			kept = append(kept, row)
		}
	}
	return kept
}

// fittingPanel leaves out queries that have nothing to give, and the columns of a
// table that show them.
func (s Settings) fittingPanel(p Panel) Panel {
	var kept []Target
	now := make([]int, len(p.Targets)) // the new number of each query, -1 for none
	for i, target := range p.Targets {
		now[i] = -1
		if !s.gone(target.Query) {
			now[i] = len(kept)
			kept = append(kept, target)
		}
	}
	p.Targets = kept
	var columns []Column
	for _, c := range p.Columns {
		if len(kept) > 0 && c.Label != "" { // labels are those of all queries
			c.Target = max(now[c.Target], 0)
			columns = append(columns, c)
		} else if now[c.Target] >= 0 {
			c.Target = now[c.Target]
			columns = append(columns, c)
		}
	}
	p.Columns = columns
	return p
}

// fittingGroups leaves out recordings and alerts that have nothing to give.
func (s Settings) fittingGroups(all []Group) []Group {
	var kept []Group
	for _, g := range all {
		g.Recordings = slices.DeleteFunc(g.Recordings, func(r Recording) bool { return s.gone(r.Query) })
		g.Alerts = slices.DeleteFunc(g.Alerts, func(a Alert) bool { return s.gone(a.Signal) || s.lacks(belongs(a.Dashboard)) })
		if len(g.Recordings)+len(g.Alerts) > 0 {
			kept = append(kept, g)
		}
	}
	return kept
}
