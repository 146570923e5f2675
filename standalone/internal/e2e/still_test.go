//go:build unix

package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
)

// A process that stands still for a while, as with a suspended machine, holds
// the stream up and loses nothing.
func TestStoodStill(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Accounts: 1, Cars: 4, History: 120 * time.Hour, Speed: 3600})
	r.startIngest()
	r.startSink()
	r.handed(20_000)
	for _, c := range []*child{r.ingest, r.sink} {
		c.signal(syscall.SIGSTOP)
		r.pass(3 * time.Second)
		c.signal(syscall.SIGCONT)
	}
	r.historyDone()
	r.settle()
	if got := r.audit(); got.InGap > 0 || got.Gaps > 0 {
		t.Errorf("%d readings inside %d gaps, want none", got.InGap, got.Gaps)
	}
	r.ledgerHolds()
}
