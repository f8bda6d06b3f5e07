package postgres

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"soakd/internal/localservices"
	"soakd/internal/probes"
	"soakd/internal/probes/probetest"
	"soakd/internal/secret"
)

// TestWaysToConnect tries what an address can ask for on one server that has
// TLS and a socket.
func TestWaysToConnect(t *testing.T) {
	sockets, err := os.MkdirTemp("", "soakd-socket-") //nolint:usetesting // the path of a socket is limited to about 100 bytes
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	must(t, os.Chmod(sockets, 0o777)) //nolint:gosec // the server's user makes its socket there
	server, err := localservices.StartPostgres(t.Context(), localservices.Options{Mode: localservices.System, Settings: map[string]string{"unix_socket_directories": sockets}})
	must(t, err)
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Run("no TLS", func(t *testing.T) { testNoTLS(t, server) })
	t.Run("TLS", func(t *testing.T) { testTLS(t, server) })
	t.Run("files", func(t *testing.T) { testFiles(t, server, sockets) })
}

// address is a DSN of the monitoring role over loopback with more parameters,
// of which the last of a name wins.
func address(t *testing.T, server *localservices.Postgres, more string) secret.String {
	t.Helper()
	parsed, err := url.Parse(server.MonitorURL().Value())
	must(t, err)
	password, _ := parsed.User.Password()
	return secret.New(fmt.Sprintf("host=127.0.0.1 port=%s user=%s password=%s dbname=app %s", parsed.Port(), parsed.User.Username(), password, more))
}

// tryAddress polls once and returns the reason, or "tls" or "plain" as the
// session is.
func tryAddress(t *testing.T, at secret.String) string {
	t.Helper()
	opened := open(t, at, nil).(*probe)
	if _, err := probetest.Poll(t, opened, 5*time.Second); err != nil {
		return fmt.Sprintf("%s: %v", probes.ReasonOf(err), err)
	}
	var encrypted bool
	must(t, opened.pool.QueryRow(t.Context(), "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)").Scan(&encrypted))
	if encrypted {
		return "encrypted"
	}
	return "plain"
}

func testNoTLS(t *testing.T, server *localservices.Postgres) {
	for mode, want := range map[string]string{
		"sslmode=disable": "plain", "sslmode=allow": "plain", "sslmode=prefer": "plain", "": "plain", "sslmode=require": "tls: ", "sslmode=verify-full": "tls: ",
		"sslmode=prefer password=wrong": "auth: ", "sslmode=disable channel_binding=require": "auth: ", "dbname=nowhere": "missing: ",
	} {
		if got := tryAddress(t, address(t, server, mode)); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", mode, got, want)
		}
	}
}

func testTLS(t *testing.T, server *localservices.Postgres) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	admin := connect(t, server.AdminURL(), "admin")
	run(t, admin, "CREATE ROLE by_certificate LOGIN; GRANT pg_monitor TO by_certificate; CREATE ROLE over_tls LOGIN PASSWORD 'pw'; GRANT pg_monitor TO over_tls")
	cert, key := ours.issue(t, "localhost")
	enableTLS(t, server, ours, cert, key)

	clientCert, clientKey := ours.issue(t, "by_certificate")
	strange, strangeKey := theirs.issue(t, "by_certificate")
	for more, want := range map[string]string{
		"sslmode=disable": "plain",
		"sslmode=allow":   "plain",
		"sslmode=prefer":  "encrypted",
		"":                "encrypted",
		"sslmode=require": "encrypted",
		"sslmode=require channel_binding=require":                                                        "encrypted", // SCRAM-SHA-256-PLUS
		"sslmode=require sslrootcert=" + theirs.file:                                                     "tls: ",     // with a root it verifies, as in libpq
		"sslmode=verify-ca sslrootcert=" + ours.file:                                                     "encrypted",
		"sslmode=verify-ca sslrootcert=" + theirs.file:                                                   "tls: ",
		"sslmode=verify-full sslrootcert=" + ours.file:                                                   "tls: ", // the certificate is for localhost
		"host=localhost sslmode=verify-full sslrootcert=" + ours.file:                                    "encrypted",
		"user=over_tls password=pw sslmode=disable":                                                      "auth: ",
		"user=over_tls password=pw sslmode=allow":                                                        "encrypted",
		"user=by_certificate password='' sslmode=require sslcert=" + clientCert + " sslkey=" + clientKey: "encrypted",
		"user=by_certificate password='' sslmode=require":                                                "auth: ",
		"user=by_certificate password='' sslmode=require sslcert=" + strange + " sslkey=" + strangeKey:   "auth: ", // one of an authority that the server does not name is not sent
	} {
		if got := tryAddress(t, address(t, server, more)); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", more, got, want)
		}
	}
}

