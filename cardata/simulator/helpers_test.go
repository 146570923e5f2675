package simulator

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// keyDir makes the slow RSA key once for all tests.
var keyDir = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "simulator-keys-")
	if err != nil {
		return "", err
	}
	_, err = openPKI(dir)
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := keyDir(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code) //nolint:forbidigo // TestMain's way out
}

// newDir gives a directory that has keys already.
func newDir(tb testing.TB) string {
	tb.Helper()
	from, err := keyDir()
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// startTest brings up a simulator that ends with the test.
func startTest(tb testing.TB, cfg Config) *Simulator {
	tb.Helper()
	if cfg.Dir == "" {
		cfg.Dir = newDir(tb)
	}
	if cfg.Accounts == 0 {
		cfg.Accounts = 1
	}
	if cfg.ConnectsPerMinute == 0 {
		cfg.ConnectsPerMinute = -1
	}
	s, err := Start(context.Background(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

func clientTLS(tb testing.TB, s *Simulator) *tls.Config {
	tb.Helper()
	text, err := os.ReadFile(s.CAFile())
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		tb.Fatal("CA file holds no certificate")
	}
	return &tls.Config{RootCAs: pool}
}

func httpClient(tb testing.TB, s *Simulator) *http.Client {
	tb.Helper()
	tr := &http.Transport{TLSClientConfig: clientTLS(tb, s)}
	tb.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

// post sends a form and decodes the JSON answer, if it is one.
func post(tb testing.TB, c *http.Client, address string, form url.Values) (int, map[string]any, error) {
	tb.Helper()
	r, err := c.Post(address, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return r.StatusCode, nil, err
	}
	var body map[string]any
	_ = json.Unmarshal(text, &body)
	return r.StatusCode, body, nil
}

const allScopes = "authenticate_user openid cardata:api:read cardata:streaming:read"

func startForm(clientID string) url.Values {
	sum := sha256.Sum256([]byte("verifier"))
	return url.Values{
		"client_id": {clientID}, "response_type": {"device_code"}, "scope": {allScopes},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
}

func pollForm(clientID, deviceCode string) url.Values {
	return url.Values{
		"grant_type": {deviceGrant}, "client_id": {clientID}, "device_code": {deviceCode}, "code_verifier": {"verifier"},
	}
}

// login runs the device flow to its end.
func login(tb testing.TB, s *Simulator, a Account) map[string]any {
	tb.Helper()
	c := httpClient(tb, s)
	_, code, err := post(tb, c, s.OAuthURL()+"/gcdm/oauth/device/code", startForm(a.ClientID))
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Approve(code["user_code"].(string), true); err != nil {
		tb.Fatal(err)
	}
	status, set, err := post(tb, c, s.OAuthURL()+"/gcdm/oauth/token", pollForm(a.ClientID, code["device_code"].(string)))
	if err != nil || status != http.StatusOK {
		tb.Fatalf("token answer: %d %v %v", status, set, err)
	}
	return set
}

// hearer is a paho client and what it heard.
type hearer struct {
	client paho.Client
	lost   chan error

	mu       sync.Mutex // guards messages
	messages []heardMessage
}

type heardMessage struct {
	topic   string
	payload []byte
}

// listenTo connects with the id token and subscribes to filters.
func listenTo(tb testing.TB, s *Simulator, gcid schema.GCID, idToken string, filters ...string) (*hearer, error) {
	tb.Helper()
	h := &hearer{lost: make(chan error, 1)}
	o := paho.NewClientOptions().AddBroker("ssl://" + s.MQTTAddr()).SetTLSConfig(clientTLS(tb, s)).
		SetUsername(string(gcid)).SetPassword(idToken).SetAutoReconnect(false).SetProtocolVersion(4).
		SetConnectTimeout(5 * time.Second).
		SetConnectionLostHandler(func(_ paho.Client, err error) { h.lost <- err }).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.messages = append(h.messages, heardMessage{m.Topic(), append([]byte(nil), m.Payload()...)})
		})
	h.client = paho.NewClient(o)
	if t := h.client.Connect(); !t.WaitTimeout(10*time.Second) || t.Error() != nil {
		return h, t.Error()
	}
	tb.Cleanup(func() { h.client.Disconnect(0) })
	for _, f := range filters {
		t := h.client.Subscribe(f, 1, nil)
		if !t.WaitTimeout(10*time.Second) || t.Error() != nil {
			return h, t.Error()
		}
	}
	return h, nil
}

func (h *hearer) heard() []heardMessage {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clip(h.messages)
}

// eventually waits for a condition that another goroutine brings about.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			tb.Fatalf("timed out: %s", what)
		case <-tick.C:
		}
	}
}

func ledgerOf(s *Simulator, gcid schema.GCID) []Entry {
	var all []Entry
	for e := range s.Ledger().Entries(gcid) {
		all = append(all, e)
	}
	return all
}
