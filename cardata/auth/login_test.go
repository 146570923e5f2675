package auth

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// script answers the polls in order, the last one for ever.
func script(tb testing.TB, polls ...func() (*fakeAnswer, error)) *service {
	tb.Helper()
	code := sample(tb, "device-code-200.json")
	n := 0
	return &service{answer: func(path string, _ url.Values) (*fakeAnswer, error) {
		if path == codePath {
			return reply(200, code), nil
		}
		f := polls[min(n, len(polls)-1)]
		n++
		return f()
	}}
}

func says(status int, body string) func() (*fakeAnswer, error) {
	return func() (*fakeAnswer, error) { return reply(status, body), nil }
}

func TestLoginFollowsTheTableOfThePoll(t *testing.T) {
	tests := map[string]struct {
		status int
		body   string
		code   string
		remedy string
	}{
		"access_denied with 403 ends the login":    {403, "error-403-access_denied.json", "access_denied", "ad blockers"},
		"invalid_client with 401 ends the login":   {401, "error-401-invalid_client.json", "invalid_client", "client id"},
		"invalid_request with 400 ends the login":  {400, "error-400-invalid_request.json", "invalid_request", "login"},
		"invalid_grant with 400 ends the login":    {400, "error-400-invalid_grant.json", "invalid_grant", "login"},
		"a gateway fault with 500 spends the code": {500, "error-500-gateway-fault.json", "keymanagement.service.invalid_access_token", "create a new one"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				svc := script(t, says(tt.status, sample(t, tt.body)))
				_, err := newClient(t, svc, nil).Login(t.Context(), func(Prompt) {})
				e, ok := errors.AsType[*Error](err)
				if !ok {
					t.Fatalf("Login: %v, want *Error", err)
				}
				if e.Code != tt.code || e.Status != tt.status || e.Transient || !strings.Contains(e.Remedy, tt.remedy) {
					t.Errorf("Login: %+v, want code %s, status %d, remedy with %q", e, tt.code, tt.status, tt.remedy)
				}
				if n := len(svc.requests(tokenPath)); n != 1 {
					t.Errorf("polls = %d, want 1", n)
				}
			})
		})
	}
}

func TestLoginInvalidTokenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := script(t, says(400, `{"error":"invalid_token"}`))
		_, err := newClient(t, svc, nil).Login(t.Context(), func(Prompt) {})
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != "invalid_token" || e.Transient {
			t.Errorf("Login: %v, want invalid_token", err)
		}
	})
}

func TestLoginStopsAtACodeOfTheServiceWithAnyStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := script(t, says(403, `{"error":"unauthorized_client","error_description":"no\u001b[31m"}`))
		_, err := newClient(t, svc, nil).Login(t.Context(), func(Prompt) {})
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != "unauthorized_client" || e.Transient || e.Description != "no[31m" {
			t.Errorf("Login: %#v, want unauthorized_client, its text without control characters", err)
		}
	})
}

func TestLoginGivesTheTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pending := says(403, sample(t, "error-403-authorization_pending.json"))
		svc := script(t, pending, pending, says(200, sample(t, "token-200.json")))
		var p Prompt
		set, err := newClient(t, svc, nil).Login(t.Context(), func(q Prompt) { p = q })
		if err != nil {
			t.Fatal(err)
		}
		if set.GCID != testGCID || set.ClientID != testClient || set.AccessToken != "synthetic-access-token-1" ||
			set.IDToken != "synthetic.id.token" || set.RefreshToken != "synthetic-refresh-token-1" {
			t.Errorf("Login gave other tokens than the answer: %#v", set)
		}
		if got := set.Expires.Sub(set.Obtained); got != 3599*time.Second {
			t.Errorf("life = %v, want the answer's 3599 s", got)
		}
		if err := set.Check(); err != nil {
			t.Errorf("Check: %v", err)
		}
		if p.UserCode != "ABCD1234" || p.URLComplete != "https://customer.bmwgroup.com/oneid/link?user_code=ABCD1234" {
			t.Errorf("prompt = %+v, want the address completed with the code", p)
		}
		start, polls := svc.requests(codePath)[0], svc.requests(tokenPath)
		want := map[string]string{
			"client_id": testClient, "response_type": "device_code", "code_challenge_method": "S256",
			"scope":          "authenticate_user openid cardata:api:read cardata:streaming:read",
			"code_challenge": challenge(polls[0].form.Get("code_verifier")),
		}
		for k, v := range want {
			if start.form.Get(k) != v {
				t.Errorf("device code request: %s = %q, want %q", k, start.form.Get(k), v)
			}
		}
		for i, r := range polls {
			if at := r.at.Sub(start.at); at != time.Duration(i+1)*5*time.Second {
				t.Errorf("poll %d after %v, want every 5 s", i, at)
			}
			if r.form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:device_code" ||
				r.form.Get("device_code") != "synthetic.device.code" || r.form.Get("client_id") != testClient {
				t.Errorf("poll %d form = %v", i, r.form)
			}
			if r.form.Has("scope") || r.form.Has("client_secret") {
				t.Errorf("poll %d has fields the service does not know: %v", i, r.form)
			}
		}
	})
}

