package whole

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// reporter talks to the person at the terminal: progress on stderr, the ledger
// on stdout.
type reporter struct {
	stdout io.Writer
	json   bool
	tty    bool

	mu     sync.Mutex // guards stderr and all below
	stderr io.Writer
	open   bool // a progress line stands without its newline
	ticks  int
	last   int64
	at     time.Time
}

func newReporter(stdout, stderr io.Writer, json bool) *reporter {
	r := &reporter{stdout: stdout, stderr: stderr, json: json}
	if f, ok := stderr.(*os.File); ok {
		info, err := f.Stat()
		r.tty = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return r
}

// Write takes log lines.
func (r *reporter) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLine()
	return r.stderr.Write(p)
}

func (r *reporter) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLine()
	fmt.Fprintf(r.stderr, format+"\n", args...)
}

func (r *reporter) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLine()
}

func (r *reporter) endLine() {
	if r.open {
		fmt.Fprintln(r.stderr)
		r.open = false
	}
}

// started shows where everything is.
func (r *reporter) started(w *whole) {
	r.say("data       %s  (logs are there too)", w.dir)
	r.say("InfluxDB   %s  database cardata; to look into it:", w.influx.URL())
	r.say("           curl -G %s/query -d db=cardata --data-urlencode 'q=SELECT count(*) FROM reading GROUP BY vin'", w.influx.URL())
	r.say("Kafka      %s  topics cardata.readings, .raw, .gaps, .dead-letters", w.broker.Addr())
	r.say("ingest     http://%s/readyz and /metrics", w.ingest.Addr())
	r.say("sink       http://%s/readyz and /metrics", w.sink.Addr())
	r.say("Parquet    %s  one file for each table and day, brought up to date each hour and at the end", w.dataset.dir)
	if w.sim != nil {
		cars := 0
		for _, a := range w.sim.Accounts() {
			cars += len(a.VINs)
		}
		r.say("simulator  %s  %s, %s, the last %s first", w.sim.OAuthURL(), counted(len(w.sim.Accounts()), "account"), counted(cars, "car"), hours(w.cfg.History))
	} else {
		r.say("accounts   %s  (add one with 'cardata login')", w.tokenDir())
	}
	how := "Ctrl-C stops"
	if w.sim != nil {
		how += " and shows the ledger"
	}
	r.say("running; %s", how)
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// hours writes 168h0m0s as 168h.
func hours(d time.Duration) string {
	s := strings.TrimSuffix(d.String(), "0s")
	if s == "" {
		return "0s"
	}
	return strings.TrimSuffix(s, "0m")
}

// pastIsFed tells that the cars are live from now on.
func (r *reporter) pastIsFed(w *whole) {
	sent, took := w.sim.Ledger().Total().Messages, time.Since(w.since)
	how := "the cars are live now"
	if w.cfg.Speed == 1 {
		how += " and park most of the time (--speed 60 makes a minute an hour)"
	}
	if sent == 0 {
		r.say("the past was fed by an earlier run; %s", how)
		return
	}
	r.say("the past is fed: %d messages in %s; %s", sent, took.Round(100*time.Millisecond), how)
}

// progress shows one line a second on a terminal, one each five seconds elsewhere.
func (r *reporter) progress(w *whole, phase string) {
	received := w.ingest.Intake().MessagesReceived.Load()
	stored := w.sink.Stats().Readings.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ticks++
	if !r.tty && r.ticks%5 != 0 {
		return
	}
	now := time.Now()
	rate := 0.0
	if !r.at.IsZero() {
		rate = float64(received-r.last) / now.Sub(r.at).Seconds()
	}
	r.last, r.at = received, now
	line := fmt.Sprintf("%s: %d messages received (%.0f/s), %d readings in InfluxDB, %d on their way",
		phase, received, rate, stored, int64(w.ingest.Behind())+w.sink.Behind())
	if !r.tty {
		fmt.Fprintln(r.stderr, line)
		return
	}
	fmt.Fprintf(r.stderr, "\r%s%s", line, strings.Repeat(" ", max(0, 100-len(line))))
	r.open = true
}
