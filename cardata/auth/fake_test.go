package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testClient = "00000000-0000-4000-8000-00000000c11d"
	testGCID   = "00000000-0000-4000-8000-000000000001"
	codePath   = "/gcdm/oauth/device/code"
	tokenPath  = "/gcdm/oauth/token"
)

// service is BMW's OAuth service as a func field; it notes what it was asked.
type service struct {
	answer func(path string, form url.Values) (*fakeAnswer, error)

	mu    sync.Mutex // guards what follows
	asked []request
}

type request struct {
	path string
	form url.Values
	at   time.Time
}

func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(b))
	if err != nil {
		return nil, err
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.asked = append(s.asked, request{r.URL.Path, form, time.Now()})
	s.mu.Unlock()
	a, err := s.answer(r.URL.Path, form)
	if err == nil {
		err = r.Context().Err() // it ended under the request
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: a.StatusCode, Header: a.Header, Body: a.Body}, nil
}

func (s *service) requests(path string) []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []request
	for _, r := range s.asked {
		if r.path == path {
			found = append(found, r)
		}
	}
	return found
}

// fakeAnswer becomes an http.Response, which the client under test closes.
type fakeAnswer struct {
	StatusCode int
	Header     http.Header
	Body       io.ReadCloser
}

func reply(status int, body string) *fakeAnswer {
	h := http.Header{}
	h.Set("Content-Type", "application/json;charset=UTF-8")
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	return &fakeAnswer{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func sample(tb testing.TB, name string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func newClient(tb testing.TB, s http.RoundTripper, log io.Writer) *Client {
	tb.Helper()
	if log == nil {
		log = io.Discard
	}
	c, err := New(Config{
		ClientID: testClient, HTTPClient: &http.Client{Transport: s},
		Log: slog.New(slog.NewJSONHandler(log, nil)),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// jwtWith gives an id token with these claims and a signature of nobody.
func jwtWith(claims string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"RS256"}`)) + "." + enc([]byte(claims)) + "." + enc([]byte("signature"))
}

// rotating is a service that rotates like the real one: each refresh token once.
type rotating struct {
	mu        sync.Mutex // guards what follows
	n         int
	refreshes int
}

func (r *rotating) answer(_ string, form url.Values) (*fakeAnswer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refreshes++
	if form.Get("refresh_token") != fmt.Sprintf("refresh-%d", r.n) {
		return reply(400, `{"error":"invalid_grant","error_description":"spent"}`), nil
	}
	r.n++
	return reply(200, tokenBody(r.n)), nil
}

func tokenBody(n int) string {
	b, _ := json.Marshal(map[string]any{
		"gcid": testGCID, "token_type": "Bearer", "expires_in": 3600,
		"access_token": fmt.Sprintf("access-%d", n), "refresh_token": fmt.Sprintf("refresh-%d", n),
		"id_token": fmt.Sprintf("id-%d", n), "scope": scopeAPI + " " + scopeStream,
	})
	return string(b)
}

// setN is the set that rotating hands out as number n, obtained now.
func setN(n int) TokenSet {
	at := now()
	return TokenSet{
		ClientID: testClient, GCID: testGCID,
		AccessToken: Secret(fmt.Sprintf("access-%d", n)), IDToken: Secret(fmt.Sprintf("id-%d", n)),
		RefreshToken: Secret(fmt.Sprintf("refresh-%d", n)), Scope: scopeAPI + " " + scopeStream,
		Obtained: at, Expires: at.Add(time.Hour), RefreshExpires: at.Add(refreshLife),
	}
}

func newStore(tb testing.TB, set TokenSet) *Store {
	tb.Helper()
	s := OpenStore(StorePath(tb.TempDir(), testGCID))
	if err := s.Save(set); err != nil {
		tb.Fatal(err)
	}
	return s
}

func newSource(tb testing.TB, c *Client, s *Store) *Source {
	tb.Helper()
	src, err := NewSource(c, s, SourceConfig{Log: c.cfg.Log})
	if err != nil {
		tb.Fatal(err)
	}
	return src
}

// stored reads the file's refresh token.
func stored(tb testing.TB, s *Store) string {
	tb.Helper()
	set, err := s.Load()
	if err != nil {
		tb.Fatal(err)
	}
	return string(set.RefreshToken)
}

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// safeBuffer takes log lines from several goroutines.
type safeBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// sampleBody is sample for tables, which have no testing.TB at hand.
func sampleBody(name string) string {
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return string(b)
}

// pause lets the time of a synctest bubble pass.
func pause(d time.Duration) { <-time.After(d) }
