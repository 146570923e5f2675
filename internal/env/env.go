// Package env reads a command's configuration from CARDATA_* environment
// variables and prints the table of them.
//
// A configuration is one flat struct. Its tags say all there is to say about a
// variable: `split_words`, `required` and `default` as in kelseyhightower/envconfig, and `desc` with
// unit and range for the help text. Defaults stand in the tag and nowhere else.
package env

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/kelseyhightower/envconfig"
)

// Prefix starts the name of every variable.
const Prefix = "CARDATA"

// validator is a configuration that can check itself.
type validator interface{ Validate() error }

// Load fills cfg, a pointer to a flat struct, from the environment and then
// lets it validate itself. All faults come at once, each with variable name,
// value and what is allowed. A variable set to the empty string counts as not
// set.
func Load(cfg any) error {
	faults := fill(cfg, os.LookupEnv)
	if v, ok := cfg.(validator); ok {
		faults = append(faults, unsaid(v.Validate(), faults)...)
	}
	return errors.Join(faults...)
}

// unsaid gives the faults of validating but for variables that could not even
// be read: one line a variable is enough.
func unsaid(err error, said []error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var rest []error
	for _, fault := range joined.Unwrap() {
		name, _, _ := strings.Cut(fault.Error(), "=")
		known := func(e error) bool {
			return strings.HasPrefix(e.Error(), name+"=") || strings.HasPrefix(e.Error(), name+" ")
		}
		if !slices.ContainsFunc(said, known) {
			rest = append(rest, fault)
		}
	}
	return rest
}

// Defaults fills cfg with the defaults of its tags alone, whatever the
// environment says. Required fields stay as they are.
func Defaults(cfg any) error {
	return errors.Join(fill(cfg, nil)...)
}

// fill lets envconfig do one field at a time: it stops at the first fault, and
// an operator wants to see them all.
func fill(cfg any, lookup func(string) (string, bool)) []error {
	var faults []error
	v := reflect.ValueOf(cfg).Elem()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		prefix := Prefix
		if lookup == nil {
			prefix = "CARDATA_DEFAULTS_ONLY" // a prefix nobody sets
			field.Tag = without(field.Tag, "required")
		} else if value, set := lookup(Name(field)); set && strings.TrimSpace(value) == "" {
			prefix = "CARDATA_EMPTY_IS_UNSET"
		}
		if _, set := field.Tag.Lookup("default"); !set && prefix != Prefix && lookup == nil {
			continue
		}
		one := reflect.New(reflect.StructOf([]reflect.StructField{field}))
		one.Elem().Field(0).Set(v.Field(i))
		if err := envconfig.Process(prefix, one.Interface()); err != nil {
			faults = append(faults, explain(field, err))
			continue
		}
		v.Field(i).Set(one.Elem().Field(0))
	}
	return faults
}

func without(tag reflect.StructTag, key string) reflect.StructTag {
	value, ok := tag.Lookup(key)
	if !ok {
		return tag
	}
	return reflect.StructTag(strings.Replace(string(tag), fmt.Sprintf("%s:%q", key, value), "", 1))
}

func explain(field reflect.StructField, err error) error {
	if p, ok := errors.AsType[*envconfig.ParseError](err); ok {
		value := fmt.Sprintf("%q", p.Value)
		if field.Tag.Get("secret") == "true" {
			value = "(secret)"
		}
		return fmt.Errorf("%s=%s: not a %s; %s", Name(field), value, p.TypeName, field.Tag.Get("desc"))
	}
	return fmt.Errorf("%s is not set: %s", Name(field), field.Tag.Get("desc"))
}

// Name gives the variable of a field: CARDATA_ and the field's words.
func Name(field reflect.StructField) string {
	return Prefix + "_" + strings.ToUpper(words(field.Name))
}

// words splits a Go name the way envconfig's split_words does: KafkaBrokers is
// Kafka_Brokers, HTTPAddr is HTTP_Addr.
func words(name string) string {
	var b strings.Builder
	for i := range len(name) {
		upper := func(j int) bool { return j >= 0 && j < len(name) && 'A' <= name[j] && name[j] <= 'Z' }
		lowerNext := i+1 < len(name) && !upper(i+1)
		if i > 0 && upper(i) && (!upper(i-1) || lowerNext) {
			b.WriteByte('_')
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

// Variable is one row of the table of variables.
type Variable struct {
	Name, Default, Description string
	Required, Secret           bool
}

// Variables lists the variables of a configuration struct (or a pointer to
// one) in the order of its fields.
func Variables(cfg any) []Variable {
	t := reflect.TypeOf(cfg)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	list := make([]Variable, 0, t.NumField())
	for f := range t.Fields() {
		list = append(list, Variable{
			Name: Name(f), Default: f.Tag.Get("default"), Description: f.Tag.Get("desc"),
			Required: f.Tag.Get("required") == "true", Secret: f.Tag.Get("secret") == "true",
		})
	}
	return list
}

// Help prints the table of variables for a terminal.
func Help(w io.Writer, cfg any) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, v := range Variables(cfg) {
		note := v.Default
		switch {
		case v.Required:
			note = "(required)"
		case note == "":
			note = "(empty)"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", v.Name, note, v.Description)
	}
	return t.Flush()
}

// Markdown prints the table of variables for the README.
func Markdown(w io.Writer, cfg any) error {
	var b strings.Builder
	b.WriteString("| variable | default | meaning |\n| --- | --- | --- |\n")
	for _, v := range Variables(cfg) {
		note := "`" + v.Default + "`"
		switch {
		case v.Required:
			note = "**required**"
		case v.Default == "":
			note = ""
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", v.Name, note, v.Description)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
