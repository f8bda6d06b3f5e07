package redis

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"soakd/internal/probes"
)

// maxDatabases bounds the label db: the lowest numbers get their own series.
const maxDatabases = 16

// databases describes what is known of each database.
type databases struct{ keys, expiring, ttl *probes.Desc }

func describeDatabases(d describer) databases {
	return databases{
		keys:     d.gauge("keys", "Keys, by database.", "db"),
		expiring: d.gauge("expiring_keys", "Keys that have a time to live, by database.", "db"),
		ttl:      d.gauge("average_ttl_seconds", "The server's estimate of the mean time that keys with a time to live have left, by database; absent where there is none.", "db"),
	}
}

// keyspace is one line db0:keys=1,expires=2,avg_ttl=3.
type keyspace struct {
	keys, expires float64
	// ttl is the mean time to live in seconds, 0 when it is not known.
	ttl float64
}

// parseKeyspace parses the value of a dbN field; parts it does not know, which
// newer servers and others add, are left out.
func parseKeyspace(text string) (keyspace, error) {
	found, err := parseParts(text)
	if err != nil {
		return keyspace{}, err
	}
	keys, err := found.count("keys")
	if err != nil {
		return keyspace{}, err
	}
	expires, err := found.count("expires")
	if err != nil {
		return keyspace{}, err
	}
	ttl, _, err := found.number("avg_ttl")
	if err != nil {
		return keyspace{}, err
	}
	return keyspace{keys: keys, expires: expires, ttl: max(0, ttl/milliseconds)}, nil
}

// add adds the keys of each database.
func (d databases) add(reading *probes.Reading, node string, fields info) error {
	found := map[int]keyspace{}
	var errs []error
	for rest, text := range fields.withPrefix("db") {
		number, ok := databaseNumber(rest)
		if !ok {
			continue
		}
		space, err := parseKeyspace(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("INFO: db%s: %w", rest, err))
			space = keyspace{keys: math.NaN(), expires: math.NaN()} // no values, also in a sum
		}
		found[number] = space
	}
	d.addAll(reading, node, found)
	return joinSome(errs)
}

func (d databases) addAll(reading *probes.Reading, node string, found map[int]keyspace) {
	numbers := make([]int, 0, len(found))
	for number := range found {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	var rest keyspace
	for i, number := range numbers {
		space := found[number]
		if i >= maxDatabases {
			rest.keys, rest.expires = rest.keys+space.keys, rest.expires+space.expires
			reading.Overflow++
			continue
		}
		d.addOne(reading, node, strconv.Itoa(number), space)
	}
	if len(numbers) > maxDatabases {
		d.addOne(reading, node, other, rest)
	}
}

func (d databases) addOne(reading *probes.Reading, node, db string, space keyspace) {
	reading.Add(d.keys, space.keys, node, db)
	reading.Add(d.expiring, space.expires, node, db)
	if space.ttl > 0 {
		reading.Add(d.ttl, space.ttl, node, db)
	}
}

// databaseNumber returns N of the field dbN, whose name after db it is given.
// A server writes it without leading zeros.
func databaseNumber(digits string) (int, bool) {
	if digits == "" || strings.Trim(digits, "0123456789") != "" || digits[0] == '0' && digits != "0" {
		return 0, false
	}
	number, err := strconv.Atoi(digits)
	return number, err == nil
}
