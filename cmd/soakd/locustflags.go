package main

import (
	"errors"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// alias is a flag by which users of Locust, and of the scripts around it, know a
// setting.
type alias struct {
	// names are the flags, setting the name of the setting.
	names   []string
	setting string
	// translate turns what is given into the text of the setting; nil takes it as it is.
	translate func(string) (string, error)
	// adds tells that each use adds to the setting.
	adds  bool
	usage string
}

// aliases lists them all.
func aliases() []alias {
	return []alias{
		{names: []string{"threshold"}, setting: "THRESHOLDS", adds: true, usage: "One more of --thresholds, such as 'p95{class=monte_carlo}<=5s'; may be given several times."},
		{names: []string{"threshold-rps"}, setting: "THRESHOLDS", adds: true, translate: limitText("rate>=%s"), usage: "Least requests a second: --threshold 'rate>=N'."},
		{names: []string{"threshold-p95"}, setting: "THRESHOLDS", adds: true, translate: millisecondsText, usage: "Longest p95, in milliseconds or with a unit: --threshold 'p95<=300ms'."},
		{names: []string{"threshold-error-rate"}, setting: "THRESHOLDS", adds: true, translate: shareText, usage: "Greatest share of failed requests, 0.01 or 1%: --threshold 'error_rate<=0.01'."},
		{names: []string{"host", "H"}, setting: "TARGET_URL", usage: "As Locust's: --target-url."},
		{names: []string{"u"}, setting: "USERS", usage: "As Locust's: --users."},
		{names: []string{"r"}, setting: "SPAWN_RATE", usage: "As Locust's: --spawn-rate."},
		{names: []string{"run-time", "t"}, setting: "DURATION", translate: runTimeText, usage: "As Locust's: --duration, such as 3m, 1h30m or 180 (seconds)."},
		{names: []string{"T"}, setting: "TAGS", usage: "As Locust's: --tags."},
		{names: []string{"E"}, setting: "EXCLUDE_TAGS", usage: "As Locust's: --exclude-tags."},
	}
}

// limitText puts a number into a threshold.
func limitText(format string) func(string) (string, error) {
	return func(text string) (string, error) {
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return "", fmt.Errorf("%q is not a number such as 50", text)
		}
		return fmt.Sprintf(format, text), nil
	}
}

// millisecondsText reads a time, which without a unit is in milliseconds as all times
// of Locust are.
func millisecondsText(text string) (string, error) {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		text += "ms"
	}
	if d, err := time.ParseDuration(text); err != nil || d <= 0 {
		return "", fmt.Errorf("%q is not a time such as 300 (milliseconds) or 300ms", text)
	}
	return "p95<=" + text, nil
}

// shareText reads a share. Above or at 1 it is not known whether percents are meant.
func shareText(text string) (string, error) {
	number, percent := strings.CutSuffix(text, "%")
	share, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil || share < 0:
		return "", fmt.Errorf("%q is not a share such as 0.01 or 1%%", text)
	case !percent && share >= 1:
		return "", fmt.Errorf("%q: is it %s%% or a share? Give %s%%, or a share below 1 such as 0.01", text, text, text)
	}
	return "error_rate<=" + text, nil
}

// runTime is how Locust writes how long to run.
var runTime = regexp.MustCompile(`^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?$`)

// runTimeText reads Locust's run time: a number is seconds.
func runTimeText(text string) (string, error) {
	if _, err := time.ParseDuration(text); err == nil && !isDigits(text) {
		return text, nil
	}
	parts := runTime.FindStringSubmatch(text)
	if parts == nil || text == "" {
		return "", fmt.Errorf("%q is not a time such as 3m, 1h30m or 180 (seconds)", text)
	}
	units, out := []string{"h", "m", "s"}, ""
	for i, unit := range units {
		if parts[i+1] != "" {
			out += parts[i+1] + unit
		}
	}
	return out, nil
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// addAliases gives settings the flags of [aliases]. What flags add is added by add, which is to
// be called when all are parsed: --thresholds, which replaces what there is, would else take away
// what stands before it.
func addAliases(flags *flag.FlagSet, settings []setting, errs *[]error) (add func()) {
	var later []func()
	for _, a := range aliases() {
		i := slices.IndexFunc(settings, func(s setting) bool { return s.Name == envPrefix+"_"+a.setting })
		if i < 0 {
			continue
		}
		for _, name := range a.names {
			take := func(text string) {
				if err := a.take(settings[i], text); err != nil {
					*errs = append(*errs, fmt.Errorf("--%s: %w", name, err))
				}
			}
			flags.Func(name, a.usage, func(text string) error {
				if a.adds {
					later = append(later, func() { take(text) })
				} else {
					take(text)
				}
				return nil
			})
		}
	}
	return func() {
		for _, one := range later {
			one()
		}
	}
}

// adder is a setting to which texts can be added.
type adder interface{ Add(text string) error }

// take sets the setting.
func (a *alias) take(s setting, text string) error {
	if a.translate != nil {
		translated, err := a.translate(text)
		if err != nil {
			return err
		}
		text = translated
	}
	if !a.adds {
		return s.set(text)
	}
	list, ok := s.value.Addr().Interface().(adder)
	if !ok {
		return errors.New("nothing can be added to it")
	}
	return list.Add(text)
}

// locustArguments puts the tags together that Locust takes as several arguments:
// --tags read write becomes --tags read,write.
func locustArguments(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		name := strings.TrimLeft(args[i], "-")
		out = append(out, args[i])
		if !strings.HasPrefix(args[i], "-") || (name != "tags" && name != "exclude-tags" && name != "T" && name != "E") {
			continue
		}
		var tags []string
		for i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
			tags = append(tags, args[i])
		}
		if len(tags) > 0 {
			out = append(out, strings.Join(tags, ","))
		}
	}
	return out
}

// meantAsUsers tells whether the flags are those of Locust, which knows nothing but
// users: some of them, and none that only makes sense for arrivals.
func meantAsUsers(flags *flag.FlagSet) bool {
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return given[name] })
	}
	if has("model", "rate", "shape") {
		return false
	}
	return has("spawn-rate", "r") || (has("users", "u") && has("headless", "run-time", "t"))
}
