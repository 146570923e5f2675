package stream

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPacerServesInOrderAndNeverMoreThanTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPacer(6, time.Minute)
		var mu sync.Mutex
		var order []int
		var at []time.Time
		var wg sync.WaitGroup
		begin := time.Now()
		for i := range 60 {
			wg.Go(func() {
				if p.wait(t.Context(), 0) == nil {
					mu.Lock()
					order, at = append(order, i), append(at, time.Now())
					mu.Unlock()
				}
			})
			synctest.Wait() // the order of the calls
		}
		wg.Wait()
		for i := 6; i < len(at); i++ {
			if at[i].Sub(at[i-6]) < time.Minute {
				t.Errorf("attempts %d to %d within %v", i-6, i, at[i].Sub(at[i-6]))
			}
		}
		for i := range order { // six at a time run at the same instant
			if order[i]/6 != i/6 {
				t.Fatalf("order = %v, want that of the calls", order)
			}
		}
		if took := time.Since(begin); took != 9*time.Minute {
			t.Errorf("60 attempts took %v, want 9 min: no turn wasted", took)
		}
	})
}

func TestPacerGivesACancelledTurnToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPacer(1, time.Minute)
		_ = p.wait(t.Context(), 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if p.wait(ctx, 0) == nil {
			t.Fatal("wait outlived its context")
		}
		begin := time.Now()
		_ = p.wait(t.Context(), 0)
		if d := time.Since(begin); d != 59*time.Second {
			t.Errorf("waited %v, want 59 s: the cancelled turn", d)
		}
	})
}

func TestPacerHoldsItsLimitWhateverIsBookedAhead(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		limit := 1 + r.IntN(6)
		p := NewPacer(limit, time.Minute)
		var slots []time.Time
		clock := now
		for range 200 {
			clock = clock.Add(time.Duration(r.IntN(8000)) * time.Millisecond)
			ahead := time.Duration(r.IntN(3)) * 10 * time.Second
			s := p.book(clock, clock.Add(ahead))
			if s.Before(clock.Add(ahead)) {
				t.Fatalf("booked before the asked time")
			}
			slots = append(slots, s)
		}
		slices.SortFunc(slots, time.Time.Compare)
		for i := limit; i < len(slots); i++ {
			if d := slots[i].Sub(slots[i-limit]); d < time.Minute {
				t.Fatalf("seed %d: %d attempts within %v", seed, limit+1, d)
			}
		}
	}
}

func BenchmarkPacerThousandInLine(b *testing.B) {
	now := time.Now()
	for b.Loop() {
		p := NewPacer(6, time.Minute)
		for range 1000 {
			p.book(now, now)
		}
	}
}
