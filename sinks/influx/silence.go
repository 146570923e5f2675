package influx

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// DefaultSilence stands in for a zero Config.Silence. A server that counts a day of
// a large fleet says nothing for a while; one that is gone says nothing for ever.
const DefaultSilence = 2 * time.Minute

// listen sends a request and ends it, and its answer, when the server says nothing
// for c.cfg.Silence: a scan has no deadline of its own, and a host that went away
// without a word would hold it for ever.
func (c *Client) listen(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	g := &guarded{silence: c.cfg.Silence, cancel: cancel}
	g.timer = time.AfterFunc(g.silence, func() { cancel(&silenceError{g.silence}) })
	resp, err := c.http.Do(req.WithContext(ctx))
	if err != nil {
		g.timer.Stop()
		err = g.explain(ctx, err)
		cancel(nil)
		return nil, err
	}
	g.ctx, g.body, resp.Body = ctx, resp.Body, g
	return resp, nil
}

// guarded is a body whose reads put the end off.
type guarded struct {
	ctx     context.Context //nolint:containedctx // of the one request that the body belongs to
	body    io.ReadCloser
	silence time.Duration
	timer   *time.Timer
	cancel  context.CancelCauseFunc
}

// Read reads the body and puts the end off.
func (g *guarded) Read(p []byte) (int, error) {
	n, err := g.body.Read(p)
	if n > 0 {
		g.timer.Reset(g.silence)
	}
	if err != nil && err != io.EOF { //nolint:errorlint // a reader's end is io.EOF itself
		err = g.explain(g.ctx, err)
	}
	return n, err
}

// Close ends the request.
func (g *guarded) Close() error {
	g.timer.Stop()
	err := g.body.Close()
	g.cancel(nil)
	return err
}

// explain gives the silence for the cancelled request that it led to.
func (g *guarded) explain(ctx context.Context, err error) error {
	if silent, ok := context.Cause(ctx).(*silenceError); ok { //nolint:errorlint // a cause is given as it is
		return silent
	}
	return err
}

// silenceError says how long the server said nothing; reading again may help.
type silenceError struct{ after time.Duration }

func (e *silenceError) Error() string {
	return fmt.Sprintf("the server said nothing for %v", e.after)
}
