package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
)

// printer writes for a person or, line by line, for a program. It keeps the
// first error of the writer.
type printer struct {
	out  io.Writer
	json bool
	err  error
	seen bool // a code has been shown
}

func newPrinter(out io.Writer, asJSON bool) *printer { return &printer{out: out, json: asJSON} }

type codeEvent struct {
	Event       string    `json:"event"`
	UserCode    string    `json:"user_code"`
	URL         string    `json:"url"`
	URLComplete string    `json:"url_complete"`
	Expires     time.Time `json:"expires"`
}

func (p *printer) prompt(c auth.Prompt) {
	if p.json {
		p.line(codeEvent{Event: "code", UserCode: c.UserCode, URL: c.URL, URLComplete: c.URLComplete, Expires: c.Expires})
		return
	}
	if p.seen {
		p.text("\nThat code has expired. Here is a new one.\n")
	}
	p.seen = true
	p.text("\nOpen   %s\n\nor go to %s and type the code\n\n    %s\n\n", c.URLComplete, c.URL, c.UserCode)
	p.text("Waiting for your confirmation until %s.\n", c.Expires.Local().Format("15:04:05"))
}

type storedEvent struct {
	Event   string    `json:"event"`
	Account string    `json:"account"`
	Dir     string    `json:"token_dir"`
	Scope   string    `json:"scope"`
	API     bool      `json:"api"`
	Stream  bool      `json:"stream"`
	Expires time.Time `json:"refresh_expires"`
}

type missingEvent struct {
	Event  string `json:"event"`
	What   string `json:"what"`
	Remedy string `json:"remedy"`
}

func (p *printer) stored(set auth.TokenSet, dir string, missing error) {
	account := set.GCID.LogValue().String()
	api, stream := !errors.Is(missing, auth.ErrAPIScope), !errors.Is(missing, auth.ErrStreamScope)
	if p.json {
		p.line(storedEvent{
			Event: "stored", Account: account, Dir: dir, Scope: set.Scope,
			API: api, Stream: stream, Expires: set.RefreshExpires,
		})
	} else {
		p.text("\nLogged in. Account %s is stored in %s.\n", account, dir)
		p.text("Granted: REST API %s, stream %s.\n", yesNo(api), yesNo(stream))
		p.text("The login stays alive as long as it is used at least once in 14 days.\n")
	}
	for _, e := range parts(missing) {
		if p.json {
			p.line(missingEvent{Event: "missing", What: e.Code, Remedy: e.Remedy})
			continue
		}
		p.text("\nMissing: %s.\nWhat to do: %s.\n", e.Code, e.Remedy)
	}
}

func parts(err error) []*auth.Error {
	joined, ok := err.(interface{ Unwrap() []error }) // Check joins, and nothing wraps it here
	if !ok {
		return nil
	}
	var found []*auth.Error
	for _, e := range joined.Unwrap() {
		if a, ok := errors.AsType[*auth.Error](e); ok {
			found = append(found, a)
		}
	}
	return found
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (p *printer) text(format string, args ...any) {
	if _, err := fmt.Fprintf(p.out, format, args...); err != nil && p.err == nil {
		p.err = fmt.Errorf("write output: %w", err)
	}
}

func (p *printer) line(v any) {
	if err := json.NewEncoder(p.out).Encode(v); err != nil && p.err == nil {
		p.err = fmt.Errorf("write output: %w", err)
	}
}
