package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
)

// The ages of a refresh token, which lives 14 days.
const (
	ageWarn = 7 * 24 * time.Hour
	ageFail = 11 * 24 * time.Hour
)

const (
	remedyLogin = "run `cardata login --client-id UUID`; the client id is on the portal (BMW CarData, or MINI CarData)"
	remedyAge   = "start ingest, which renews the login by itself; a login that is not renewed within 14 days is lost"
	remedyFile  = "remove the file and run `cardata login`; do not restore it from a backup: a refresh token is spent once used"
)

// tokens looks at the files, or asks ingest for its accounts.
func (e *exam) tokens(ctx context.Context) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	accounts, err := permit.Open(ctx, permit.Config{
		TokenDir: e.cfg.TokenDir, OauthURL: e.cfg.OauthURL, CAFile: e.cfg.CAFile,
		URL: e.cfg.PermitURL, Secret: e.cfg.PermitSecret,
	}, e.log)
	if err != nil {
		e.act(stepTokens, "", err.Error(), "correct CARDATA_PERMIT_URL and CARDATA_PERMIT_SECRET, or CARDATA_TOKEN_DIR and CARDATA_OAUTH_URL")
		return
	}
	e.accounts = accounts
	list, err := accounts.List(ctx)
	for _, fault := range parts(err) {
		e.tokenFault(fault)
	}
	for _, a := range list {
		source, _ := a.Tokens.(*auth.Source)
		e.patients = append(e.patients, patient{Account: a, source: source})
		if source != nil {
			e.age(a.Label, source.Tokens())
		} else {
			e.ok(stepTokens, a.Label, "held by ingest, lent by permit")
		}
	}
	if len(list) == 0 && err == nil {
		e.act(stepTokens, "", "no account has logged in here: "+e.cfg.TokenDir+e.cfg.PermitURL+" holds none", remedyLogin)
	}
	if e.cfg.PermitURL == "" {
		e.modes()
	}
}

func (e *exam) tokenFault(err error) {
	text, remedy := err.Error(), remedyLogin
	if a, ok := errors.AsType[*auth.Error](err); ok {
		remedy = a.Remedy
		text = strings.TrimSuffix(text, "; "+remedy)
	}
	if p, ok := errors.AsType[*permit.Error](err); ok {
		remedy = p.Remedy
		text = strings.TrimSuffix(text, "; "+remedy)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		text = "no account has logged in here: " + e.cfg.TokenDir + " does not exist"
		remedy = remedyLogin
	case errors.Is(err, auth.ErrStoreBroken):
		remedy = remedyFile
	}
	e.act(stepTokens, "", text, remedy)
}

func (e *exam) age(label string, set auth.TokenSet) {
	now := time.Now()
	old := now.Sub(set.Rotated())
	days := fmt.Sprintf("the login was renewed %s ago", span(old))
	switch {
	case now.After(set.RefreshExpires):
		e.act(stepTokens, label, "the login has run out: it was not renewed for 14 days", remedyLogin)
	case old > ageFail:
		e.act(stepTokens, label, days+", it is lost in "+span(set.RefreshExpires.Sub(now)), remedyAge)
	case old > ageWarn:
		e.warn(stepTokens, label, days, remedyAge)
	default:
		e.ok(stepTokens, label, "%s", days)
	}
}

// modes looks at what auth does not refuse by itself.
func (e *exam) modes() {
	if runtime.GOOS == "windows" { // access is by lists there, modes say nothing
		return
	}
	if fi, err := os.Stat(e.cfg.TokenDir); err == nil && fi.Mode().Perm()&0o077 != 0 && fi.Mode().Perm()&0o002 == 0 {
		e.warn(stepTokens, "", fmt.Sprintf("others may look into %s (mode %#o)", e.cfg.TokenDir, fi.Mode().Perm()), "chmod 700 "+e.cfg.TokenDir)
	}
	for _, p := range e.patients {
		for _, file := range []string{
			auth.StorePath(e.cfg.TokenDir, p.GCID) + ".previous", rest.QuotaPath(e.cfg.TokenDir, p.GCID),
		} {
			if fi, err := os.Stat(file); err == nil && fi.Mode().Perm()&0o077 != 0 {
				e.warn(stepTokens, p.Label, fmt.Sprintf("%s is open to others (mode %#o)", filepath.Base(file), fi.Mode().Perm()), "chmod 600 "+file)
			}
		}
	}
}

