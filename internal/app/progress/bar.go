// Package progress shows how far a long command is.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// Bar shows progress: one line that is drawn over on a terminal, plain lines
// elsewhere. It is for one goroutine.
type Bar struct {
	w     io.Writer
	terse bool // a terminal
	drawn bool
	last  string
}

// NewBar shows progress on w.
func NewBar(w io.Writer) *Bar {
	b := &Bar{w: w}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil {
			b.terse = info.Mode()&os.ModeCharDevice != 0
		}
	}
	return b
}

// Step shows that done of all parts are over and what goes on. The same step
// twice is shown once.
func (b *Bar) Step(done, all int, text string) {
	if !b.terse {
		if line := fmt.Sprintf("%d/%d %s", done, all, text); line != b.last {
			b.last = line
			fmt.Fprintln(b.w, line)
		}
		return
	}
	const width, column = 24, 78
	full := 0
	if all > 0 {
		full = min(width*done/all, width)
	}
	line := []rune(fmt.Sprintf("[%s%s] %d/%d %s", strings.Repeat("#", full), strings.Repeat(".", width-full), done, all, text))
	fmt.Fprintf(b.w, "\r\033[K%s", string(line[:min(len(line), column)]))
	b.drawn = true
}

// End leaves the line, so that what follows stands below it.
func (b *Bar) End() {
	if b.drawn {
		fmt.Fprintln(b.w)
	}
}
