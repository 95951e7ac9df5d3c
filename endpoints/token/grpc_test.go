package token_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/token"
	"github.com/seed-4591fe7d/podinfo/endpoints/token/tokenpb"
)

// validate calls TokenValidate with the given values of authorization.
func validate(t *testing.T, conn *grpc.ClientConn, authorization ...string) (*tokenpb.TokenResponse, error) {
	ctx := t.Context()
	for _, v := range authorization {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", v)
	}
	return tokenpb.NewTokenServiceClient(conn).TokenValidate(ctx, new(tokenpb.TokenRequest))
}

func TestTokenRPC(t *testing.T) {
	m := new(token.Module)
	conn := grpctest.Serve(t, own, m).Conn
	got, err := tokenpb.NewTokenServiceClient(conn).TokenGenerate(t.Context(), new(tokenpb.TokenRequest))
	if err != nil {
		t.Fatal(err)
	}
	name, expires, err := m.Verify(got.GetToken())
	until := expires.UTC().Format("2006-01-02 15:04:05 +0000 UTC")
	want := &tokenpb.TokenResponse{Token: got.GetToken(), ExpiresAt: until, Message: "Token generated successfully"}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || name != "anonymous" || err != nil {
		t.Error(diff, name, err)
	}
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER ", ""} {
		valid, err := validate(t, conn, scheme+got.GetToken())
		if diff := cmp.Diff(&tokenpb.TokenResponse{Token: "anonymous", ExpiresAt: until}, valid, protocmp.Transform()); diff != "" || err != nil {
			t.Errorf("%q: %s %v", scheme, diff, err)
		}
	}
	if got := grpctest.Raw(t, conn, "/token.TokenService/TokenGenerate", ""); !regexp.MustCompile(`(?s)^\n.\x01eyJ[\w.-]+\x12\x1d\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC\x1a\x1cToken generated successfully$`).MatchString(got) {
		t.Errorf("%q", got)
	}
}

// sign returns a token with any header and claims, signed with the secret.
func sign(header, claims string) string {
	text := encode(header) + "." + encode(claims)
	return text + "." + encode(string(mac(text)))
}

// respell changes the last letter of a token so that it decodes to the same
// bytes: two of the letter's six bits are not used.
func respell(token string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	end := len(token) - 1
	return token[:end] + string(letters[strings.IndexByte(letters, token[end])^1])
}

func TestTokenRefusals(t *testing.T) {
	const hs256 = `{"alg":"HS256"}`
	conn := grpctest.Serve(t, own, new(token.Module)).Conn
	ann, err := validate(t, conn, sign(hs256, `{"name":"ann","iss":"podinfo","exp":4102444800}`))
	if diff := cmp.Diff(&tokenpb.TokenResponse{Token: "ann", ExpiresAt: "2100-01-01 00:00:00 +0000 UTC"}, ann, protocmp.Transform()); diff != "" || err != nil {
		t.Error(diff, err)
	}
	good := forged(secret)
	for _, c := range []struct {
		values  []string
		message string // a regular expression
	}{
		{nil, "Authorization token not found in metadata"},
		{[]string{""}, "Unable to parse token"},
		{[]string{"Bearer"}, "Unable to parse token"},
		{[]string{"Bearer "}, "Unable to parse token"},
		{[]string{"Bearer x"}, "Unable to parse token"},
		{[]string{"a.b.c"}, "Unable to parse token"},
		{[]string{"a.b.c.d"}, "Unable to parse token"},
		{[]string{good + "="}, "Unable to parse token"},
		{[]string{good + "."}, "Unable to parse token"},
		{[]string{respell(good)}, "Unable to parse token"},
		{[]string{sign("[]", "{}")}, "Unable to parse token"},
		{[]string{sign(hs256, "[]")}, "Unable to parse token"},
		{[]string{sign(hs256, `{"iss":"podinfo","exp":"soon"}`)}, "Unable to parse token"},
		{[]string{"Basic " + good}, "authorization bearer header required"},
		{[]string{good, good}, "more than one authorization in metadata"},
		{[]string{strings.Repeat("x", 20000)}, "authorization header is longer than 16384 bytes"},
		{[]string{forged("not the secret")}, "signature is invalid"},
		{[]string{encode(`{"alg":"none"}`) + "." + encode(`{"iss":"podinfo","exp":4102444800}`) + "."}, "invalid signing method"},
		{[]string{sign("{}", `{"iss":"podinfo","exp":4102444800}`)}, "invalid signing method"},
		{[]string{sign(`{"alg":"HS512"}`, `{"iss":"podinfo","exp":4102444800}`)}, "invalid signing method"},
		{[]string{sign(hs256, `{"iss":"podinfo"}`)}, "token has no expiry"},
		{[]string{sign(hs256, `{"iss":"podinfo","exp":1}`)}, `token is expired by \S+`},
		{[]string{sign(hs256, `{"iss":"podinfo","exp":4102444800,"nbf":4102444799}`)}, "token is not valid yet"},
		{[]string{sign(hs256, `{"iss":"other","exp":4102444800}`)}, "invalid issuer"},
	} {
		_, err := validate(t, conn, c.values...)
		if s := status.Convert(err); s.Code() != codes.Unauthenticated || !regexp.MustCompile("^"+c.message+"$").MatchString(s.Message()) {
			t.Errorf("%.99q: %v %q, want %q", c.values, s.Code(), s.Message(), c.message)
		}
	}
}

// TestNames checks the names that clients use and that reflection lists.
func TestNames(t *testing.T) {
	for _, name := range []protoreflect.FullName{"token.TokenService.TokenGenerate", "token.TokenService.TokenValidate", "token.TokenRequest", "token.TokenResponse.token", "token.TokenResponse.expiresAt", "token.TokenResponse.message"} {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err != nil {
			t.Error(name, err)
		}
	}
}
