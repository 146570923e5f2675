package stream_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/stream"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// formTokens gets tokens from the simulator by plain form posts.
type formTokens struct {
	client   *http.Client
	url      string
	clientID string

	mu      sync.Mutex // guards all below
	refresh string
	id      string
	expires time.Time
}

func (f *formTokens) post(path string, form url.Values) (map[string]any, error) {
	form.Set("client_id", f.clientID)
	r, err := f.client.Post(f.url+path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	body := map[string]any{}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, err
	}
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %d %v", path, r.StatusCode, body["error"])
	}
	return body, nil
}

func (f *formTokens) login() error {
	sum := sha256.Sum256([]byte("verifier"))
	code, err := f.post("/gcdm/oauth/device/code", url.Values{
		"response_type": {"device_code"}, "scope": {"authenticate_user openid cardata:api:read cardata:streaming:read"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	})
	if err != nil {
		return err
	}
	return f.token(url.Values{
		"grant_type":  {"urn:ietf:params:oauth:grant-type:device_code"},
		"device_code": {code["device_code"].(string)}, "code_verifier": {"verifier"},
	})
}

func (f *formTokens) token(form url.Values) error {
	t, err := f.post("/gcdm/oauth/token", form)
	if err != nil {
		return err
	}
	f.refresh, f.id = t["refresh_token"].(string), t["id_token"].(string)
	f.expires = time.Now().Add(time.Duration(t["expires_in"].(float64) * float64(time.Second)))
	return nil
}

func (f *formTokens) IDToken(_ context.Context, minLife time.Duration) (string, time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	if f.id == "" {
		err = f.login()
	} else if time.Until(f.expires) < minLife {
		err = f.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {f.refresh}})
	}
	return f.id, f.expires, err
}

func (f *formTokens) Renew(context.Context, string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {f.refresh}})
}

// story is what one Handler heard.
type story struct {
	mu       sync.Mutex
	messages []int       // of each connection
	ends     []time.Time // lastInbound of each
	news     chan string // "subscribed" or a cause
}

func (s *story) Message(schema.GCID, string, []byte, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages[len(s.messages)-1]++
}

func (s *story) Subscribed(schema.GCID, time.Time) {
	s.mu.Lock()
	s.messages = append(s.messages, 0)
	s.mu.Unlock()
	s.news <- "subscribed"
}

func (s *story) Lost(_ schema.GCID, _, last time.Time, cause schema.GapCause) {
	s.mu.Lock()
	s.ends = append(s.ends, last)
	s.mu.Unlock()
	s.news <- string(cause)
}

func (s *story) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-s.news:
			if got != w {
				t.Fatalf("heard %q, want %q", got, w)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("never heard %q", w)
		}
	}
}

// TestAgainstTheSimulator changes the token and stops in the middle of a feed at
// full pace: what was handed to a socket arrives, or lies in the gap. The
// ledger's times are taken just before a batch is written, hence the slack.
func TestAgainstTheSimulator(t *testing.T) {
	dir := t.TempDir()
	sim, err := simulator.Start(t.Context(), simulator.Config{
		Seed: 7, Accounts: 1, Cars: 4, History: 30 * 24 * time.Hour, Dir: dir, AutoApprove: true,
		ConnectsPerMinute: -1, TokenLife: 3 * time.Second,
		Faults: simulator.Faults{ReconnectRefusal: -1},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	ca, err := os.ReadFile(sim.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	config := &tls.Config{RootCAs: roots}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()

	gcid := sim.Accounts()[0].GCID
	h := &story{news: make(chan string, 100)}
	tokens := &formTokens{client: &http.Client{Transport: transport}, url: sim.OAuthURL(), clientID: sim.ClientID()}
	c, err := stream.New(gcid, tokens, h, stream.NewPacer(1000, time.Minute), stream.Config{
		Addr: sim.MQTTAddr(), TLS: config, ReconnectGap: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()

	h.expect(t, "subscribed", "token_change", "subscribed")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	h.expect(t, "shutdown")
	sim.Pause()
	h.mu.Lock()
	defer h.mu.Unlock()
	of := map[uint64][]time.Time{}
	var conns []uint64
	for e := range sim.Ledger().Entries(gcid) {
		if len(of[e.Conn]) == 0 {
			conns = append(conns, e.Conn)
		}
		of[e.Conn] = append(of[e.Conn], e.Handed)
	}
	for i, n := range conns {
		t.Logf("connection %d: %d of %d messages", i+1, h.messages[i], len(of[n]))
		if missed := of[n][h.messages[i]:]; len(missed) > 0 && h.ends[i].Sub(missed[0]) > 5*time.Millisecond {
			t.Errorf("missed from %v on, outside the gap by %v", missed[0], h.ends[i].Sub(missed[0]))
		}
	}
}