// enableTLS gives the running server a certificate, and rules that let one role
// in by certificate and one over TLS only.
func enableTLS(t *testing.T, server *localservices.Postgres, ca *authority, cert, key string) {
	t.Helper()
	admin := connect(t, server.AdminURL(), "admin")
	var data, sslOn string
	must(t, admin.QueryRow(t.Context(), "SHOW data_directory").Scan(&data))
	for name, text := range map[string]string{
		"server.crt": read(t, cert), "server.key": read(t, key), "root.crt": read(t, ca.file),
		"pg_hba.conf": "hostssl all by_certificate 127.0.0.1/32 cert\nhostnossl all over_tls 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 scram-sha-256\nlocal all all scram-sha-256\n",
	} {
		give(t, server, write(t, filepath.Join(data, name), text))
	}
	run(t, admin, "ALTER SYSTEM SET ssl_ca_file = 'root.crt'")
	run(t, admin, "ALTER SYSTEM SET ssl = on")
	run(t, admin, "SELECT pg_reload_conf()")
	wait(t, "TLS to be on", func() string {
		must(t, admin.QueryRow(t.Context(), "SHOW ssl").Scan(&sslOn))
		if sslOn != "on" {
			return sslOn
		}
		return ""
	})
}

func testFiles(t *testing.T, server *localservices.Postgres, sockets string) {
	parsed, err := url.Parse(server.MonitorURL().Value())
	must(t, err)
	password, _ := parsed.User.Password()
	port, dir := parsed.Port(), t.TempDir()
	passfile := write(t, filepath.Join(dir, "pass"), "127.0.0.1:"+port+":app:soakd_monitor:"+password+"\nlocalhost:*:*:soakd_monitor:"+password+"\n")
	services := write(t, filepath.Join(dir, "services"), fmt.Sprintf("[watched]\nhost=127.0.0.1\nport=%s\nuser=soakd_monitor\ndbname=app\npassword=%s\n", port, password))
	for at, want := range map[string]string{
		"host=" + sockets + " port=" + port + " user=soakd_monitor dbname=app password=" + password:                            "plain",
		"postgres://soakd_monitor:" + password + "@/app?host=" + sockets + "&port=" + port:                                     "plain",
		"postgres://soakd_monitor:" + password + "@" + url.PathEscape(sockets) + ":" + port + "/app":                           "plain",
		"host=" + sockets + " port=" + port + " user=soakd_monitor dbname=app passfile=" + passfile:                            "plain",
		"host=/no/such/folder port=" + port + " user=soakd_monitor dbname=app":                                                 "connect: ",
		"postgres://soakd_monitor@127.0.0.1:" + port + "/app?sslmode=disable&passfile=" + url.QueryEscape(passfile):            "plain",
		"postgres://soakd_monitor@127.0.0.1:" + port + "/app?sslmode=disable&passfile=" + url.QueryEscape(passfile+".missing"): "auth: ",
		"service=watched sslmode=disable servicefile=" + services:                                                              "plain",
	} {
		if got := tryAddress(t, secret.New(at)); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", strings.ReplaceAll(at, password, "..."), got, want)
		}
	}
	t.Run("named by the environment", func(t *testing.T) {
		t.Setenv("PGPASSFILE", passfile)
		t.Setenv("PGSERVICEFILE", services)
		for _, at := range []string{"postgres://soakd_monitor@127.0.0.1:" + port + "/app?sslmode=disable", "service=watched sslmode=disable"} {
			if got := tryAddress(t, secret.New(at)); got != "plain" {
				t.Errorf("%s: %s", at, got)
			}
		}
	})
}

// TestStrayEnvironment: what was set for psql does not reach the probe.
func TestStrayEnvironment(t *testing.T) {
	for _, entry := range stray() {
		t.Setenv(entry[0], "999999")
	}
	t.Setenv("PGUSER", "postgres")
	for at, want := range map[string]string{
		"postgres://me:pw@db.example:6000/cashflow":        "db.example:6000/cashflow as me pw",
		"postgres://me:p?w@db.example/cashflow":            "db.example:5432/cashflow as me p?w",
		"postgres://me@[::1]/?sslmode=disable":             "[::1]:5432/ as me ",
		"postgres://db.example/x?user=you&password=secret": "db.example:5432/x as you secret",
		"postgres://a,b:7000/x":                            "a:5432,b:7000/x as soakd ",
		"host=db.example dbname=x password='a b'":          "db.example:5432/x as soakd a b",
	} {
		config, err := poolOf(secret.New(at), limits{connections: 1, statement: time.Second})
		if err != nil {
			t.Errorf("%s: %v", at, err)
			continue
		}
		conn := config.ConnConfig
		if got := summary(conn) + " " + conn.Password; got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
		if conn.RuntimeParams["options"] != "" || conn.ConnectTimeout != connectTimeout || conn.ChannelBinding != "prefer" {
			t.Errorf("%s: %v, %v, %s", at, conn.RuntimeParams, conn.ConnectTimeout, conn.ChannelBinding)
		}
	}
	if _, err := poolOf(secret.New("service=x"), limits{}); err == nil || !strings.Contains(err.Error(), "unset it") {
		t.Errorf("a service: %v", err)
	}
	t.Setenv("PGSERVICE", "x")
	if _, err := poolOf(secret.New("host=h"), limits{}); err == nil || !strings.Contains(err.Error(), "PGSERVICE") {
		t.Errorf("a service of the environment: %v", err)
	}
}
