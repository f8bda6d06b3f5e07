package redis

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"soakd/internal/probes"
)

// addErrors adds the error replies by kind, the first word of the reply. Redis
// counts them from 6.2.
func addErrors(reading *probes.Reading, desc *probes.Desc, node string, fields info) error {
	counts, broken := map[string]float64{}, false
	var errs []error
	for kind, text := range fields.withPrefix("errorstat_") {
		count, err := parseErrorCount(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("INFO: errorstat_%.60s: %w", kind, err))
			broken = broken || !knownError(kind)
			continue
		}
		if !knownError(kind) {
			kind = other
			reading.Overflow++
		}
		counts[strings.ToLower(kind)] += count
	}
	if broken {
		delete(counts, other) // a sum that lacks a part would look like a reset
	}
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		reading.Add(desc, counts[kind], node, kind)
	}
	return joinSome(errs)
}

// parseErrorCount parses count=number.
func parseErrorCount(text string) (float64, error) {
	found, err := parseParts(text)
	if err != nil {
		return 0, err
	}
	return found.count("count")
}

// knownError reports whether kind is one of the error codes of Redis' source
// and documentation. Scripts and modules may send any other word.
func knownError(kind string) bool {
	switch kind {
	case "ASK", "BUSY", "BUSYGROUP", "BUSYKEY", "CLUSTERDOWN", "CROSSSLOT", "DENIED", "ERR", "EXECABORT", "LOADING",
		"MASTERDOWN", "MISCONF", "MOVED", "NOAUTH", "NOGROUP", "NOPERM", "NOREPLICAS", "NOSCRIPT", "OOM",
		"READONLY", "TRYAGAIN", "UNBLOCKED", "UNKILLABLE", "WRONGPASS", "WRONGTYPE":
		return true
	default:
		return false
	}
}
