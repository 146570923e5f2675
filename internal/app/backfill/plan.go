package backfill

import (
	"context"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Plan is what a run would cost. The number of history pages is known only once
// they came, so calls are an estimate between bounds; everything else is exact.
type Plan struct {
	From     time.Time     `json:"from"` // of charging sessions
	To       time.Time     `json:"to"`
	Accounts []AccountPlan `json:"accounts"`
	Calls    int           `json:"calls"`
	AtLeast  int           `json:"at_least"` // every range of history has one page alone
	Days     int           `json:"days"`     // of the account that takes longest
}

// AccountPlan is one account's part of a Plan.
type AccountPlan struct {
	GCID       schema.GCID `json:"gcid"`
	Setup      int         `json:"setup"` // mapping and containers
	Cars       []CarPlan   `json:"cars"`
	Calls      int         `json:"calls"`
	AtLeast    int         `json:"at_least"`
	Days       int         `json:"days"`
	DailyCalls int         `json:"daily_calls"`      // that a day has for it
	LeftToday  *int        `json:"left_today"`       // of DailyCalls; nil when it cannot be told
	Unknown    bool        `json:"unknown_cars"`     // not asked for yet, so one car is assumed
	Resumes    bool        `json:"resumes"`          // a run that was stopped
	Error      string      `json:"error,omitempty"`  // why there is no plan for the account
	Waiting    bool        `json:"answer_on_disk"`   // an answer of a killed run comes first, at no call
	NotData    []CarNote   `json:"no_data,omitzero"` // cars that are left out
}

// CarNote says why a car is left out.
type CarNote struct {
	VIN     schema.VIN `json:"vin"`
	Mapping string     `json:"mapping"`
}

// CarPlan is one car's part of a Plan. A kind without a call is here already.
type CarPlan struct {
	VIN    schema.VIN   `json:"vin,omitempty"` // empty for an assumed car
	Calls  map[Kind]int `json:"calls"`
	Ranges int          `json:"history_ranges"` // of at most 30 days
}

// Plan tells what Run would cost with the same range. It makes no call and
// changes nothing.
func (b *Backfill) Plan(ctx context.Context, r Range) (Plan, error) {
	if err := r.validate(); err != nil {
		return Plan{}, err
	}
	now := time.Now()
	whole := r.complete(now)
	p := Plan{From: whole.From, To: whole.To}
	for _, a := range b.accounts {
		one := b.planAccount(ctx, a, r, now)
		p.Calls += one.Calls
		p.AtLeast += one.AtLeast
		p.Days = max(p.Days, one.Days)
		p.Accounts = append(p.Accounts, one)
	}
	return p, ctx.Err()
}

func (b *Backfill) planAccount(ctx context.Context, a permit.Account, r Range, now time.Time) AccountPlan {
	p := AccountPlan{GCID: a.GCID, DailyCalls: b.cfg.DailyCalls}
	st, err := peekState(b.cfg.DataDir, a.GCID)
	if err != nil {
		p.Error = err.Error()
		return p
	}
	whole, started := r.complete(now), now
	if j := st.unfinished(r.key(), now); j != nil {
		whole.From, whole.To, started, p.Resumes = j.From, j.To, j.Started, true
	}
	h := horizon{started: started, now: now, again: r.Again}
	if mappingDue(st, h) {
		p.Setup++
	}
	if p.Unknown = st.Mapped.IsZero(); p.Unknown {
		assume(st, r.VINs)
	}
	b.planCars(&p, st, whole, h)
	p.AtLeast += p.Setup
	p.Calls += p.Setup
	b.planDays(ctx, &p, a)
	return p
}

// assume puts the cars asked for, or one, into a state that knows none.
func assume(st *state, vins []schema.VIN) {
	if len(vins) == 0 {
		vins = []schema.VIN{""}
	}
	for _, vin := range vins {
		st.car(vin).Mapping = primary
	}
}

func (b *Backfill) planCars(p *AccountPlan, st *state, r Range, h horizon) {
	names := make([]string, len(b.wanted))
	for i, c := range b.wanted {
		names[i] = c.name
	}
	cars := make(map[schema.VIN]*CarPlan)
	for _, vin := range st.vins() {
		if m := st.Cars[vin].Mapping; m != primary {
			p.NotData = append(p.NotData, CarNote{vin, m})
			continue
		}
		cars[vin] = &CarPlan{VIN: vin, Calls: make(map[Kind]int)}
	}
	missing := make(map[string]bool)
	for _, s := range steps(st, r, names, h) {
		car, calls := cars[s.vin], 1
		switch s.kind {
		case KindSessions:
			calls = st.car(s.vin).pages(s.span)
			car.Ranges++
		case KindTelematics:
			missing[s.container] = true
		default:
		}
		car.Calls[s.kind] += calls
		p.Calls += calls
		p.AtLeast++
	}
	for _, vin := range st.vins() {
		if c := cars[vin]; c != nil && len(c.Calls) > 0 {
			p.Cars = append(p.Cars, *c)
		}
	}
	p.Setup += b.setupCalls(st, missing, h)
}

// setupCalls counts the list of containers and those to create.
func (b *Backfill) setupCalls(st *state, needed map[string]bool, h horizon) int {
	calls := 0
	for _, c := range b.wanted {
		if needed[c.name] && st.Containers[c.name].Version != c.version {
			calls++
		}
	}
	if calls > 0 && st.listDue(h) {
		calls++
	}
	return calls
}

// planDays tells on how many UTC days calls will be made.
func (b *Backfill) planDays(ctx context.Context, p *AccountPlan, a permit.Account) {
	left := p.DailyCalls
	if q, err := a.Quota(ctx); err == nil {
		p.DailyCalls = max(q.Limit-q.Reserve-q.Expected, 1)
		left = max(q.Scheduled, 0)
		p.LeftToday = &left
	}
	if p.Calls == 0 {
		return
	}
	p.Days = min(left, 1) // today, when there is a call left for it
	if over := p.Calls - left; over > 0 {
		p.Days += (over + p.DailyCalls - 1) / p.DailyCalls
	}
}
