package embedded

import (
	"context"
	"net"
	"strconv"
)

// FreeAddr gives addr when nothing listens there, else the same host with a
// free port; busy tells which. Between this look and the use another program
// may come: that is an error at the use.
func FreeAddr(ctx context.Context, addr string) (free string, busy bool, err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		host, _, splitErr := net.SplitHostPort(addr)
		if splitErr != nil {
			return "", false, splitErr
		}
		if l, err = lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0")); err != nil {
			return "", false, err
		}
		busy = true
	}
	free = l.Addr().String()
	return free, busy, l.Close()
}

// Port gives the port of host:port.
func Port(addr string) (int, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
