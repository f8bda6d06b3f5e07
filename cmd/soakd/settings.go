package main

import (
	"encoding"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/kelseyhightower/envconfig"

	"soakd/internal/secret"
)

// envPrefix starts the name of every environment variable of soakd.
const envPrefix = "SOAKD"

// setting is one configuration value: a field of a struct with envconfig tags.
type setting struct {
	// Name is the environment variable, Flag the command-line flag ("" for a
	// secret, which would show in the process list).
	Name, Flag string
	// Model is the load model that the setting belongs to, "" for both.
	Model         string
	Default, Desc string
	field         reflect.StructField
	value         reflect.Value
}

// settingsOf lists the settings of several structs, in order of their fields.
func settingsOf(structs ...any) []setting {
	var settings []setting
	for _, s := range structs {
		settings = append(settings, settingsIn(reflect.ValueOf(s).Elem())...)
	}
	return settings
}

// settingsIn lists the settings of one struct and of those embedded in it.
func settingsIn(value reflect.Value) []setting {
	var settings []setting
	for i := range value.NumField() {
		field := value.Type().Field(i)
		if field.Anonymous {
			settings = append(settings, settingsIn(value.Field(i))...)
		} else if field.Tag.Get("envconfig") != "" {
			settings = append(settings, newSetting(field, value.Field(i)))
		}
	}
	return settings
}

func newSetting(field reflect.StructField, value reflect.Value) setting {
	tag := field.Tag.Get("envconfig")
	s := setting{
		Name: envPrefix + "_" + tag, Model: field.Tag.Get("model"), Default: field.Tag.Get("default"), Desc: field.Tag.Get("desc"),
		field: field, value: value,
	}
	if s.Model != "" {
		s.Desc += " Only with SOAKD_MODEL=" + s.Model + "."
	}
	if field.Type != reflect.TypeFor[secret.String]() {
		s.Flag = strings.ReplaceAll(strings.ToLower(tag), "_", "-")
	}
	return s
}

// isSet reports whether the setting has another value than its default.
func (s setting) isSet() bool {
	other := setting{Flag: s.Flag, field: s.field, value: reflect.New(s.field.Type).Elem()}
	if s.Default != "" && other.set(s.Default) != nil {
		return true
	}
	return !reflect.DeepEqual(s.value.Interface(), other.value.Interface())
}

// loadEnvironment fills the settings from their defaults and the environment and
// returns every mistake, those of unknown variables among them. A variable that
// is empty counts as not set.
func loadEnvironment(settings []setting) error {
	var errs []error
	for _, s := range settings {
		err := s.decode()
		if err == nil {
			continue
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
		if s.Default != "" {
			// So that the checks that follow do not find the same mistake again.
			errs = append(errs, s.set(s.Default))
		}
	}
	return errors.Join(append(errs, unknownVariables(settings, os.Environ())...)...)
}

// decode sets the value from the environment, else from the default. envconfig
// stops at the first mistake of a struct, so each setting has a struct of its
// own, whose tag holds the full name: beside a prefixed name envconfig would also
// read the same name without the prefix.
func (s setting) decode() error {
	if os.Getenv(s.Name) == "" {
		if s.Default == "" {
			return nil
		}
		return s.set(s.Default)
	}
	field := s.field
	field.Tag = reflect.StructTag(fmt.Sprintf("envconfig:%q", s.Name))
	single := reflect.New(reflect.StructOf([]reflect.StructField{field}))
	err := envconfig.Process("", single.Interface())
	var parse *envconfig.ParseError
	switch {
	case errors.As(err, &parse):
		return s.explain(parse.Value, parse.Err)
	case err != nil:
		return err
	}
	s.value.Set(single.Elem().Field(0))
	return nil
}

// explain turns the error of a decoder into one that says what would be right.
func (s setting) explain(value string, err error) error {
	right := map[reflect.Type]string{
		reflect.TypeFor[int]():           "a whole number such as 50",
		reflect.TypeFor[int64]():         "a whole number such as 50",
		reflect.TypeFor[uint64]():        "a whole number of 0 or more",
		reflect.TypeFor[float64]():       "a number such as 0.5",
		reflect.TypeFor[bool]():          "true or false",
		reflect.TypeFor[time.Duration](): "a duration such as 500ms, 30s or 5m",
	}[s.field.Type]
	if right == "" {
		return err
	}
	return fmt.Errorf("%q is not %s", value, right)
}

// serviceVariable matches what Kubernetes puts into the environment of every
// container beside a Service named soakd.
var serviceVariable = regexp.MustCompile(`^SOAKD_(?:SERVICE_(?:HOST|PORT(?:_.+)?)|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_.+)?)?)$`)

// unknownVariables finds variables with soakd's prefix that are no setting:
// most likely misspelt, so that the nearest name is given.
func unknownVariables(settings []setting, environment []string) []error {
	var errs []error
	for _, entry := range slices.Sorted(slices.Values(environment)) {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix+"_") || serviceVariable.MatchString(name) || slices.ContainsFunc(settings, func(s setting) bool { return s.Name == name }) {
			continue
		}
		errs = append(errs, fmt.Errorf("%s: unknown variable%s", name, nearest(name, settings)))
	}
	return errs
}

