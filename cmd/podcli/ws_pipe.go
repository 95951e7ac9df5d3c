package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/gobwas/ws"
)

// pipe is a console on standard input and output that are not a terminal.
type pipe struct {
	in   *bufio.Reader
	json bool
}

func newPipe(json bool) *pipe { return &pipe{bufio.NewReader(os.Stdin), json} }

func (p *pipe) readLine() (string, error) {
	line, err := p.in.ReadString('\n')
	if errors.Is(err, io.EOF) && line != "" { // the last line has no line break
		err = nil
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), err
}

func (p *pipe) show(op ws.OpCode, data []byte) {
	if p.json {
		printJSON(frameObject(op, data))
		return
	}
	fmt.Println(strings.TrimSuffix(body(op, data), "\n")) // podinfo's messages end with a line break
}
