package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"
)

// stamp tells one state of a file from another.
type stamp struct {
	changed time.Time
	size    int64
}

// Source gives what the files hold now. While they cannot be read, as in half a
// rotation, what they held last serves. It is safe for concurrent use.
type Source struct {
	files Files
	log   *slog.Logger

	mu      sync.Mutex // guards all below; held while files are read, which are small
	stamps  [3]stamp   // of CA, Cert, Key
	roots   *x509.CertPool
	cert    *tls.Certificate
	failing bool // the last look at the files
}

// Open reads the files for the first time.
func Open(files Files, log *slog.Logger) (*Source, error) {
	s := &Source{files: files, log: log}
	if err := s.load(s.look()); err != nil {
		return nil, err
	}
	return s, nil
}

// Config gives TLS settings for a host name or address. They stay good for
// further connections: each looks at the files again.
func (s *Source) Config(host string) *tls.Config {
	cfg := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if s.files.Cert != "" {
		// Shown whatever authorities the server names: its refusal says more than an empty hand.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			_, cert := s.now()
			return cert, nil
		}
	}
	if s.files.CA != "" {
		cfg.InsecureSkipVerify = true // VerifyConnection does it, by authorities that may have been rotated
		cfg.VerifyConnection = func(state tls.ConnectionState) error { return s.verify(state, host) }
	}
	return cfg
}

// verify is what crypto/tls does with fixed authorities.
func (s *Source) verify(state tls.ConnectionState, host string) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the server shows no certificate")
	}
	roots, _ := s.now()
	opts := x509.VerifyOptions{Roots: roots, DNSName: host, Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(opts)
	return err
}

// Subject gives the distinguished name of the client's certificate, "" without one.
func (s *Source) Subject() string {
	_, cert := s.now()
	if cert == nil {
		return ""
	}
	return cert.Leaf.Subject.String()
}

// now gives what the files hold, reading those that changed.
func (s *Source) now() (*x509.CertPool, *tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state := s.look(); state != s.stamps {
		err := s.load(state)
		switch {
		case err == nil:
			s.failing = false
			s.log.Info("certificates read again", slog.String("server", s.files.Name))
		case !s.failing:
			s.failing = true
			s.log.Warn("certificates cannot be read, the last ones serve", slog.String("server", s.files.Name), slog.Any("err", err))
		}
	}
	return s.roots, s.cert
}

// look gives the files' stamps; zero for one that is not there.
func (s *Source) look() (state [3]stamp) {
	for i, file := range [...]string{s.files.CA, s.files.Cert, s.files.Key} {
		if info, err := os.Stat(file); file != "" && err == nil {
			state[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return state
}

// load reads the files and keeps what they hold if all is sound.
func (s *Source) load(state [3]stamp) error {
	var roots *x509.CertPool
	var cert *tls.Certificate
	var err error
	if s.files.CA != "" {
		if roots, err = readRoots(s.files.CA); err != nil {
			return err
		}
	}
	if s.files.Cert != "" {
		if cert, err = readPair(s.files.Cert, s.files.Key); err != nil {
			return err
		}
	}
	s.roots, s.cert, s.stamps = roots, cert, state
	return nil
}
