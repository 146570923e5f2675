package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/command"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
)

// vehicleView is the JSON of one car.
type vehicleView struct {
	Account   string     `json:"account"`
	VIN       string     `json:"vin"`
	Mapping   string     `json:"mapping"`
	Since     *time.Time `json:"since,omitempty"`
	Model     string     `json:"model,omitempty"`
	Drive     string     `json:"drive_train,omitempty"`
	SIM       string     `json:"sim_status,omitempty"`
	Country   string     `json:"country,omitempty"`
	Built     *time.Time `json:"built,omitempty"`
	Equipment int        `json:"equipment,omitempty"` // number of option codes
}

func vehiclesCommand() *cobra.Command {
	var (
		flags   accountFlags
		details bool
	)
	cmd := &cobra.Command{
		Use:   "vehicles",
		Short: "List the cars of the accounts",
		Long: `vehicles lists the cars of each account, for one REST call an account, and with --details for one more a car. Data come only
to the account that a car is mapped to as PRIMARY.

` + envAccounts,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			views := []vehicleView{}
			err := flags.each(cmd, func(ctx context.Context, acc permit.Account, c *rest.Client) error {
				list, err := carsOf(ctx, acc.Label, c, details)
				views = append(views, list...)
				return err
			})
			if flags.asJSON {
				return firstOf(err, printJSON(cmd.OutOrStdout(), views))
			}
			return firstOf(err, printVehicles(cmd.OutOrStdout(), views, details))
		},
	}
	flags.registerOne(cmd)
	cmd.Flags().BoolVar(&details, "details", false, "ask for model, SIM and country as well: one more call a car")
	return cmd
}

// carsOf gives the cars that could be asked for even with an error.
func carsOf(ctx context.Context, label string, c *rest.Client, details bool) ([]vehicleView, error) {
	mappings, err := c.Mappings(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]vehicleView, 0, len(mappings))
	for _, m := range mappings {
		v := vehicleView{Account: label, VIN: string(m.VIN), Mapping: m.Type, Since: known(m.Since)}
		if details && m.Primary() && err == nil { // after a refusal the others are listed without
			var d rest.BasicData
			if d, err = c.BasicData(ctx, m.VIN); err == nil {
				v.Model, v.Drive, v.SIM, v.Country = d.ModelName, d.DriveTrain, d.SIMStatus, d.CountryCode
				v.Built, v.Equipment = known(d.ConstructionDate), len(d.Equipment)
			}
		}
		list = append(list, v)
	}
	return list, err
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func printVehicles(out io.Writer, views []vehicleView, details bool) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	head := "ACCOUNT\tVIN\tMAPPING\tSINCE"
	if details {
		head += "\tMODEL\tDRIVE\tSIM\tCOUNTRY"
	}
	fmt.Fprintln(t, head)
	for _, v := range views {
		since := "-"
		if v.Since != nil {
			since = day(*v.Since)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s", v.Account, v.VIN, v.Mapping, since)
		if details {
			fmt.Fprintf(t, "\t%s\t%s\t%s\t%s", dash(v.Model), dash(v.Drive), dash(v.SIM), dash(v.Country))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}
