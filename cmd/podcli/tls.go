package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/spf13/pflag"
)

// tlsFlags are the flags for the TLS configuration of a client.
type tlsFlags struct {
	cacert, cert, key, serverName string
	insecure                      bool
}

func addTLS(f *pflag.FlagSet) *tlsFlags {
	t := new(tlsFlags)
	f.StringVar(&t.cacert, "cacert", "", "PEM `file` of trusted certificate authorities (default: the system's)")
	f.BoolVar(&t.insecure, "insecure", false, "do not verify the server's certificate")
	f.StringVar(&t.serverName, "server-name", "", "`name` to verify in the server's certificate (default: the host of the address)")
	f.StringVar(&t.cert, "cert", "", "PEM `file` of the client certificate")
	f.StringVar(&t.key, "key", "", "PEM `file` of the client certificate's key")
	return t
}

// given reports whether any of the flags is set.
func (t *tlsFlags) given() bool { return *t != tlsFlags{} }

// config returns the TLS configuration and reads the files for it.
func (t *tlsFlags) config() (*tls.Config, error) {
	conf := &tls.Config{ServerName: t.serverName, InsecureSkipVerify: t.insecure}
	if t.cacert != "" {
		pem, err := os.ReadFile(t.cacert)
		if err != nil {
			return nil, fmt.Errorf("--cacert: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--cacert: %s contains no PEM certificate", t.cacert)
		}
	}
	if (t.cert == "") != (t.key == "") {
		return nil, fmt.Errorf("--cert and --key must be given together")
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, fmt.Errorf("--cert: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}
