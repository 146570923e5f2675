package deploytest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	root  = "../.."
	chart = root + "/deploy/helm/cardata-pipeline"
)

// object is a YAML mapping.
type object = map[string]any

// at follows keys down into an object; nil when one is missing.
func at(o any, keys ...string) any {
	for _, k := range keys {
		m, ok := o.(object)
		if !ok {
			return nil
		}
		o = m[k]
	}
	return o
}

func text(o any, keys ...string) string { s, _ := at(o, keys...).(string); return s }

func list(o any, keys ...string) []any { l, _ := at(o, keys...).([]any); return l }

func readYAML(t *testing.T, path string) object {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var o object
	if err := yaml.Unmarshal(b, &o); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return o
}

// render gives the objects of the chart with one of the files of ci/. It needs
// helm: CARDATA_HELM, the cache of test/kube/tools.sh, or the path.
func render(t *testing.T, values string) []object {
	t.Helper()
	helm := findHelm(t)
	cmd := exec.CommandContext(t.Context(), helm, "template", "cardata", chart, "--namespace", "cardata", "-f", filepath.Join(chart, "ci", values+"-values.yaml"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("helm template: %v\n%s", err, stderr.String())
	}
	var objects []object
	for d := yaml.NewDecoder(bytes.NewReader(out)); ; {
		var o object
		switch err := d.Decode(&o); {
		case errors.Is(err, io.EOF):
			if len(objects) == 0 {
				t.Fatal("helm rendered nothing")
			}
			return objects
		case err != nil:
			t.Fatal(err)
		case o != nil:
			objects = append(objects, o)
		}
	}
}

func findHelm(t *testing.T) string {
	t.Helper()
	if helm := os.Getenv("CARDATA_HELM"); helm != "" {
		return helm
	}
	tools := os.Getenv("CARDATA_TOOLS")
	if tools == "" {
		cache, _ := os.UserCacheDir()
		tools = filepath.Join(cache, "cardata-pipeline", "tools")
	}
	if built, _ := filepath.Glob(filepath.Join(tools, "helm-v*", "bin", "helm")); len(built) > 0 {
		return built[len(built)-1]
	}
	if helm, err := exec.LookPath("helm"); err == nil {
		return helm
	}
	if os.Getenv("CARDATA_TEST_REQUIRE") != "" {
		t.Fatal("no helm: run `test/kube/tools.sh helm`")
	}
	t.Skip("no helm: run `test/kube/tools.sh helm`, or name one in CARDATA_HELM")
	return ""
}

// container is one container of a pod, with where it was found.
type container struct {
	where   string
	program string // first word of the command
	command []string
	env     []object
}

// containers gives all containers of the pipeline's own image.
func containers(t *testing.T, objects []object) []container {
	t.Helper()
	var all []container
	for _, o := range objects {
		spec := podSpec(o)
		for _, kind := range []string{"initContainers", "containers"} {
			for _, c := range list(spec, kind) {
				found := container{where: text(o, "kind") + " " + text(o, "metadata", "name") + "/" + text(c, "name")}
				for _, word := range append(list(c, "command"), list(c, "args")...) {
					s, _ := word.(string)
					found.command = append(found.command, s)
				}
				if len(found.command) == 0 {
					continue // a server for trials, with the command of its image
				}
				found.program = found.command[0]
				for _, v := range list(c, "env") {
					found.env = append(found.env, v.(object))
				}
				all = append(all, found)
			}
		}
	}
	return all
}

func podSpec(o object) any {
	switch text(o, "kind") {
	case "Pod":
		return at(o, "spec")
	case "CronJob":
		return at(o, "spec", "jobTemplate", "spec", "template", "spec")
	default:
		return at(o, "spec", "template", "spec")
	}
}

func (c container) variable(name string) (value string, found bool) {
	for _, v := range c.env {
		if text(v, "name") == name {
			return text(v, "value"), true
		}
	}
	return "", false
}

// words joins a command for a message.
func (c container) words() string { return strings.Join(c.command, " ") }
