package login

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

const (
	testClient = "00000000-0000-4000-8000-00000000c11d"
	testGCID   = "00000000-0000-4000-8000-000000000001"
)

// serve is an OAuth service on TLS with its own certificate, which approves at
// the second poll; poll may give another answer.
func serve(t *testing.T, scope, claims string, poll func(http.ResponseWriter) bool) (base, caFile string) {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	polls := 0
	mux := http.NewServeMux()
	mux.HandleFunc("POST /gcdm/oauth/device/code", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("client_id") != testClient || r.PostFormValue("code_challenge") == "" {
			http.Error(w, `{"error":"invalid_request"}`, http.StatusBadRequest)
			return
		}
		reply(w, http.StatusOK, map[string]any{
			"user_code": "ABCD1234", "device_code": "d", "interval": 1, "expires_in": 300,
			"verification_uri": "https://customer.example/link",
		})
	})
	mux.HandleFunc("POST /gcdm/oauth/token", func(w http.ResponseWriter, _ *http.Request) {
		if poll != nil && poll(w) {
			return
		}
		if polls++; polls == 1 {
			reply(w, http.StatusForbidden, map[string]any{"error": "authorization_pending"})
			return
		}
		reply(w, http.StatusOK, map[string]any{
			"gcid": testGCID, "access_token": "s3cret-access", "refresh_token": "s3cret-refresh",
			"id_token": "s3cret." + enc([]byte(claims)) + ".x", "scope": scope, "expires_in": 3599, "token_type": "Bearer",
		})
	})
	srv := httptest.NewTLSServer(mux)
	t.Cleanup(srv.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(caFile, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return srv.URL, caFile
}

func reply(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

const (
	allScopes = "cardata:api:read openid cardata:streaming:read authenticate_user"
	streaming = `{"dynamic_scopes":["read:streaming/*/x.*"]}`
)

func TestRunShowsTheCodeAndStoresTheTokens(t *testing.T) {
	t.Parallel()
	base, ca := serve(t, allScopes, streaming, nil)
	dir := filepath.Join(t.TempDir(), "new", "tokens")
	var out bytes.Buffer
	err := Run(t.Context(), Config{ClientID: testClient, BaseURL: base, TokenDir: dir, CAFile: ca}, &out)
	if err != nil {
		t.Fatalf("Run: %v\n%s", err, out.String())
	}
	for _, want := range []string{
		"https://customer.example/link?user_code=ABCD1234", "    ABCD1234\n", "is stored in " + dir, "REST API yes, stream yes",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, out.String())
		}
	}
	for _, bad := range []string{"s3cret", testGCID} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("output shows %q:\n%s", bad, out.String())
		}
	}
	set, err := auth.OpenStore(filepath.Join(dir, testGCID+".json")).Load()
	if err != nil || set.RefreshToken != "s3cret-refresh" || set.ClientID != testClient {
		t.Errorf("stored: %v, %v", set, err)
	}
}

func TestRunSpeaksJSON(t *testing.T) {
	t.Parallel()
	base, ca := serve(t, "openid cardata:api:read", streaming, nil)
	var out bytes.Buffer
	dir := t.TempDir()
	err := Run(t.Context(), Config{ClientID: testClient, BaseURL: base, TokenDir: dir, CAFile: ca, JSON: true}, &out)
	if exit.Code(err) != exit.NeedsPerson {
		t.Errorf("Run: %v, want exit code 3", err)
	}
	var events []string
	for line := range strings.Lines(out.String()) {
		var e struct {
			Event       string `json:"event"`
			URLComplete string `json:"url_complete"`
			Stream      bool   `json:"stream"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		events = append(events, e.Event)
		if e.Event == "code" && e.URLComplete == "" || e.Event == "stored" && e.Stream {
			t.Errorf("line %q", line)
		}
	}
	if strings.Join(events, " ") != "code stored missing" {
		t.Errorf("events = %v, want code, stored, missing", events)
	}
}

func TestRunNamesThePortalStepThatIsMissing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		scope, claims, want string
	}{
		"API subscription":           {"openid cardata:streaming:read", streaming, `tick the subscription "CarData API"`},
		"stream subscription":        {"openid cardata:api:read", streaming, `tick the subscription "CarData Stream"`},
		"stream permission in token": {allScopes, `{}`, `tick the subscription "CarData Stream"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, ca := serve(t, tt.scope, tt.claims, nil)
			var out bytes.Buffer
			dir := t.TempDir()
			err := Run(t.Context(), Config{ClientID: testClient, BaseURL: base, TokenDir: dir, CAFile: ca}, &out)
			if !errors.Is(err, auth.ErrScope) && !errors.Is(err, auth.ErrStreamScope) {
				t.Errorf("Run: %v, want what is missing in it", err)
			}
			if exit.Code(err) != exit.NeedsPerson || !strings.Contains(out.String(), tt.want) {
				t.Errorf("Run: %v, want exit code 3 and %q in\n%s", err, tt.want, out.String())
			}
			if _, err := os.Stat(filepath.Join(dir, testGCID+".json")); err != nil {
				t.Errorf("tokens are not stored: %v", err)
			}
		})
	}
}

func TestRunRefusedByThePersonExitsWith3(t *testing.T) {
	t.Parallel()
	base, ca := serve(t, allScopes, streaming, func(w http.ResponseWriter) bool {
		reply(w, http.StatusForbidden, map[string]any{"error": "access_denied"})
		return true
	})
	dir := t.TempDir()
	err := Run(t.Context(), Config{ClientID: testClient, BaseURL: base, TokenDir: dir, CAFile: ca}, &bytes.Buffer{})
	if exit.Code(err) != exit.NeedsPerson || !strings.Contains(err.Error(), "access_denied") {
		t.Errorf("Run: %v, want access_denied with exit code 3", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("something was stored: %v", entries)
	}
}

func TestRunReportsAllFaultsOfItsConfigBeforeAnyCall(t *testing.T) {
	t.Parallel()
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "tokens")
	for _, id := range []string{"", "my-client", testClient + "0"} {
		err := Run(t.Context(), Config{ClientID: id, BaseURL: "http://192.0.2.1", TokenDir: dir, CAFile: notPEM}, &bytes.Buffer{})
		if exit.Code(err) != exit.Usage {
			t.Errorf("Run with client id %q: %v, want exit code 2", id, err)
		}
		for _, want := range []string{"client_id", "base_url", "CA file"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("Run with client id %q: %v, want %s named", id, err, want)
			}
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the token directory was opened: %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	base, ca := serve(t, allScopes, streaming, func(w http.ResponseWriter) bool {
		cancel()
		reply(w, http.StatusForbidden, map[string]any{"error": "authorization_pending"})
		return true
	})
	err := Run(ctx, Config{ClientID: testClient, BaseURL: base, TokenDir: t.TempDir(), CAFile: ca}, &bytes.Buffer{})
	if !errors.Is(err, context.Canceled) || exit.Code(err) != exit.Done {
		t.Errorf("Run: %v, want the end of its context", err)
	}
}
