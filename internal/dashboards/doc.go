// Package dashboards describes soakd's Grafana dashboards and Prometheus rules
// once, as plain values, and writes the files that Grafana and Prometheus read.
//
// What the repository holds in dashboards/ is written from here by
// `go test ./internal/dashboards -run Current -update`; tests keep it current,
// hold every query against the metrics that soakd has, and run every query on a
// Prometheus that scrapes a running demo.
//
// How queries are written:
//
//   - Histograms are read by their classic buckets, which every Prometheus has;
//     [Settings].Native makes of them the queries of one that keeps native ones.
//   - A ratio or count of failures is 0, not nothing, while there are none: a
//     series of failures does not exist before the first one. See [orZero].
//   - What a probe could not read stays absent: it is never made a 0.
//   - Several soakd instances may watch one dependency, so that what they read of
//     it is combined by its worst value and never added up; traffic is added up.
package dashboards