func TestLoginTakesTheCompleteAddressOf2025(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := &service{answer: func(path string, _ url.Values) (*fakeAnswer, error) {
			if path == codePath {
				return reply(200, `{"user_code":"X","device_code":"d","interval":5,"expires_in":300,
					"verification_uri":"https://a.example/link","verification_uri_complete":"https://b.example/?c=X"}`), nil
			}
			return reply(200, sample(t, "token-200.json")), nil
		}}
		var p Prompt
		if _, err := newClient(t, svc, nil).Login(t.Context(), func(q Prompt) { p = q }); err != nil {
			t.Fatal(err)
		}
		if p.URL != "https://a.example/link" || p.URLComplete != "https://b.example/?c=X" {
			t.Errorf("prompt = %+v, want the answer's addresses", p)
		}
	})
}

func TestLoginSlowDownAddsFiveSecondsForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := says(400, sample(t, "error-400-slow_down.json"))
		pending := says(403, sample(t, "error-403-authorization_pending.json"))
		broken := func() (*fakeAnswer, error) { return nil, io.ErrUnexpectedEOF }
		svc := script(t, slow, pending, slow, pending, broken, pending, says(200, sample(t, "token-200.json")))
		if _, err := newClient(t, svc, nil).Login(t.Context(), func(Prompt) {}); err != nil {
			t.Fatal(err)
		}
		const s = time.Second
		last := svc.requests(codePath)[0].at
		for i, want := range []time.Duration{5 * s, 10 * s, 10 * s, 15 * s, 15 * s, 15 * s, 15 * s} {
			at := svc.requests(tokenPath)[i].at
			if got := at.Sub(last); got != want {
				t.Errorf("poll %d after %v, want %v", i, got, want)
			}
			last = at
		}
	})
}

func TestLoginOutlivesTroubleOnTheWay(t *testing.T) {
	tests := map[string]func() (*fakeAnswer, error){
		"network fault":                func() (*fakeAnswer, error) { return nil, errors.New("connection reset") },
		"bad gateway page":             says(502, "<html>bad gateway</html>"),
		"500 without a fault body":     says(500, "oops"),
		"too many requests":            says(429, ""),
		"bot protection":               says(403, "<html>denied</html>"),
		"gateway fault other than 500": says(503, `{"fault":{"faultstring":"down","detail":{"errorcode":"x"}}}`),
		"answer torn in its middle":    func() (*fakeAnswer, error) { r := reply(200, ""); r.Body = torn{}; return r, nil },
		"redirect to a captive portal": says(302, ""),
		"pending as text/plain": func() (*fakeAnswer, error) {
			r := reply(400, `{"error":"authorization_pending"}`)
			r.Header.Set("Content-Type", "text/plain")
			return r, nil
		},
	}
	for name, trouble := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				svc := script(t, trouble, says(200, sample(t, "token-200.json")))
				if _, err := newClient(t, svc, nil).Login(t.Context(), func(Prompt) {}); err != nil {
					t.Errorf("Login: %v, want the tokens of the next poll", err)
				}
			})
		})
	}
}

type torn struct{}

func (torn) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
func (torn) Close() error             { return nil }

