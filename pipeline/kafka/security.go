package kafka

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/cardata-pipeline/cardata-pipeline/internal/tlsfiles"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// The ways to log in that Security.SASL names.
const (
	SASLPlain       = "plain"
	SASLScramSHA256 = "scram-sha-256"
	SASLScramSHA512 = "scram-sha-512"
)

// Security says how brokers are made sure of and what they are shown. The zero
// value is plain TCP without a login.
type Security struct {
	TLS bool // implied by CAFile and CertFile
	// CAFile holds the authorities to trust instead of the system's; CertFile and
	// KeyFile what the client shows. All are PEM. A file that changes is read again
	// at the next connection; while it cannot be read, the last good one serves.
	CAFile   string
	CertFile string
	KeyFile  string
	SASL     string // empty, SASLPlain, SASLScramSHA256 or SASLScramSHA512
	User     string
	Password pipeline.Secret
}

// secured says whether connections are TLS.
func (s Security) secured() bool { return s.TLS || s.files().Any() }

func (s Security) files() tlsfiles.Files {
	return tlsfiles.Files{CA: s.CAFile, Cert: s.CertFile, Key: s.KeyFile, Name: "KAFKA"}
}

// Check tells fault of everything that is wrong, by the name of the environment
// variable without its prefix, as env.Faults.Add wants it.
func (s Security) Check(fault func(variable string, value any, allowed string)) {
	if s.SASL != "" && !slices.Contains([]string{SASLPlain, SASLScramSHA256, SASLScramSHA512}, s.SASL) {
		fault("KAFKA_SASL", s.SASL, "must be empty, plain, scram-sha-256 or scram-sha-512")
	}
	switch {
	case s.SASL != "" && s.User == "":
		fault("KAFKA_USER", "", "must name the user that CARDATA_KAFKA_SASL logs in")
	case s.SASL == "" && s.User != "":
		fault("KAFKA_USER", s.User, "needs CARDATA_KAFKA_SASL: plain, scram-sha-256 or scram-sha-512")
	}
	switch {
	case s.SASL != "" && s.Password == "":
		fault("KAFKA_PASSWORD", "", "must be the password that CARDATA_KAFKA_SASL logs in with")
	case s.SASL == "" && s.Password != "":
		fault("KAFKA_PASSWORD", s.Password, "needs CARDATA_KAFKA_SASL: plain, scram-sha-256 or scram-sha-512")
	}
	s.files().Check(fault)
	if m := s.SASL; (m == SASLScramSHA256 || m == SASLScramSHA512) && s.User != "" && s.Password != "" {
		if _, err := s.mechanism(); err != nil {
			fault("KAFKA_PASSWORD", s.Password, err.Error())
		}
	}
}

// faults gives what Check tells as one error.
func (s Security) faults() error {
	var list []error
	s.Check(func(variable string, value any, allowed string) {
		list = append(list, fmt.Errorf("CARDATA_%s=%s: %s", variable, quoted(value), allowed))
	})
	return errors.Join(list...)
}

// mechanism gives kafka-go's view of the login; nil without one.
func (s Security) mechanism() (sasl.Mechanism, error) {
	var hash scram.Algorithm
	switch s.SASL {
	case SASLPlain:
		return plain.Mechanism{Username: s.User, Password: string(s.Password)}, nil
	case SASLScramSHA256:
		hash = scram.SHA256
	case SASLScramSHA512:
		hash = scram.SHA512
	default:
		return nil, nil //nolint:nilnil // no login
	}
	m, err := scram.Mechanism(hash, s.User, string(s.Password))
	if err != nil { // its text repeats the password
		return nil, errors.New("user or password has characters that SCRAM forbids, such as control characters")
	}
	return m, nil
}

// principal is who the brokers take us for, as access rules name it.
func (s Security) principal(subject string) string {
	switch {
	case s.SASL != "":
		return "User:" + s.User
	case subject != "":
		return "User:" + subject
	}
	return "User:ANONYMOUS"
}

// Summary says in a few words how brokers are reached, without secrets.
func (s Security) Summary() string {
	var parts []string
	if s.secured() {
		parts = append(parts, "TLS")
		if s.CertFile != "" {
			parts = append(parts, "client certificate")
		}
	}
	if s.SASL != "" {
		parts = append(parts, strings.ToUpper(s.SASL)+" as "+s.User)
	}
	if len(parts) == 0 {
		return "plain TCP without a login"
	}
	return strings.Join(parts, ", ")
}

func quoted(value any) string {
	if s, ok := value.(string); ok {
		return strconv.Quote(s)
	}
	return fmt.Sprint(value)
}
