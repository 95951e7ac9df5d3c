package token

import (
	"context"
	"errors"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/token/tokenpb"
	"github.com/seed-4591fe7d/podinfo/internal/bearer"
)

// RegisterGRPC registers token.TokenService.
func (m *Module) RegisterGRPC(s grpc.ServiceRegistrar) {
	tokenpb.RegisterTokenServiceServer(s, &service{module: m})
}

type service struct {
	tokenpb.UnimplementedTokenServiceServer
	module *Module
}

// TokenGenerate issues a token for "anonymous", because the request has no
// field for a name.
func (s *service) TokenGenerate(context.Context, *tokenpb.TokenRequest) (*tokenpb.TokenResponse, error) {
	token, expires, err := s.module.Issue("")
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &tokenpb.TokenResponse{Token: token, ExpiresAt: expires.UTC().String(), Message: "Token generated successfully"}, nil
}

// TokenValidate validates the token in the metadata and returns its name and
// expiry. It refuses a token with Unauthenticated.
func (s *service) TokenValidate(ctx context.Context, _ *tokenpb.TokenRequest) (*tokenpb.TokenResponse, error) {
	token, err := fromMetadata(ctx)
	if err != nil {
		return nil, err
	}
	name, expires, err := s.module.Verify(token)
	switch {
	case err != nil && !wellFormed(token):
		return nil, refuse("Unable to parse token")
	case err != nil:
		return nil, refuse(err.Error())
	}
	return &tokenpb.TokenResponse{Token: name, ExpiresAt: expires.UTC().String()}, nil
}

func refuse(message string) error { return status.Error(codes.Unauthenticated, message) }

// fromMetadata returns the token of the call. Unlike over HTTP, the scheme is
// optional.
func fromMetadata(ctx context.Context) (string, error) {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	switch {
	case len(values) == 0:
		return "", refuse("Authorization token not found in metadata")
	case len(values) > 1: // a proxy may have checked the other one
		return "", refuse("more than one authorization in metadata")
	}
	value := values[0]
	if !strings.Contains(value, " ") {
		value = "Bearer " + value
	}
	token, err := bearer.FromValue(value)
	if err != nil {
		return "", refuse(err.Error())
	}
	return token, nil
}

// wellFormed reports whether token has the form of a token. It does not check
// the signature.
func wellFormed(token string) bool {
	_, _, err := jwt.NewParser(jwt.WithStrictDecoding()).ParseUnverified(token, new(bearer.Claims))
	return !errors.Is(err, jwt.ErrTokenMalformed)
}
