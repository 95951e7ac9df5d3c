package serve

import "net"

// OnAccept sets a function that each accepted connection goes through. It returns
// the connection to serve, or nil if it has taken the connection over. Call it
// before Serve.
func (s *Server) OnAccept(f func(net.Conn) net.Conn) { s.accepts = f }

// hooked is a listener with the function of OnAccept.
type hooked struct {
	net.Listener
	accepts func(net.Conn) net.Conn
}

// Accept implements net.Listener.
func (h hooked) Accept() (net.Conn, error) {
	for {
		c, err := h.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c = h.accepts(c); c != nil {
			return c, nil
		}
	}
}
