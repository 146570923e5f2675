// Command schemas turns Kubernetes' own OpenAPI description, and custom resource
// definitions, into JSON Schemas for kubeconform: one file a kind, strict
// (unknown fields are faults) and without references to other files, so that
// manifests can be checked without a network.
//
//	schemas OUT swagger.json crd.yaml...
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

type object = map[string]any

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: schemas OUT swagger.json crd.yaml...")
		os.Exit(2) //nolint:forbidigo // this is a main
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1) //nolint:forbidigo // this is a main
	}
}

func run(out, swagger string, crds []string) error {
	if err := os.MkdirAll(out, 0o750); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	b, err := os.ReadFile(swagger)
	if err != nil {
		return fmt.Errorf("read OpenAPI: %w", err)
	}
	var spec struct {
		Definitions map[string]object `json:"definitions"`
	}
	if err := json.Unmarshal(b, &spec); err != nil {
		return fmt.Errorf("read OpenAPI: %w", err)
	}
	for name, d := range spec.Definitions {
		kinds, _ := d["x-kubernetes-group-version-kind"].([]any)
		if len(kinds) != 1 {
			continue // part of a kind, or of all of them
		}
		k, _ := kinds[0].(object)
		used := make(object)
		collect(spec.Definitions, name, used)
		schema := object{"$ref": prefix + name, "definitions": used}
		if err := write(out, fmt.Sprint(k["group"]), fmt.Sprint(k["version"]), fmt.Sprint(k["kind"]), schema); err != nil {
			return err
		}
	}
	for _, file := range crds {
		if err := custom(out, file); err != nil {
			return err
		}
	}
	return nil
}

const prefix = "#/definitions/"

// collect gathers the definition of a name and all it refers to.
func collect(all map[string]object, name string, used object) {
	if used[name] != nil {
		return
	}
	d := all[name]
	used[name] = strict(d)
	if strings.HasSuffix(name, ".Quantity") || strings.HasSuffix(name, ".IntOrString") {
		used[name] = object{"type": []any{"string", "number", "null"}} // the description says string alone
	}
	refs(d, func(ref string) { collect(all, strings.TrimPrefix(ref, prefix), used) })
}

func refs(v any, found func(string)) {
	switch v := v.(type) {
	case object:
		if ref, ok := v["$ref"].(string); ok {
			found(ref)
		}
		for _, sub := range v {
			refs(sub, found)
		}
	case []any:
		for _, sub := range v {
			refs(sub, found)
		}
	}
}

// strict copies a schema, closes its objects, and takes null for anything, as
// the API server does.
func strict(v any) any {
	switch v := v.(type) {
	case object:
		c := make(object, len(v)+1)
		for k, sub := range v {
			switch {
			case k == "properties":
				props := make(object)
				for name, p := range sub.(object) {
					props[name] = strict(p)
				}
				c[k] = props
			case k == "type" && v["x-kubernetes-int-or-string"] == true:
			case k == "type":
				c[k] = []any{sub, "null"}
			case k == "format" || strings.HasPrefix(k, "x-kubernetes") || k == "default" || k == "description":
			default:
				c[k] = strict(sub)
			}
		}
		if v["properties"] != nil && v["additionalProperties"] == nil && v["x-kubernetes-preserve-unknown-fields"] != true {
			c["additionalProperties"] = false
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = strict(v[i])
		}
		return c
	default:
		return v
	}
}

func custom(out, file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read definition: %w", err)
	}
	var crd struct {
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPI object `yaml:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(b, &crd); err != nil {
		return fmt.Errorf("read definition %s: %w", file, err)
	}
	for _, v := range crd.Spec.Versions {
		schema, _ := strict(v.Schema.OpenAPI).(object)
		if props, ok := schema["properties"].(object); ok {
			props["metadata"] = object{"type": "object"}
		}
		if err := write(out, crd.Spec.Group, v.Name, crd.Spec.Names.Kind, schema); err != nil {
			return err
		}
	}
	return nil
}

// write names the file as kubeconform is told to look for it.
func write(out, group, version, kind string, schema object) error {
	b, err := json.Marshal(schema)
	if err != nil {
		return fmt.Errorf("encode %s: %w", kind, err)
	}
	if group != "" {
		group = strings.Split(group, ".")[0] + "-" // kubeconform takes a group's first word
	}
	name := strings.ToLower(kind) + "-" + group + version + ".json"
	if err := os.WriteFile(filepath.Join(out, name), b, 0o600); err != nil {
		return fmt.Errorf("write schema: %w", err)
	}
	return nil
}
