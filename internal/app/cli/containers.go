package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/command"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/permit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// containerView is the JSON of one container.
type containerView struct {
	Account     string              `json:"account,omitempty"`
	ID          string              `json:"id"`
	Name        string              `json:"name"`
	Purpose     string              `json:"purpose"`
	State       string              `json:"state"`
	Created     *time.Time          `json:"created,omitempty"`
	Descriptors []schema.Descriptor `json:"descriptors,omitempty"`
}

func containersCommand() *cobra.Command {
	var (
		flags accountFlags
		all   bool
	)
	cmd := &cobra.Command{
		Use:   "containers",
		Short: "List, show, create and delete the accounts' REST containers",
		Long: `A container is a named list of descriptors that telematicData is asked for by; it does not choose what is streamed, the portal's
data selection does. An account has at most 10. Each of these commands costs one REST call of the day's 50. backfill keeps its own containers by itself.

` + envAccounts,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			views := []containerView{}
			err := flags.each(cmd, func(ctx context.Context, acc permit.Account, c *rest.Client) error {
				list, err := c.Containers(ctx)
				for _, one := range list {
					if all || one.Active() {
						views = append(views, containerOf(acc.Label, one))
					}
				}
				return err
			})
			if flags.asJSON {
				return firstOf(err, printJSON(cmd.OutOrStdout(), views))
			}
			return firstOf(err, printContainers(cmd.OutOrStdout(), views))
		},
	}
	flags.registerOne(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "list deleted containers too, which BMW keeps for a while")
	cmd.AddCommand(containerShow(&flags), containerCreate(&flags), containerDelete(&flags))
	return cmd
}

func containerShow(flags *accountFlags) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one container with its descriptors, for one call",
		Args: containerID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.only(cmd, func(ctx context.Context, c *rest.Client) error {
				one, err := c.Container(ctx, args[0])
				if err != nil {
					return err
				}
				return flags.printContainer(cmd, one)
			})
		},
	}
}

func containerCreate(flags *accountFlags) *cobra.Command {
	var name, purpose string
	cmd := &cobra.Command{
		Use: "create --name NAME [DESCRIPTOR...]", Short: "Create a container, for one call; without arguments descriptors are read from standard input, one a line",
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := descriptors(args, cmd.InOrStdin())
			if name == "" {
				err = errors.Join(err, errors.New("--name is needed"))
			}
			if err != nil {
				return command.Usage(cmd, err)
			}
			return flags.only(cmd, func(ctx context.Context, c *rest.Client) error {
				one, err := c.CreateContainer(ctx, name, purpose, keys)
				if err != nil {
					return err
				}
				return flags.printContainer(cmd, one)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the container")
	cmd.Flags().StringVar(&purpose, "purpose", "own use", "purpose, as the portal shows it")
	return cmd
}

func containerDelete(flags *accountFlags) *cobra.Command {
	return &cobra.Command{
		Use: "delete ID", Short: "Delete a container, for one call; other tools may be using it",
		Args: containerID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.only(cmd, func(ctx context.Context, c *rest.Client) error {
				if err := c.DeleteContainer(ctx, args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "container %s is deleted\n", args[0])
				return err
			})
		},
	}
}

// containerID wants one argument in BMW's form, so that a slip costs no call.
func containerID(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || len(args[0]) != 13 || strings.Trim(args[0], "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
		return command.Usage(cmd, errors.New("one container id is needed: 13 upper-case letters and digits, as `cardata containers` lists them"))
	}
	return nil
}

func descriptors(args []string, in io.Reader) ([]schema.Descriptor, error) {
	if len(args) == 0 {
		lines := bufio.NewScanner(in)
		for lines.Scan() {
			if s := strings.TrimSpace(lines.Text()); s != "" && !strings.HasPrefix(s, "#") {
				args = append(args, s)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, err
		}
	}
	if len(args) == 0 {
		return nil, errors.New("no descriptors are given")
	}
	keys := make([]schema.Descriptor, 0, len(args))
	for _, s := range args {
		keys = append(keys, schema.Descriptor(s))
	}
	return keys, nil
}

func containerOf(label string, c rest.Container) containerView {
	return containerView{
		Account: label, ID: c.ID, Name: c.Name, Purpose: c.Purpose, State: c.State, Created: known(c.Created), Descriptors: c.Descriptors,
	}
}

func printContainers(out io.Writer, views []containerView) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "ACCOUNT\tID\tNAME\tPURPOSE\tSTATE\tCREATED")
	for _, v := range views {
		created := "-"
		if v.Created != nil {
			created = day(*v.Created)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", v.Account, v.ID, dash(v.Name), dash(v.Purpose), v.State, created)
	}
	return t.Flush()
}

func (a *accountFlags) printContainer(cmd *cobra.Command, c rest.Container) error {
	if a.asJSON {
		return printJSON(cmd.OutOrStdout(), containerOf("", c))
	}
	out := cmd.OutOrStdout()
	if _, err := fmt.Fprintf(out, "%s  %s  %s  %s\n", c.ID, c.State, dash(c.Name), dash(c.Purpose)); err != nil {
		return err
	}
	for _, d := range c.Descriptors {
		if _, err := fmt.Fprintln(out, "  "+string(d)); err != nil {
			return err
		}
	}
	return nil
}
