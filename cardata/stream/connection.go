package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Connection keeps one account connected. All methods may be called at any
// time from any goroutine; Run once.
type Connection struct {
	gcid    schema.GCID
	tokens  Tokens
	handler Handler
	pacer   *Pacer
	cfg     Config
	log     *slog.Logger
	wall    func() time.Time // the wall clock; differs from the monotonic one after a suspend

	started     atomic.Bool
	lastInbound atomic.Int64 // Unix nanoseconds, 0 before the first
	lastMessage atomic.Int64

	mu     sync.Mutex // guards status
	status Status

	// What follows belongs to the goroutine of Run.
	ladders      ladders
	life         time.Duration // of the last token seen
	lastRenew    time.Time
	peerClosed   time.Time // when the peer last closed a subscribed connection
	peerClosedIt bool      // the last subscribed connection ended like that
	shown        plan      // last fault logged
	repeated     int       // how often since
}

// New checks the configuration, reporting all faults at once, and opens
// nothing. The pacer is shared by all connections of one source address.
func New(gcid schema.GCID, tokens Tokens, h Handler, pacer *Pacer, cfg Config) (*Connection, error) {
	cfg, err := cfg.withDefaults()
	if _, bad := schema.ParseGCID(string(gcid)); bad != nil {
		err = errors.Join(err, bad)
	}
	if tokens == nil || h == nil || pacer == nil {
		err = errors.Join(err, errors.New("stream needs tokens, a handler and a pacer"))
	}
	if err != nil {
		return nil, err
	}
	return &Connection{
		gcid: gcid, tokens: tokens, handler: h, pacer: pacer, cfg: cfg,
		log:    cfg.Log.With(slog.Any("gcid", gcid)),
		wall:   func() time.Time { return time.Now().Round(0) },
		life:   tokenLife,
		status: Status{State: StateIdle, Since: time.Now().UTC()},
	}, nil
}

// Status gives a look at the connection.
func (c *Connection) Status() Status {
	c.mu.Lock()
	s := c.status
	c.mu.Unlock()
	s.LastInbound = fromNanos(c.lastInbound.Load())
	s.LastMessage = fromNanos(c.lastMessage.Load())
	return s
}

// Run keeps the account connected until ctx ends, then disconnects in order
// and returns nil; nothing is handed over after that and nothing started here
// still runs. No fault of network, service or account makes it return: it
// waits and shows the fault in Status. The only error is a second Run.
func (c *Connection) Run(ctx context.Context) error {
	if c.started.Swap(true) {
		return errors.New("BUG: stream connection run twice")
	}
	defer c.show(StateIdle)
	var p plan
	for ctx.Err() == nil {
		c.show(StateConnecting)
		p = c.once(ctx, p)
		if ctx.Err() == nil {
			c.report(ctx, p)
			_ = backoff.Wait(ctx, p.wait)
		}
	}
	return nil
}

// once makes one attempt, lives through the connection if it comes about, and
// says what to do next. prepared is the plan of the attempt before.
func (c *Connection) once(ctx context.Context, prepared plan) plan {
	pw := prepared.next
	if pw == nil || !c.wall().Before(pw.expires) {
		var f *faultError
		// Young enough that its own change is not due at once.
		if pw, f = c.password(ctx, c.life*3/10); f != nil {
			c.cfg.Stats.TokenFaults.Add(1)
			return c.ladders.afterFault(f, c.cfg.ReconnectGap)
		}
	}
	c.life = pw.life()
	if !prepared.booked {
		if err := c.pacer.wait(ctx, 0); err != nil {
			return plan{}
		}
	}
	s, f := c.open(ctx, pw)
	if f != nil {
		return c.failed(ctx, f, pw)
	}
	return c.afterLoss(s, c.live(ctx, s))
}

// password asks for a token that lives minLife longer.
func (c *Connection) password(ctx context.Context, minLife time.Duration) (*password, *faultError) {
	text, expires, err := c.tokens.IDToken(ctx, minLife)
	if err != nil {
		return nil, tokenFault("get id token", err)
	}
	pw := newPassword(text, expires)
	if !c.wall().Before(expires) || pw.life() <= 0 {
		return nil, &faultError{kind: faultToken, op: "get id token", err: errors.New("it has expired, or the clock is wrong")}
	}
	return pw, nil
}

