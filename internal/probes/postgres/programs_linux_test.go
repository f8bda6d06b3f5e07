package postgres

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"soakd/internal/localservices"
	"soakd/internal/secret"
)

// binFolder is the folder of the server's programs.
func binFolder(t *testing.T, server *localservices.Postgres) string {
	t.Helper()
	_, bin, ok := strings.Cut(server.Kind(), " from ")
	if !ok {
		t.Fatalf("no folder in %q", server.Kind())
	}
	return bin
}

// ownerOf is the user that the server runs as.
func ownerOf(t *testing.T, server *localservices.Postgres) (uid, gid uint32) {
	t.Helper()
	info, err := os.Stat(fmt.Sprintf("/proc/%d", server.PID()))
	must(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	return stat.Uid, stat.Gid
}

// folder makes a folder that the server's user can enter and own, gone with the test.
func folder(t *testing.T, server *localservices.Postgres) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "soakd-test-") //nolint:usetesting // the server's user cannot enter the parent of t.TempDir
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	give(t, server, dir)
	return dir
}

// give makes the server's user the owner of a file.
func give(t *testing.T, server *localservices.Postgres, path string) {
	t.Helper()
	uid, gid := ownerOf(t, server)
	must(t, os.Chown(path, int(uid), int(gid)))
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// freePort is one that stays free for the moment it takes to use it.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	must(t, err)
	must(t, listener.Close())
	return port
}

// output gathers what a program says.
type output struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.String()
}

// startPgBouncer runs a PgBouncer of that pool mode in front of server and
// returns the address of the monitoring role through it.
func startPgBouncer(t *testing.T, server *localservices.Postgres, mode string, settings ...string) secret.String {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer"
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatal("this test needs PgBouncer; on Debian: apt-get install pgbouncer, or scripts/test-deps.sh")
	}
	address, err := url.Parse(server.MonitorURL().Value())
	must(t, err)
	password, _ := address.User.Password()
	dir, port := folder(t, server), freePort(t)
	users := write(t, filepath.Join(dir, "users"), fmt.Sprintf("%q %q\n", address.User.Username(), password))
	config := write(t, filepath.Join(dir, "pgbouncer.ini"), fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %s\n"+
		"unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = %s\npool_mode = %s\ndefault_pool_size = 4\n%s\n", address.Port(), port, users, mode, strings.Join(settings, "\n")))
	give(t, server, users)
	give(t, server, config)
	said := &output{}
	cmd := exec.Command(program, config)
	uid, gid := ownerOf(t, server)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = said, said, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if int(uid) != os.Getuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("output of PgBouncer:\n%s", said)
		}
	})
	address.Host = "127.0.0.1:" + port
	wait(t, "PgBouncer to serve", func() string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, address.String())
		if err != nil {
			return fmt.Sprintf("%v\n%s", err, said)
		}
		_ = conn.Close(ctx)
		return ""
	})
	return secret.New(address.String())
}

// authority makes certificates.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// file holds the authority's own certificate.
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	a := &authority{dir: t.TempDir(), cert: cert, key: key}
	a.file = write(t, filepath.Join(a.dir, "ca.crt"), pemOf("CERTIFICATE", der))
	return a
}

// issue makes a certificate for the name, which is that of a host or of a role.
func (a *authority) issue(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	must(t, err)
	keyDER, err := x509.MarshalECPrivateKey(private)
	must(t, err)
	return write(t, filepath.Join(a.dir, name+".crt"), pemOf("CERTIFICATE", der)), write(t, filepath.Join(a.dir, name+".key"), pemOf("EC PRIVATE KEY", keyDER))
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}
