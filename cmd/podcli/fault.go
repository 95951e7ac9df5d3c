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

// maxFaults is how much of an answer of the API of faults is read, in bytes: a
// scenario of 1 MiB, which is the most there can be, is shown with its counts.
const maxFaults = 64 << 20

func faultCommand() *command {
	return group("fault", "Rules that delay and break requests: check them, try them, run them.", func() []*command {
		return []*command{faultList(), faultApply(), faultRemove(), faultPause(), faultResume(), faultWatch(), faultCheck(), faultSimulate()}
	})
}

// faultAPI is the API of faults, on a server's metrics port.
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
	f.StringVar(&a.tokenFile, "token-file", "", "`file` with the token that the server wants")
	f.StringVar(&a.token, "token", "", "the token itself, which others can see in the list of processes")
	f.DurationVar(&a.timeout, "timeout", 5*time.Second, "time for each request")
	a.tls = addTLS(f)
	return a
}

// command makes c run with the API open.
func (a *faultAPI) command(c *command, run func(ctx context.Context, args []string) error) *command {
	c.do = func(ctx context.Context, args []string) error {
		err := a.open()
		if err == nil {
			err = run(ctx, args)
		}
		return c.ended(err)
	}
	return c
}

// ended is how a command ended that may have found mistakes in a file.
func (c *command) ended(err error) error {
	if err = explain(err); err == nil || errors.Is(err, errFailed) {
		return err
	}
	return c.errorf("%w", err)
}

// open reads the flags.
func (a *faultAPI) open() (err error) {
	if a.timeout <= 0 {
		return errors.New("--timeout wants more than 0")
	}
	if a.base, err = parseURL(a.server, "http", "https"); err != nil {
		return err
	}
	if a.token != "" && a.tokenFile != "" {
		return errors.New("want one of --token and --token-file")
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
		// A redirected PUT would become a GET.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, ForceAttemptHTTP2: true},
	}
	return nil
}

// faultRules is what the API answers: the rules and what they have done.
type faultRules struct {
	ETag   string       `json:"etag"` // without its quotes
	Paused bool         `json:"paused"`
	Held   int          `json:"held"`
	Seed   *uint64      `json:"seed,omitempty"`
	Rules  []faultState `json:"rules"`
}

// faultState is one rule. The rule is kept as the server says it, which may be
// of another version.
type faultState struct {
	Rule    json.RawMessage `json:"rule"`
	Seen    uint64          `json:"seen"`
	Hits    uint64          `json:"hits"`
	Keys    int             `json:"keys,omitempty"`
	Expires *time.Time      `json:"expires,omitempty"`

	name string
}

// errChanged is that the scenario is not the one it was.
var errChanged = errors.New("the rules on the server were changed by somebody else in the meantime")

// ask sends one request. path is below /faults. An etag that is not "" is the
// scenario's that is to be changed.
func (a *faultAPI) ask(ctx context.Context, method, path, etag string, body []byte) (*faultRules, error) {
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
		return nil, a.refused(res.StatusCode, path, text)
	}
	return a.read(res.Header.Get("ETag"), text)
}

func (a *faultAPI) read(etag string, text []byte) (*faultRules, error) {
	rules := new(faultRules)
	if err := json.Unmarshal(text, rules); err != nil || etag == "" {
		return nil, fmt.Errorf("%s answers, and not as the API of faults does", a.base.Redacted())
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

// quoted is an entity tag as a header has it (RFC 9110, 8.8.3).
func quoted(etag string) string {
	if etag == "*" || strings.Contains(etag, `"`) {
		return etag
	}
	return `"` + etag + `"`
}

func (a *faultAPI) unreachable(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s: no answer within %s", a.base.Redacted(), a.timeout)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return fmt.Errorf("%s: %w", a.base.Redacted(), err)
}

// refused says what to do about an answer that is an error.
func (a *faultAPI) refused(status int, path string, text []byte) error {
	var told struct{ Message string }
	if err := json.Unmarshal(text, &told); err != nil || told.Message == "" {
		told.Message = http.StatusText(status)
	}
	switch {
	case status == http.StatusPreconditionFailed:
		return errChanged
	case status == http.StatusUnauthorized && a.token == "":
		return fmt.Errorf("%s wants a token: give --token-file", a.base.Redacted())
	case status == http.StatusUnauthorized:
		return fmt.Errorf("%s does not accept the token: %s", a.base.Redacted(), told.Message)
	case status == http.StatusNotFound && !strings.HasPrefix(path, "/rules/"):
		return fmt.Errorf("%s has no API of faults: want the metrics port of a server with PODINFO_FAULTS_ENABLED=true and PODINFO_FAULTS_ADMIN=true", a.base.Redacted())
	}
	return fmt.Errorf("%s answers %d: %s", a.base.Redacted(), status, strings.ReplaceAll(told.Message, "\n", "; "))
}

// rulePath is where one rule is.
func rulePath(name string) string { return "/rules/" + url.PathEscape(name) }

// names are those of the rules, in their order.
func (r *faultRules) names() []string {
	out := make([]string, len(r.Rules))
	for i, s := range r.Rules {
		out[i] = s.name
	}
	return out
}

// plural is "1 rule", "2 rules".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
