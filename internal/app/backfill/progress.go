package backfill

import "time"

// Step is what a run is doing, for a person who watches.
type Step struct {
	Account string    // shortened
	Text    string    // what was done or is about to happen
	Calls   int       // spent on the account in this run
	Planned int       // needed on the account in this run, as known now
	Waiting time.Time // zero, or until when the account waits for its quota
	Failed  bool
}

func (b *Backfill) tell(s Step) {
	if b.cfg.Progress == nil {
		return
	}
	b.telling.Lock() // held over the callback: it is told one step at a time
	defer b.telling.Unlock()
	b.cfg.Progress(s)
}

// tell reports a step of the worker's.
func (w *worker) tell(text string) {
	w.b.tell(Step{Account: w.account.Label, Text: text, Calls: w.sum.CallsSpent, Planned: w.sum.CallsPlanned + w.ahead})
}
