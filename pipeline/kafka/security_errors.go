package kafka

import (
	"errors"
	"fmt"
	"strings"

	"github.com/segmentio/kafka-go"

	"github.com/cardata-pipeline/cardata-pipeline/internal/tlsfiles"
)

// explainedError is an error with what a person should do about it.
type explainedError struct {
	err  error
	hint string
}

// Error gives the cause, then the hint.
func (e *explainedError) Error() string { return fmt.Sprintf("%v: %s", e.err, e.hint) }

// Unwrap gives the cause.
func (e *explainedError) Unwrap() error { return e.err }

// explain adds to an error of a connection or a login what it means here.
func (c *Client) explain(err error) error {
	if err == nil {
		return nil
	}
	if _, done := errors.AsType[*explainedError](err); done {
		return err
	}
	hint := c.connectionHint(err)
	if hint == "" {
		return err
	}
	return &explainedError{err, hint}
}

func (c *Client) connectionHint(err error) string {
	s := c.cfg.Security
	if code, ok := errors.AsType[kafka.Error](err); ok {
		switch code {
		case kafka.SASLAuthenticationFailed:
			return "the brokers refuse the login of " + s.User + " by " + s.SASL + ": check CARDATA_KAFKA_USER, CARDATA_KAFKA_PASSWORD and that this user is known for this mechanism"
		case kafka.UnsupportedSASLMechanism:
			return "the brokers do not take " + s.SASL + " on this port: check CARDATA_KAFKA_SASL and the port"
		case kafka.IllegalSASLState, kafka.SecurityDisabled:
			return "the port wants another kind of login: check CARDATA_KAFKA_SASL and the port"
		default:
			return ""
		}
	}
	if _, ok := errors.AsType[*handshakeError](err); ok {
		return ""
	}
	if hint := c.cfg.Security.files().Hint(err); hint != "" {
		return hint
	}
	if strings.Contains(err.Error(), "SCRAM") || strings.Contains(err.Error(), "server signature") {
		return "the broker's side of the login is not sound: it does not know the password that it should"
	}
	if !c.proven.Load() && tlsfiles.HungUp(err) {
		switch {
		case !s.secured() && s.SASL == "":
			return "the broker hangs up before the first answer; the port may want TLS (CARDATA_KAFKA_TLS) or a login (CARDATA_KAFKA_SASL)"
		case !s.secured() && s.SASL != "":
			return "the broker hangs up before the first answer; the port may want TLS (CARDATA_KAFKA_TLS)"
		case s.SASL == "":
			return "the broker hangs up before the first answer; the port may want a login (CARDATA_KAFKA_SASL)"
		}
		return "the broker hangs up before the first answer; the login of " + s.User + " by " + s.SASL + " may be wrong"
	}
	return ""
}

// authorizationError is a refusal by the cluster's access rules, for one
// resource. No retry changes it.
type authorizationError struct {
	Operation string // Read, Write, Describe, Create
	Kind      string // topic or group
	Names     []string
	Principal string
	Rights    string // all that the process needs; may be empty
	err       error
}

// Error says what was refused and what to grant to whom.
func (e *authorizationError) Error() string {
	rights := e.Rights
	if rights == "" {
		rights = fmt.Sprintf("%s on %s %s", e.Operation, e.Kind, strings.Join(e.Names, ", "))
	}
	kind := e.Kind
	if len(e.Names) > 1 {
		kind += "s"
	}
	return fmt.Sprintf("not allowed to %s %s %s: grant %s to %s", e.Operation, kind, strings.Join(e.Names, ", "), rights, e.Principal)
}

// Unwrap gives the broker's code.
func (e *authorizationError) Unwrap() error { return e.err }

// The operations of access rules.
const (
	opRead     = "Read"
	opWrite    = "Write"
	opDescribe = "Describe"
	opCreate   = "Create"
)

func (c *Client) notAllowed(operation string, topics []string, err error) error {
	return &authorizationError{Operation: operation, Kind: "topic", Names: topics, Principal: c.Principal(), Rights: c.cfg.Rights, err: err}
}

// refusal names the resource when err is a refusal by access rules; else it
// explains err, if that can be done.
func (c *Client) refusal(operation, name string, err error) error {
	if _, done := errors.AsType[*authorizationError](err); done {
		return err
	}
	switch {
	case errors.Is(err, kafka.TopicAuthorizationFailed), errors.Is(err, kafka.ClusterAuthorizationFailed):
		return c.notAllowed(operation, []string{name}, err)
	case errors.Is(err, kafka.GroupAuthorizationFailed):
		return &authorizationError{Operation: operation, Kind: "group", Names: []string{name}, Principal: c.Principal(), Rights: c.cfg.Rights, err: err}
	}
	return c.explain(err)
}

// Principal is who the brokers take us for, as access rules name it.
func (c *Client) Principal() string {
	if c.secure != nil {
		return c.cfg.Security.principal(c.secure.source.Subject())
	}
	return c.cfg.Security.principal("")
}
