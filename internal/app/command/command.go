// Package command holds what command lines have in common: how wrong usage is
// told, and how moments and vehicles are read.
package command

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Usage marks err as wrong usage of cmd and names its help.
func Usage(cmd *cobra.Command, err error) error {
	return exit.With(exit.Usage, fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
}

// NoArgs refuses arguments; with suggestions when one may be a misspelt command.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unexpected argument %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return Usage(cmd, errors.New(text))
}

// Moment reads a day or an RFC 3339 time; a day alone is its start, moved by
// whole. Empty text is the zero time.
func Moment(text string, whole time.Duration) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t.Add(whole), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q: want a day such as 2026-01-31, or 2026-01-31T18:00:00Z", text)
	}
	return t.UTC(), nil
}

// VINs reads vehicle identifiers in any letter case; all faults come at once.
func VINs(texts []string) ([]schema.VIN, error) {
	var faults []error
	vins := make([]schema.VIN, 0, len(texts))
	for _, text := range texts {
		vin, err := schema.ParseVIN(strings.ToUpper(strings.TrimSpace(text)))
		if err != nil {
			faults = append(faults, fmt.Errorf("--vin %q: %w", text, err))
		}
		vins = append(vins, vin)
	}
	return vins, errors.Join(faults...)
}
