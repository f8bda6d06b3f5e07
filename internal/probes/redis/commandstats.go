package redis

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"soakd/internal/probes"
)

const (
	// maxCommands bounds SOAKD_REDIS_COMMANDS, each of which has up to four series
	// a node.
	maxCommands = 50
	// defaultCommands are the commands of caches, counters, queues and streams, and
	// those of soakd itself.
	defaultCommands = "get,set,mget,mset,setex,del,unlink,exists,expire,ttl,incr,incrby,decr,hget,hset,hmget,hgetall,hdel," +
		"lpush,rpush,lpop,rpop,lrange,blpop,brpop,sadd,srem,smembers,zadd,zrem,zrange,xadd,xread,xreadgroup,xack," +
		"publish,eval,evalsha,multi,exec,scan,info,ping"
)

// validateCommands checks SOAKD_REDIS_COMMANDS.
func validateCommands(commands []string) error {
	const variable = "SOAKD_REDIS_COMMANDS"
	var errs []error
	if len(commands) > maxCommands {
		errs = append(errs, fmt.Errorf("%s: %d commands; want at most %d", variable, len(commands), maxCommands))
	}
	for i, command := range commands {
		switch {
		case command == "" || len(command) > 64 || strings.Trim(command, "abcdefghijklmnopqrstuvwxyz0123456789_.-|") != "":
			errs = append(errs, fmt.Errorf("%s: %.70q is not the name of a command in lower case, as hget or config|get", variable, command))
		case command == other:
			errs = append(errs, fmt.Errorf("%s: %q is the name for all that are not listed", variable, command))
		case slices.Contains(commands[:i], command):
			errs = append(errs, fmt.Errorf("%s: %q is there twice", variable, command))
		}
		if len(errs) >= maxErrors {
			break
		}
	}
	return errors.Join(errs...)
}

// commands describes what is known of each command and remembers which ones
// have series of their own.
type commands struct {
	calls, seconds, rejected, failed *probes.Desc
	own                              map[string]bool
}

func describeCommands(d describer) commands {
	const which = ", by command of SOAKD_REDIS_COMMANDS; all others are other."
	return commands{
		calls:    d.counter("command_calls_total", "Calls that were run"+which, "command"),
		seconds:  d.counter("command_seconds_total", "Time that the commands ran"+which, "command"),
		rejected: d.counter("command_rejected_calls_total", "Calls refused before they were run, as for a missing right or too many arguments"+which, "command"),
		failed:   d.counter("command_failed_calls_total", "Calls that were run and ended with an error"+which, "command"),
	}
}

// watch sets the commands that have series of their own.
func (c *commands) watch(names []string) {
	c.own = make(map[string]bool, len(names))
	for _, name := range names {
		c.own[name] = true
	}
}

// label returns the label of a command as INFO names it, where a subcommand is
// config|get: itself or its command if listed, else other.
func (c *commands) label(name string) string {
	name = strings.ToLower(name)
	command, _, _ := strings.Cut(name, "|")
	switch {
	case c.own[name]:
		return name
	case c.own[command]:
		return command
	default:
		return other
	}
}

// commandStat is one line
// cmdstat_get:calls=26,usec=9,usec_per_call=0.35,rejected_calls=0,failed_calls=1.
type commandStat struct {
	calls, seconds, rejected, failed float64
	// complete tells that the server counts rejected and failed calls: Redis from
	// 6.2.
	complete bool
}

func parseCommandStat(text string) (stat commandStat, err error) {
	found, err := parseParts(text)
	if err != nil {
		return stat, err
	}
	var errs [4]error
	stat.calls, errs[0] = found.count("calls")
	stat.seconds, errs[1] = found.count("usec")
	stat.seconds /= microseconds
	_, hasRejected := found["rejected_calls"]
	_, hasFailed := found["failed_calls"]
	if stat.complete = hasRejected && hasFailed; stat.complete {
		stat.rejected, errs[2] = found.count("rejected_calls")
		stat.failed, errs[3] = found.count("failed_calls")
	}
	return stat, errors.Join(errs[:]...)
}

func (s commandStat) plus(t commandStat) commandStat {
	return commandStat{
		calls: s.calls + t.calls, seconds: s.seconds + t.seconds, rejected: s.rejected + t.rejected,
		failed: s.failed + t.failed, complete: s.complete || t.complete,
	}
}

// add adds the calls of each command.
func (c *commands) add(reading *probes.Reading, node string, fields info) error {
	stats, broken := map[string]commandStat{}, map[string]bool{}
	var errs []error
	for name, text := range fields.withPrefix("cmdstat_") {
		label := c.label(name)
		stat, err := parseCommandStat(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("INFO: cmdstat_%.60s: %w", name, err))
			broken[label] = true
			continue
		}
		if label == other {
			reading.Overflow++
		}
		stats[label] = stats[label].plus(stat)
	}
	for _, label := range slices.Sorted(maps.Keys(stats)) {
		if broken[label] {
			continue // a sum that lacks a part would look like a reset
		}
		stat := stats[label]
		reading.Add(c.calls, stat.calls, node, label)
		reading.Add(c.seconds, stat.seconds, node, label)
		if stat.complete {
			reading.Add(c.rejected, stat.rejected, node, label)
			reading.Add(c.failed, stat.failed, node, label)
		}
	}
	return joinSome(errs)
}
