package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
)

// clientCertificate is soakd's own certificate in two files. They are looked at
// whenever a connection is made, and read again when they have changed, so that
// a certificate that is rotated while soakd runs is used.
type clientCertificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu   sync.Mutex
	pair *tls.Certificate
	// seen is the state of both files that the pair was read from.
	seen [2]os.FileInfo
	// trouble is what was last logged as wrong with the files; "" is all well.
	trouble string
}

// newClientCertificate reads the files for the first time.
func newClientCertificate(certFile, keyFile string, log *slog.Logger) (*clientCertificate, error) {
	c := &clientCertificate{certFile: certFile, keyFile: keyFile, log: log}
	if _, err := c.follow(); err != nil {
		return nil, err
	}
	return c, nil
}

// get is tls.Config's GetClientCertificate. While the files cannot be used (half
// of a rotation, say) the last good pair is.
func (c *clientCertificate) get(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed, err := c.follow()
	trouble := ""
	if err != nil {
		trouble = err.Error()
	}
	switch {
	case changed:
		c.log.Info("the client certificate changed: new connections use it", "file", c.certFile, "not_after", c.pair.Leaf.NotAfter)
	case trouble != "" && trouble != c.trouble:
		c.log.Warn("the client certificate cannot be read again: the last good one stays in use", "file", c.certFile, "err", err)
	}
	c.trouble = trouble
	return c.pair, nil
}

// follow reads the pair when a file has changed. The state is taken before the
// content: a change in between is then seen by the next look.
func (c *clientCertificate) follow() (changed bool, err error) {
	var now [2]os.FileInfo
	for i, path := range []string{c.certFile, c.keyFile} {
		if now[i], err = os.Stat(path); err != nil {
			return false, fmt.Errorf("look at the client certificate: %w", err)
		}
	}
	if c.pair != nil && sameFile(now[0], c.seen[0]) && sameFile(now[1], c.seen[1]) {
		return false, nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return false, fmt.Errorf("read the client certificate: %w", err)
	}
	c.pair, c.seen = &pair, now
	return true, nil
}

// sameFile reports whether two looks saw the same file in the same state. A
// replaced file (a Kubernetes secret swaps a link) differs in its inode.
func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
