// Package tlscert serves a certificate from files that are replaced while the
// server runs, as cert-manager and the kubelet do.
package tlscert

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A Pair is a certificate and its key on disk.
type Pair struct {
	certFile, keyFile string
	report            func(error)

	mu      sync.Mutex
	checked time.Time
	stamp   [2]stamp
	cert    *tls.Certificate
}

// stamp tells two versions of a file apart.
type stamp struct {
	size int64
	time time.Time
}

// CheckEvery is how often, at most, the files are looked at. A handshake looks
// when this time has passed since the last look.
const CheckEvery = time.Second

// Load reads dir/tls.crt and dir/tls.key, the names of a Kubernetes TLS
// Secret. Later a broken replacement is given to report and the certificate
// before it stays in use.
func Load(dir string, report func(error)) (*Pair, error) {
	p := &Pair{certFile: filepath.Join(dir, "tls.crt"), keyFile: filepath.Join(dir, "tls.key"), report: report}
	if err := p.reload(); err != nil {
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

// reload reads the files if they have changed.
func (p *Pair) reload() error {
	now, err := p.stamps()
	if err != nil || now == p.stamp {
		return err
	}
	cert, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", p.certFile, p.keyFile, err)
	}
	p.cert, p.stamp = &cert, now
	return nil
}

// GetCertificate is for tls.Config.
func (p *Pair) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.checked) >= CheckEvery {
		p.checked = now
		if err := p.reload(); err != nil {
			p.report(err)
		}
	}
	return p.cert, nil
}
