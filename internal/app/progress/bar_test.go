package progress_test

import (
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/progress"
)

func TestPlainLinesWhereNobodyDrawsOver(t *testing.T) {
	var out strings.Builder
	b := progress.NewBar(&out)
	b.Step(0, 2, "first")
	b.Step(0, 2, "first") // the same again is not news
	b.Step(1, 2, "second")
	b.End()
	if want := "0/2 first\n1/2 second\n"; out.String() != want {
		t.Errorf("said %q, want %q", out.String(), want)
	}
}
