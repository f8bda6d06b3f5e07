package redis

import (
	"slices"
	"strings"

	"soakd/internal/probes"
)

// maxVersion bounds the label version, in bytes.
const maxVersion = 20

// server describes what runs behind the address.
type server struct{ info, policy *probes.Desc }

func describeServer(d describer) server {
	return server{
		info:   d.gauge("server_info", "1, with what runs there: redis, valkey, keydb, dragonfly or other; its own version; and standalone, cluster, sentinel or other.", "server", "version", "mode"),
		policy: d.gauge("maxmemory_policy", "1 for the policy that chooses the keys to evict.", "policy"),
	}
}

func (s server) add(reading *probes.Reading, node string, fields info) {
	s.addPolicy(reading, node, fields["maxmemory_policy"])
	name, version := product(fields)
	if version == "" {
		return
	}
	mode := fields["redis_mode"]
	if mode == "" {
		mode = fields["server_mode"] // Valkey
	}
	if !slices.Contains([]string{"standalone", "cluster", "sentinel"}, mode) {
		mode = other
		reading.Overflow++
	}
	reading.Add(s.info, 1, node, name, cleanVersion(version), mode)
}

// addPolicy adds the eviction policy, folded into "other" when it is unknown.
func (s server) addPolicy(reading *probes.Reading, node, policy string) {
	if policy == "" {
		return
	}
	known := []string{
		"noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-lrm", "allkeys-random",
		"volatile-lru", "volatile-lfu", "volatile-lrm", "volatile-random", "volatile-ttl",
		"eviction", // Dragonfly
	}
	if !slices.Contains(known, policy) {
		policy = other
		reading.Overflow++
	}
	reading.Add(s.policy, 1, node, policy)
}

// product tells which server it is and its version. All say a redis_version,
// most of them the one they are compatible with.
func product(fields info) (name, version string) {
	_, isKeyDB := fields["mvcc_depth"]
	switch {
	case fields["dragonfly_version"] != "":
		return "dragonfly", strings.TrimPrefix(fields["dragonfly_version"], "df-v")
	case fields["valkey_version"] != "":
		return "valkey", fields["valkey_version"]
	case isKeyDB, strings.HasSuffix(fields["executable"], "keydb-server"):
		return "keydb", fields["redis_version"]
	case fields["kvrocks_version"] != "", fields["garnet_version"] != "":
		return other, fields["redis_version"]
	default:
		return "redis", fields["redis_version"]
	}
}

// cleanVersion makes a label value of what a server says is its version.
func cleanVersion(version string) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789.-+_"
	if len(version) > maxVersion || strings.Trim(strings.ToLower(version), letters) != "" {
		return other
	}
	return version
}
