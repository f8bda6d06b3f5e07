// Package authorities reads the certificate authorities that somebody else than
// the system trusts: the target's and those of what is probed.
package authorities

import (
	"crypto/x509"
	"fmt"
	"os"
)

// Read reads the authorities of a PEM file.
func Read(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate: give a file of PEM blocks that begin with -----BEGIN CERTIFICATE-----", file)
	}
	return pool, nil
}
