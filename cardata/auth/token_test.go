package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestTokensNeverShow(t *testing.T) {
	set := setN(1)
	set.AccessToken, set.IDToken, set.RefreshToken = "s3cret-a", "s3cret-i", "s3cret-r"
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		l := slog.New(h)
		l.Info("x", "set", set, "ptr", &set, "token", set.IDToken, "in", struct{ T TokenSet }{set}, "bare", struct{ S Secret }{set.IDToken})
	}
	j, err := json.Marshal(map[string]any{"set": set, "token": set.IDToken})
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(j)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown += fmt.Sprintf(verb+verb+verb, set, &set, set.IDToken)
		shown += fmt.Sprintf(verb, []any{set, set.RefreshToken})
	}
	for _, bad := range []string{"s3cret", fmt.Sprintf("%x", "s3cret"), testGCID} {
		if strings.Contains(shown, bad) {
			t.Errorf("%q shows in %s", bad, shown)
		}
	}
}

func TestCheckNamesThePortalStep(t *testing.T) {
	claim := func(v string) string { return jwtWith(`{"sub":"x","dynamic_scopes":` + v + `}`) }
	both := scopeStream + " openid " + scopeAPI
	tests := map[string]struct {
		scope, id string
		want      []error
		not       []error
		remedy    string
	}{
		"array of dynamic scopes":      {both, claim(`["read:streaming/*/x.*"]`), nil, nil, ""},
		"string of dynamic scopes":     {both, claim(`"read:streaming/*/x.*"`), nil, nil, ""},
		"id token that cannot be read": {both, "opaque", nil, nil, ""},
		"no dynamic scopes":            {both, jwtWith(`{"sub":"x"}`), []error{ErrStreamScope}, []error{ErrScope, ErrAPIScope}, "CarData Stream"},
		"empty array":                  {both, claim(`[]`), []error{ErrStreamScope}, []error{ErrScope}, "CarData Stream"},
		"empty string":                 {both, claim(`""`), []error{ErrStreamScope}, []error{ErrScope}, "CarData Stream"},
		"null":                         {both, claim(`null`), []error{ErrStreamScope}, []error{ErrScope}, "CarData Stream"},
		"no API scope":                 {scopeStream, "opaque", []error{ErrScope, ErrAPIScope}, []error{ErrStreamScope}, "\"CarData API\""},
		"no stream scope":              {scopeAPI, "opaque", []error{ErrScope, ErrStreamScope}, []error{ErrAPIScope}, "CarData Stream"},
		"neither":                      {"openid", "opaque", []error{ErrScope, ErrStreamScope, ErrAPIScope}, nil, "CarData Stream"},
		"a scope that only begins so":  {scopeAPI + "s " + scopeStream, "opaque", []error{ErrAPIScope}, []error{ErrStreamScope}, "CarData API"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := TokenSet{Scope: tt.scope, IDToken: Secret(tt.id)}.Check()
			if (err == nil) != (tt.want == nil) {
				t.Fatalf("Check = %v, want %v", err, tt.want)
			}
			for _, w := range tt.want {
				if !errors.Is(err, w) {
					t.Errorf("Check = %v, want %v in it", err, w)
				}
			}
			for _, n := range tt.not {
				if errors.Is(err, n) {
					t.Errorf("Check = %v, want %v not in it", err, n)
				}
			}
			if err != nil && !strings.Contains(err.Error(), tt.remedy) {
				t.Errorf("Check = %v, want the step %q named", err, tt.remedy)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	good, err := encode(setN(1), 7)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(append(bytes.Clone(good), 0, 0, 0))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		set, revision, err := decode(b)
		if err != nil {
			return
		}
		out, err := encode(set, revision)
		if err != nil {
			return // a year outside RFC 3339
		}
		again, r, err := decode(out)
		if err != nil || r != revision || again.RefreshToken != set.RefreshToken || !again.Expires.Equal(set.Expires) {
			t.Errorf("decode(encode(decode(%q))) = %v, %v", b, again, err)
		}
	})
}

func FuzzClaims(f *testing.F) {
	f.Add(jwtWith(`{"sub":"x","dynamic_scopes":["a"]}`))
	f.Add("a.b.c")
	f.Fuzz(func(_ *testing.T, s string) {
		_ = TokenSet{Scope: scopeAPI + " " + scopeStream, IDToken: Secret(s)}.Check()
	})
}
