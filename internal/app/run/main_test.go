package run_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/run"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

type config struct {
	Peer string `required:"true" desc:"a peer"`
}

func TestMainGivesTextAndExitCodeForEachCase(t *testing.T) {
	for name, c := range map[string]struct {
		args           []string
		peer           string
		code           int
		stdout, stderr string
	}{
		"help names the variables":              {args: []string{"-help"}, code: exit.Done, stdout: "CARDATA_PEER"},
		"version":                               {args: []string{"-version"}, code: exit.Done, stdout: "thing "},
		"unknown flag is a usage error":         {args: []string{"-nope"}, code: exit.Usage, stderr: "-help"},
		"argument is a usage error":             {args: []string{"x"}, code: exit.Usage, stderr: `"x"`},
		"bad configuration is a usage error":    {code: exit.Usage, stderr: "CARDATA_PEER is not set"},
		"a failing run fails":                   {peer: "bad", code: exit.Failed, stderr: "thing: "},
		"being stopped in order is no failure":  {peer: "stop", code: exit.Done},
		"what needs a person says so by a code": {peer: "login", code: exit.NeedsPerson, stderr: "deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CARDATA_PEER", c.peer)
			p := run.Process[config]{
				Name: "thing", About: "A thing.", Level: func(*config) string { return "info" },
				Run: func(_ context.Context, cfg config, _ *slog.Logger) error {
					switch cfg.Peer {
					case "bad":
						return context.DeadlineExceeded
					case "login":
						return exit.With(exit.NeedsPerson, context.DeadlineExceeded)
					}
					return context.Canceled
				},
			}
			var stdout, stderr bytes.Buffer
			err := p.Main(t.Context(), c.args, &stdout, &stderr)
			if got := exit.Code(err); got != c.code {
				t.Errorf("exit code %d, want %d (%v)", got, c.code, err)
			}
			if !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
			}
			if c.stderr == "" && stderr.Len() > 0 {
				t.Errorf("stderr %q, want none", stderr.String())
			}
		})
	}
}
