package pipeline

import "log/slog"

// Secret is text that never shows in logs or formatted output. Convert it with
// string() at the one place that needs it.
type Secret string

// String hides the secret from %v and %s.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "redacted"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue hides the secret from structured logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
