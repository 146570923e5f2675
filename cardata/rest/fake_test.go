package rest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testVIN       = "WBY00000000000001"
	testGCID      = "00000000-0000-4000-8000-000000000001"
	testContainer = "A00A000A001A1"
)

// wire is BMW as a func; it notes what it was asked. n counts from 1.
type wire struct {
	answer func(n int, r *http.Request) (*http.Response, error)

	mu    sync.Mutex // guards asked
	asked []*http.Request
	sent  []string // bodies of the requests
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.asked = append(w.asked, r)
	w.sent = append(w.sent, string(body))
	n := len(w.asked)
	w.mu.Unlock()
	return w.answer(n, r)
}

// respond makes an answer; a status in the name of a sample file wins.
func respond(status int, contentType, body string) *http.Response {
	return &http.Response{
		StatusCode: status, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
		Header: http.Header{"Content-Type": {contentType}},
	}
}

func always(status int, contentType, body string) *wire {
	return &wire{answer: func(int, *http.Request) (*http.Response, error) { return respond(status, contentType, body), nil }}
}

// inTurn answers with one sample after the other.
func inTurn(t *testing.T, names ...string) *wire {
	t.Helper()
	return &wire{answer: func(n int, _ *http.Request) (*http.Response, error) {
		if n > len(names) {
			return nil, errors.New("more calls than answers")
		}
		return respond(status(t, names[n-1]), "application/json", sample(t, names[n-1])), nil
	}}
}

func sample(tb testing.TB, name string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// status reads the status out of a sample's name.
func status(tb testing.TB, name string) int {
	tb.Helper()
	for part := range strings.SplitSeq(strings.TrimSuffix(name, filepath.Ext(name)), "-") {
		if n, err := strconv.Atoi(part); err == nil && n >= 200 && n < 600 {
			return n
		}
	}
	tb.Fatalf("sample %s names no status", name)
	return 0
}

// purse hands out token-1, token-2, … and moves on when one is refused.
type purse struct {
	mu       sync.Mutex // guards what follows
	n        int
	renewed  []string
	err      error // of AccessToken
	renewErr error
}

func (p *purse) AccessToken(context.Context, time.Duration) (string, time.Time, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return "token-" + strconv.Itoa(p.n+1), time.Now().Add(time.Hour), p.err
}

func (p *purse) RenewAccess(_ context.Context, rejected string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renewed = append(p.renewed, rejected)
	if p.renewErr == nil {
		p.n++
	}
	return p.renewErr
}

// tally is a Budget that only counts, up to limit when that is not 0.
type tally struct {
	mu        sync.Mutex // guards what follows
	limit     int
	booked    int
	exhausted int
	uses      []Use
	skew      time.Duration
	err       error
}

func (b *tally) Book(_ context.Context, calls int, use Use) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	if b.limit > 0 && b.booked+calls > b.limit {
		return &QuotaError{Spent: b.booked, Limit: b.limit, Use: use, Until: time.Now().Add(time.Hour)}
	}
	b.booked += calls
	b.uses = append(b.uses, use)
	return nil
}

func (b *tally) Exhausted(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.exhausted++
	return ctx.Err()
}

func (b *tally) SetSkew(_ context.Context, skew time.Duration) { b.skew = skew }

// rig is a client with all around it.
type rig struct {
	*Client
	wire   *wire
	tokens *purse
	budget *tally
	log    *strings.Builder
}

func newRig(tb testing.TB, w *wire) *rig {
	tb.Helper()
	r := &rig{wire: w, tokens: new(purse), budget: new(tally), log: new(strings.Builder)}
	c, err := New(Config{
		BaseURL: "http://127.0.0.1:1", HTTPClient: &http.Client{Transport: w},
		Log: slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, r.tokens, r.budget)
	if err != nil {
		tb.Fatal(err)
	}
	r.Client = c
	return r
}

func wantKind(tb testing.TB, err error, kind Kind) *Error {
	tb.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != kind {
		tb.Fatalf("error = %v (kind %v), want kind %v", err, e, kind)
	}
	if e.Remedy == "" && !errors.Is(err, context.Canceled) {
		tb.Errorf("%v has no remedy", err)
	}
	return e
}

func val[T comparable](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}
