package compose

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
)

const (
	root = "../../.."
	file = root + "/docker-compose.yml"
)

// load reads the file as `docker compose --env-file F --profile P` does.
func load(ctx context.Context, envFile string, profiles ...string) (*types.Project, error) {
	options := []cli.ProjectOptionsFn{cli.WithName("cardata-test")}
	if envFile != "" {
		options = append(options, cli.WithEnvFiles(envFile), cli.WithDotEnv)
	}
	o, err := cli.NewProjectOptions([]string{file}, append(options, cli.WithDefaultProfiles(profiles...))...)
	if err != nil {
		return nil, err
	}
	return o.LoadProject(ctx)
}

// project loads the file with secrets made by the script.
func project(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	p, err := load(t.Context(), newEnv(t), profiles...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// newEnv makes an .env as a person would.
func newEnv(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	example, err := os.ReadFile(root + "/.env.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".env.example"), example, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(root+"/deploy/compose/secrets.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("secrets.sh: %v\n%s", err, out)
	}
	return filepath.Join(dir, ".env")
}

// ours tells whether a service runs the pipeline's own image.
func ours(s *types.ServiceConfig) bool { return s.Build != nil }

// program gives the words of a service's command.
func program(s *types.ServiceConfig) []string {
	return append(append([]string{}, s.Entrypoint...), s.Command...)
}

// variablesOf gives the variables that the Config of a package has, from its
// source: a program of another version has others.
func variablesOf(t *testing.T, path string) map[string]bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), root+"/"+path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Config" {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			for _, name := range f.Names {
				names[env.Name(reflect.StructField{Name: name.Name})] = true
			}
		}
		return false
	})
	if len(names) == 0 {
		t.Fatalf("%s has no Config", path)
	}
	return names
}

// commandText is the source of cardata's commands: they name their variables.
func commandText(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(root + "/internal/app/cli/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// there tells whether this version of the repository has a file.
func there(path string) bool {
	_, err := os.Stat(root + "/" + path)
	return err == nil
}
