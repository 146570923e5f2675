package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/export"
)

func printSummary(w io.Writer, s *export.Summary, dry, asJSON bool) error {
	if asJSON {
		return printJSON(w, s)
	}
	if dry {
		for _, d := range s.Planned {
			fmt.Fprintf(w, "%s  %d vehicle(s)  %s\n", d.Day, d.Vehicles, strings.Join(d.Tables, " "))
		}
		fmt.Fprintf(w, "%d day(s) of a source would be made. Nothing was written.\n", s.Steps)
		return nil
	}
	if s.Steps == 0 {
		fmt.Fprintln(w, "Nothing has changed since the last export.")
		return nil
	}
	fmt.Fprintf(w, "%d files with %d rows (%s) from %d changed day(s) of a source", s.Files+s.Same, s.Rows, bytes(s.Bytes), s.Steps)
	if s.Same > 0 {
		fmt.Fprintf(w, "; %d of them were there already, byte for byte", s.Same)
	}
	if s.Removed > 0 {
		fmt.Fprintf(w, "; %d deleted, as their days have no rows any more", s.Removed)
	}
	fmt.Fprintln(w, ".")
	return nil
}

func printReport(w io.Writer, r *export.Report, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	for _, f := range r.Findings {
		fmt.Fprintln(w, f)
	}
	fmt.Fprintf(w, "%d files with %d rows looked at, %d day(s) counted in InfluxDB: ", r.Files, r.Rows, r.DaysCounted)
	if len(r.Findings) == 0 {
		fmt.Fprintln(w, "all as it should be.")
		return nil
	}
	fmt.Fprintf(w, "%d finding(s).\n", len(r.Findings))
	return nil
}

// bytes gives a size as people read it.
func bytes(n int64) string {
	const unit = 1024
	size, words := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for size >= unit && i < len(words)-1 {
		size /= unit
		i++
	}
	return fmt.Sprintf("%.3g %s", size, words[i])
}
