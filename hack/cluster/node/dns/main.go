// Command dns answers for the Services of a cluster: NAME.NAMESPACE.svc.cluster.local
// is the address of the Service or, without one, those of its ready pods. It asks the
// API server twice a second.
package main

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	interval = 500 * time.Millisecond
	timeout  = 5 * time.Second
	ttl      = 5 // seconds
)

func main() {
	listen := flag.String("listen", "127.0.0.1:53", "address to answer at, over UDP and TCP")
	api := flag.String("api", "https://127.0.0.1:6443", "URL of the API server")
	ca := flag.String("ca", "", "file with the certificate of the API server's authority")
	token := flag.String("token", "", "file with a bearer token for it")
	flag.Parse()
	if err := run(*listen, *api, *ca, *token); err != nil {
		fmt.Fprintln(os.Stderr, "dns:", err)
		os.Exit(1)
	}
}

func run(listen, api, ca, token string) error {
	c, err := newCluster(api, ca, token)
	if err != nil {
		return err
	}
	packets, err := net.ListenPacket("udp", listen)
	if err != nil {
		return err
	}
	conns, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	go func() {
		for ; ; time.Sleep(interval) {
			if err := c.refresh(); err != nil {
				log.Print(err)
			}
		}
	}()
	failed := make(chan error)
	go func() { failed <- serveUDP(packets, c) }()
	go func() { failed <- serveTCP(conns, c) }()
	return <-failed
}

func serveUDP(packets net.PacketConn, c *cluster) error {
	buf := make([]byte, 1500)
	for {
		n, from, err := packets.ReadFrom(buf)
		if err != nil {
			return err
		}
		out, err := answer(buf[:n], c.lookup)
		if err == nil {
			_, err = packets.WriteTo(out, from)
		}
		if err != nil {
			log.Print(err)
		}
	}
}

func serveTCP(conns net.Listener, c *cluster) error {
	for {
		conn, err := conns.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if err := converse(conn, c); err != nil && err != io.EOF {
				log.Print(err)
			}
		}()
	}
}

// converse answers the queries of a connection, each of which follows its length.
func converse(conn net.Conn, c *cluster) error {
	in := bufio.NewReader(conn)
	for {
		if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		var length uint16
		if err := binary.Read(in, binary.BigEndian, &length); err != nil {
			return err
		}
		query := make([]byte, length)
		if _, err := io.ReadFull(in, query); err != nil {
			return err
		}
		out, err := answer(query, c.lookup)
		if err != nil {
			return err
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return err
		}
	}
}

// answer returns the response to a query. Names that lookup does not know do not
// exist, and those it knows have only addresses.
func answer(query []byte, lookup func(name string) ([]net.IP, bool)) ([]byte, error) {
	var p dnsmessage.Parser
	head, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	ips, known := lookup(strings.ToLower(q.Name.String()))
	res := dnsmessage.Header{ID: head.ID, Response: true, Authoritative: true, RecursionDesired: head.RecursionDesired, RecursionAvailable: true}
	if !known {
		res.RCode = dnsmessage.RCodeNameError
	}
	b := dnsmessage.NewBuilder(nil, res)
	err = cmp.Or(b.StartQuestions(), b.Question(q), b.StartAnswers())
	for _, ip := range ips {
		h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: ttl}
		switch v4 := ip.To4(); {
		case err != nil:
		case q.Type == dnsmessage.TypeA && v4 != nil:
			err = b.AResource(h, dnsmessage.AResource{A: [4]byte(v4)})
		case q.Type == dnsmessage.TypeAAAA && v4 == nil:
			err = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: [16]byte(ip)})
		}
	}
	if err != nil {
		return nil, err
	}
	return b.Finish()
}
