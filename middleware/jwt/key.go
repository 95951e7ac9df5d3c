package jwt

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/seed-4591fe7d/podinfo/internal/bearer"
	"github.com/seed-4591fe7d/podinfo/internal/reload"
	"github.com/seed-4591fe7d/podinfo/internal/watch"
)

const (
	minRSA     = 2048    // bits of the shortest RSA key that is accepted (RFC 7518, 3.3)
	maxKeyFile = 1 << 20 // bytes
)

// keyFile verifies tokens with the keys in a file, which it reloads when the file
// changes.
type keyFile struct {
	current *reload.Value[*bearer.Verifier]
}

// Verify implements verifier.
func (f keyFile) Verify(token string) (name string, expires time.Time, err error) {
	return f.current.Get().Verify(token)
}

// openKeys reads the public key file.
func (m *Module) openKeys() (verifier, error) {
	current, err := reload.Load(m.readKeys, func(err error) {
		m.host.Log.WithError(err).Warn("public keys not reloaded; keeping the current ones")
	}, m.PublicKeyFile)
	if err != nil {
		return nil, err
	}
	return keyFile{current}, nil
}

// readKeys returns a verifier with the keys in the file.
func (m *Module) readKeys() (*bearer.Verifier, error) {
	b, err := watch.ReadFile(m.PublicKeyFile, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.PublicKeyFile, err)
	}
	var keys []bearer.Key
	var skipped []string
	switch {
	case len(b) > maxKeyFile:
		err = fmt.Errorf("larger than %d bytes", maxKeyFile)
	case bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")):
		keys, skipped, err = parseJWKS(b)
	default:
		keys, err = parsePEM(b)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.PublicKeyFile, err)
	}
	log := m.host.Log.WithField("keys", strings.Join(names(keys), ", "))
	if skipped != nil {
		log = log.WithField("skipped", strings.Join(skipped, "; "))
	}
	log.Info("public keys loaded")
	return bearer.NewVerifier(keys, m.Issuer, m.Audience...), nil
}

// names describes keys for the log.
func names(keys []bearer.Key) (out []string) {
	for _, k := range keys {
		out = append(out, strings.TrimSpace(k.Method.Alg()+" "+k.ID))
	}
	return out
}

// newKey returns a key for the one algorithm that goes with its type, whatever a
// token claims.
func newKey(id string, key any) (bearer.Key, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return bearer.Key{}, fmt.Errorf("RSA key of %d bits, want at least %d", k.N.BitLen(), minRSA)
		}
		return bearer.Key{ID: id, Method: jwt.SigningMethodRS256, Key: key}, nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return bearer.Key{}, fmt.Errorf("ECDSA key on %s, want P-256", k.Curve.Params().Name)
		}
		return bearer.Key{ID: id, Method: jwt.SigningMethodES256, Key: key}, nil
	case ed25519.PublicKey:
		return bearer.Key{ID: id, Method: jwt.SigningMethodEdDSA, Key: key}, nil
	}
	return bearer.Key{}, fmt.Errorf("key is %T, want RSA, ECDSA on P-256 or Ed25519", key)
}

// parsePEM returns the public key in a PEM block.
func parsePEM(b []byte) ([]bearer.Key, error) {
	block, rest := pem.Decode(b)
	switch {
	case block == nil:
		return nil, errors.New("not PEM, want a PUBLIC KEY block or a JSON Web Key Set")
	case block.Type != "PUBLIC KEY":
		return nil, fmt.Errorf("PEM block %s, want PUBLIC KEY", block.Type)
	case strings.TrimSpace(string(rest)) != "":
		return nil, errors.New("more than one PEM block, want only a PUBLIC KEY block; a JSON Web Key Set can have several keys")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, err := newKey("", public)
	return []bearer.Key{key}, err
}

// parseJWKS returns the keys of a JSON Web Key Set (RFC 7517) that can verify tokens,
// and why it skips the others: a set may have keys for other purposes (section 5).
func parseJWKS(b []byte) (keys []bearer.Key, skipped []string, err error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, nil, fmt.Errorf("JSON Web Key Set: %w", err)
	}
	for i, jwk := range set.Keys {
		id := jwk.KID
		if id == "" {
			id = fmt.Sprintf("number %d", i+1)
		}
		if jwk.D != "" || jwk.K != "" {
			return nil, nil, fmt.Errorf("key %s is private or symmetric, want public keys", id)
		}
		key, err := parseJWK(jwk)
		if err != nil {
			skipped = append(skipped, id+": "+err.Error())
			continue
		}
		keys = append(keys, key)
	}
	if keys == nil {
		return nil, nil, errors.New(strings.Join(append([]string{"JSON Web Key Set without a key to verify tokens with"}, skipped...), "; "))
	}
	return keys, skipped, nil
}

// parseJWK returns the key if it may verify signatures of its type.
func parseJWK(jwk jwkset.JWKMarshal) (bearer.Key, error) {
	if jwk.USE != "" && jwk.USE != jwkset.UseSig {
		return bearer.Key{}, fmt.Errorf("its use is %s", jwk.USE)
	}
	if jwk.KEYOPS != nil && !slices.Contains(jwk.KEYOPS, jwkset.KeyOpsVerify) {
		return bearer.Key{}, errors.New("its key_ops have no verify")
	}
	parsed, err := jwkset.NewJWKFromMarshal(jwk, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return bearer.Key{}, err
	}
	key, err := newKey(jwk.KID, parsed.Key())
	if err == nil && jwk.ALG != "" && jwk.ALG.String() != key.Method.Alg() {
		err = fmt.Errorf("its alg is %s, want %s", jwk.ALG, key.Method.Alg())
	}
	return key, err
}
