package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/auth"
	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/command"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/login"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
)

const envAccounts = `Environment: CARDATA_TOKEN_DIR, CARDATA_OAUTH_URL, CARDATA_REST_URL, CARDATA_CA_FILE, CARDATA_PERMIT_URL give the
flags' defaults; CARDATA_PERMIT_SECRET, of the permit endpoint, has no flag.`

// accountFlags are what every command that works with accounts takes.
type accountFlags struct {
	tokenDir, oauthURL, restURL, caFile, permitURL, account string

	asJSON bool
}

func (a *accountFlags) register(cmd *cobra.Command) {
	dir, _ := login.DefaultTokenDir() // "" fails later, with the reason
	f := cmd.PersistentFlags()
	f.StringVar(&a.tokenDir, "token-dir", fromEnv("CARDATA_TOKEN_DIR", dir), "directory of the token files")
	f.StringVar(&a.oauthURL, "oauth-url", fromEnv("CARDATA_OAUTH_URL", ""), login.HelpBaseURL)
	f.StringVar(&a.restURL, "rest-url", fromEnv("CARDATA_REST_URL", ""), "address of the REST API; default BMW's, "+rest.DefaultBaseURL)
	f.StringVar(&a.caFile, "ca-file", fromEnv("CARDATA_CA_FILE", ""), login.HelpCAFile)
	f.StringVar(&a.permitURL, "permit-url", fromEnv("CARDATA_PERMIT_URL", ""), "address of ingest's permit endpoint, in a cluster; the token files are left alone then")
	f.BoolVar(&a.asJSON, "json", false, "print JSON")
}

// registerOne adds the choice of an account.
func (a *accountFlags) registerOne(cmd *cobra.Command) {
	a.register(cmd)
	cmd.PersistentFlags().StringVar(&a.account, "account", "", "account id, or its end, where there are several")
}

func quietLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func permitSecret() pipeline.Secret { return pipeline.Secret(fromEnv("CARDATA_PERMIT_SECRET", "")) }

// each calls do for every chosen account; what goes wrong with one does not keep
// the others from their turn.
func (a *accountFlags) each(cmd *cobra.Command, do func(ctx context.Context, acc permit.Account, c *rest.Client) error) error {
	return a.withAccounts(cmd, func(list []permit.Account, client func(permit.Account) (*rest.Client, error)) error {
		var faults []error
		for _, acc := range list {
			c, err := client(acc)
			if err == nil {
				err = do(cmd.Context(), acc, c)
			}
			if err != nil {
				faults = append(faults, classify(fmt.Errorf("account %s: %w", acc.Label, err)))
			}
		}
		return errors.Join(faults...)
	})
}

// only is for commands that need exactly one account.
func (a *accountFlags) only(cmd *cobra.Command, do func(ctx context.Context, c *rest.Client) error) error {
	return a.withAccounts(cmd, func(list []permit.Account, client func(permit.Account) (*rest.Client, error)) error {
		if len(list) > 1 {
			return command.Usage(cmd, fmt.Errorf("there are %d accounts: choose one by --account", len(list)))
		}
		c, err := client(list[0])
		if err == nil {
			err = do(cmd.Context(), c)
		}
		return classify(err)
	})
}

// withAccounts gives at least one account and the way to its client. Accounts
// that cannot be read are told after the work with the others.
func (a *accountFlags) withAccounts(cmd *cobra.Command, do func([]permit.Account, func(permit.Account) (*rest.Client, error)) error) error {
	ctx, log := cmd.Context(), quietLog(cmd.ErrOrStderr())
	transport, err := permit.Transport(a.caFile)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	defer transport.CloseIdleConnections()
	accounts, err := permit.Open(ctx, permit.Config{
		TokenDir: a.tokenDir, OauthURL: a.oauthURL, CAFile: a.caFile, URL: a.permitURL, Secret: permitSecret(),
	}, log)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	defer accounts.Close()
	list, trouble := accounts.List(ctx)
	if list = a.chosen(list); len(list) == 0 {
		if trouble == nil && a.account != "" {
			return command.Usage(cmd, fmt.Errorf("no account ends with %q", a.account))
		}
		if trouble == nil {
			trouble = errors.New("no account has logged in here; run `cardata login`")
		}
		return exit.With(exit.NeedsPerson, trouble)
	}
	client := func(acc permit.Account) (*rest.Client, error) {
		c, err := rest.New(rest.Config{BaseURL: a.restURL, HTTPClient: &http.Client{Transport: transport}, Log: log}, acc.Tokens, acc.Budget)
		if err != nil {
			return nil, exit.With(exit.Usage, err)
		}
		return c.WithUse(rest.UseOwner), nil // a person asked
	}
	if err := do(list, client); err != nil {
		return err
	}
	return classify(trouble)
}

func (a *accountFlags) chosen(list []permit.Account) []permit.Account {
	if a.account == "" {
		return list
	}
	var some []permit.Account
	for _, acc := range list {
		if strings.HasSuffix(strings.ToLower(string(acc.GCID)), strings.ToLower(a.account)) {
			some = append(some, acc)
		}
	}
	return some
}

// classify gives what only a person can end its exit code.
func classify(err error) error {
	if err == nil {
		return nil
	}
	r, isREST := errors.AsType[*rest.Error](err)
	a, isAuth := errors.AsType[*auth.Error](err)
	p, isPermit := errors.AsType[*permit.Error](err)
	switch {
	case isREST && (r.Kind == rest.KindAuth || r.Kind == rest.KindScope),
		isAuth && !a.Transient,
		isPermit && (p.LoginNeeded() || p.Status == http.StatusUnauthorized):
		return exit.With(exit.NeedsPerson, err)
	}
	return err
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// day gives a date, or a dash for none.
func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.DateOnly)
}

// dash stands for nothing in a table.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
