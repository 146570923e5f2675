package rest

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

func addSamples(f *testing.F) {
	f.Helper()
	files, err := os.ReadDir("testdata")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		if !file.IsDir() {
			f.Add([]byte(sample(f, file.Name())))
		}
	}
	f.Add([]byte(`{"data":[{"startTime":"1e999","chargingBlocks":[[],{"startTime":1}],"mileage":{}}],"next_token":[]}`))
	f.Add([]byte(`[{"vin":{"a":1}},7,null]`))
	f.Add([]byte("\ufeff<html>"))
}

// FuzzDecoders holds that no bytes make a decoder panic, that what cannot be read
// is an *Error, and that what comes out is within the bounds that are promised.
func FuzzDecoders(f *testing.F) {
	addSamples(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		page, err := DecodeSessions(body)
		check(t, err)
		for _, s := range page.Sessions {
			checkSession(t, s)
		}
		settings, err := DecodeSettings(body)
		check(t, err)
		for _, s := range settings.Settings {
			checkNotes(t, s.Problems)
		}
		list, err := DecodeMappings(body)
		check(t, err)
		for _, m := range list {
			if _, err := schema.ParseVIN(string(m.VIN)); err != nil {
				t.Fatalf("VIN %q", string(m.VIN))
			}
		}
		_, err = DecodeBasicData(body)
		check(t, err)
		_, err = DecodeTyres(body)
		check(t, err)
		_, err = DecodeContainers(body)
		check(t, err)
		bodies, err := DecodeTelematics(body)
		check(t, err)
		for _, b := range bodies {
			if !json.Valid(b) {
				t.Fatalf("%q became %q", body, b)
			}
		}
	})
}

func checkSession(t *testing.T, s ChargingSession) {
	t.Helper()
	checkNotes(t, s.Problems)
	if s.Start.IsZero() || s.Start.Nanosecond() != 0 || !s.End.IsZero() && s.End.Before(s.Start) || s.Start.Year() < 2000 {
		t.Fatalf("session %s to %s", s.Start, s.End)
	}
	again, err := DecodeSessions(append(append([]byte("["), s.Raw...), ']'))
	if err != nil || len(again.Sessions) != 1 || !again.Sessions[0].Start.Equal(s.Start) || len(again.Sessions[0].Blocks) != len(s.Blocks) {
		t.Fatalf("raw gives another session: %v, %v", again, err)
	}
}

func checkNotes(t *testing.T, list []string) {
	t.Helper()
	if len(list) > maxProblems+1 {
		t.Fatalf("%d problems", len(list))
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		wantKind(t, err, KindProtocol)
	}
}

// FuzzClassify holds that every answer has a kind, a remedy and clean words.
func FuzzClassify(f *testing.F) {
	files, err := os.ReadDir("testdata")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		if !file.IsDir() {
			f.Add(403, []byte(sample(f, file.Name())))
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for about := aboutAccount; about <= aboutCreate; about++ {
			e := classify("ask", about, status, body, 0)
			if e.Kind < KindTransient || e.Kind > KindProtocol || e.Remedy == "" || e.Error() == "" {
				t.Fatalf("%d %q: %+v", status, body, e)
			}
		}
	})
}

// FuzzLedger holds that no quota file gives more calls than the limit.
func FuzzLedger(f *testing.F) {
	f.Add([]byte(`{"version":1,"day":"2030-01-01","spent":30,"history":[{"day":"2000-01-01","spent":15,"foreign":0}]}`))
	f.Add([]byte(`{"version":1,"day":"2026-01-01","spent":0,"latched":true,"skew_ms":-86400000}`))
	q := OpenQuota(f.TempDir()+"/q.json", QuotaConfig{})
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(q.path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := q.Status(t.Context())
		if err != nil || s.Left < 0 || s.Left > 50 || s.Scheduled < 0 || s.Scheduled > 40 {
			t.Fatalf("%q: %+v, %v", content, s, err)
		}
	})
}