func TestLoginRestartsAnExpiredCode(t *testing.T) {
	tests := map[string]struct {
		poll  func() (*fakeAnswer, error)
		spent time.Duration // of each code
	}{
		"on the service's word":        {says(401, sampleBody("error-401-expired_token.json")), 5 * time.Second},
		"by the clock if it is silent": {says(403, sampleBody("error-403-authorization_pending.json")), 315 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				svc := script(t, tt.poll)
				prompts := 0
				_, err := newClient(t, svc, nil).Login(t.Context(), func(Prompt) { prompts++ })
				e, ok := errors.AsType[*Error](err)
				if !ok || e.Code != "expired_token" || e.Remedy == "" {
					t.Errorf("Login: %v, want expired_token with a remedy", err)
				}
				if prompts != 3 {
					t.Errorf("prompts = %d, want 3", prompts)
				}
				if got := time.Since(began); got != 3*tt.spent {
					t.Errorf("took %v, want %v", got, 3*tt.spent)
				}
			})
		})
	}
}

func TestLoginSucceedsWithTheSecondCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := script(t, says(401, sample(t, "error-401-expired_token.json")), says(200, sample(t, "token-200.json")))
		prompts := 0
		if _, err := newClient(t, svc, nil).Login(t.Context(), func(Prompt) { prompts++ }); err != nil || prompts != 2 {
			t.Errorf("Login: %v after %d prompts, want success after 2", err, prompts)
		}
		a, b := svc.requests(codePath)[0].form, svc.requests(codePath)[1].form
		if a.Get("code_challenge") == b.Get("code_challenge") {
			t.Error("the second code has the challenge of the first")
		}
	})
}

func TestLoginEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		began := time.Now()
		svc := script(t, says(403, sample(t, "error-403-authorization_pending.json")))
		_, err := newClient(t, svc, nil).Login(ctx, func(Prompt) {})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 12*time.Second {
			t.Errorf("Login: %v after %v, want the context's end at 12 s", err, time.Since(began))
		}
	})
}

func TestLoginDeviceCodeRefusals(t *testing.T) {
	tests := map[string]struct {
		answer func() (*fakeAnswer, error)
		code   string
		remedy string
		asked  int
	}{
		"unknown client is not asked again":      {says(401, sampleBody("error-401-invalid_client.json")), "invalid_client", "client id", 1},
		"missing subscription names portal step": {says(400, sampleBody("error-400-invalid_request.json")), "invalid_request", "CarData API", 1},
		"server trouble is tried three times":    {says(503, ""), codeStatus, "try again later", 3},
		"an answer without a code is no code":    {says(200, `{"user_code":"A"}`), codeAnswer, "try again later", 3},
		"an answer that is no JSON":              {says(200, `<html>`), codeAnswer, "try again later", 3},
		"an address that is no web address": {
			says(200, `{"user_code":"A","device_code":"d","verification_uri":"javascript:alert(1)"}`), codeAnswer, "try again later", 3,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				svc := &service{answer: func(string, url.Values) (*fakeAnswer, error) { return tt.answer() }}
				_, err := newClient(t, svc, nil).Login(t.Context(), func(Prompt) { t.Error("a prompt was shown") })
				e, ok := errors.AsType[*Error](err)
				if !ok || e.Code != tt.code || !strings.Contains(e.Remedy, tt.remedy) {
					t.Errorf("Login: %v, want %s with remedy %q", err, tt.code, tt.remedy)
				}
				if n := len(svc.requests(codePath)); n != tt.asked {
					t.Errorf("asked %d times, want %d", n, tt.asked)
				}
			})
		})
	}
}

func TestLoginReadsAccountFromIDTokenWhenMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := `{"access_token":"a","refresh_token":"r","id_token":"` + jwtWith(sample(t, "id-token-claims.json")) + `"}`
		set, err := newClient(t, script(t, says(200, body)), nil).Login(t.Context(), func(Prompt) {})
		if err != nil || set.GCID != testGCID {
			t.Fatalf("Login: %v, account %v", err, set)
		}
		if set.Expires.Sub(set.Obtained) != time.Hour {
			t.Errorf("life = %v, want one hour when the answer gives none", set.Expires.Sub(set.Obtained))
		}
		if err := set.Check(); err != nil {
			t.Errorf("Check: %v, want a scope left out to mean as asked", err)
		}
	})
}

func TestNewReportsAllFaults(t *testing.T) {
	_, err := New(Config{BaseURL: "http://customer.example", ClientID: "abc"})
	if err == nil || !strings.Contains(err.Error(), "base_url") || !strings.Contains(err.Error(), "client_id") {
		t.Errorf("New: %v, want both faults", err)
	}
	if _, err := New(Config{BaseURL: "http://127.0.0.1:8080"}); err != nil {
		t.Errorf("New on loopback: %v", err)
	}
}
