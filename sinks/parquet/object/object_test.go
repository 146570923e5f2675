package object_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	_ "gocloud.dev/blob/s3blob" // the driver under test

	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet/object"
)

// A store is one S3 server: in this process, or a real one.
type store struct {
	endpoint, key, secret string
	real                  bool
}

// eachStore runs f against a fake S3 server and, if one is given, the real one at
// CARDATA_TEST_S3.
func eachStore(t *testing.T, f func(t *testing.T, s store)) {
	t.Helper()
	t.Run("fake", func(t *testing.T) {
		srv := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
		t.Cleanup(srv.Close)
		s := store{endpoint: srv.URL, key: "fake-key", secret: "fake-secret"}
		s.login(t)
		f(t, s)
	})
	t.Run("real", func(t *testing.T) {
		s := store{os.Getenv("CARDATA_TEST_S3"), os.Getenv("CARDATA_TEST_S3_KEY"), os.Getenv("CARDATA_TEST_S3_SECRET"), true}
		if s.endpoint == "" {
			if required("s3") {
				t.Fatal("CARDATA_TEST_S3 is not set but required")
			}
			t.Skip("CARDATA_TEST_S3 is not set")
		}
		s.login(t)
		f(t, s)
	})
}

// required tells whether CARDATA_TEST_REQUIRE demands a server: 1 demands all.
func required(server string) bool {
	list := strings.Split(os.Getenv("CARDATA_TEST_REQUIRE"), ",")
	return slices.Contains(list, "1") || slices.Contains(list, server)
}

func (s store) login(t *testing.T) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", s.key)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s.secret)
	t.Setenv("AWS_SESSION_TOKEN", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	t.Setenv("AWS_CA_BUNDLE", "")
}

var buckets atomic.Int64

func (s store) bucket(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("test-%d-%d", os.Getpid(), buckets.Add(1))
	if _, err := s.client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return name
}

func (s store) client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &s.endpoint, UsePathStyle: true, Region: "us-east-1", RetryMaxAttempts: 1,
		Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider(s.key, s.secret, "")),
	})
}

func (s store) url(bucketAndFolder string) string {
	return "s3://" + bucketAndFolder + "?" + url.Values{
		"endpoint": {s.endpoint}, "region": {"us-east-1"}, "use_path_style": {"true"},
	}.Encode()
}

func (s store) open(t *testing.T, bucketAndFolder string, cfg object.Config) *object.Target {
	t.Helper()
	tg, err := object.Open(t.Context(), s.url(bucketAndFolder), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tg.Close() })
	return tg
}

func publish(t *testing.T, tg *object.Target, path string, content []byte) {
	t.Helper()
	if err := tg.Publish(t.Context(), path, local(t, content)); err != nil {
		t.Fatal(err)
	}
}

func local(t *testing.T, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "local")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func read(t *testing.T, tg *object.Target, path string) []byte {
	t.Helper()
	r, err := tg.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func list(t *testing.T, tg *object.Target, prefix string) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	if err := tg.List(t.Context(), prefix, func(path string, size int64) error {
		found[path] = size
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

const part = "readings/date=2026-11-24/part-0.parquet"

func TestWhatIsPublishedIsReadListedReplacedAndRemoved(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		t.Helper()
		bucket := s.bucket(t)
		tg := s.open(t, bucket+"/deep/folder", object.Config{})
		large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // many parts of an upload
		for _, content := range [][]byte{[]byte("first"), {}, large} {
			publish(t, tg, part, content)
			if got := read(t, tg, part); !bytes.Equal(got, content) {
				t.Fatalf("read %d bytes, want the %d published", len(got), len(content))
			}
		}
		publish(t, tg, "readings_of_others/x", []byte("no part of readings"))
		publish(t, s.open(t, bucket, object.Config{}), "outside", []byte("of the folder"))
		if got := list(t, tg, "readings"); len(got) != 1 || got[part] != int64(len(large)) {
			t.Errorf("List readings = %v, want the part and its size", got)
		}
		if got := list(t, tg, ""); len(got) != 2 {
			t.Errorf("List = %v, want the two objects of the dataset", got)
		}
		for range 2 {
			if err := tg.Remove(t.Context(), part); err != nil {
				t.Fatalf("Remove = %v, want nil, there or not", err)
			}
		}
		if _, err := tg.Open(t.Context(), part); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), bucket+"/deep/folder/"+part) {
			t.Errorf("Open of nothing = %v, want fs.ErrNotExist that names the object", err)
		}
	})
}

func TestListHandsOverMoreThanAPageAndEndsWithTheCallersError(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		t.Helper()
		tg := s.open(t, s.bucket(t), object.Config{})
		file := local(t, []byte("x"))
		for i := range 1010 {
			if err := tg.Publish(t.Context(), fmt.Sprintf("t/date=%d/part-0.parquet", i), file); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(list(t, tg, "t")); got != 1010 {
			t.Errorf("List gives %d objects, want 1010", got)
		}
		enough := errors.New("enough")
		if err := tg.List(t.Context(), "", func(string, int64) error { return enough }); !errors.Is(err, enough) {
			t.Errorf("List = %v, want the caller's error", err)
		}
	})
}
