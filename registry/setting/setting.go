// Package setting holds the settings that several modules have in common. A
// module embeds the struct, so that a variable is declared once:
//
//	type Module struct {
//		setting.Color
//	}
package setting

import (
	"regexp"
	"time"
)

// ListenHost is the address of the ports.
type ListenHost struct {
	Host string `env:"HOST" doc:"address to listen on; empty means all addresses" takes:"ADDRESS"`
}

// TLSFiles are the certificate and the key of the ports.
type TLSFiles struct {
	CertPath string `env:"CERT_PATH" envDefault:"/data/cert" doc:"directory of tls.crt and tls.key; the files are reloaded when they change" takes:"DIR"`
}

// ServerTimeout bounds the time of a request on the HTTP ports.
type ServerTimeout struct {
	Timeout time.Duration `env:"HTTP_SERVER_TIMEOUT" envDefault:"30s" doc:"time limit for reading a request and for writing its response; idle connections are closed after twice that time" accepts:"a duration above zero"`
}

// DelayLimit bounds the waits that clients ask for.
type DelayLimit struct {
	// A zero in a literal means the default. Set PODINFO_DELAY_MAX=0s to say zero.
	Max time.Duration `env:"DELAY_MAX" envDefault:"1h" doc:"longest wait that /delay and /chunked accept" accepts:"a duration of 0 or more"`
}

// TrustedOrigins are the sites whose pages may use this server. Package
// internal/origin has the policy.
type TrustedOrigins struct {
	Trusted []string `env:"CROSS_ORIGIN_TRUSTED" doc:"origins whose pages may send state-changing requests and open WebSockets" accepts:"a comma-separated list of origins such as https://demo.example.com" takes:"ORIGIN,…"`
}

// UIColor is the colour that tells versions apart.
type UIColor struct {
	Color string `env:"UI_COLOR" envDefault:"#34577c" doc:"colour of the page and value of the X-Color header" accepts:"a CSS colour: #rgb, #rrggbb or a name" takes:"COLOR"`
}

// ColorFormat says which colours ValidColor accepts.
const ColorFormat = "a CSS colour: #rgb, #rrggbb or a name"

// ValidColor reports whether s is a colour for UIColor.
func ValidColor(s string) bool { return color.MatchString(s) }

var color = regexp.MustCompile(`^(#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})|[a-zA-Z]+)$`)
