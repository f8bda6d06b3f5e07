package main

import (
	"fmt"
	"strings"

	"soakd/internal/load"
)

// tagSettings say which cases of the workload are sent.
type tagSettings struct {
	Tags        tagList `envconfig:"TAGS" desc:"Only cases with one of these tags are sent, separated by commas: names of cases, classes, or read, write, compute, scenarios, auth; empty: all. What they need is sent too: a scenario to get is saved first."`
	ExcludeTags tagList `envconfig:"EXCLUDE_TAGS" desc:"Cases with one of these tags are never sent, such as write, for whatever reason; cases that need them are left out too."`
}

// tagList are tags. Its text has them with commas or blanks between.
type tagList []string

// UnmarshalText reads tags.
func (l *tagList) UnmarshalText(text []byte) error {
	*l = strings.FieldsFunc(string(text), func(r rune) bool { return r == ',' || r == ' ' })
	return nil
}

func (l tagList) String() string { return strings.Join(l, ",") }

// of returns the part of a workload that is to be sent.
func (s *tagSettings) of(workload *load.Workload) (*load.Workload, error) {
	part, err := workload.Select(load.Selection{Tags: s.Tags, Exclude: s.ExcludeTags})
	if err != nil {
		return nil, fmt.Errorf("%s_TAGS, %[1]s_EXCLUDE_TAGS: %w", envPrefix, err)
	}
	return part, nil
}
