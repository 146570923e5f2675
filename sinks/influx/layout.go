package influx

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// Layout is what a server should have for the client's bucket.
type Layout struct {
	Retention time.Duration // of what is created; 0 keeps for ever
	DryRun    bool          // look, and create nothing
}

// The states of a Part.
const (
	Present = "present"
	Differs = "differs" // there, and left as it is
	Missing = "missing" // to be created, but for DryRun
	Created = "created"
)

// Part is one thing of a layout: a database, a retention policy, a bucket or a
// mapping.
type Part struct {
	Name  string
	State string
	Text  string // what differs, or what it was created with; may be empty
}

// SetUp creates what is missing: on 1.8 database and retention policy, on 2.x
// bucket and the mapping by which InfluxQL finds it. It never changes what is
// there. The client's token must be an administrator's or operator's where
// something is missing. Parts done before an error are returned with it; errors
// are *pipeline.WriteError.
func (c *Client) SetUp(ctx context.Context, want Layout) ([]Part, error) {
	major, err := c.majorVersion(ctx)
	var parts []Part
	switch {
	case err != nil:
	case major == 1:
		parts, err = c.setUp1(ctx, want)
	case major == 2:
		parts, err = c.setUp2(ctx, want)
	default:
		err = &pipeline.WriteError{Class: pipeline.Fatal, Err: errors.New("InfluxDB 3 makes a database at the first write; nothing can be set up")}
	}
	if err != nil {
		return parts, asWriteError("influx set up", err)
	}
	return parts, nil
}

// Verify proves that the client's own token may write, and read by InfluxQL.
func (c *Client) Verify(ctx context.Context) error {
	if err := c.Ping(ctx); err != nil {
		return err
	}
	if err := c.Query(ctx, "SHOW MEASUREMENTS LIMIT 1", func(Row) error { return nil }); err != nil {
		return asWriteError("influx read", err)
	}
	return nil
}

func (c *Client) place() (database, policy string) {
	database, policy, _ = strings.Cut(c.cfg.Bucket, "/")
	return database, policy
}

func (c *Client) setUp1(ctx context.Context, want Layout) ([]Part, error) {
	database, policy := c.place()
	there, err := c.hasDatabase(ctx, database)
	if err != nil {
		return nil, err
	}
	if !there {
		p := Part{Name: "database " + database, State: Missing, Text: "retention " + retentionText(want.Retention)}
		if want.DryRun {
			return []Part{p}, nil
		}
		name := policy
		if name == "" {
			name = "autogen"
		}
		q := "CREATE DATABASE " + QuoteIdent(database) + " WITH DURATION " + retentionText(want.Retention) + " REPLICATION 1 NAME " + QuoteIdent(name)
		if err := c.command(ctx, q); err != nil {
			return nil, fmt.Errorf("create database %q, which needs an administrator: %w", database, err)
		}
		p.State = Created
		return []Part{p}, nil
	}
	present := Part{Name: "database " + database, State: Present}
	p, err := c.policy(ctx, want, database, policy)
	if err != nil {
		return []Part{present}, err
	}
	return []Part{present, p}, nil
}

// policy looks at the retention policy that is written to.
func (c *Client) policy(ctx context.Context, want Layout, database, policy string) (Part, error) {
	found, duration := policy, ""
	there := false
	err := c.Query(ctx, "SHOW RETENTION POLICIES ON "+QuoteIdent(database), func(r Row) error {
		name, _ := r.Text("name")
		isDefault, _ := r.Bool("default")
		if name == policy || policy == "" && isDefault {
			found, there = name, true
			duration, _ = r.Text("duration")
		}
		return nil
	})
	if err != nil {
		return Part{}, err
	}
	p := Part{Name: "retention policy " + found, State: Present}
	if there {
		have, err := time.ParseDuration(duration)
		if err == nil && have != want.Retention {
			p.State, p.Text = Differs, fmt.Sprintf("retention is %s, wanted %s", retentionText(have), retentionText(want.Retention))
		}
		return p, nil
	}
	if policy == "" {
		return Part{Name: "retention policy", State: Differs, Text: "no default policy: writes need one, see ALTER RETENTION POLICY"}, nil
	}
	p.State, p.Text = Missing, "retention "+retentionText(want.Retention)
	if want.DryRun {
		return p, nil
	}
	q := "CREATE RETENTION POLICY " + QuoteIdent(policy) + " ON " + QuoteIdent(database) + " DURATION " + retentionText(want.Retention) + " REPLICATION 1"
	if err := c.command(ctx, q); err != nil {
		return Part{}, fmt.Errorf("create retention policy %q, which needs an administrator: %w", policy, err)
	}
	p.State = Created
	return p, nil
}

func (c *Client) command(ctx context.Context, q string) error {
	return c.Query(ctx, q, func(Row) error { return nil })
}

// retentionText gives a duration as InfluxQL reads it.
func retentionText(d time.Duration) string {
	if d == 0 {
		return "INF"
	}
	return fmt.Sprintf("%ds", int64(d.Seconds()))
}
