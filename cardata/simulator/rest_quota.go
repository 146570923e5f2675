package simulator

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// defaultQuota is the calls an account has a day (CarData API, section "Quota").
const defaultQuota = 50

// window is how long a call can matter to any rule.
const window = 24 * time.Hour

// book counts a call on the account's quota, or refuses it. What is refused
// for the quota is not counted again.
func (s *Simulator) book(c *call) *restError {
	free := false
	s.store.update(c.account.GCID, func(v *saved) {
		v.RESTCalls = recent(v.RESTCalls, c.now)
		if free = spentCalls(v.RESTCalls, c.now, c.faults.RollingQuota) < s.cfg.Quota; free {
			v.RESTCalls = append(v.RESTCalls, c.now.Unix())
		}
	})
	if !free {
		s.Stats.RESTQuotaRefused.Add(1)
		return refusal(http.StatusForbidden, "CU-429", "API rate limit reached")
	}
	c.api.mu.Lock()
	defer c.api.mu.Unlock()
	calls := c.api.calls[c.account.GCID]
	if calls == nil {
		calls = make(map[string]int)
		c.api.calls[c.account.GCID] = calls
	}
	calls[c.op]++
	return nil
}

// recent drops what no rule counts any more. The result is a slice of its own.
func recent(calls []int64, now time.Time) []int64 {
	oldest := now.Add(-window).Unix()
	return slices.DeleteFunc(slices.Clone(calls), func(at int64) bool { return at <= oldest })
}

// spentCalls counts the calls of the UTC day, or of the last 24 hours.
func spentCalls(calls []int64, now time.Time, rolling bool) int {
	from := now.UTC().Truncate(window).Unix()
	if rolling {
		from = now.Add(-window).Unix() + 1
	}
	n := 0
	for _, at := range calls {
		if at >= from {
			n++
		}
	}
	return n
}

// Spend books n calls as another tool of the account would make them.
func (s *Simulator) Spend(gcid schema.GCID, n int) {
	now := time.Now()
	s.store.update(gcid, func(v *saved) {
		v.RESTCalls = append(recent(v.RESTCalls, now), slices.Repeat([]int64{now.Unix()}, max(0, n))...)
	})
}

// QuotaSpent gives how many of the account's calls of today, or of the last 24
// hours with Faults.RollingQuota, are spent. Every call with a good token
// counts, answered well or not; those refused with CU-429 do not count again.
func (s *Simulator) QuotaSpent(gcid schema.GCID) int {
	return spentCalls(s.store.get(gcid).RESTCalls, time.Now(), s.faults.get().RollingQuota)
}

// ResetQuota gives the account a fresh quota, as midnight UTC does.
func (s *Simulator) ResetQuota(gcid schema.GCID) {
	s.store.update(gcid, func(v *saved) { v.RESTCalls = nil })
}

// RESTCalls gives how many calls of the account were counted on its quota since
// Start, by operation: the last element of the path, as in telematicData, and
// listContainers, createContainer, getContainer, deleteContainer. What Spend
// booked is not in it.
func (s *Simulator) RESTCalls(gcid schema.GCID) map[string]int {
	s.rest.mu.Lock()
	defer s.rest.mu.Unlock()
	calls := make(map[string]int)
	maps.Copy(calls, s.rest.calls[gcid])
	return calls
}
