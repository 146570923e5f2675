package influx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// Ping proves that the server is there and that token and bucket let us write:
// it writes a body without lines. (/ping and /health answer anyone.) Errors are
// *pipeline.WriteError.
func (c *Client) Ping(ctx context.Context) error {
	b := c.newBatch("influx ping", 0)
	defer b.free()
	ref, err := c.post(ctx, b.l, []byte("\n"))
	switch {
	case err != nil:
		return asWriteError(b.op, err)
	case ref != nil && !strings.Contains(ref.text, "empty"): // a server that minds has looked at token and bucket before
		return b.serverTrouble("refuses an empty write", ref)
	}
	return nil
}

// EnsureDatabase makes the database on 1.8 when it is missing; on 2.x and 3 it
// checks that the bucket is there and says how to make it. It ends with what
// Ping proves. Errors are *pipeline.WriteError; Retryable while the server is away.
func (c *Client) EnsureDatabase(ctx context.Context) error {
	const op = "influx ensure database"
	major, err := c.majorVersion(ctx)
	if err != nil {
		return asWriteError(op, err)
	}
	if major == 1 {
		if err := c.createDatabase(ctx); err != nil {
			return asWriteError(op, err)
		}
	}
	err = c.Ping(ctx)
	if we, ok := errors.AsType[*pipeline.WriteError](err); ok && we.Class == pipeline.Fatal {
		we.Err = fmt.Errorf("%w (%s)", we.Err, c.remedy(major))
	}
	return err
}

func (c *Client) remedy(major int) string {
	if major == 1 {
		return fmt.Sprintf("check that the user of the token may write to %q and that its retention policy exists", c.cfg.Bucket)
	}
	return fmt.Sprintf("check the token, organisation %q, and the bucket, which `influx bucket create --org %s --name %s` makes",
		c.cfg.Org, c.cfg.Org, c.cfg.Bucket)
}

// majorVersion asks /ping, which needs no token on 1.8 and 2.x. Only 2.x and
// later say so: a 1.8 built without a version calls itself "unknown".
func (c *Client) majorVersion(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"ping", http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := c.service.DoHTTPRequestWithResponse(req, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // so that the connection is used again
	if resp.StatusCode >= http.StatusInternalServerError {
		return 0, fmt.Errorf("ping: status %d", resp.StatusCode)
	}
	version := strings.TrimPrefix(resp.Header.Get("X-Influxdb-Version"), "v")
	switch {
	case strings.HasPrefix(version, "2."):
		return 2, nil
	case strings.HasPrefix(version, "3."):
		return 3, nil
	}
	return 1, nil
}

// createDatabase looks first, because creating needs an administrator.
func (c *Client) createDatabase(ctx context.Context) error {
	name, _ := c.place()
	found, err := c.hasDatabase(ctx, name)
	if err != nil || found {
		return err
	}
	err = c.Query(ctx, "CREATE DATABASE "+QuoteIdent(name), func(Row) error { return nil })
	if qe, ok := errors.AsType[*QueryError](err); ok {
		return &pipeline.WriteError{Class: pipeline.Fatal, Err: fmt.Errorf("create database %q, which needs an administrator: %w", name, qe)}
	}
	return err
}

func (c *Client) hasDatabase(ctx context.Context, name string) (found bool, err error) {
	err = c.Query(ctx, "SHOW DATABASES", func(r Row) error {
		n, _ := r.TextBytes("name")
		found = found || string(n) == name
		return nil
	})
	return found, err
}

// QuoteIdent gives name as an InfluxQL identifier: database, measurement, tag or field.
func QuoteIdent(name string) string {
	return `"` + strings.NewReplacer("\n", `\n`, `\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// QuoteText gives text as an InfluxQL string literal, such as the value of a tag.
func QuoteText(text string) string {
	return `'` + strings.NewReplacer("\n", `\n`, `\`, `\\`, `'`, `\'`).Replace(text) + `'`
}
