package influx

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

// The share of a batch that may be refused before the fault counts as the
// server's: more than freeRejections items and more than one in maxRejectedPart.
const (
	freeRejections  = 10
	maxRejectedPart = 100
)

// A batch is one call of a sink: it encodes into borrowed lines, sends them in
// requests of bounded size, and remembers what could not be stored.
type batch struct {
	c        *Client
	l        *lines
	op       string
	size     int                  // items as given by the caller
	marks    bool                 // marks are never dead letters, see reject
	refused  int                  // items, as counted towards the server's fault
	rejected []pipeline.Rejection // in the order of the lines; an item with several comes once or more
}

func (c *Client) newBatch(op string, size int) *batch {
	return &batch{c: c, l: c.lines.Get().(*lines), op: op, size: size}
}

// free gives the lines back.
func (b *batch) free() {
	b.l.reset()
	b.c.lines.Put(b.l)
}

// added takes the outcome of encoding item i, and sends when enough is there.
func (b *batch) added(ctx context.Context, i int, err error) error {
	if err != nil {
		return b.note(pipeline.Rejection{Index: i, Reason: ReasonUnencodable, Text: err.Error()})
	}
	if len(b.l.ends) < b.c.cfg.MaxBatchLines && len(b.l.buf) < b.c.cfg.MaxBatchBytes {
		return nil
	}
	return b.flush(ctx)
}

// flush makes all lines so far durable, but for those noted as rejected.
func (b *batch) flush(ctx context.Context) error {
	n := len(b.l.ends)
	if n == 0 {
		return nil
	}
	lo := 0
	if last := n - 1; last > 0 && len(b.l.buf) > b.c.cfg.MaxBatchBytes {
		// The last line went over the bound: it goes alone, after the others.
		if err := b.store(ctx, 0, last); err != nil {
			return err
		}
		lo = last
	}
	if err := b.store(ctx, lo, n); err != nil {
		return err
	}
	b.l.rewind()
	return nil
}

// store writes lines lo to hi-1. What the server refuses is halved until the
// guilty lines are alone: servers differ in what they kept of a refused request
// (1.8 all good lines, 2.x none when one is malformed), and a line written
// twice is written once. Halves go in order, so that a later value of a key
// stays the last one.
func (b *batch) store(ctx context.Context, lo, hi int) error {
	ref, err := b.c.post(ctx, b.l, b.l.span(lo, hi))
	if err != nil {
		return asWriteError(b.op, err)
	}
	if ref == nil {
		b.c.Stats.Points.Add(int64(hi - lo))
		return nil
	}
	// Both servers keep the younger lines of a request that reaches behind their
	// retention, so that the lines of one item need no halving for that.
	old := ref.reason() == ReasonRetention && b.l.owners[lo] == b.l.owners[hi-1]
	if hi-lo == 1 || old && !b.marks {
		return b.reject(b.l.owners[lo], ref)
	}
	b.c.Stats.Halvings.Add(1)
	mid := lo + (hi-lo)/2
	if err := b.store(ctx, lo, mid); err != nil {
		return err
	}
	return b.store(ctx, mid, hi)
}

// reject notes item i as refused for good, unless that points at the server.
func (b *batch) reject(i int, ref *refusal) error {
	if b.marks {
		if ref.reason() == ReasonRetention {
			// A day may start before the oldest moment that the server keeps,
			// while readings of its evening are still taken.
			b.c.Stats.MarksIgnored.Add(1)
			b.c.cfg.Log.Debug("mark older than the retention of influxdb ignored", "op", b.op)
			return nil
		}
		return b.serverTrouble("refuses a mark", ref)
	}
	again := len(b.rejected) > 0 && b.rejected[len(b.rejected)-1].Index == i // a session may have hundreds of lines
	if again {
		return nil
	}
	if ref.reason() == ReasonRetention {
		// A backfill may bring whole batches that are older than the operator keeps.
		return b.note(pipeline.Rejection{Index: i, Reason: ReasonRetention, Text: ref.text})
	}
	b.refused++
	if b.refused > freeRejections && b.refused*maxRejectedPart > b.size {
		return b.serverTrouble(fmt.Sprintf("refuses %d of %d so far, too many to be the lines' fault", b.refused, b.size), ref)
	}
	return b.note(pipeline.Rejection{Index: i, Reason: ref.reason(), Text: ref.text})
}

