package tlsfiles_test

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/tlsfiles"
	"github.com/cardata-pipeline/cardata-pipeline/internal/tlsfiles/tlstest"
)

// A rotated certificate is shown at the next connection, and half a rotation
// leaves the old one.
func TestRotatedFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	a := tlstest.New(t)
	certFile, keyFile := a.Issue("client", 10, time.Hour)
	var book strings.Builder
	d, err := tlsfiles.Open(tlsfiles.Files{CA: a.File, Cert: certFile, Key: keyFile}, slog.New(slog.NewTextHandler(&book, nil)))
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		t.Helper()
		cert, err := d.Config("h").GetClientCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(cert.Leaf.SerialNumber)
	}
	later := func(file string, n int) {
		t.Helper()
		at := time.Now().Add(time.Duration(n) * time.Second)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if got := shown(); got != "10" {
		t.Fatalf("shows certificate %s, want 10", got)
	}
	whole, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, whole[:20], 0o600); err != nil {
		t.Fatal(err)
	}
	later(keyFile, 1)
	if got := shown(); got != "10" || shown() != "10" || strings.Count(book.String(), "the last ones serve") != 1 {
		t.Errorf("half a rotation: shows %s, log %v", got, book.String())
	}
	a.Issue("client", 11, time.Hour)
	later(keyFile, 2)
	if got := shown(); got != "11" || strings.Count(book.String(), "read again") != 1 {
		t.Errorf("after the rotation: shows %s, log %v", got, book.String())
	}
}

// Authorities of a file replace those of the system, and the host's name counts
// as it does without a file.
func TestServersAreVerifiedByTheFile(t *testing.T) {
	t.Parallel()
	a, other := tlstest.New(t), tlstest.New(t)
	for name, c := range map[string]struct {
		server *tls.Config
		files  tlsfiles.Files
		host   string
		want   string // of the hint; empty: all well
	}{
		"sound":             {a.Serving(false, time.Hour), tlsfiles.Files{CA: a.File}, "127.0.0.1", ""},
		"sound, by name":    {a.Serving(false, time.Hour, "db.example"), tlsfiles.Files{CA: a.File}, "db.example", ""},
		"another authority": {a.Serving(false, time.Hour), tlsfiles.Files{CA: other.File}, "127.0.0.1", "does not hold"},
		"the system's":      {a.Serving(false, time.Hour), tlsfiles.Files{}, "127.0.0.1", "name the server's authority"},
		"another address":   {a.Serving(false, time.Hour, "db.example"), tlsfiles.Files{CA: a.File}, "127.0.0.1", "other names"},
		"another name":      {a.Serving(false, time.Hour, "db.example"), tlsfiles.Files{CA: a.File}, "web.example", "other names"},
		"expired":           {a.Serving(false, -time.Minute), tlsfiles.Files{CA: a.File}, "127.0.0.1", "renew"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, err := tlsfiles.Open(c.files, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			l, err := tls.Listen("tcp", "127.0.0.1:0", c.server)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() { // ends with the handshake, or with l
				if conn, err := l.Accept(); err == nil {
					_ = conn.(*tls.Conn).Handshake()
				}
			}()
			conn, err := tls.Dial("tcp", l.Addr().String(), source.Config(c.host))
			if err == nil {
				conn.Close()
			}
			hint := c.files.HandshakeHint(err)
			if (err == nil) != (c.want == "") || !strings.Contains(hint, c.want) {
				t.Errorf("got %v with hint %q, want one with %q", err, hint, c.want)
			}
		})
	}
}
