package ops

import (
	"fmt"
	"io"
	"log/slog"
)

// Logger writes JSON lines of the given level (debug, info, warn, error) and up.
func Logger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("CARDATA_LOG_LEVEL=%q: one of debug, info, warn, error", level)
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l})), nil
}
