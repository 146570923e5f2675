package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
)

// Limits of the clock. The Date header has whole seconds.
const (
	skewWarn = 30 * time.Second
	skewFail = 2 * time.Minute
)

const (
	remedyClock = "set the machine's clock by NTP (timedatectl set-ntp true); in a virtual machine also after a suspend: " +
		"tokens, measured times and the quota's day depend on it"
	remedyDNS      = "check the machine's DNS: the name has to resolve here, a filter such as an ad blocker may hide it"
	remedyFirewall = "check network and firewall: outbound TCP to this host and port has to be open (443 for OAuth and REST, 9000 for the stream)"
	remedyTrust    = "something between here and BMW shows its own certificate (a proxy or virus scanner): exempt this host; " +
		"for the simulator, name its CA file by CARDATA_CA_FILE or --ca-file"
	remedyTLS13 = "the stream takes TLS 1.3 alone: let no proxy or firewall lower the version"
)

// network looks at the way to the three hosts and compares clocks on it.
func (e *exam) network(ctx context.Context) {
	var reached []Finding
	skew, known := time.Duration(0), false
	for _, address := range []string{e.cfg.OauthURL, e.cfg.RESTURL} {
		host := hostOf(address)
		difference, dated, err := e.reach(ctx, address)
		switch {
		case err != nil:
			reached = append(reached, unreachable(host, err))
		default:
			reached = append(reached, Finding{Step: stepNetwork, Subject: host, Level: OK, Text: "name, TCP and TLS work"})
			e.answered = e.answered || address == e.cfg.RESTURL
			if dated && !known {
				skew, known = difference, true
			}
		}
	}
	streamed := e.reachStream(ctx)
	e.reached = streamed.Level == OK
	reached = append(reached, streamed)
	e.clock(skew, known)
	for _, f := range reached {
		e.add(f)
	}
}

func (e *exam) clock(skew time.Duration, known bool) {
	text := fmt.Sprintf("BMW's clock is %s of this machine's", ahead(skew))
	switch {
	case !known:
		e.skip(stepClock, "", "not compared: no answer with a date", "")
	case skew.Abs() > skewFail:
		e.act(stepClock, "", text, remedyClock)
	case skew.Abs() > skewWarn:
		e.warn(stepClock, "", text, remedyClock)
	default:
		e.ok(stepClock, "", "within %s of BMW's", skewWarn)
	}
}

func ahead(skew time.Duration) string {
	word := "ahead"
	if skew < 0 {
		word = "behind"
	}
	text := skew.Abs().Round(time.Second).String() + " " + word
	return strings.Replace(text, "0s ahead", "less than a second off", 1)
}

// reach asks for a host's first page; any answer will do. It gives how far the
// host's clock is ahead.
func (e *exam) reach(ctx context.Context, address string) (skew time.Duration, dated bool, err error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, address, http.NoBody)
	if err != nil {
		return 0, false, err
	}
	client := &http.Client{Transport: e.transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	sent := time.Now()
	res, err := client.Do(req)
	if err != nil {
		return 0, false, err
	}
	_ = res.Body.Close()
	middle := sent.Add(time.Since(sent) / 2)
	theirs, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return 0, false, nil // an answer without a date is an answer
	}
	return theirs.Add(500 * time.Millisecond).Sub(middle), true, nil
}

// reachStream goes as far as TLS: no MQTT, which would evict a running client.
func (e *exam) reachStream(ctx context.Context) Finding {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	host, _, err := net.SplitHostPort(e.cfg.MQTTAddr)
	if err != nil {
		return Finding{
			Step: stepNetwork, Subject: e.cfg.MQTTAddr, Level: Fail, Text: "the stream's address is not host:port",
			Remedy: "correct CARDATA_MQTT_ADDR", Person: true,
		}
	}
	roots, err := permit.Roots(e.cfg.CAFile)
	if err != nil {
		return unreachable(e.cfg.MQTTAddr, err)
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, ServerName: host}}
	conn, err := dialer.DialContext(ctx, "tcp", e.cfg.MQTTAddr)
	if err != nil {
		return unreachable(e.cfg.MQTTAddr, err)
	}
	_ = conn.Close()
	return Finding{Step: stepNetwork, Subject: e.cfg.MQTTAddr, Level: OK, Text: "name, TCP and TLS 1.3 work"}
}

// unreachable tells what breaks a connection and what to do about it.
func unreachable(host string, err error) Finding {
	f := Finding{Step: stepNetwork, Subject: host, Level: Fail, Text: cause(err), Remedy: remedyFirewall}
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	_, isDNS := errors.AsType[*net.DNSError](err)
	_, isTrust := errors.AsType[*tls.CertificateVerificationError](err)
	_, isAlert := errors.AsType[tls.AlertError](err)
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case isDNS:
		f.Text, f.Remedy = "the name does not resolve: "+f.Text, remedyDNS
	case isInvalid && invalid.Reason == x509.Expired:
		f.Text, f.Remedy, f.Person = "the certificate is not valid at this machine's time: "+f.Text, remedyClock+"; else: "+remedyTrust, true
	case isTrust:
		f.Text, f.Remedy, f.Person = "the certificate is not trusted: "+f.Text, remedyTrust, true
	case isAlert, isRecord, strings.Contains(f.Text, "tls:"):
		f.Text, f.Remedy, f.Person = "TLS fails: "+f.Text, remedyTLS13, true
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Text = "nobody listens there: " + f.Text
	case errors.Is(err, context.DeadlineExceeded):
		f.Text = "no answer in time"
	}
	return f
}

// cause leaves out the method and address that net/http puts in front.
func cause(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return err.Error()
}

func hostOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	return address
}
