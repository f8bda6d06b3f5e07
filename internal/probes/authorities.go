package probes

import (
	"crypto/x509"
	"fmt"
	"os"
)

// ReadAuthorities reads the certificate authorities of a PEM file.
func ReadAuthorities(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return roots, nil
}
