package e2e

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ledger is what standalone --json prints.
type ledger struct {
	Accounts []ledgerLine `json:"accounts"`
	Total    ledgerLine   `json:"total"`
}

type ledgerLine struct {
	Sent        int64 `json:"sent"`
	InGap       int64 `json:"in_gap"`
	Received    int64 `json:"received"`
	Duplicates  int64 `json:"duplicates"`
	Revised     int64 `json:"revised"`
	DeadLetters int64 `json:"dead_letters"`
	Stored      int64 `json:"stored"`
	Points      int64 `json:"points"`
	Lost        int64 `json:"lost"`
	Wrong       int64 `json:"wrong"`
	Gaps        int64 `json:"gaps"`
}

var receivedLine = regexp.MustCompile(`(\d+) messages received`)

func startStandalone(t *testing.T, data string, args ...string) *child {
	t.Helper()
	return start(t, "standalone", nil, append([]string{
		"--data", data, "--json", "--kafka-addr", "127.0.0.1:0", "--influx-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0",
	}, args...)...)
}

// received gives the figure of the last progress line.
func (c *child) received() int64 {
	all := receivedLine.FindAllStringSubmatch(c.out.text(c.tb), -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(all[len(all)-1][1], 10, 64)
	return n
}

func (c *child) ledger() ledger {
	c.tb.Helper()
	for line := range strings.Lines(c.out.text(c.tb)) {
		if strings.HasPrefix(line, `{"accounts"`) {
			var l ledger
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				c.tb.Fatal(err)
			}
			return l
		}
	}
	c.tb.Fatal("no ledger was printed")
	return ledger{}
}

// The one process is killed in mid-history, all its servers with it; the next
// start goes on, knows the gap, and has lost nothing outside it.
func TestStandaloneKilled(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	first := startStandalone(t, data, "--accounts", "2", "--cars", "5", "--history", "336h")
	r := &rig{tb: t}
	r.until("history flowing", time.Minute, func() bool { return first.received() > 50_000 })
	first.kill()

	second := startStandalone(t, data, "--accounts", "2", "--cars", "5", "--history", "336h")
	r.until("history done", 2*time.Minute, func() bool { return strings.Contains(second.out.text(t), "\nlive: ") || second.ended() })
	_ = second.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-second.done:
	case <-time.After(time.Minute):
		t.Fatal("standalone does not stop")
	}
	l := second.ledger()
	if code := second.cmd.ProcessState.ExitCode(); code != 0 || l.Total.Lost+l.Total.Wrong > 0 {
		t.Errorf("exit code %d, %d lost, %d wrong, want none", code, l.Total.Lost, l.Total.Wrong)
	}
	if len(l.Accounts) != 2 || l.Accounts[0].Gaps != 1 || l.Accounts[1].Gaps != 1 {
		t.Errorf("ledger %+v, want one gap for each of two accounts", l)
	}
	if l.Total.Sent == 0 || l.Total.Points < l.Total.Sent/2 {
		t.Errorf("ledger %+v: that proves nothing", l.Total)
	}
	t.Logf("%+v", l.Total)
}
