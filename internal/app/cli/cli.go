// Package cli is the operator's command line: the tree of commands of cardata,
// their flags and help. What a command does is in a package of its own.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/command"
	"github.com/cardata-pipeline/cardata-pipeline/internal/app/ops"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

// Main runs the command line args, without the program's name. It prints what
// went wrong to stderr; the error it returns carries the exit code.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	root := New() //nolint:contextcheck // cobra hands the context to RunE
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if exit.Code(err) != exit.Done {
		fmt.Fprintf(stderr, "cardata: %v\n", err)
	}
	return err
}

// New builds the tree of commands.
func New() *cobra.Command {
	root := &cobra.Command{
		Use:   "cardata",
		Short: "The operator's hand of the CarData pipeline",
		Long: `cardata is the operator's hand of the CarData pipeline.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 needs a person such as a login, 4 partly done.`,
		Version:       ops.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          command.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(command.Usage)
	root.AddCommand(
		loginCommand(), setupCommand(), doctorCommand(), statusCommand(), vehiclesCommand(), containersCommand(), quotaCommand(),
		simulateCommand(), normalizeCommand(), healthcheckCommand(),
	)
	return root
}

// fromEnv gives an environment variable, or other when it is not set.
func fromEnv(name, other string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return other
}
