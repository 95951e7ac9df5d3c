package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// maxFaults is the longest accepted response of the faults API in bytes. It is
// enough for the largest scenario, 1 MiB, with its counters.
const maxFaults = 64 << 20

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

	client *http.Client
	base   *url.URL
}

func addFaultAPI(f *pflag.FlagSet) *faultAPI {
	a := new(faultAPI)
	f.StringVar(&a.server, "server", "localhost:9797", "`address` of the server's metrics port")
	f.StringVar(&a.tokenFile, "token-file", "", "`file` with the bearer token of the faults API")
	f.StringVar(&a.token, "token", "", "the token itself; other users can see it in the process list")
	f.DurationVar(&a.timeout, "timeout", 5*time.Second, "time limit of each request")
	a.tls = addTLS(f)
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
func (a *faultAPI) open() (err error) {
	if a.timeout <= 0 {
		return errors.New("--timeout must be above 0")
	}
	if a.base, err = parseURL(a.server, "http", "https"); err != nil {
		return err
	}
	if a.token != "" && a.tokenFile != "" {
		return errors.New("--token and --token-file cannot be combined")
	}
	if a.tokenFile != "" {
		b, err := os.ReadFile(a.tokenFile)
		if err != nil {
			return fmt.Errorf("--token-file: %w", err)
		}
		if a.token = strings.TrimSpace(string(b)); a.token == "" {
			return fmt.Errorf("--token-file: %s is empty", a.tokenFile)
		}
	}
	conf, err := a.tls.config()
	if err != nil {
		return err
	}
	a.client = &http.Client{
		// Do not follow redirects: a redirected PUT would become a GET.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, ForceAttemptHTTP2: true},
	}
	return nil
}

// faultRules is the response of the API: the rules and their counters.
type faultRules struct {
	ETag   string       `json:"etag"` // without its quotes
	Paused bool         `json:"paused"`
	Held   int          `json:"held"`
	Seed   *uint64      `json:"seed,omitempty"`
	Rules  []faultState `json:"rules"`

	Warnings []string `json:"warnings,omitempty"` // of the change
}

// faultState is a rule with its counters. The rule is kept as JSON, because the
// server may have another version.
type faultState struct {
	Rule    json.RawMessage `json:"rule"`
	Seen    uint64          `json:"seen"`
	Hits    uint64          `json:"hits"`
	Keys    int             `json:"keys,omitempty"`
	Expires *time.Time      `json:"expires,omitempty"`
	Ended   bool            `json:"ended,omitempty"`

	name string
}

// errChanged means that the server's rules no longer have the expected etag.
var errChanged = errors.New("the rules on the server have changed in the meantime")

// call sends a request. path is below /faults. If etag is not "", the server must
// reject the request unless its scenario has that etag.
func (a *faultAPI) call(ctx context.Context, method, path, etag string, body []byte) (*faultRules, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, a.base.JoinPath("faults"+path).String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "podcli/"+release)
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	if etag != "" {
		req.Header.Set("If-Match", quoted(etag))
	}
	res, err := a.client.Do(req)
	if err != nil {
		return nil, a.unreachable(ctx, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxFaults))
	if err != nil {
		return nil, a.unreachable(ctx, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, a.statusError(res.StatusCode, path, text)
	}
	return a.decode(res.Header.Get("ETag"), text)
}

// decode decodes a response.
func (a *faultAPI) decode(etag string, text []byte) (*faultRules, error) {
	rules := new(faultRules)
	if err := json.Unmarshal(text, rules); err != nil || etag == "" {
		return nil, fmt.Errorf("%s did not respond as the faults API does", a.base.Redacted())
	}
	rules.ETag = strings.Trim(etag, `"`)
	for i := range rules.Rules {
		var named struct{ Name string }
		if err := json.Unmarshal(rules.Rules[i].Rule, &named); err != nil {
			return nil, fmt.Errorf("%s: rule #%d: %w", a.base.Redacted(), i+1, err)
		}
		rules.Rules[i].name = named.Name
	}
	return rules, nil
}

// quoted returns an entity tag as in a header (RFC 9110, section 8.8.3).
func quoted(etag string) string {
	if etag == "*" || strings.Contains(etag, `"`) {
		return etag
	}
	return `"` + etag + `"`
}

// unreachable returns the error of a request without a response.
func (a *faultAPI) unreachable(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s: no response within %s", a.base.Redacted(), a.timeout)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return fmt.Errorf("%s: %w", a.base.Redacted(), err)
}

// statusError returns the error for a response with an error status, and says what
// to do about it.
func (a *faultAPI) statusError(status int, path string, text []byte) error {
	var problem struct{ Message string }
	if err := json.Unmarshal(text, &problem); err != nil || problem.Message == "" {
		problem.Message = http.StatusText(status)
	}
	switch {
	case status == http.StatusPreconditionFailed:
		return errChanged
	case status == http.StatusUnauthorized && a.token == "":
		return fmt.Errorf("%s requires a token: use --token-file", a.base.Redacted())
	case status == http.StatusUnauthorized:
		return fmt.Errorf("%s rejected the token: %s", a.base.Redacted(), problem.Message)
	case status == http.StatusNotFound && !strings.HasPrefix(path, "/rules/"):
		return fmt.Errorf("%s has no faults API: use the metrics port of a server with PODINFO_FAULTS_ENABLED=true and PODINFO_FAULTS_ADMIN=true", a.base.Redacted())
	}
	return fmt.Errorf("%s responded with status %d: %s", a.base.Redacted(), status, strings.ReplaceAll(problem.Message, "\n", "; "))
}

// rulePath returns the path of a rule.
func rulePath(name string) string { return "/rules/" + url.PathEscape(name) }

// names returns the names of the rules in their order.
func (r *faultRules) names() []string {
	out := make([]string, len(r.Rules))
	for i, s := range r.Rules {
		out[i] = s.name
	}
	return out
}

// plural returns "1 rule", "2 rules" and so on.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
