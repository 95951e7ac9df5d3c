package tcpproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/internal/serve"
)

// proxy is one service with the port for it. m.mu guards its fields.
type proxy struct {
	m              *Module
	name, upstream string
	listen         string // address to listen on; after that, the one that was opened
	enabled        bool
	listener       net.Listener // nil while the port is closed
	downBy         string       // rule that closed the port
	failed         bool         // the last attempt to open the port failed
	toxics         []*toxic     // of the API, in the order of their creation

	accepted, refused *metrics.Counter
	bytes             [2]*metrics.Counter // in, out
}

func (m *Module) newProxy(name, listen, upstream string) *proxy {
	p := &proxy{m: m, name: name, listen: listen, upstream: upstream}
	p.count()
	return p
}

// enable opens the port unless a rule says otherwise.
func (p *proxy) enable(ctx context.Context) error {
	p.enabled = true
	err := p.apply(ctx)
	if err != nil {
		p.enabled = false
	}
	return err
}

// disable closes the port and the connections through it.
func (p *proxy) disable() {
	p.enabled = false
	p.shut()
	p.cut()
}

// apply opens or closes the port as the rules say.
func (p *proxy) apply(ctx context.Context) error {
	by := ""
	if p.m.ruled() {
		by = p.m.rules.Engine().Down(p.name)
	}
	if by != "" && by != p.downBy && p.enabled {
		p.m.rules.CountHit(by, "down")
	}
	p.downBy = by
	if by != "" {
		p.shut()
		p.cut()
		return nil
	}
	if !p.enabled || p.listener != nil || p.m.gone.Started() {
		return nil
	}
	err := p.open(ctx)
	if log := p.m.host.Log.WithField("proxy", p.name); err != nil && !p.failed {
		log.WithError(err).Warn("the port of a TCP proxy is closed, as it could not be opened")
	} else if err == nil {
		log.WithField("addr", p.listen).WithField("target", p.upstream).Info("Starting TCP proxy.")
	}
	p.failed = err != nil
	return err
}

func (p *proxy) open(ctx context.Context) error {
	host, text, err := net.SplitHostPort(p.listen)
	if err != nil {
		return fmt.Errorf("listen tcp: %w", err)
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", text)
	if err != nil {
		return fmt.Errorf("listen tcp: %w", err)
	}
	l, err := serve.Listen(ctx, host, port, jsonlog.AcceptFailed(p.m.host.Log))
	if err != nil {
		return err
	}
	p.listener, p.listen = l, l.Addr().String()
	p.m.host.Go(func(ctx context.Context) { p.serve(ctx, l) })
	return nil
}

// shut closes the port.
func (p *proxy) shut() {
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
}

// cut closes the connections through the proxy.
func (p *proxy) cut() {
	for c := range p.m.conns {
		if c.proxy == p {
			c.close(false)
		}
	}
}

// serve accepts connections until the port is closed.
func (p *proxy) serve(ctx context.Context, l net.Listener) {
	for pause := time.Duration(0); ; {
		client, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // too many open files, for example
			pause = min(2*pause+5*time.Millisecond, time.Second)
			p.m.host.Log.WithField("proxy", p.name).WithError(err).Warn("cannot accept a connection; trying again")
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			continue
		}
		pause = 0
		p.start(client, func() bool { return p.listener == l })
	}
}

// start handles a connection, unless the port is not the same any more.
func (p *proxy) start(client net.Conn, same func() bool) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if !same() {
		client.Close()
		return
	}
	p.accepted.Inc()
	c := newConn(p, client)
	p.m.conns[c] = struct{}{}
	p.m.host.Go(func(context.Context) {
		c.run()
		p.m.mu.Lock()
		delete(p.m.conns, c)
		p.m.gone.Left(len(p.m.conns))
		p.m.mu.Unlock()
		if p.m.OnClose != nil {
			p.m.OnClose(c.record())
		}
	})
}
