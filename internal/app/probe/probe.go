// Package probe asks a running process how it is: the health check of an image
// without a shell, and of tests of an installation.
package probe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
)

const (
	tryTimeout = 5 * time.Second // readiness takes up to two seconds to answer
	pause      = time.Second
	maxBody    = 4 << 20 // of metrics
)

// Config says what to ask for how long.
type Config struct {
	URL    string        // of /healthz, /readyz or /metrics
	Metric string        // name; its sum over all labels must be above zero; "" wants status 200 alone
	Wait   time.Duration // how long to try again, once a second; 0 is one try
}

// URLOf gives the address of path at a process that listens on addr, as in
// CARDATA_HTTP_ADDR; one that listens on all addresses is asked on the loopback.
func URLOf(addr, path string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "http://" + addr + path
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + path
}

// Run returns nil once the answer is good, and what was wrong with the last one
// when it never was.
func Run(ctx context.Context, cfg Config) error {
	client := &http.Client{Timeout: tryTimeout, Transport: &http.Transport{DisableKeepAlives: true}} // each try may meet another replica
	deadline := time.Now().Add(cfg.Wait)
	for {
		err := try(ctx, client, cfg)
		if err == nil || ctx.Err() != nil || time.Now().Add(pause).After(deadline) {
			return err
		}
		if backoff.Wait(ctx, pause) != nil {
			return err
		}
	}
}

func try(ctx context.Context, client *http.Client, cfg Config) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.URL, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask %s: %w", cfg.URL, err)
	}
	res, err := client.Do(req)
	if err != nil {
		return err // names method and address
	}
	defer func() { _ = res.Body.Close() }()
	body := io.LimitReader(res.Body, maxBody)
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(body, 1<<10))
		return fmt.Errorf("ask %s: status %d: %s", cfg.URL, res.StatusCode, strings.TrimSpace(string(text)))
	}
	if cfg.Metric == "" {
		return nil
	}
	sum, err := sumOf(body, cfg.Metric)
	if err == nil && sum <= 0 {
		err = fmt.Errorf("%s is %v, want above 0", cfg.Metric, sum)
	}
	if err != nil {
		return fmt.Errorf("ask %s: %w", cfg.URL, err)
	}
	return nil
}

// sumOf adds up a metric in Prometheus' text format. Its lines are NAME VALUE or
// NAME{labels} VALUE, without time stamps.
func sumOf(body io.Reader, metric string) (float64, error) {
	var sum float64
	found := false
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), metric)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", metric, err)
		}
		sum += value
		found = true
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	if !found {
		return 0, fmt.Errorf("no metric %s there", metric)
	}
	return sum, nil
}
