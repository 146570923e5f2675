package simulator

import (
	"context"
	"sync"
)

// gate lets the feeders through or holds them all. A plain RWMutex would leave
// held feeders deaf to their context.
type gate struct {
	passing sync.RWMutex // held for reading while a feeder hands over

	mu     sync.Mutex // guards opened
	opened chan struct{}
}

// enter waits until the gate is open; false means that ctx has ended.
func (g *gate) enter(ctx context.Context) bool {
	for ctx.Err() == nil {
		g.passing.RLock()
		held := g.held()
		if held == nil {
			return true
		}
		g.passing.RUnlock()
		select {
		case <-ctx.Done():
		case <-held:
		}
	}
	return false
}

func (g *gate) leave() { g.passing.RUnlock() }

// shut holds the feeders; when it returns, none is handing anything over.
func (g *gate) shut() {
	g.mu.Lock()
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
	g.mu.Unlock()
	g.passing.Lock() // taking it is the wait
	defer g.passing.Unlock()
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

// held gives nil while the gate is open, else what is closed when it opens.
func (g *gate) held() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened
}
