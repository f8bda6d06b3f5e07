package postgres

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// defaultUser is the role of an address that names none: the one that
// deploy/postgres-role.sql makes. The driver would take the name of the
// operating system's user, which differs from machine to machine.
const defaultUser = "soakd"

// stray are the environment variables that the driver reads besides the
// address, with the parameter that each sets and its value without them. A
// variable that was set for psql must not send the probe elsewhere or lend it a
// password. Not here are those that only name files and are taken: PGPASSFILE,
// PGSERVICEFILE, PGSSLROOTCERT, PGSSLCERT and PGSSLKEY.
func stray() [][3]string {
	return [][3]string{
		{"PGHOST", "host", ""},
		{"PGPORT", "port", ""},
		{"PGDATABASE", "dbname", ""},
		{"PGPASSWORD", "password", ""},
		{"PGCONNECT_TIMEOUT", "connect_timeout", "0"},
		{"PGSSLMODE", "sslmode", "prefer"},
		{"PGSSLCERTMODE", "sslcertmode", "allow"},
		{"PGSSLSNI", "sslsni", "1"},
		{"PGSSLPASSWORD", "sslpassword", ""},
		{"PGSSLNEGOTIATION", "sslnegotiation", "postgres"},
		{"PGTARGETSESSIONATTRS", "target_session_attrs", "any"},
		{"PGTZ", "timezone", "UTC"},
		{"PGOPTIONS", "options", ""},
		{"PGMINPROTOCOLVERSION", "min_protocol_version", "3.0"},
		{"PGMAXPROTOCOLVERSION", "max_protocol_version", "3.0"},
		{"PGCHANNELBINDING", "channel_binding", "prefer"},
		{"PGREQUIREAUTH", "require_auth", ""},
	}
}

var (
	addressURL     = regexp.MustCompile(`^postgres(?:ql)?://`)
	serviceInDSN   = regexp.MustCompile(`(?:^|\s)service\s*=`)
	serviceInQuery = regexp.MustCompile(`[?&]service=`)
)

// withoutEnvironment returns address with all that the environment would bring
// into it set to its default, and with a user.
func withoutEnvironment(address string) (string, error) {
	isURL := addressURL.MatchString(address)
	service := isURL && serviceInQuery.MatchString(address) || !isURL && serviceInDSN.MatchString(address)
	if os.Getenv("PGSERVICE") != "" && !service {
		return "", errors.New("the environment has PGSERVICE, which is not used: unset it, or name the service in the address (service=NAME)")
	}
	var defaults [][2]string
	for _, entry := range stray() {
		if _, set := os.LookupEnv(entry[0]); !set {
			continue
		}
		if service {
			// A default in the address would win over the service's own value.
			return "", fmt.Errorf("the environment has %s, which would add to the service: unset it", entry[0])
		}
		defaults = append(defaults, [2]string{entry[1], entry[2]})
	}
	if !service {
		defaults = append(defaults, [2]string{"user", defaultUser})
	}
	if isURL {
		return urlWith(address, defaults), nil
	}
	return dsnWith(address, defaults), nil
}

// dsnWith puts defaults before the address's own parameters: the last one wins.
func dsnWith(address string, defaults [][2]string) string {
	var text strings.Builder
	for _, entry := range defaults {
		fmt.Fprintf(&text, "%s='%s' ", entry[0], entry[1])
	}
	return text.String() + address
}

// urlWith puts defaults before the query's parameters, of which the last one
// wins. But the query wins over what stands before it, so what stands there
// gets no default.
func urlWith(address string, defaults [][2]string) string {
	scheme := addressURL.FindString(address)
	start := len(scheme)
	if i := strings.IndexAny(address[start:], "@/"); i >= 0 && address[start+i] == '@' {
		start += i // a password may hold a question mark
	}
	before, query, hasQuery := strings.Cut(address[start:], "?")
	before = address[:start] + before
	given := partsOf(before[len(scheme):])
	var parameters []string
	for _, entry := range defaults {
		if !given[entry[0]] {
			parameters = append(parameters, entry[0]+"="+entry[1])
		}
	}
	if hasQuery && query != "" {
		parameters = append(parameters, query)
	}
	if len(parameters) == 0 {
		return address
	}
	return before + "?" + strings.Join(parameters, "&")
}

// partsOf tells which parameters user:password@host:port/dbname gives. As in
// the driver the first @ before a slash ends the credentials.
func partsOf(text string) map[string]bool {
	given := map[string]bool{}
	if i := strings.IndexAny(text, "@/"); i >= 0 && text[i] == '@' {
		user, password, _ := strings.Cut(text[:i], ":")
		given["user"], given["password"] = user != "", password != ""
		text = text[i+1:]
	}
	hosts, database, _ := strings.Cut(text, "/")
	given["dbname"] = database != ""
	// In brackets is an IPv6 address with colons of its own.
	_, afterBrackets, bracketed := strings.Cut(hosts, "]")
	if !bracketed {
		afterBrackets = hosts
	}
	given["host"] = hosts != "" && !strings.HasPrefix(hosts, ":")
	given["port"] = strings.ContainsAny(afterBrackets, ":,")
	return given
}
