package object_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet/object"
)

// A store that goes away in the middle of an upload, and a caller who gives up.
func TestABrokenUploadLeavesTheOldObject(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		t.Helper()
		bucket := s.bucket(t)
		publish(t, s.open(t, bucket, object.Config{}), part, []byte("old"))
		file := local(t, bytes.Repeat([]byte("new"), 1<<20))
		for name, cancelled := range map[string]bool{"given up": true, "connection lost": false} {
			t.Run(name, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				way := s
				way.endpoint = cutAfter(t, s.endpoint, 1<<20, func() {
					if cancelled {
						cancel()
					}
				})
				err := way.open(t, bucket, object.Config{}).Publish(ctx, part, file)
				if err == nil {
					t.Fatal("Publish = nil although the upload was cut off")
				}
				if cancelled && !errors.Is(err, context.Canceled) {
					t.Errorf("Publish = %v, want context.Canceled", err)
				}
			})
		}
		if got := read(t, s.open(t, bucket, object.Config{}), part); string(got) != "old" {
			t.Errorf("the object holds %.20q, want the old content", got)
		}
	})
}

// cutAfter gives another address of the store, whose connections end once they
// have carried so many bytes to it.
func cutAfter(t *testing.T, endpoint string, sizeBytes int64, then func()) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { // ends with the listener
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "http://"))
			if err != nil {
				_ = near.Close()
				continue
			}
			wg.Go(func() {
				if n, _ := io.CopyN(far, near, sizeBytes); n == sizeBytes {
					then()
				}
				_ = far.Close()
				_ = near.Close()
			})
			wg.Go(func() {
				_, _ = io.Copy(near, far)
				_ = near.Close()
			})
		}
	})
	t.Cleanup(func() { // the clients' idle connections end with their servers
		_ = l.Close()
	})
	return "http://" + l.Addr().String()
}

func TestFaultsNamePlaceAndRemedy(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		t.Helper()
		bucket := s.bucket(t)
		for name, c := range map[string]struct {
			real  bool
			store store
			url   string
			want  []string
		}{
			"no such bucket": {url: s.url("missing-bucket/folder"), want: []string{"s3://missing-bucket/folder", "no such bucket"}},
			"wrong secret":   {real: true, store: store{key: s.key, secret: "wrong"}, url: s.url(bucket), want: []string{bucket, "secret key is wrong"}},
			"wrong key":      {real: true, store: store{key: "wrong", secret: s.secret}, url: s.url(bucket), want: []string{bucket, "does not know these credentials"}},
			"no server":      {url: store{endpoint: "http://127.0.0.1:1"}.url(bucket), want: []string{bucket, "refused"}},
			"no driver":      {url: "gs://" + bucket, want: []string{"gs://" + bucket, "no driver"}},
			"lease":          {url: "lease", want: []string{"4s to 1h"}},
		} {
			t.Run(name, func(t *testing.T) {
				if c.real && !s.real {
					t.Skip("the fake takes any key")
				}
				if c.store.key != "" {
					c.store.login(t)
				}
				cfg := object.Config{}
				if name == "lease" {
					cfg.Lease = 1
				}
				tg, err := object.Open(t.Context(), c.url, cfg)
				if err == nil {
					_ = tg.Close()
					t.Fatal("Open = nil")
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("Open = %v, want %q in it", err, want)
					}
				}
			})
		}
	})
}

func TestPathsStayInsideTheDataset(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		t.Helper()
		tg := s.open(t, s.bucket(t)+"/folder", object.Config{})
		file := local(t, nil)
		for _, path := range []string{"", ".", "..", "../x", "/x", "a//b", "a/../../b", "a/"} {
			_, err := tg.Open(t.Context(), path)
			for call, err := range map[string]error{
				"Publish": tg.Publish(t.Context(), path, file), "Open": err, "Remove": tg.Remove(t.Context(), path),
			} {
				if err == nil || !strings.Contains(err.Error(), "not a path inside") {
					t.Errorf("%s %q = %v, want a refusal", call, path, err)
				}
			}
		}
	})
}
