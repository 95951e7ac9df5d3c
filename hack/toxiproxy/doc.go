// Package toxiproxy tests the API of toxiproxy that the module tcp-proxy serves
// with toxiproxy's client, its command line and the real server beside it.
package toxiproxy
