package object_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet/object"
)

// brief is the shortest lease: with it a test waits a few seconds.
const brief = 4 * time.Second

func TestOneWriterAtATime(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		t.Helper()
		bucket := s.bucket(t)
		first := s.open(t, bucket, object.Config{Owner: "first writer"})
		second := s.open(t, bucket, object.Config{Owner: "second writer"})
		unlock, lost, err := first.Lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := second.Lock(t.Context()); !errors.Is(err, parquet.ErrLocked) || !strings.Contains(err.Error(), "first writer, since 20") {
			t.Errorf("second Lock = %v, want ErrLocked that says who and since when", err)
		}
		if got := list(t, first, ""); len(got) != 0 {
			t.Errorf("List = %v, want no lock in it", got)
		}
		for range 2 {
			if err := unlock(); err != nil {
				t.Errorf("unlock = %v, want nil, once or twice", err)
			}
		}
		select {
		case <-lost:
			t.Error("a lock that was given back is called lost")
		default:
		}
		unlock, _, err = second.Lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := unlock(); err != nil {
			t.Error(err)
		}
		if left := s.keys(t, bucket); len(left) != 0 {
			t.Errorf("the bucket holds %v after the last unlock, want nothing", left)
		}
	})
}

func TestOfManyAtOnceOneGetsTheLock(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		t.Helper()
		tg := s.open(t, s.bucket(t), object.Config{})
		for range 5 {
			wantOneOf(t, tg, 8)
		}
	})
}

// wantOneOf lets n writers try at once; one alone must succeed, and is unlocked.
func wantOneOf(t *testing.T, tg *object.Target, n int) {
	t.Helper()
	var wg sync.WaitGroup
	unlocks := make(chan func() error, n)
	for range n {
		wg.Go(func() {
			unlock, _, err := tg.Lock(context.Background())
			if err == nil {
				unlocks <- unlock
			} else if !errors.Is(err, parquet.ErrLocked) {
				t.Errorf("Lock = %v, want nil or ErrLocked", err)
			}
		})
	}
	wg.Wait()
	if len(unlocks) != 1 {
		t.Errorf("%d of %d writers got the lock, want 1", len(unlocks), n)
	}
	for len(unlocks) > 0 {
		if err := (<-unlocks)(); err != nil {
			t.Error(err)
		}
	}
}

// A writer that works longer than its lease keeps the lock; one that died loses it
// when the lease is past, to one of those who wait.
func TestALockLivesAsLongAsItsHolder(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		t.Helper()
		bucket := s.bucket(t)
		alive := s.open(t, bucket+"/alive", object.Config{Lease: brief})
		unlock, lost, err := alive.Lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		dead := s.open(t, bucket+"/dead", object.Config{Lease: brief})
		s.plant(t, bucket, "dead/_lock", time.Now(), brief)
		if _, _, err := dead.Lock(t.Context()); !errors.Is(err, parquet.ErrLocked) {
			t.Errorf("Lock = %v, want ErrLocked while the lease of the dead runs", err)
		}
		select {
		case <-time.After(brief + 2500*time.Millisecond):
		case <-lost:
			t.Error("the lock was lost although the store answers")
		}
		if _, _, err := alive.Lock(t.Context()); !errors.Is(err, parquet.ErrLocked) {
			t.Errorf("Lock = %v, want ErrLocked for as long as the holder lives", err)
		}
		wantOneOf(t, dead, 8)
		wantOneOf(t, dead, 8) // the dead one's lock went with the unlock
		if err := unlock(); err != nil {
			t.Error(err)
		}
		if left := s.keys(t, bucket); len(left) != 0 {
			t.Errorf("the bucket holds %v after the last unlock, want nothing", left)
		}
	})
}

// The lock is lost when the store does not answer for the whole lease, or when
// another's stands in its place. Neither unlocks the other's.
func TestALockThatCannotBeRenewedIsLost(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		t.Helper()
		bucket := s.bucket(t)
		way := s
		way.endpoint = cutAfter(t, s.endpoint, 4<<10, func() {}) // a few requests pass
		for folder, from := range map[string]store{"unreachable": way, "replaced": s} {
			t.Run(folder, func(t *testing.T) {
				tg := from.open(t, bucket+"/"+folder, object.Config{Lease: brief})
				unlock, lost, err := tg.Lock(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				s.plant(t, bucket, folder+"/_lock", time.Now(), time.Hour)
				select {
				case <-lost:
				case <-time.After(2 * brief):
					t.Fatalf("not lost within %v", 2*brief)
				}
				if d := time.Since(began); d > brief+time.Second {
					t.Errorf("lost after %v, want no later than the lease", d)
				}
				if err := unlock(); err != nil {
					t.Errorf("unlock = %v, want nil", err)
				}
				if left := s.keys(t, bucket+"/"+folder); len(left) != 1 {
					t.Errorf("the folder holds %v, want the other's lock", left)
				}
			})
		}
	})
}

func TestALockOfAnotherKindIsRespected(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		t.Helper()
		bucket := s.bucket(t)
		if _, err := s.client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: new("_lock"), Body: strings.NewReader("mine")}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.open(t, bucket, object.Config{}).Lock(t.Context()); err == nil || !strings.Contains(err.Error(), "delete it when no export runs") {
			t.Errorf("Lock = %v, want a refusal with the remedy", err)
		}
	})
}

// plant writes the lock of a writer that is not there.
func (s store) plant(t *testing.T, bucket, key string, since time.Time, lease time.Duration) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"id": "PLANTED", "owner": "planted", "since": since.UTC(), "lease_seconds": lease.Seconds()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(text)}); err != nil {
		t.Fatal(err)
	}
}

// keys gives all that lies in a bucket or in a folder of it.
func (s store) keys(t *testing.T, bucketAndFolder string) []string {
	t.Helper()
	bucket, folder, _ := strings.Cut(bucketAndFolder, "/")
	out, err := s.client().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &folder})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, o := range out.Contents {
		keys = append(keys, *o.Key)
	}
	return keys
}
