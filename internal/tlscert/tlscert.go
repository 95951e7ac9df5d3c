// Package tlscert loads a TLS certificate from files and reloads it when they
// change, as cert-manager and the kubelet replace them while the server runs.
package tlscert

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A Pair is a certificate and its key on disk. It is safe for concurrent use.
type Pair struct {
	certFile, keyFile string
	report            func(error)

	mu      sync.Mutex
	checked time.Time // of the last look at the files
	loaded  [2]stamp  // of the files that cert was read from
	cert    *tls.Certificate
}

// stamp identifies a version of a file.
type stamp struct {
	size     int64
	modified time.Time
}

// CheckEvery is the shortest time between two looks at the files. A handshake
// looks at them when this time has passed since the last look.
const CheckEvery = time.Second

// Load reads dir/tls.crt and dir/tls.key, the names of a Kubernetes TLS
// Secret. When a later version of the files cannot be loaded, the Pair calls
// report with the error and keeps the certificate that it has.
func Load(dir string, report func(error)) (*Pair, error) {
	p := &Pair{certFile: filepath.Join(dir, "tls.crt"), keyFile: filepath.Join(dir, "tls.key"), report: report}
	if err := p.reloadLocked(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Pair) stamps() (out [2]stamp, err error) {
	for i, name := range []string{p.certFile, p.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return out, err
		}
		out[i] = stamp{info.Size(), info.ModTime()}
	}
	return out, nil
}

// reloadLocked reads the files if they have changed. The caller must hold
// p.mu, unless no other goroutine knows p yet.
func (p *Pair) reloadLocked() error {
	now, err := p.stamps()
	if err != nil || now == p.loaded {
		return err
	}
	cert, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", p.certFile, p.keyFile, err)
	}
	p.cert, p.loaded = &cert, now
	return nil
}

// GetCertificate returns the current certificate. It is a callback for
// tls.Config and never fails.
func (p *Pair) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.checked) >= CheckEvery {
		p.checked = now
		if err := p.reloadLocked(); err != nil {
			p.report(err)
		}
	}
	return p.cert, nil
}
