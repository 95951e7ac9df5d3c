// Package token serves /token, which issues and validates JSON Web Tokens.
package token

import (
	"context"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/seed-4591fe7d/podinfo/internal/bearer"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

const (
	// Issuer is the issuer of every token.
	Issuer = "podinfo"
	// Validity is the lifetime of a token.
	Validity = time.Minute

	wellKnownSecret = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9" // upstream's default, which is public
)

// Module is the token module.
type Module struct {
	Secret string `env:"JWT_SECRET" envDefault:"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9" doc:"key that signs tokens; the default is public and offers no protection" accepts:"text, at least 32 random bytes to be safe" secret:"true"`

	host     *registry.Host
	verifier *bearer.Verifier
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "token", Doc: "Issue and validate JSON Web Tokens.", Unprefixed: true}
}

// Provision creates the verifier.
func (m *Module) Provision(h *registry.Host) error {
	m.host = h
	m.verifier = bearer.NewVerifier([]bearer.Key{{Method: jwt.SigningMethodHS256, Key: []byte(m.Secret)}}, Issuer)
	return nil
}

// Start logs a warning if the secret is public.
func (m *Module) Start(context.Context) error {
	if m.WellKnownSecret() {
		m.host.Log.Warn("anyone can forge tokens, because PODINFO_JWT_SECRET has its public default; set a secret")
	}
	return nil
}

// WellKnownSecret reports whether the key is the public default.
func (m *Module) WellKnownSecret() bool { return m.Secret == wellKnownSecret }

// SecretLen returns the length of the key in bytes.
func (m *Module) SecretLen() int { return len(m.Secret) }

// Issue signs a token for name, or for "anonymous" if name is empty. It replaces
// invalid UTF-8 in name by U+FFFD.
func (m *Module) Issue(name string) (token string, expires time.Time, err error) {
	if name == "" {
		name = "anonymous"
	}
	exp := jwt.NewNumericDate(time.Now().Add(Validity)) // truncated to whole seconds
	claims := bearer.Claims{Name: name, RegisteredClaims: jwt.RegisteredClaims{Issuer: Issuer, ExpiresAt: exp}}
	token, err = jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(m.Secret))
	return token, exp.Time, err
}

// Verify returns the name and the expiry of a token that Issue signed. The error
// says why the token is refused. It can be sent to the client.
func (m *Module) Verify(token string) (name string, expires time.Time, err error) {
	return m.verifier.Verify(token)
}

type issued struct {
	Token     string `json:"token"`
	ExpiresAt string `json:"expires_at"` // RFC 3339
}

type validated struct {
	TokenName string `json:"token_name"`
	ExpiresAt string `json:"expires_at"` // RFC 3339
}

// Routes declares /token and /token/validate.
func (m *Module) Routes() []registry.Route {
	validate := registry.Route{
		Method: http.MethodGet, Path: "/token/validate", Handler: m.validate,
		Summary: "Validate the bearer token", Tag: "HTTP API", Bearer: true,
		Returns: map[int]any{http.StatusOK: validated{"ann", "2026-01-02T15:04:05Z"}, http.StatusUnauthorized: reply.Problem{}},
	}
	post := validate // upstream serves GET but documents POST
	post.Method = http.MethodPost
	return []registry.Route{{
		Method: http.MethodPost, Path: "/token", Handler: m.issue,
		Summary: "Issue a token that is valid for a minute", Tag: "HTTP API",
		Body: "the name in the token; empty means anonymous", Accepts: "ann",
		Returns: map[int]any{
			http.StatusOK: issued{"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2lnbmF0dXJl", "2026-01-02T15:04:05Z"}, http.StatusBadRequest: reply.Problem{}, http.StatusRequestEntityTooLarge: reply.Problem{},
			http.StatusServiceUnavailable: reply.Problem{},
		},
	}, validate, post}
}

// maxName is the longest name, in bytes. The token of a longer one would exceed
// the longest Authorization header that is accepted, and making it takes many
// times the memory of the name.
const maxName = bearer.MaxLen / 4 * 3

func (m *Module) issue(w http.ResponseWriter, r *http.Request) {
	buf := m.host.Budget().Buffer()
	defer buf.Close()
	body, ok := reply.ReadBytes(w, reply.Limit(w, r, maxName), buf)
	if !ok {
		return
	}
	token, expires, err := m.Issue(string(body))
	if err != nil {
		reply.Error(w, http.StatusInternalServerError, err.Error())
		return
	}
	reply.JSON(w, http.StatusOK, issued{token, expires.Format(time.RFC3339)})
}

func (m *Module) validate(w http.ResponseWriter, r *http.Request) {
	token, err := bearer.FromHeader(r.Header)
	if err != nil {
		bearer.Refuse(w, err)
		return
	}
	name, expires, err := m.Verify(token)
	if err != nil {
		bearer.Refuse(w, err)
		return
	}
	reply.JSON(w, http.StatusOK, validated{name, expires.Format(time.RFC3339)})
}

// IssuedTokens implements [capability.TokenIssuer].
func (m *Module) IssuedTokens() capability.IssuedTokens { return m }
