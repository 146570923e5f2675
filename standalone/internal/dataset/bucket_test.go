package dataset

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The whole program on a real S3 server: run, run again, verify.
func TestExportIntoABucket(t *testing.T) {
	endpoint := os.Getenv("CARDATA_TEST_S3")
	if endpoint == "" {
		if list := strings.Split(os.Getenv("CARDATA_TEST_REQUIRE"), ","); slices.Contains(list, "1") || slices.Contains(list, "s3") {
			t.Fatal("CARDATA_TEST_S3 must name a server")
		}
		t.Skip("CARDATA_TEST_S3 is not set")
	}
	w := newWorld(t)
	w.fill()
	bucket := os.Getenv("CARDATA_TEST_S3_BUCKET")
	w.root = "s3://" + bucket + "/dataset-" + time.Now().Format("150405.000000") + "?" + url.Values{
		"endpoint": {endpoint}, "use_path_style": {"true"}, "region": {"us-east-1"},
	}.Encode()
	t.Setenv("AWS_ACCESS_KEY_ID", os.Getenv("CARDATA_TEST_S3_KEY"))
	t.Setenv("AWS_SECRET_ACCESS_KEY", os.Getenv("CARDATA_TEST_S3_SECRET"))
	for _, step := range []struct{ args, want string }{
		{"run", " files with "},
		{"run", "Nothing has changed"},
		{"run --again", "were there already, byte for byte"},
		{"verify", "all as it should be"},
	} {
		out, err := w.command(strings.Fields(step.args)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), step.want) {
			t.Errorf("export %s: %v, want %q\n%s", step.args, err, step.want, out)
		}
	}
}