func (b *batch) serverTrouble(what string, ref *refusal) error {
	return &pipeline.WriteError{
		Op: b.op, Class: pipeline.Fatal,
		Err: fmt.Errorf("influxdb %s: status %d: %s", what, ref.status, redactLine(ref.text)),
	}
}

func (b *batch) note(r pipeline.Rejection) error {
	if b.marks {
		return &pipeline.WriteError{Op: b.op, Class: pipeline.Fatal, Err: fmt.Errorf("BUG: mark: %s", r.Text)}
	}
	b.rejected = append(b.rejected, r)
	return nil
}

// result is nil when every item is durable, else it names those that never
// will be, each once (a gap has several lines) and in order.
func (b *batch) result() error {
	if len(b.rejected) == 0 {
		return nil
	}
	slices.SortStableFunc(b.rejected, func(x, y pipeline.Rejection) int { return cmp.Compare(x.Index, y.Index) })
	b.rejected = slices.CompactFunc(b.rejected, func(x, y pipeline.Rejection) bool { return x.Index == y.Index })
	for _, r := range b.rejected {
		if r.Reason == ReasonUnencodable {
			b.c.Stats.Unencodable.Add(1)
		} else {
			b.c.Stats.Rejected.Add(1)
		}
	}
	first := b.rejected[0]
	return &pipeline.WriteError{
		Op: b.op, Class: pipeline.Permanent, Rejected: b.rejected,
		Err: fmt.Errorf("%d of %d rejected, first: %s: %s", len(b.rejected), b.size, first.Reason, redactLine(first.Text)),
	}
}

// post sends one request of lines. The error is a *pipeline.WriteError.
//
// It goes through the client library's HTTP service and not its write API: that
// one takes a string (a copy of each batch), loses the text of a JSON error
// without a header, and takes any 2xx for success.
func (c *Client) post(ctx context.Context, l *lines, data []byte) (*refusal, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	body := data
	if c.cfg.Gzip {
		if l.zip == nil || l.unread.Load() != 0 {
			l.zip = newZipper()
		}
		body = l.zip.pack(data)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.writeURL, http.NoBody)
	if err != nil {
		return nil, transportError(err)
	}
	req.Body, req.ContentLength = newPayload(body, &l.unread), int64(len(body))
	// Lets the transport try again on a connection that the server closed while idle.
	req.GetBody = func() (io.ReadCloser, error) { return newPayload(body, &l.unread), nil }
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	if c.cfg.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := c.service.DoHTTPRequestWithResponse(req, nil)
	if err != nil {
		c.Stats.Failures.Add(1)
		return nil, transportError(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusNoContent {
		c.Stats.Batches.Add(1)
		c.Stats.Bytes.Add(int64(len(data)))
		return nil, nil //nolint:nilnil // as classify: durable
	}
	ref, err := classify(resp, answerText(resp))
	if err != nil {
		c.Stats.Failures.Add(1)
	}
	return ref, err
}

// payload is a request body over memory that is reused: unread counts the
// bodies that the transport may still read, which can outlast the answer.
type payload struct {
	bytes.Reader
	unread *atomic.Int32
	closed atomic.Bool
}

func newPayload(data []byte, unread *atomic.Int32) *payload {
	p := &payload{unread: unread}
	p.Reset(data)
	unread.Add(1)
	return p
}

// Close says that the transport is done with the memory.
func (p *payload) Close() error {
	if !p.closed.Swap(true) {
		p.unread.Add(-1)
	}
	return nil
}

// zipper compresses at the fastest level: the gain of the next ones is small
// on line protocol.
type zipper struct {
	out bytes.Buffer
	w   *gzip.Writer
}

func newZipper() *zipper {
	z := &zipper{}
	z.w, _ = gzip.NewWriterLevel(&z.out, gzip.BestSpeed) // the level is valid
	return z
}

// pack gives data compressed, valid until the next call.
func (z *zipper) pack(data []byte) []byte {
	z.out.Reset()
	z.w.Reset(&z.out)
	_, _ = z.w.Write(data) // memory does not fail
	_ = z.w.Close()
	return z.out.Bytes()
}
