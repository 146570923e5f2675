package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/internal/backoff"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline/kafka"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// OwnerStats counts the moves of accounts. All fields only grow.
type OwnerStats struct {
	AccountsTaken  atomic.Int64 // taken over, cardata_accounts_taken_total
	AccountsMoved  atomic.Int64 // let go because the group gave them to another replica
	AccountsFenced atomic.Int64 // let go because the ownership was lost or could not be proved
	ReportFaults   atomic.Int64 // reports that could not be left for the others
}

// owner decides which accounts are this replica's. The group says who should have
// an account, its claim says who has it (docs/adr/0004-account-ownership.md).
type owner struct {
	Stats OwnerStats

	cfg    Config
	log    *slog.Logger
	claims claims
	intake *pipeline.Intake
	flush  func(ctx context.Context) error // of the journal
	life   life
	former life
	member *kafka.Membership
	wake   chan struct{} // capacity 1: something has changed

	telling sync.Mutex // one report at a time

	mu     sync.Mutex // guards below
	proof  time.Time  // when the group last proved its roster
	leases map[schema.GCID]*lease
	begun  map[schema.GCID]time.Time // before the first connection of this life
	taking int
}

// newOwner gives nil when accounts are not shared out.
func newOwner(cfg Config, client *kafka.Client, intake *pipeline.Intake, flush func(context.Context) error, note string, log *slog.Logger) (*owner, error) {
	if cfg.AccountGroup == "" {
		return nil, nil
	}
	dir, err := openClaims(cfg.TokenDir)
	if err != nil {
		return nil, err
	}
	if err := dir.tidy(time.Now()); err != nil {
		log.Warn("old reports of replicas stay", "err", err)
	}
	o := &owner{
		cfg: cfg, log: log, claims: dir, intake: intake, flush: flush,
		wake: make(chan struct{}, 1), leases: make(map[schema.GCID]*lease),
		begun: make(map[schema.GCID]time.Time),
	}
	if o.life, o.former, err = newLife(cfg); err != nil {
		return nil, err
	}
	o.member = client.NewMembership(kafka.MembershipConfig{
		Group: cfg.AccountGroup, Name: cfg.Replica, Note: note, Former: o.former.Member,
		SessionTimeout: cfg.AccountSession, Heartbeat: min(time.Second, cfg.TakeoverWait/5),
		Joined: o.joined, Proof: o.proved,
	})
	log.Info("accounts are shared out", "group", cfg.AccountGroup, "replica", cfg.Replica, "life", o.life.ID)
	return o, nil
}

// limit is how long a connection may outlive the last proof. What is left of the
// wait is for the disconnect and for clocks that do not run alike.
func (o *owner) limit() time.Duration { return o.cfg.TakeoverWait * 7 / 10 }

// run takes part in the group and leaves word for the others until ctx ends.
func (o *owner) run(ctx context.Context) {
	var group sync.WaitGroup
	group.Go(func() { o.member.Run(ctx) })
	group.Go(func() { o.watch(ctx) })
	group.Go(func() { o.tellOften(ctx) })
	group.Wait()
	o.life.Member = ""
	if err := o.life.save(o.cfg); err != nil {
		o.log.Warn("the next start takes this life for one that was killed", "err", err)
	}
}

// joined lets accounts go that the group gives to others, and looks for new ones.
func (o *owner) joined(r *kafka.Roster) {
	if id := r.Members[r.Self].ID; id != o.life.Member {
		o.life.Member = id // run alone reads it, after the last call of joined
		if err := o.life.save(o.cfg); err != nil {
			o.log.Warn("after a kill the group will wait for this member's session", "err", err)
		}
	}
	o.mu.Lock()
	for gcid, l := range o.leases {
		if !r.Mine(string(gcid)) {
			l.revoke(errMoved)
		}
	}
	o.mu.Unlock()
	o.nudge()
}

func (o *owner) proved(at time.Time) {
	r := o.member.Roster()
	o.mu.Lock()
	defer o.mu.Unlock()
	if at.After(o.proof) {
		o.proof = at
	}
	for gcid, l := range o.leases {
		if r.Mine(string(gcid)) {
			l.prove(at)
		}
	}
}

func (o *owner) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// grouped tells whether the group's word is recent enough to act on.
func (o *owner) grouped() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.proof.IsZero() && time.Since(o.proof) < o.limit()/2
}

// wants tells whether an account that is not held should be taken. While the
// group cannot be asked, what this replica had and nobody took is still its own.
func (o *owner) wants(ctx context.Context, gcid schema.GCID) bool {
	if o.grouped() {
		return o.member.Roster().Mine(string(gcid))
	}
	c, err := o.claims.holder(ctx, gcid)
	return err == nil && (c.Life == o.life.ID || o.former.ID != "" && c.Life == o.former.ID)
}

