// Package tlsfiles gives TLS settings for clients from PEM files that change
// while the process runs: what rotates certificates needs no restart.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Files names the PEM files of one server; each may be empty.
type Files struct {
	CA        string // authorities to trust instead of the system's
	Cert, Key string // what the client shows
	// Name begins the names of the environment variables, such as KAFKA of
	// CARDATA_KAFKA_CA_FILE, for errors and hints.
	Name string
}

// Any says whether a file is named.
func (f Files) Any() bool { return f.CA != "" || f.Cert != "" || f.Key != "" }

// Check tells fault of everything that is wrong with the files, by the name of
// the variable without its prefix, as env.Faults.Add wants it.
func (f Files) Check(fault func(variable string, value any, allowed string)) {
	ca, cert, key := f.Name+"_CA_FILE", f.Name+"_CERT_FILE", f.Name+"_KEY_FILE"
	if f.CA != "" {
		if _, err := readRoots(f.CA); err != nil {
			fault(ca, f.CA, "must be a PEM file of certificate authorities: "+err.Error())
		}
	}
	if f.Cert == "" && f.Key != "" {
		fault(cert, "", "must name the certificate of CARDATA_"+key)
	}
	if f.Cert != "" && f.Key == "" {
		fault(key, "", "must name the key of CARDATA_"+cert)
	}
	if f.Cert == "" || f.Key == "" {
		return
	}
	readable := true
	for _, v := range [...]struct{ name, file string }{{cert, f.Cert}, {key, f.Key}} {
		if _, err := os.ReadFile(v.file); err != nil {
			fault(v.name, v.file, "must be a PEM file that can be read: "+err.Error())
			readable = false
		}
	}
	if readable {
		if _, err := readPair(f.Cert, f.Key); err != nil {
			fault(cert, f.Cert, "must be a PEM certificate that fits CARDATA_"+key+": "+err.Error())
		}
	}
}

func readRoots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("no PEM certificate in " + file)
	}
	return pool, nil
}

func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate and key: %w", err)
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
	}
	return &cert, nil
}
