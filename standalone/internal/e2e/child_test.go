package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// child is ingest, sink or standalone as a process of its own.
type child struct {
	tb   testing.TB
	name string
	cmd  *exec.Cmd
	addr chan string   // of metrics and health, once it is up; capacity 1
	done chan struct{} // closed when it has ended
	out  *output
	http string
}

// start runs a binary built by TestMain with the given environment and
// arguments. What it prints is shown when the test fails.
func start(tb testing.TB, name string, env map[string]string, args ...string) *child {
	tb.Helper()
	c := &child{tb: tb, name: name, addr: make(chan string, 1), done: make(chan struct{})}
	file, err := os.CreateTemp(tb.TempDir(), name+"-*.log")
	if err != nil {
		tb.Fatal(err)
	}
	c.out = &output{file: file, line: c.line}
	c.cmd = exec.Command(filepath.Join(binaries, name), args...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "CARDATA_") {
			c.cmd.Env = append(c.cmd.Env, e)
		}
	}
	for k, v := range env {
		c.cmd.Env = append(c.cmd.Env, "CARDATA_"+k+"="+v)
	}
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	if err := c.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() { // ends with the process
		_ = c.cmd.Wait()
		close(c.done)
	}()
	tb.Cleanup(c.clean)
	return c
}

func (c *child) clean() {
	c.kill()
	if c.tb.Failed() {
		text, _ := os.ReadFile(c.out.file.Name())
		const limit = 12_000
		c.tb.Logf("%s (pid %d) said:\n%s", c.name, c.cmd.Process.Pid, text[max(0, len(text)-limit):])
	}
	_ = c.out.file.Close()
}

// line looks for where the process listens.
func (c *child) line(line []byte) {
	var l struct {
		Msg  string `json:"msg"`
		Addr string `json:"http_addr"`
	}
	if json.Unmarshal(line, &l) == nil && l.Addr != "" {
		select {
		case c.addr <- l.Addr:
		default:
		}
	}
}

// ready waits until the process has said where it listens.
func (c *child) ready() *child {
	c.tb.Helper()
	select {
	case c.http = <-c.addr:
	case <-c.done:
		c.tb.Fatalf("%s has ended: %v", c.name, c.cmd.ProcessState)
	case <-time.After(30 * time.Second):
		c.tb.Fatalf("%s is not up after 30 s", c.name)
	}
	return c
}

// kill ends it as a crash does.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

func (c *child) signal(s syscall.Signal) {
	c.tb.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.tb.Fatalf("%s: %v", c.name, err)
	}
}

// terminate asks it to stop and gives its exit code.
func (c *child) terminate() int {
	c.tb.Helper()
	c.signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(30 * time.Second):
		c.tb.Fatalf("%s does not stop within 30 s of SIGTERM", c.name)
	}
	return c.cmd.ProcessState.ExitCode()
}

// ended tells whether the process is gone.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// metric reads one figure of /metrics.
func (c *child) metric(name string) float64 {
	c.tb.Helper()
	body, _ := c.get("/metrics")
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				c.tb.Fatalf("%s: metric %s: %v", c.name, name, err)
			}
			return v
		}
	}
	c.tb.Fatalf("%s has no metric %s", c.name, name)
	return 0
}

// get asks the process by HTTP.
func (c *child) get(path string) (body string, status int) {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.http+path, nil)
	if err != nil {
		c.tb.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		c.tb.Fatalf("%s does not answer: %v", c.name, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.tb.Fatalf("%s answers in part: %v", c.name, err)
	}
	return string(text), resp.StatusCode
}

// output keeps what a process prints and looks at each line.
type output struct {
	line func([]byte)

	mu   sync.Mutex // guards all below
	file *os.File
	rest []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rest = append(o.rest, p...)
	for {
		i := bytes.IndexByte(o.rest, '\n')
		if i < 0 {
			break
		}
		o.line(o.rest[:i])
		o.rest = o.rest[i+1:]
	}
	n, err := o.file.Write(p)
	if errors.Is(err, os.ErrClosed) {
		return len(p), nil
	}
	return n, err
}

// text gives all that was printed so far.
func (o *output) text(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile(o.file.Name())
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}
