package jwt

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/seed-4591fe7d/podinfo/internal/bearer"
)

// minRSA is the shortest RSA key that is accepted, in bits (RFC 7518, 3.3).
const minRSA = 2048

// readKey returns a verifier with the public key in a file. The type of the key
// decides the algorithm, whatever a token claims.
func readKey(file, issuer string) (*bearer.Verifier, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var method jwt.SigningMethod
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return nil, fmt.Errorf("%s: RSA key of %d bits, want at least %d", file, k.N.BitLen(), minRSA)
		}
		method = jwt.SigningMethodRS256
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return nil, fmt.Errorf("%s: ECDSA key on %s, want P-256", file, k.Curve.Params().Name)
		}
		method = jwt.SigningMethodES256
	case ed25519.PublicKey:
		method = jwt.SigningMethodEdDSA
	default:
		return nil, fmt.Errorf("%s: key is %T, want RSA, ECDSA on P-256 or Ed25519", file, key)
	}
	return bearer.NewVerifier(method, key, issuer), nil
}

// parseKey returns the public key in a PEM block.
func parseKey(b []byte) (any, error) {
	block, rest := pem.Decode(b)
	switch {
	case block == nil:
		return nil, errors.New("not PEM, want a PUBLIC KEY block")
	case block.Type != "PUBLIC KEY":
		return nil, fmt.Errorf("PEM block %s, want PUBLIC KEY", block.Type)
	case strings.TrimSpace(string(rest)) != "":
		return nil, errors.New("more than one PEM block, want only a PUBLIC KEY block")
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}