// logins asks for an access token, which refreshes one near its end.
func (e *exam) logins(ctx context.Context) {
	for i := range e.patients {
		p := &e.patients[i]
		err := func() error {
			ctx, cancel := e.bounded(ctx)
			defer cancel()
			_, _, err := p.Tokens.AccessToken(ctx, 5*time.Minute)
			return err
		}()
		if err == nil && p.source != nil {
			err = p.source.Status().LastError // an old token may still serve
		}
		p.login = err == nil
		switch person, text, remedy := refusal(err); {
		case err == nil:
			e.ok(stepLogin, p.Label, "tokens can be had")
		case person:
			e.act(stepLogin, p.Label, text, remedy)
		default:
			e.fail(stepLogin, p.Label, text, remedy)
		}
	}
}

// refusal tells what the tokens' owner said.
func refusal(err error) (person bool, text, remedy string) {
	switch a, isAuth := errors.AsType[*auth.Error](err); {
	case err == nil:
		return false, "", ""
	case isAuth:
		return !a.Transient, strings.TrimSuffix(a.Error(), "; "+a.Remedy), a.Remedy
	}
	if p, ok := errors.AsType[*permit.Error](err); ok {
		return p.LoginNeeded() || p.Status == http.StatusUnauthorized, strings.TrimSuffix(p.Error(), "; "+p.Remedy), p.Remedy
	}
	return false, err.Error(), "check the network and try again"
}

// scopes compares what was granted with what is needed.
func (e *exam) scopes(context.Context) {
	for i := range e.patients {
		p := &e.patients[i]
		if p.source == nil {
			e.skip(stepScopes, p.Label, "ingest holds the tokens", "run `cardata doctor` there")
			continue
		}
		var noAPI, noStream bool
		for _, fault := range parts(p.source.Tokens().Check()) {
			a, ok := errors.AsType[*auth.Error](fault)
			if !ok {
				continue
			}
			step, text := stepScopes, "the tokens lack "+a.Code
			if !errors.Is(fault, auth.ErrScope) {
				step, text = stepStreams, "the id token has no dynamic_scopes: the client had no stream subscription when it logged in"
			}
			noAPI = noAPI || errors.Is(fault, auth.ErrAPIScope)
			noStream = noStream || errors.Is(fault, auth.ErrStreamScope)
			e.act(step, p.Label, text, a.Remedy)
		}
		if !noAPI {
			e.ok(stepScopes, p.Label, "the REST API is granted")
		}
		p.stream = !noStream
		if p.stream {
			e.ok(stepStreams, p.Label, "the stream is granted")
		}
	}
}

// quotas tells what is left of the day's calls, without spending one.
func (e *exam) quotas(ctx context.Context) {
	for _, p := range e.patients {
		ctx, cancel := e.bounded(ctx)
		q, err := p.Quota(ctx)
		cancel()
		if err != nil {
			e.fail(stepQuota, p.Label, err.Error(), "make sure the quota file beside the token file can be read and written")
			continue
		}
		e.quota(p.Label, q)
	}
}

func (e *exam) quota(label string, q rest.QuotaStatus) {
	text := fmt.Sprintf("%d of %d calls left today, %d spent here", q.Left, q.Limit, q.Spent)
	if q.Foreign > 0 {
		text += fmt.Sprintf(", %d by another tool", q.Foreign)
	}
	const remedyForeign = "another tool (home automation, a dashboard) spends the same 50 calls a day: stop it or let it ask less often"
	switch {
	case !q.LatchedUntil.IsZero() && time.Now().Before(q.LatchedUntil):
		remedy := "nothing to do: calls go on at 00:00 UTC by themselves"
		if q.Foreign > 0 {
			remedy += "; " + remedyForeign
		}
		e.warn(stepQuota, label, text+"; BMW refuses more until "+q.LatchedUntil.UTC().Format("15:04 UTC"), remedy)
	case q.Left <= 0:
		e.warn(stepQuota, label, text, "nothing to do: calls go on at 00:00 UTC by themselves")
	case q.Foreign > 0:
		e.warn(stepQuota, label, text, remedyForeign)
	case q.Left <= q.Reserve:
		e.warn(stepQuota, label, text+", which is the reserve for commands of yours", "nothing to do: scheduled calls go on at 00:00 UTC by themselves")
	default:
		e.ok(stepQuota, label, "%s", text)
	}
}

// parts takes joined errors apart.
func parts(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var list []error
	for _, one := range joined.Unwrap() {
		list = append(list, parts(one)...)
	}
	return list
}

// span gives a duration as a person says it.
func span(d time.Duration) string {
	switch d = max(d, 0); {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(d/time.Hour))
	default:
		return fmt.Sprintf("%d minutes", int(d/time.Minute))
	}
}
