package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	maxJSONBytes  = 32 << 20
	maxImageBytes = 16 << 20
	maxErrorBytes = 1 << 20
	maxSkew       = 30 * time.Second // warned of from here on
	skewStep      = 5 * time.Second  // changes below this are not passed on
	bookTime      = 5 * time.Second  // to note CU-429 after the caller has gone
	renewPause    = 3 * time.Minute  // after a renewal that was not possible
)

const (
	acceptJSON  = "application/json"
	acceptImage = "image/png, image/jpeg, image/*;q=0.8, application/json;q=0.5"
)

// request is one call before it has a token.
type request struct {
	op     string
	method string
	path   string
	query  url.Values
	body   []byte
	accept string
	limit  int64
	about  subject
}

// answer is a whole answer with a status of 2xx.
type answer struct {
	status      int
	contentType string
	body        []byte
}

// get asks for JSON and gives the one document in the answer.
func (c *Client) get(ctx context.Context, about subject, op, path string, query url.Values) (json.RawMessage, error) {
	return c.callJSON(ctx, request{op: op, method: http.MethodGet, path: path, query: query, about: about})
}

func (c *Client) callJSON(ctx context.Context, r request) (json.RawMessage, error) {
	r.accept, r.limit = acceptJSON, maxJSONBytes
	a, err := c.call(ctx, r)
	if err != nil {
		return nil, err
	}
	doc, err := document(a.body)
	if err != nil {
		return nil, unreadable(r.op, a.status, err)
	}
	return doc, nil
}

// call sends a request, and once more with a renewed token when BMW refuses the
// token; each time is booked by itself. Every error is an *Error.
func (c *Client) call(ctx context.Context, r request) (answer, error) {
	token, err := c.token(ctx, r.op)
	if err != nil {
		return answer{}, err
	}
	a, refusal := c.once(ctx, r, token)
	if refusal == nil {
		return a, nil
	}
	if refusal.Kind != KindAuth || c.known(token) {
		return answer{}, refusal
	}
	c.stats.RESTRenewals.Add(1)
	c.cfg.Log.Info("access token was refused, renewing it", "op", r.op, "code", refusal.Code)
	if err := c.tokens.RenewAccess(ctx, token); err != nil {
		return answer{}, tokenError(r.op, refusal, err)
	}
	next, err := c.token(ctx, r.op)
	if err != nil {
		return answer{}, err
	}
	if next == token {
		return answer{}, refusal
	}
	a, refusal = c.once(ctx, r, next)
	if refusal == nil {
		return a, nil
	}
	if refusal.Kind == KindAuth {
		c.remember(next)
	}
	return answer{}, refusal
}

func (c *Client) token(ctx context.Context, op string) (string, error) {
	token, _, err := c.tokens.AccessToken(ctx, tokenLife)
	if err != nil {
		return "", tokenError(op, nil, err)
	}
	if token == "" {
		return "", &Error{Op: op, Kind: KindAuth, Remedy: remedyLogin, Err: errors.New("there is no access token")}
	}
	return token, nil
}

// known tells whether token was refused right after it was renewed: then another
// renewal does not help.
func (c *core) known(token string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused == token
}

func (c *core) remember(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = token
}

// once books one call and sends it.
func (c *Client) once(ctx context.Context, r request, token string) (answer, *Error) {
	if err := c.budget.Book(ctx, 1, c.use); err != nil {
		return answer{}, notBooked(r.op, err)
	}
	started := time.Now()
	a, e := c.send(ctx, r, token)
	if e == nil {
		c.cfg.Log.Debug("rest call answered", "op", r.op, "bytes", len(a.body), "elapsed_ms", time.Since(started).Milliseconds())
		return a, nil
	}
	c.cfg.Log.Debug("rest call refused", "op", r.op, "status", e.Status, "code", e.Code, "kind", e.Kind.String())
	if e.Kind != KindQuota {
		return answer{}, e
	}
	e.After = untilMidnight(time.Now().Add(c.Skew()))
	// The latch has to hold also when the caller gives up at this moment.
	note, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookTime)
	defer cancel()
	if err := c.budget.Exhausted(note); err != nil {
		e.Err = errors.Join(e.Err, fmt.Errorf("note that the quota is spent: %w", err))
	}
	return answer{}, e
}

