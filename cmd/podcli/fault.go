package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
)

func faultCommand() *command {
	return group("fault", "Check, simulate and manage rules that delay and break requests.", func() []*command {
		return []*command{faultList(), faultApply(), faultRemove(), faultPause(), faultResume(), faultWatch(), faultCheck(), faultSimulate()}
	})
}

// faultAPI is a client of the faults API on a server's metrics port.
type faultAPI struct {
	server, token, tokenFile string
	timeout                  time.Duration
	tls                      *tlsFlags

	*faultclient.Client // nil before open
}

func addFaultAPI(f *pflag.FlagSet) *faultAPI {
	a := new(faultAPI)
	f.StringVar(&a.server, "server", "localhost:9797", "`address` of the server's metrics port")
	f.StringVar(&a.tokenFile, "token-file", "", "`file` with the bearer token of the faults API")
	f.StringVar(&a.token, "token", "", "the token itself; other users can see it in the process list")
	f.DurationVar(&a.timeout, "timeout", 5*time.Second, "time limit of each request")
	a.tls = addTLS(f)
	addSelector(f)
	return a
}

// command sets the action of c to run, after evaluating the flags of the API.
func (a *faultAPI) command(c *command, run func(ctx context.Context, args []string) error) *command {
	c.do = func(ctx context.Context, args []string) error {
		err := usage(a.open())
		if err == nil {
			err = run(ctx, args)
		}
		return c.finish(err)
	}
	return c
}

// finish prints the mistakes in err and returns other errors with the command's
// path in front.
func (c *command) finish(err error) error {
	if err = printMistakes(err); err == nil || errors.Is(err, errFailed) {
		return err
	}
	return c.errorf("%w", err)
}

// open evaluates the flags.
func (a *faultAPI) open() error {
	if a.timeout <= 0 {
		return errors.New("--timeout must be above 0")
	}
	base, err := parseURL(a.server, "http", "https")
	if err != nil {
		return err
	}
	if a.token != "" && a.tokenFile != "" {
		return errors.New("--token and --token-file cannot be combined")
	}
	if a.tokenFile != "" {
		if a.token, err = faultclient.ReadToken(a.tokenFile); err != nil {
			return err
		}
	}
	conf, err := a.tls.config()
	if err != nil {
		return err
	}
	a.Client = &faultclient.Client{
		Base: base, Name: base.Redacted(), Token: a.token, TokenHint: "--token-file", UserAgent: "podcli/" + release, Timeout: a.timeout,
		HTTP: &http.Client{
			// Do not follow redirects: a redirected PUT would become a GET.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, ForceAttemptHTTP2: true},
		},
	}
	return nil
}
