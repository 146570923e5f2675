package tlsfiles

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Hint says what a person should look at after a failed TLS handshake; "" when
// err is no matter of TLS.
func (f Files) Hint(err error) string {
	v := "CARDATA_" + f.Name
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		if f.CA != "" {
			return v + "_CA_FILE does not hold the server's authority"
		}
		return "name the server's authority by " + v + "_CA_FILE"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the server's certificate is for other names; name the server as its certificate does"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "renew the server's certificate, or set this machine's clock"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the port does not speak TLS"
	}
	if Alerted(err) {
		return "the server refuses our side; it may want a client certificate of an authority it trusts (" + v + "_CERT_FILE, " + v + "_KEY_FILE)"
	}
	return ""
}

// HandshakeHint is Hint for an error that is known to be of a handshake, in which
// a server that does not speak TLS may also hang up or wait.
func (f Files) HandshakeHint(err error) string {
	if hint := f.Hint(err); hint != "" {
		return hint
	}
	if HungUp(err) {
		return "the port does not speak TLS"
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return "no answer to the handshake; the port may not speak TLS"
	}
	return ""
}

// Alerted tells a refusal that the other side sent as a TLS alert.
func Alerted(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

// HungUp tells a connection that the other side ended.
func HungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