// watch looks at the claims while the group does not answer: nobody takes an
// account without claiming it, so a claim of ours is a proof as well.
func (o *owner) watch(ctx context.Context) {
	t := time.NewTicker(o.cfg.TakeoverWait / 5)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		grouped := o.grouped()
		for gcid, l := range o.snapshot() {
			if l.holds() && !grouped {
				_ = o.confirm(ctx, gcid) // it draws the consequences
			}
		}
	}
}

func (o *owner) snapshot() map[schema.GCID]*lease {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.leases)
}

// confirm looks at an account's claim before something is done that only its
// owner may do. Where the claim cannot be read, the lease decides.
func (o *owner) confirm(ctx context.Context, gcid schema.GCID) error {
	o.mu.Lock()
	l := o.leases[gcid]
	o.mu.Unlock()
	if l == nil {
		return errMoved
	}
	asked := time.Now()
	c, err := o.claims.holder(ctx, gcid)
	switch {
	case err != nil && l.holds():
		return nil
	case err != nil:
		return err
	case c.Life != o.life.ID || c.Epoch != l.epoch:
		l.revoke(errTaken)
		return errTaken
	}
	l.prove(asked)
	if !l.holds() {
		return errLapsed
	}
	return nil
}

// hold takes an account over and has work done on it while it is this replica's.
// It ends with ctx, or when the account is lost; then it tells whether the account
// is worth a look at once.
func (o *owner) hold(ctx context.Context, gcid schema.GCID, work func(ctx context.Context)) (soon bool) {
	if o.yield(ctx, gcid); !o.wants(ctx, gcid) {
		return true
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	o.mu.Lock()
	proof := o.proof
	o.mu.Unlock()
	if !o.grouped() {
		proof = time.Now() // wants has seen our claim
	}
	l := newLease(o.limit(), proof, end)
	defer l.revoke(context.Canceled)

	o.count(+1)
	err := o.take(ctx, gcid, l)
	o.count(-1)
	if err == nil {
		o.Stats.AccountsTaken.Add(1)
		work(ctx)                                                  // returns early when the account cannot be opened
		if err := o.tell(context.WithoutCancel(ctx)); err != nil { // the next owner begins its gap where we ended
			o.log.Warn("the account's last moment is not told, its gap will look longer than it is", "gcid", gcid, "err", err)
		}
	}
	o.mu.Lock()
	if o.leases[gcid] == l {
		delete(o.leases, gcid)
	}
	o.mu.Unlock()
	switch why := context.Cause(ctx); {
	case errors.Is(why, errMoved):
		o.Stats.AccountsMoved.Add(1)
		o.log.Info("account has moved to another replica", "gcid", gcid)
	case errors.Is(why, errTaken), errors.Is(why, errLapsed):
		o.Stats.AccountsFenced.Add(1)
		o.log.Warn("account is let go", "gcid", gcid, "err", why)
	case err != nil && why == nil:
		o.log.Warn("account is not taken over, will be tried again", "gcid", gcid, "err", err)
		return false // what is wrong will not be right at once
	}
	return true
}

// yield gives the account's holder time to come back to the group when it lives
// and is not in it: after an outage of Kafka, the first replica to be back would
// otherwise take everything from the others. It ends when the holder is back, is
// silent, or has had a whole session's time.
func (o *owner) yield(ctx context.Context, gcid schema.GCID) {
	limit := time.Now().Add(o.cfg.AccountSession)
	var seen time.Time
	for time.Now().Before(limit) {
		c, err := o.claims.holder(ctx, gcid)
		if err != nil || c.Life == "" || c.Life == o.life.ID || c.Life == o.former.ID || o.present(c.Replica) {
			return
		}
		r, err := o.claims.told(ctx, c.Life)
		silent := time.Since(r.Alive) > o.cfg.AccountSession*2/3 || r.Alive.Equal(seen)
		if err != nil || silent {
			return
		}
		seen = r.Alive
		if backoff.Wait(ctx, 2*reportEvery+reportEvery/2) != nil {
			return
		}
	}
}

// present tells whether a replica is a member of the group.
func (o *owner) present(replica string) bool {
	r := o.member.Roster()
	return r != nil && slices.ContainsFunc(r.Members, func(m kafka.Member) bool { return m.Name == replica })
}

func (o *owner) count(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.taking += n
}

// waiting is the number of accounts being taken over.
func (o *owner) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.taking
}

