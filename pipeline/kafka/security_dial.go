package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/cardata-pipeline/cardata-pipeline/internal/tlsfiles"
)

// secureDialer opens TLS connections. TLS is ours and not kafka-go's, which keeps
// one configuration for ever and tells nothing of a failed handshake. It is safe
// for concurrent use.
type secureDialer struct {
	files  tlsfiles.Files
	source *tlsfiles.Source
	dial   dialFunc
}

// open dials and completes the handshake. Errors of the latter are *handshakeError.
func (d *secureDialer) open(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	secured := tls.Client(conn, d.source.Config(host))
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &handshakeError{address, d.files.HandshakeHint(err), err}
	}
	return secured, nil
}

// handshakeError is a TLS connection that did not come about.
type handshakeError struct {
	address string
	hint    string // what to look at; may be empty
	err     error
}

// Error says what failed and what to look at.
func (e *handshakeError) Error() string {
	text := fmt.Sprintf("TLS with %s: %v", e.address, e.err)
	if e.hint != "" {
		text += ": " + e.hint
	}
	return text
}

// Unwrap gives the cause.
func (e *handshakeError) Unwrap() error { return e.err }
