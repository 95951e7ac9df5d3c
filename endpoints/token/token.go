// Package token serves /token: it signs JSON Web Tokens for whoever asks, and
// validates them.
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
	// Issuer is in every token.
	Issuer = "podinfo"
	// Validity is how long a token is good for.
	Validity = time.Minute

	wellKnown = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9" // upstream's default, for everyone to read
)

// Module is token.
type Module struct {
	Secret string `env:"JWT_SECRET" envDefault:"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9" doc:"key that signs tokens; everyone knows the default" accepts:"text, 32 random bytes or more to be safe" secret:"true"`

	host     *registry.Host
	verifier *bearer.Verifier
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "token", Doc: "Issue and validate JSON Web Tokens.", Unprefixed: true}
}

// Provision takes the key.
func (m *Module) Provision(h *registry.Host) error {
	m.host = h
	m.verifier = bearer.NewVerifier(jwt.SigningMethodHS256, []byte(m.Secret), Issuer)
	return nil
}

// Start warns of a secret that is none.
func (m *Module) Start(context.Context) error {
	if m.WellKnownSecret() {
		m.host.Log.Warn("everyone can forge tokens: PODINFO_JWT_SECRET has its public default")
	}
	return nil
}

// WellKnownSecret reports whether everyone knows the key.
func (m *Module) WellKnownSecret() bool { return m.Secret == wellKnown }

// SecretLen is the length of the key in bytes.
func (m *Module) SecretLen() int { return len(m.Secret) }

// Issue signs a token for name, which is "anonymous" when it is empty. What is
// not UTF-8 in it becomes U+FFFD.
func (m *Module) Issue(name string) (token string, expires time.Time, err error) {
	if name == "" {
		name = "anonymous"
	}
	exp := jwt.NewNumericDate(time.Now().Add(Validity)) // whole seconds
	claims := bearer.Claims{Name: name, RegisteredClaims: jwt.RegisteredClaims{Issuer: Issuer, ExpiresAt: exp}}
	token, err = jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(m.Secret))
	return token, exp.Time, err
}

// Verify returns the name in a token of Issue and when it expires. The error
// says why a token is refused and may be shown to the one who sent it.
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
		Summary: "Validate the bearer token", Tag: "HTTP API",
		Returns: map[int]any{http.StatusOK: validated{}, http.StatusUnauthorized: reply.Problem{}},
	}
	post := validate // as upstream's API document has it
	post.Method = http.MethodPost
	return []registry.Route{{
		Method: http.MethodPost, Path: "/token", Handler: m.issue,
		Summary: "Issue a token that is good for a minute", Tag: "HTTP API",
		Body:    "the name in the token, empty for anonymous",
		Returns: map[int]any{http.StatusOK: issued{}, http.StatusBadRequest: reply.Problem{}, http.StatusRequestEntityTooLarge: reply.Problem{}},
	}, validate, post}
}

func (m *Module) issue(w http.ResponseWriter, r *http.Request) {
	body, ok := reply.ReadBody(w, r)
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