func (c *Client) send(ctx context.Context, r request, token string) (answer, *Error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	u := c.base.JoinPath(r.path)
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		return answer{}, &Error{Op: r.op, Kind: KindBug, Remedy: remedyBug, Err: bare(err)}
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("X-Version", "v1")
	req.Header.Set("Accept", r.accept)
	req.Close = true // see transport
	c.stats.RESTCalls.Add(1)
	sent := time.Now()
	res, err := c.http.Do(req)
	if err != nil {
		c.stats.RESTFailures.Add(1)
		return answer{}, unanswered(r.op, 0, bare(err))
	}
	defer func() { _ = res.Body.Close() }()
	c.compareClocks(ctx, res.Header, sent)
	limit := r.limit
	if res.StatusCode/100 != 2 {
		limit = maxErrorBytes
		c.stats.RESTRefusals.Add(1)
	}
	body, err := readAll(res, limit)
	c.stats.RESTBytes.Add(int64(len(body)))
	switch {
	case res.StatusCode/100 != 2:
		// The status and what came of the body still say what happened.
		return answer{}, classify(r.op, r.about, res.StatusCode, body, retryAfter(res.Header))
	case errors.Is(err, errTooLarge):
		c.stats.RESTFailures.Add(1)
		return answer{}, unreadable(r.op, res.StatusCode, err)
	case err != nil:
		c.stats.RESTFailures.Add(1)
		return answer{}, unanswered(r.op, res.StatusCode, bare(err))
	}
	if e := disguised(r.op, r.about, res.StatusCode, body); e != nil {
		c.stats.RESTRefusals.Add(1)
		return answer{}, e
	}
	return answer{status: res.StatusCode, contentType: res.Header.Get("Content-Type"), body: body}, nil
}

// readAll reads at most limit bytes. More are errTooLarge, and the rest is left
// where it is.
func readAll(res *http.Response, limit int64) ([]byte, error) {
	if res.ContentLength > limit {
		return nil, errTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if int64(len(body)) > limit {
		return body[:limit], errTooLarge
	}
	return body, err
}

// bare takes the address off an error of net/http, since it names the car.
func bare(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// compareClocks takes the middle of the call as the moment at which BMW wrote its
// Date, which has whole seconds. A cached answer says nothing about now.
func (c *Client) compareClocks(ctx context.Context, h http.Header, sent time.Time) {
	theirs, err := http.ParseTime(h.Get("Date"))
	if err != nil || h.Get("Age") != "" {
		return
	}
	ours := sent.Add(time.Since(sent) / 2).Round(0)
	skew := theirs.Add(500 * time.Millisecond).Sub(ours)
	if skew.Abs() < 2*time.Second {
		skew = 0 // within what the comparison can tell
	}
	before := time.Duration(c.skew.Swap(int64(skew)))
	if clock, ok := c.budget.(clockBudget); ok && (skew-before).Abs() >= skewStep {
		clock.SetSkew(ctx, skew)
	}
	if skew.Abs() <= maxSkew {
		c.warned.Store(false)
		return
	}
	if !c.warned.Swap(true) {
		c.cfg.Log.Warn("clock differs from the REST service, check time synchronisation", "skew_ms", skew.Milliseconds())
	}
}

// retryAfter reads seconds or a date, at most a day.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	var d time.Duration
	if s, err := strconv.ParseFloat(text, 64); err == nil && s > 0 && s < 1e6 {
		d = time.Duration(s * float64(time.Second))
	} else if at, err := http.ParseTime(text); err == nil {
		from := time.Now()
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			from = date // both by BMW's clock
		}
		d = at.Sub(from)
	}
	return min(max(d, 0), 24*time.Hour)
}

func untilMidnight(at time.Time) time.Duration { return nextMidnight(at).Sub(at) }

func nextMidnight(at time.Time) time.Time {
	return at.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
}