// nearest suggests the setting whose name is closest, when one is close.
func nearest(name string, settings []setting) string {
	best, distance := "", len(name)/3+1
	for _, s := range settings {
		if d := levenshtein.ComputeDistance(name, s.Name); d < distance {
			best, distance = s.Name, d
		}
	}
	if best == "" {
		return "; see SETTINGS.md or `soakd help`"
	}
	return "; did you mean " + best + "?"
}

// addFlags gives each setting that is no secret a flag, which overrides the
// environment, unless the command has a flag of that name itself. Mistakes are gathered in errs, so that all are reported.
func addFlags(flags *flag.FlagSet, settings []setting, errs *[]error) {
	for _, s := range settings {
		if s.Flag == "" || flags.Lookup(s.Flag) != nil {
			continue
		}
		take := func(text string) error {
			if err := s.set(text); err != nil {
				*errs = append(*errs, fmt.Errorf("--%s: %w", s.Flag, err))
			}
			return nil
		}
		if s.field.Type == reflect.TypeFor[bool]() {
			flags.BoolFunc(s.Flag, s.usage(), take)
			continue
		}
		flags.Func(s.Flag, s.usage(), take)
	}
}

func (s setting) usage() string {
	if s.Default == "" {
		return s.Desc
	}
	return s.Desc + " (default " + s.Default + ")"
}

// set reads a flag's text as the package flag would for the setting's type.
func (s setting) set(text string) error {
	one := flag.NewFlagSet("", flag.ContinueOnError)
	one.SetOutput(io.Discard)
	switch target := s.value.Addr().Interface().(type) {
	case *string:
		*target = text
		return nil
	case *[]string:
		*target = strings.Split(text, ",")
		return nil
	case *int:
		one.IntVar(target, s.Flag, 0, "")
	case *int64:
		one.Int64Var(target, s.Flag, 0, "")
	case *uint64:
		one.Uint64Var(target, s.Flag, 0, "")
	case *float64:
		one.Float64Var(target, s.Flag, 0, "")
	case *bool:
		one.BoolVar(target, s.Flag, false, "")
	case *time.Duration:
		one.DurationVar(target, s.Flag, 0, "")
	case envconfig.Decoder:
		return target.Decode(text)
	case encoding.TextUnmarshaler:
		return target.UnmarshalText([]byte(text))
	default:
		return fmt.Errorf("no flag can be of type %s", s.field.Type)
	}
	if err := one.Set(s.Flag, text); err != nil {
		return s.explain(text, err)
	}
	return nil
}