// failed counts a fault, has the token renewed where the service refused it,
// and plans the next attempt.
func (c *Connection) failed(ctx context.Context, f *faultError, pw *password) plan {
	st := c.cfg.Stats
	switch f.kind {
	case faultNetwork:
		st.NetworkFaults.Add(1)
	case faultTLS:
		st.TLSFaults.Add(1)
	case faultProtocol:
		st.ProtocolFaults.Add(1)
	case faultSubscribe, faultDropped:
		st.SubscribeFaults.Add(1)
	case faultRefused:
		// Refusals of good tokens come in bursts; a new token cures them, but
		// each one also rotates the login (CarData API, section "Connection
		// rules").
		if !c.lastRenew.IsZero() && time.Since(c.lastRenew) < renewEvery {
			break
		}
		c.lastRenew = time.Now()
		st.TokenRenewals.Add(1)
		if err := c.tokens.Renew(ctx, pw.text); err != nil {
			st.TokenFaults.Add(1)
			f.err = fmt.Errorf("%w; its renewal: %w", f.err, err)
			if t := tokenFault("renew the refused token", err); t.kind == faultLogin {
				f = t
			}
		}
	case faultThrottled, faultVersion, faultToken, faultLogin: // counted where they arise
	}
	return c.ladders.afterFault(f, c.cfg.ReconnectGap)
}

// afterLoss plans the next attempt after a connection that was subscribed.
func (c *Connection) afterLoss(s *session, l loss) plan {
	now := time.Now()
	gap := c.cfg.ReconnectGap
	p := plan{state: StateWaiting, wait: gap, err: l.err, next: l.next, booked: l.booked}
	c.peerClosedIt = s.conn.Load().closedByPeer() && l.cause != schema.GapTokenChange && l.cause != schema.GapShutdown &&
		l.cause != schema.GapTokenExpired
	if c.peerClosedIt {
		c.peerClosed = now
	}
	brief := now.Sub(s.subscribed) < evictSession
	if now.Sub(s.subscribed) > evictRepeat {
		c.ladders.evicted = 0
		c.shown, c.repeated = plan{}, 0
	}
	if !brief {
		c.ladders.network, c.ladders.protocol = 0, 0
	}
	switch {
	case l.cause == schema.GapEvicted:
		p.remedy = remedyEvicted
		p.wait = gap + climb(&c.ladders.evicted, 30*time.Second, 10*time.Minute)
		return p
	case errors.Is(l.err, errProtocol):
		p.remedy = remedyProtocol
		p.wait = gap + climb(&c.ladders.protocol, 10*time.Second, 10*time.Minute)
	case l.cause == schema.GapConnection && brief:
		p.wait = gap + climb(&c.ladders.network, time.Second, time.Minute)
	}
	return p
}

// show records a state that is no fault.
func (c *Connection) show(state State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.NextTry = time.Time{}
	c.setStateLocked(state)
	if state == StateSubscribed {
		c.status.Err, c.status.Remedy = "", ""
		c.status.Connects++
	}
}

func (c *Connection) setStateLocked(state State) {
	if c.status.State != state {
		c.status.State, c.status.Since = state, time.Now().UTC()
	}
}

// report shows a plan, and logs it when it says something new.
func (c *Connection) report(ctx context.Context, p plan) {
	c.mu.Lock()
	c.setStateLocked(p.state)
	c.status.NextTry = time.Now().Add(p.wait).UTC()
	c.status.Remedy = p.remedy
	c.status.Err = ""
	if p.err != nil {
		c.status.Err = p.err.Error()
	}
	c.mu.Unlock()

	if p.err == nil {
		return // planned
	}
	if c.shown.err != nil && c.shown.state == p.state && c.shown.remedy == p.remedy && c.shown.err.Error() == p.err.Error() {
		c.repeated++
		return
	}
	level := slog.LevelWarn
	if p.state != StateWaiting || p.remedy == remedyEvicted {
		level = slog.LevelError
	}
	c.log.Log(ctx, level, "stream interrupted", slog.String("state", string(p.state)),
		slog.Any("err", p.err), slog.String("remedy", p.remedy), slog.Duration("wait", p.wait), slog.Int("repeated", c.repeated))
	c.shown, c.repeated = p, 0
}

// troubled shows, without a change of state, that a subscribed connection has no
// next token yet.
func (c *Connection) troubled(err error) {
	c.mu.Lock()
	changed := c.status.Err != err.Error()
	c.status.Err = err.Error()
	if f, ok := errors.AsType[*faultError](err); ok && f.kind == faultLogin {
		c.status.Remedy = remedyLogin
	}
	c.mu.Unlock()
	if changed {
		c.log.Warn("token change put off", slog.Any("err", err))
	}
}

// recovered ends what report began. Evictions stay on record, or two rivals
// would fill the log in turn.
func (c *Connection) recovered() {
	if c.shown.err != nil && c.shown.remedy != remedyEvicted {
		c.log.Info("stream recovered", slog.Int("repeated", c.repeated))
		c.shown, c.repeated = plan{}, 0
	}
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
