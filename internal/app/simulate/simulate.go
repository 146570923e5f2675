// Package simulate runs the simulator as a process of its own: `cardata
// simulate`, for any CarData client that would rather not wait for a real car.
package simulate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/simulator"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Config is the command's flags.
type Config struct {
	Accounts int           // --accounts
	Cars     int           // --cars, per account
	Seed     uint64        // --seed
	Speed    float64       // --speed
	History  time.Duration // --history
	HTTPAddr string        // --http-addr
	MQTTAddr string        // --mqtt-addr
	Hosts    []string      // --host, repeatable
	Dir      string        // --data

	AutoApprove       bool          // --auto-approve
	TokenLife         time.Duration // --token-life
	ConnectsPerMinute int           // --connects-per-minute
	Garble            float64       // --garble
	CompleteURI       bool          // --complete-uri

	JSON bool         // --json
	Log  *slog.Logger // nil means none
}

// description is the line of --json.
type description struct {
	OAuthURL string    `json:"oauth_url"`
	RESTURL  string    `json:"rest_url"`
	MQTTAddr string    `json:"mqtt_addr"`
	CAFile   string    `json:"ca_file"`
	ClientID string    `json:"client_id"`
	Accounts []account `json:"accounts"`
}

type account struct {
	GCID     schema.GCID  `json:"gcid"`
	ClientID string       `json:"client_id"`
	VINs     []schema.VIN `json:"vins"`
}

// validate reports all faults at once, as usage errors.
func (c Config) validate() error {
	var faults []error
	check := func(ok bool, flag string, value any, allowed string) {
		if !ok {
			faults = append(faults, fmt.Errorf("--%s %v: want %s", flag, value, allowed))
		}
	}
	check(c.Accounts >= 1 && c.Accounts <= 10_000, "accounts", c.Accounts, "1 to 10000")
	check(c.Cars >= 1 && c.Cars <= 10_000, "cars", c.Cars, "1 to 10000")
	check(c.Seed < 10_000_000, "seed", c.Seed, "0 to 9999999")
	check(c.Speed >= 1 && c.Speed <= 10_000, "speed", c.Speed, "1 to 10000")
	check(c.History >= 0 && c.History <= 400*24*time.Hour, "history", c.History, "0s to 9600h")
	check(c.TokenLife == 0 || c.TokenLife >= 2*time.Second, "token-life", c.TokenLife, "2s or more")
	check(c.Garble >= 0 && c.Garble <= 1, "garble", c.Garble, "0 to 1")
	return exit.With(exit.Usage, errors.Join(faults...))
}

// Run serves until ctx ends and first writes to out where: one line of JSON, or
// a block for people. The error carries its exit code.
func Run(ctx context.Context, cfg Config, out io.Writer) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	sim, err := simulator.Start(ctx, simulator.Config{
		Seed: cfg.Seed, Accounts: cfg.Accounts, Cars: cfg.Cars, Speed: cfg.Speed, History: cfg.History,
		HTTPAddr: cfg.HTTPAddr, MQTTAddr: cfg.MQTTAddr, Hosts: cfg.Hosts, Dir: cfg.Dir,
		AutoApprove: cfg.AutoApprove, TokenLife: cfg.TokenLife, ConnectsPerMinute: cfg.ConnectsPerMinute,
		Faults: simulator.Faults{Garble: cfg.Garble, CompleteURI: cfg.CompleteURI},
		Log:    cfg.Log,
	})
	if err != nil {
		return err
	}
	defer sim.Close()
	if err := announce(out, describe(sim), cfg); err != nil {
		return fmt.Errorf("write address: %w", err)
	}
	<-ctx.Done()
	return sim.Err()
}

func describe(sim *simulator.Simulator) description {
	d := description{
		OAuthURL: sim.OAuthURL(), RESTURL: sim.RESTURL(), MQTTAddr: sim.MQTTAddr(),
		CAFile: sim.CAFile(), ClientID: sim.ClientID(),
	}
	for _, a := range sim.Accounts() {
		d.Accounts = append(d.Accounts, account{a.GCID, a.ClientID, a.VINs})
	}
	return d
}

// shown is how many accounts the block for people lists.
const shown = 5

func announce(out io.Writer, d description, cfg Config) error {
	if cfg.JSON {
		return json.NewEncoder(out).Encode(d)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Simulated BMW CarData is running. Stop it with Ctrl-C.\n\n")
	fmt.Fprintf(&b, "  OAuth    %s\n  REST     %s\n  MQTT     %s (TLS 1.3)\n  CA file  %s\n\n", d.OAuthURL, d.RESTURL, d.MQTTAddr, d.CAFile)
	for i, a := range d.Accounts {
		if i == shown {
			fmt.Fprintf(&b, "  and %d more accounts\n", len(d.Accounts)-shown)
			break
		}
		fmt.Fprintf(&b, "  Account  %s\n  Client   %s\n", a.GCID, a.ClientID)
		for j, v := range a.VINs {
			if j == shown {
				fmt.Fprintf(&b, "  and %d more cars\n", len(a.VINs)-shown)
				break
			}
			fmt.Fprintf(&b, "  Car      %s\n", v)
		}
		b.WriteByte('\n')
	}
	if cfg.AutoApprove {
		b.WriteString("Codes are approved at once.\n")
	} else {
		fmt.Fprintf(&b, "Approve a code at %s/oneid/link\n", d.OAuthURL)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
