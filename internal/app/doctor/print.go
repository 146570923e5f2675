package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Printer writes findings for a person as they come.
type Printer struct {
	out io.Writer
	err error
}

// NewPrinter writes to out.
func NewPrinter(out io.Writer) *Printer { return &Printer{out: out} }

// Say writes one finding: level, step, subject, text, and below it the remedy.
func (p *Printer) Say(f Finding) {
	level := string(f.Level)
	if f.Level == Fail {
		level = "FAIL"
	}
	text := f.Text
	if f.Subject != "" {
		text = f.Subject + ": " + text
	}
	p.line("%-5s %-14s %s", level, f.Step, oneLine(text))
	if f.Remedy != "" {
		p.line("%-5s %-14s → %s", "", "", oneLine(f.Remedy))
	}
}

// End writes the verdict and gives the first error of the writer.
func (p *Printer) End(r Report) error {
	counts := map[Level]int{}
	for _, f := range r.Findings {
		counts[f.Level]++
	}
	p.line("\n%d ok, %d warnings, %d faults, %d not looked at", counts[OK], counts[Warn], counts[Fail], counts[Skip])
	return p.err
}

func (p *Printer) line(format string, args ...any) {
	if _, err := fmt.Fprintf(p.out, strings.TrimRight(format, " ")+"\n", args...); err != nil && p.err == nil {
		p.err = fmt.Errorf("write output: %w", err)
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// WriteJSON writes the report as one JSON object with its worst level.
func (r Report) WriteJSON(out io.Writer) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		Result Level `json:"result"`
		Report
	}{r.Worst(), r})
}
