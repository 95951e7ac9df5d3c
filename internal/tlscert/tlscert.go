// Package tlscert makes the TLS configuration of a server from files, and reloads
// the files when they change.
package tlscert

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-4591fe7d/podinfo/internal/reload"
)

// Config returns the configuration of a server with the certificate in dir/tls.crt
// and the key in dir/tls.key, the names of a Kubernetes TLS Secret. With clientCA,
// a PEM file of certificate authorities, clients must present a certificate that
// one of them signed. protocols are what the server offers by ALPN in that case.
//
// All files are reloaded when they change. When a later version of them cannot be
// loaded, the configuration calls report with the error and keeps what it has.
func Config(dir, clientCA string, report func(error), protocols ...string) (*tls.Config, error) {
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	pair, err := reload.Load(func() (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", certFile, keyFile, err)
		}
		return &cert, nil
	}, report, certFile, keyFile)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.Get(), nil },
		MinVersion:     tls.VersionTLS12,
	}
	if clientCA == "" {
		return conf, nil
	}
	mutual, err := reload.Load(func() (*tls.Config, error) {
		pool, err := readPool(clientCA)
		if err != nil {
			return nil, err
		}
		c := conf.Clone()
		c.ClientCAs, c.ClientAuth, c.NextProtos = pool, tls.RequireAndVerifyClientCert, protocols
		return c, nil
	}, report, clientCA)
	if err != nil {
		return nil, err
	}
	out := mutual.Get().Clone()
	out.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return mutual.Get(), nil }
	return out, nil
}

// readPool reads certificate authorities.
func readPool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s contains no PEM certificate", file)
	}
	return pool, nil
}
