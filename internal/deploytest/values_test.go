package deploytest

import (
	"encoding/json"
	"os"
	"testing"
)

// TestSchemaKnowsEachValue: every object of values.yaml has a strict schema with
// just its keys, so that a misspelt value is refused and no value is.
func TestSchemaKnowsEachValue(t *testing.T) {
	b, err := os.ReadFile(chart + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema object
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	compare(t, "", readYAML(t, chart+"/values.yaml"), schema)
}

func compare(t *testing.T, path string, values, schema object) {
	t.Helper()
	known, described := schema["properties"].(object)
	if !described {
		if schema["type"] == nil && schema["$ref"] == nil {
			t.Errorf("%s: the schema says nothing", path)
		}
		return // free by design: labels, resources, affinity and the like
	}
	if schema["additionalProperties"] != false {
		t.Errorf("%s: the schema takes any key", path)
	}
	for key, value := range values {
		sub, ok := known[key].(object)
		if !ok {
			t.Errorf("%s.%s is not in the schema", path, key)
			continue
		}
		if o, ok := value.(object); ok {
			compare(t, path+"."+key, o, sub)
		}
	}
	for key := range known {
		if _, ok := values[key]; !ok && path+"."+key != ".global" { // Helm's own
			t.Errorf("%s.%s is in the schema alone", path, key)
		}
	}
}
