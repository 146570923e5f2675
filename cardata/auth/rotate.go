package auth

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
)

// refresh brings a set for which enough is true: one that another process has
// put into the file, or a rotated one. It waits its turn in this process, then
// the lock between processes. forced leaves the back-off aside and has its own
// limit.
func (s *Source) refresh(ctx context.Context, enough func(TokenSet) bool, forced bool) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	unlock, err := s.store.Lock(ctx)
	if ctx.Err() != nil {
		if err == nil {
			unlock()
		}
		return ctx.Err()
	}
	if err != nil {
		s.settle(err, 0)
		return err
	}
	defer unlock()

	set, err := s.read()
	if err == nil && s.pending != nil {
		set, err = s.savePending()
	}
	if err != nil {
		s.settle(err, 0)
		return err
	}
	if enough(set) {
		if !forced && s.refused == "" {
			s.mended()
		}
		return nil
	}
	if err := s.mayAsk(forced); err != nil {
		return err
	}
	err = s.rotate(ctx, set, enough)
	s.book(err)
	return err
}

// read takes over what the file holds. The file is right, not the memory:
// whoever wrote it held the lock and has spent the token known here. Only a torn
// file is wrong, then the memory is the last good copy.
func (s *Source) read() (TokenSet, error) {
	if err := s.store.recover(); err != nil {
		return TokenSet{}, err
	}
	stamp := s.store.stamp()
	mine := s.Tokens()
	set, err := s.store.Load()
	switch {
	case errors.Is(err, ErrStoreBroken):
		s.log.Error("token file is unreadable, it will be rewritten from memory", "err", err)
		return mine, nil
	case errors.Is(err, fs.ErrNotExist):
		return TokenSet{}, err // removed on purpose: not to be brought back
	case err != nil:
		return TokenSet{}, err
	case set.GCID != s.gcid:
		return TokenSet{}, s.store.broken(errors.New("it holds the tokens of another account"))
	}
	if p := s.pending; p != nil {
		if set.RefreshToken == p.parent || set.RefreshToken == p.set.RefreshToken {
			return set, nil
		}
		s.pending = nil // somebody logged in anew
	}
	s.takeOver(set, stamp)
	return set, nil
}

// takeOver makes what the file holds the present set. Another refresh token is
// the end of every trouble with the one before.
func (s *Source) takeOver(set TokenSet, stamp string) {
	s.mu.Lock()
	mine, known := s.set, s.stamp
	s.mu.Unlock()
	if set.RefreshToken != mine.RefreshToken {
		s.stats.TokenAdoptions.Add(1)
		s.log.Info("took over tokens from the store", "expires", set.Expires)
		s.mended()
	}
	if stamp != known || set.RefreshToken != mine.RefreshToken {
		s.adopt(set, stamp)
	}
}

func (s *Source) mended() {
	s.failures, s.refused = 0, ""
	s.settle(nil, 0)
}

// mayAsk holds back requests that cannot or must not help now.
func (s *Source) mayAsk(forced bool) error {
	at := time.Now()
	s.mu.Lock()
	waiting, last := at.Before(s.retry), s.err
	s.mu.Unlock()
	switch {
	case waiting && (s.refused != "" || !forced):
		return last
	case forced && !s.forcedAt.IsZero() && at.Sub(s.forcedAt) < renewEvery:
		return ErrRenewTooSoon
	case forced:
		s.forcedAt = at
		s.stats.ForcedRenewals.Add(1)
	}
	return nil
}

// book draws the consequences of an attempt.
func (s *Source) book(err error) {
	switch {
	case err == nil:
		s.mended()
	case errors.Is(err, ErrLoginNeeded):
		s.stats.TokenRefusals.Add(1)
		s.refused = s.Tokens().RefreshToken
		s.settle(err, askAgain)
	case errors.Is(err, ErrNotSaved):
		s.settle(err, 0) // the disk is asked every time, BMW is not
	default:
		s.stats.TokenFailures.Add(1)
		delay := backoff.Policy{Base: firstDelay, Cap: longestDelay}.Delay(s.failures)
		s.failures++
		if e, ok := errors.AsType[*Error](err); ok {
			delay = max(delay, e.After)
		}
		s.settle(err, delay)
	}
}

// rotate replaces set. Once the request is out it is seen through to the rename,
// whatever becomes of ctx: a caller that is gone must not cost the login.
func (s *Source) rotate(ctx context.Context, set TokenSet, enough func(TokenSet) bool) error {
	if err := s.may(ctx); err != nil {
		return err
	}
	room, err := s.store.reserve()
	if err != nil {
		return err
	}
	next, err := s.attempt(ctx, set)
	if refusal(err) {
		// Somebody may have written the file without the lock, such as a restore.
		stamp := s.store.stamp()
		stored, e := s.store.Load()
		if e == nil && stored.GCID == s.gcid && stored.RefreshToken != set.RefreshToken {
			room.cancel()
			s.takeOver(stored, stamp)
			if enough(stored) {
				return nil
			}
			return s.rotate(ctx, stored, enough)
		}
	}
	if refusal(err) || unanswered(err) {
		next, err = s.again(ctx, set, err)
	}
	incomplete := errors.Is(err, ErrIncomplete)
	if err != nil && !incomplete {
		room.cancel()
		return err
	}
	s.pending = &pendingSet{set: next, parent: set.RefreshToken}
	if err := s.save(room); err != nil {
		return err
	}
	if incomplete {
		return err
	}
	s.stats.TokenRefreshes.Add(1)
	s.log.Info("tokens refreshed", "expires", next.Expires)
	return nil
}

// savePending finishes a rotation that the disk refused.
func (s *Source) savePending() (TokenSet, error) {
	room, err := s.store.reserve()
	if err != nil {
		return TokenSet{}, err
	}
	set := s.pending.set
	if err := s.save(room); err != nil {
		return TokenSet{}, err
	}
	s.stats.TokenRefreshes.Add(1)
	s.mended()
	return set, nil
}

// save makes the pending set durable and only then the present one. What the
// disk refuses stays pending: it is the account's only living refresh token, but
// until it is saved nothing of it is used, and the old id token serves on.
func (s *Source) save(room *reservation) error {
	if err := room.commit(s.pending.set); err != nil {
		return err
	}
	s.adopt(s.pending.set, s.store.stamp())
	s.pending = nil
	return nil
}

// again presents the refresh token once more after a refusal or silence: the
// service may have rotated without its answer arriving, or have had a bad moment.
// Refused then, a login is needed.
func (s *Source) again(ctx context.Context, set TokenSet, first error) (TokenSet, error) {
	if backoff.Wait(ctx, retryAfter) != nil {
		return TokenSet{}, &Error{Op: opRefresh, Code: codeTimeout, Transient: true, Err: first}
	}
	next, err := s.attempt(ctx, set)
	if e, ok := errors.AsType[*Error](err); ok && refusal(err) {
		e.Err, e.Remedy = ErrLoginNeeded, remedyLogin
	}
	return next, err
}

// attempt is bound by the client's timeout alone.
func (s *Source) attempt(ctx context.Context, set TokenSet) (TokenSet, error) {
	return s.client.Refresh(context.WithoutCancel(ctx), set)
}
