package exporter

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// writeWebConfig writes a web configuration with the certificate of a test
// server and the user prometheus with the password soak (bcrypt, cost 4).
func writeWebConfig(t *testing.T, server *httptest.Server) string {
	t.Helper()
	dir := t.TempDir()
	certificate := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}))
	write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	write("web.yml", []byte("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\nbasic_auth_users:\n  prometheus: $2a$04$FcViE6qC7e4nokxhwEdydu0HNoFS53YD75cg8kLeRswTRkTI6aCEC\n"))
	return filepath.Join(dir, "web.yml")
}
