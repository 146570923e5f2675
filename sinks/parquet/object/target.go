package object

import (
	"context"
	"crypto/md5" //nolint:gosec // what object stores check an upload by, no secret
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

// Config is what may differ between targets; the zero Config will do.
type Config struct {
	// Owner tells people who holds the lock; empty means host name and process id.
	Owner string
	// Lease is how long a lock outlives its holder's last sign of life, 4 s to 1 h;
	// 0 means 2 min. All writers of a dataset should have the same.
	Lease time.Duration
}

func (cfg Config) withDefaults() (Config, error) {
	if cfg.Owner == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown host"
		}
		cfg.Owner = fmt.Sprintf("%s, process %d", host, os.Getpid())
	}
	if cfg.Lease == 0 {
		cfg.Lease = 2 * time.Minute
	}
	if cfg.Lease < 4*time.Second || cfg.Lease > time.Hour {
		return cfg, fmt.Errorf("lease %v: want 4s to 1h", cfg.Lease)
	}
	return cfg, nil
}

// Target is a dataset in a bucket. It is safe for concurrent use.
type Target struct {
	bucket *blob.Bucket
	place  string // scheme, bucket and prefix, for people
	cfg    Config
}

var _ parquet.Target = (*Target)(nil)

// validation is s3blob's parameter for checksums of what is read. Its default
// prints a line for each object that has none over the whole, which is every large
// one; the manifest's hashes are the better check. What is written always has one.
const validation = "response_checksum_validation"

// Open gives the dataset at a URL such as
// s3://bucket/folder?region=eu-central-1 or, for a server of one's own,
// s3://bucket/folder?endpoint=https://minio:9000&use_path_style=true&region=us-east-1.
// The path is the folder inside the bucket. It looks into the bucket, so that
// a wrong name or secret is told at once, and creates nothing. The target must be
// closed.
func Open(ctx context.Context, rawURL string, cfg Config) (*Target, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open dataset: %w", err)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("open dataset: %w", err)
	}
	folder := ""
	if u.Scheme != "file" && u.Scheme != "mem" { // their paths name the bucket
		folder, u.Path = strings.Trim(u.Path, "/"), ""
		u.RawPath = ""
	}
	place := u.Scheme + "://" + u.Host + u.Path
	if q := u.Query(); u.Scheme == "s3" && !q.Has(validation) {
		q.Set(validation, "when_required")
		u.RawQuery = q.Encode()
	}
	bucket, err := blob.OpenBucket(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("open dataset %s: %w", place, err)
	}
	if folder != "" {
		place += "/" + folder
		bucket = blob.PrefixedBucket(bucket, folder+"/")
	}
	t := &Target{bucket: bucket, place: place, cfg: cfg}
	if _, _, err := bucket.ListPage(ctx, blob.FirstPageToken, 1, nil); err != nil {
		return nil, errors.Join(t.fault("open", "", err), bucket.Close())
	}
	return t, nil
}

// Close releases what the bucket's client holds. Locks must be unlocked before.
func (t *Target) Close() error { return t.bucket.Close() }

// String names the dataset for people.
func (t *Target) String() string { return t.place }

// Publish puts the local file as one object. The store replaces an object as a
// whole, and an upload that was cut off or cancelled changes nothing.
func (t *Target) Publish(ctx context.Context, path, local string) error {
	if err := t.checkPath("publish", path); err != nil {
		return err
	}
	f, err := os.Open(local)
	if err != nil {
		return fmt.Errorf("publish %s: %w", path, err)
	}
	defer f.Close()
	sum := md5.New() //nolint:gosec // as above
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("publish %s: read %s: %w", path, local, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("publish %s: read %s: %w", path, local, err)
	}
	return t.put(ctx, path, f, &blob.WriterOptions{ContentType: "application/octet-stream", ContentMD5: sum.Sum(nil)})
}

// put writes one object, or nothing.
func (t *Target) put(ctx context.Context, path string, r io.Reader, opts *blob.WriterOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := t.bucket.NewWriter(ctx, path, opts)
	if err != nil {
		return t.fault("publish", path, err)
	}
	if _, err := io.Copy(w, r); err != nil {
		cancel() // makes Close give the upload up
		return t.fault("publish", path, errors.Join(err, ignoreCancelled(w.Close())))
	}
	if err := w.Close(); err != nil {
		return t.fault("publish", path, err)
	}
	return nil
}

func ignoreCancelled(err error) error {
	if gcerrors.Code(err) == gcerrors.Canceled || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Open reads the object at path; the error wraps fs.ErrNotExist when there is none.
func (t *Target) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	if err := t.checkPath("open", path); err != nil {
		return nil, err
	}
	r, err := t.bucket.NewReader(ctx, path, nil)
	if err != nil {
		return nil, t.fault("open", path, err)
	}
	return r, nil
}

// Remove deletes the object at path; it is nil when there is none.
func (t *Target) Remove(ctx context.Context, path string) error {
	if err := t.checkPath("remove", path); err != nil {
		return err
	}
	if err := t.fault("remove", path, t.bucket.Delete(ctx, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// List calls file for each object below the folder prefix, locks apart.
func (t *Target) List(ctx context.Context, prefix string, file func(path string, sizeBytes int64) error) error {
	if prefix != "" {
		if err := t.checkPath("list", strings.TrimSuffix(prefix, "/")); err != nil {
			return err
		}
		prefix = strings.TrimSuffix(prefix, "/") + "/"
	}
	objects := t.bucket.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return t.fault("list", prefix, err)
		}
		if o.IsDir || isLock(o.Key) || strings.HasSuffix(o.Key, "/") { // consoles make empty objects that stand for folders
			continue
		}
		if err := file(o.Key, o.Size); err != nil {
			return err
		}
	}
}

// checkPath keeps paths inside the dataset.
func (t *Target) checkPath(op, p string) error {
	if p == "." || !fs.ValidPath(p) || path.Clean(p) != p {
		return fmt.Errorf("%s %q in %s: not a path inside the dataset", op, p, t.place)
	}
	return nil
}
