package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/spf13/pflag"
)

// tlsFlags say whom to trust, and who the client is.
type tlsFlags struct {
	cacert, cert, key, serverName string
	insecure                      bool
}

func addTLS(f *pflag.FlagSet) *tlsFlags {
	t := new(tlsFlags)
	f.StringVar(&t.cacert, "cacert", "", "PEM `file` of the authorities to trust, instead of the system's")
	f.BoolVar(&t.insecure, "insecure", false, "do not verify the server's certificate")
	f.StringVar(&t.serverName, "server-name", "", "`name` to verify, instead of the address's")
	f.StringVar(&t.cert, "cert", "", "PEM `file` of the client's certificate")
	f.StringVar(&t.key, "key", "", "PEM `file` of its key")
	return t
}

// given says whether any of the flags is set.
func (t *tlsFlags) given() bool { return *t != tlsFlags{} }

// config reads the files.
func (t *tlsFlags) config() (*tls.Config, error) {
	conf := &tls.Config{ServerName: t.serverName, InsecureSkipVerify: t.insecure}
	if t.cacert != "" {
		pem, err := os.ReadFile(t.cacert)
		if err != nil {
			return nil, fmt.Errorf("--cacert: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--cacert: no certificate in %s", t.cacert)
		}
	}
	if (t.cert == "") != (t.key == "") {
		return nil, fmt.Errorf("--cert and --key go together")
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
