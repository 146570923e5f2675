package influx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// setUp2 makes bucket and mapping.
func (c *Client) setUp2(ctx context.Context, want Layout) ([]Part, error) {
	org, err := c.organisation(ctx)
	if err != nil {
		return nil, err
	}
	bucket, id, err := c.bucket(ctx, org, want)
	if err != nil {
		return nil, err
	}
	mapping, err := c.mapping(ctx, org, id, want)
	if err != nil {
		return []Part{bucket}, err
	}
	return []Part{bucket, mapping}, nil
}

func (c *Client) organisation(ctx context.Context) (id string, err error) {
	var got struct{ Orgs []struct{ ID, Name string } }
	if err := c.call(ctx, http.MethodGet, "orgs", url.Values{"org": {c.cfg.Org}}, nil, &got); err != nil {
		return "", fmt.Errorf("look for organisation %q: %w", c.cfg.Org, err)
	}
	for _, o := range got.Orgs {
		if o.Name == c.cfg.Org {
			return o.ID, nil
		}
	}
	return "", &pipeline.WriteError{Class: pipeline.Fatal, Err: fmt.Errorf("organisation %q is not there, or the token may not see it", c.cfg.Org)}
}

type retentionRule struct {
	Type         string `json:"type"`
	EverySeconds int64  `json:"everySeconds"`
}

// bucket looks for the bucket and makes it; its id is "" while it is missing.
func (c *Client) bucket(ctx context.Context, org string, want Layout) (p Part, id string, err error) {
	var got struct {
		Buckets []struct {
			ID, Name       string
			RetentionRules []retentionRule
		}
	}
	err = c.call(ctx, http.MethodGet, "buckets", url.Values{"orgID": {org}, "name": {c.cfg.Bucket}}, nil, &got)
	if refusal, ok := asStatus(err); err != nil && (!ok || refusal != http.StatusNotFound) {
		return p, "", fmt.Errorf("look for bucket %q: %w", c.cfg.Bucket, err)
	}
	p = Part{Name: "bucket " + c.cfg.Bucket, State: Present}
	for _, b := range got.Buckets {
		if b.Name != c.cfg.Bucket {
			continue
		}
		have := time.Duration(0)
		for _, r := range b.RetentionRules {
			have = time.Duration(r.EverySeconds) * time.Second
		}
		if have != want.Retention {
			p.State, p.Text = Differs, fmt.Sprintf("retention is %s, wanted %s", retentionText(have), retentionText(want.Retention))
		}
		return p, b.ID, nil
	}
	p.State, p.Text = Missing, "retention "+retentionText(want.Retention)
	if want.DryRun {
		return p, "", nil
	}
	rules := []retentionRule{}
	if want.Retention > 0 {
		rules = append(rules, retentionRule{"expire", int64(want.Retention.Seconds())})
	}
	var made struct{ ID string }
	body := map[string]any{"orgID": org, "name": c.cfg.Bucket, "retentionRules": rules}
	if err := c.call(ctx, http.MethodPost, "buckets", nil, body, &made); err != nil {
		return p, "", fmt.Errorf("create bucket %q, which needs an operator token: %w", c.cfg.Bucket, err)
	}
	p.State = Created
	return p, made.ID, nil
}

// mapping looks for the mapping of the InfluxQL database to the bucket. The one
// that 2.x invents by itself for a bucket of the same name ("virtual") is not
// relied on.
func (c *Client) mapping(ctx context.Context, org, bucketID string, want Layout) (Part, error) {
	database, policy := c.cfg.Database, "autogen"
	if _, named := c.place(); named != "" {
		policy = named
	}
	var got struct {
		Content []struct {
			BucketID string `json:"bucketID"`
			Database string `json:"database"`
			Policy   string `json:"retention_policy"`
			Default  bool   `json:"default"`
			Virtual  bool   `json:"virtual"`
		}
	}
	if err := c.call(ctx, http.MethodGet, "dbrps", url.Values{"orgID": {org}, "db": {database}}, nil, &got); err != nil {
		return Part{}, fmt.Errorf("look for the mapping of database %q: %w", database, err)
	}
	p := Part{Name: "mapping of database " + database, State: Present, Text: "retention policy " + policy}
	byDefault := true
	for _, m := range got.Content {
		if m.Virtual {
			continue
		}
		byDefault = byDefault && !m.Default
		if m.Policy != policy {
			continue
		}
		switch {
		case m.BucketID != bucketID:
			p.State, p.Text = Differs, "it leads to another bucket"
		case !m.Default:
			p.State, p.Text = Differs, "it is not the database's default: InfluxQL has to name retention policy "+policy
		}
		return p, nil
	}
	p.State = Missing
	if want.DryRun {
		return p, nil
	}
	body := map[string]any{"orgID": org, "bucketID": bucketID, "database": database, "retention_policy": policy, "default": byDefault}
	if err := c.call(ctx, http.MethodPost, "dbrps", nil, body, nil); err != nil {
		return Part{}, fmt.Errorf("create the mapping of database %q, which needs an operator token: %w", database, err)
	}
	p.State = Created
	return p, nil
}

// asStatus gives the HTTP status of a refusal.
func asStatus(err error) (int, bool) {
	if refusal, ok := errors.AsType[*QueryError](err); ok {
		return refusal.Status, true
	}
	return 0, false
}

// call speaks to the API of 2.x. A refusal is a *QueryError.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	var text io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		text = bytes.NewReader(b)
	}
	address := c.base + "api/v2/" + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, text)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.service.DoHTTPRequestWithResponse(req, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		return &QueryError{resp.StatusCode, answerText(resp)}
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into)
}