// take claims the account and waits until its former owner is surely gone.
func (o *owner) take(ctx context.Context, gcid schema.GCID, l *lease) error {
	before, err := o.claims.holder(ctx, gcid)
	if err != nil {
		return err
	}
	mine := claim{Epoch: before.Epoch + 1, Life: o.life.ID, Replica: o.cfg.Replica, At: time.Now().UTC()}
	l.epoch = mine.Epoch
	o.mu.Lock()
	o.leases[gcid] = l
	o.mu.Unlock()

	// Whoever takes it from us finds in our report what we found in the former
	// owner's, even if we never get to a connection.
	if err := o.inherit(ctx, gcid, before); err != nil {
		return err
	}
	if err := o.tell(ctx); err != nil {
		return err
	}
	if err := o.claims.take(ctx, gcid, mine); err != nil {
		return err
	}
	if before.Life == "" || before.Life != o.former.ID {
		o.log.Info("account is claimed, waiting for its former owner to be gone", "gcid", gcid, "former", before.Replica, "epoch", mine.Epoch)
		if err := backoff.Wait(ctx, o.cfg.TakeoverWait); err != nil {
			return err
		}
		if err := o.inherit(ctx, gcid, before); err != nil { // its last word
			return err
		}
	}
	now, err := o.claims.holder(ctx, gcid)
	if err == nil && !now.same(mine) {
		err = errTaken
	}
	if err != nil {
		return err
	}
	// An account's first connection is told ahead of it: killed before the next
	// report, it would look as if it had never streamed, and have no gap.
	o.mu.Lock()
	o.begun[gcid] = time.Now().UTC()
	o.mu.Unlock()
	return o.tell(ctx)
}

// inherit begins the account's gap where its former owner's coverage ended.
func (o *owner) inherit(ctx context.Context, gcid schema.GCID, from claim) error {
	if from.Life == "" || from.Life == o.life.ID {
		return nil // nobody's, or known here better
	}
	r, err := o.claims.told(ctx, from.Life)
	if err != nil {
		return err
	}
	state, known := r.Accounts[gcid]
	if !known {
		return nil
	}
	if gap, ok := state.Handover(r.Alive); ok {
		o.intake.Inherit(gcid, gap, state.Known, time.Now().UTC())
	}
	return nil
}

// reportEvery bounds how much longer than the outage a gap may be.
const reportEvery = time.Second

// onItsWay is how long a message may take from the socket into the journal.
const onItsWay = 200 * time.Millisecond

// tell leaves word of what this replica covers.
func (o *owner) tell(ctx context.Context) error {
	o.telling.Lock()
	defer o.telling.Unlock()
	at := time.Now().UTC()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := o.flush(ctx); err != nil {
		return fmt.Errorf("flush the journal: %w", err)
	}
	coverage := o.intake.Coverage(0) // after at: what it says covered was so then
	r := report{Alive: at.Add(-onItsWay), Accounts: make(map[schema.GCID]pipeline.CoverageState)}
	for _, gcid := range coverage.Accounts() {
		state, _ := coverage.State(gcid)
		state.Waiting = nil // this replica's journal takes them
		r.Accounts[gcid] = state
	}
	o.mu.Lock()
	for gcid, since := range o.begun {
		if state := r.Accounts[gcid]; state.Since.IsZero() && state.Open == nil {
			state.Since = since
			r.Accounts[gcid] = state
		}
	}
	o.mu.Unlock()
	return o.claims.tell(ctx, o.life.ID, r)
}

// tellOften tells while ctx lasts.
func (o *owner) tellOften(ctx context.Context) {
	t := time.NewTicker(reportEvery)
	defer t.Stop()
	failing := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err := o.tell(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && failing != "":
			o.log.Info("reports for other replicas are written again")
			failing = ""
		case err != nil:
			o.Stats.ReportFaults.Add(1)
			if failing != err.Error() {
				failing = err.Error()
				o.log.Warn("no report is left for other replicas, a gap will look longer than it is", "err", err)
			}
		}
	}
}

// trouble names what keeps this replica from knowing its accounts.
func (o *owner) trouble() error {
	if o.grouped() {
		return nil
	}
	if s := o.member.Status(); s.LastError != "" {
		return fmt.Errorf("out of touch with the group since %s: %s", s.AwaySince.UTC().Format(time.RFC3339), s.LastError)
	}
	return errors.New("the group is forming")
}

func (o *owner) members() int {
	if r := o.member.Roster(); r != nil {
		return len(r.Members)
	}
	return 0
}

// Peer gives the permit address of the replica that has claimed an account.
func (o *owner) Peer(ctx context.Context, gcid schema.GCID) string {
	c, err := o.claims.holder(ctx, gcid)
	if err != nil || c.Life == "" || c.Life == o.life.ID {
		return ""
	}
	for _, m := range o.others() {
		if m.Name == c.Replica {
			return m.Note
		}
	}
	return ""
}

// Others gives the permit addresses of all other replicas.
func (o *owner) Others() []string {
	var list []string
	for _, m := range o.others() {
		if m.Note != "" {
			list = append(list, m.Note)
		}
	}
	return list
}

func (o *owner) others() []kafka.Member {
	r := o.member.Roster()
	if r == nil {
		return nil
	}
	return slices.Delete(slices.Clone(r.Members), r.Self, r.Self+1)
}

var _ permit.Peers = (*owner)(nil)
