package load

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Selection says which cases of a workload are sent, by their tags. A case has its
// name and its class as tags too.
type Selection struct {
	// Tags: only cases that have one of them; none means all cases. Exclude: no case
	// that has one of these, whatever else it has.
	Tags, Exclude []string
}

// HasTag reports whether a tag is the case's.
func (c *Case) HasTag(tag string) bool {
	return tag == c.Name || tag == string(c.Class) || slices.Contains(c.Tags, tag)
}

// wants reports whether a case is selected.
func (s *Selection) wants(c *Case) bool {
	return (len(s.Tags) == 0 || slices.ContainsFunc(s.Tags, c.HasTag)) && !s.excludes(c)
}

// excludes reports whether a case must not be sent at all.
func (s *Selection) excludes(c *Case) bool { return slices.ContainsFunc(s.Exclude, c.HasTag) }

// String names the selection: read,-invalid; "" for all cases.
func (s *Selection) String() string {
	parts := slices.Clone(s.Tags)
	for _, tag := range s.Exclude {
		parts = append(parts, "-"+tag)
	}
	return strings.Join(parts, ",")
}

// tidy puts the tags in order, each once and without blanks around it.
func tidy(tags []string) []string {
	var out []string
	for _, tag := range tags {
		if tag = strings.TrimSpace(tag); tag != "" {
			out = append(out, tag)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Select returns the workload that sends the selected cases alone, in the shares that
// their weights have to one another. Cases that these need stay with a weight of 0:
// fallbacks, and the opening if a selected case asks for what that makes. What is
// excluded is not sent for their sake either; a case whose fallback is excluded is
// left out. The notes say what was left out, and the name of the selection becomes
// part of the workload's, so that runs of different selections are not compared. The
// given workload must not be used beside the returned one.
//
// It is an error when a tag is no case's, when nothing is left, and when all that is
// left is limited per user; see [Case.MinInterval].
func (w *Workload) Select(s Selection) (*Workload, error) {
	s = Selection{Tags: tidy(s.Tags), Exclude: tidy(s.Exclude)}
	if s.String() == "" {
		return w, nil
	}
	var errs []error
	for _, tag := range slices.Concat(s.Tags, s.Exclude) {
		if !slices.ContainsFunc(w.Cases, func(c *Case) bool { return c.HasTag(tag) }) {
			errs = append(errs, w.noSuchTag(tag))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	picked := &picking{workload: w, selection: s, chosen: map[*Case]bool{}, kept: map[*Case]bool{}}
	picked.choose()
	if err := picked.check(); err != nil {
		return nil, err
	}
	return picked.copy(), nil
}

// noSuchTag says which tags there are.
func (w *Workload) noSuchTag(tag string) error {
	for _, note := range w.Notes { // such as an expired token that cannot be made
		if strings.HasPrefix(note, tag+" ") {
			return errors.New(note)
		}
	}
	var shared, all []string
	for _, c := range w.Cases {
		shared = append(append(shared, string(c.Class)), c.Tags...)
		all = append(all, c.Name)
	}
	shared = tidy(shared)
	best, distance := "", len(tag)/3+2
	for _, one := range slices.Concat(shared, all) {
		if d := levenshtein.ComputeDistance(tag, one); d < distance {
			best, distance = one, d
		}
	}
	if best != "" {
		best = ", did you mean " + best + "?"
	}
	return fmt.Errorf("no case has the tag %q%s The tags are %s, and the name of each case", tag, cmp.Or(best, "."), strings.Join(shared, ", "))
}

// picking is the choice of cases under way.
type picking struct {
	workload  *Workload
	selection Selection
	// chosen are drawn by weight, kept are those and what they need.
	chosen, kept map[*Case]bool
	opening      *Opening
	notes        []string
}

// choose finds out what is drawn and what that needs.
func (p *picking) choose() {
	var others []string
	for _, c := range p.workload.Cases {
		switch {
		case !p.selection.wants(c):
			others = append(others, c.Name)
		case c.Fallback != nil && p.selection.excludes(c.Fallback):
			p.notes = append(p.notes, fmt.Sprintf("%s is left out: it may need %s, which is excluded", c.Name, c.Fallback.Name))
		default:
			p.chosen[c] = true
		}
	}
	if len(others) > 0 {
		p.notes = append(p.notes, fmt.Sprintf("%d of %d cases by their tags: %s", len(others), len(p.workload.Cases), fewOf(others)))
	}
	for c := range p.chosen {
		p.keep(c)
	}
	p.chooseOpening()
}

// keep keeps a case and what it may need.
func (p *picking) keep(c *Case) {
	for ; c != nil && !p.kept[c] && !p.selection.excludes(c); c = c.Fallback {
		p.kept[c] = true
	}
}

// chooseOpening keeps the opening where it is selected or needed.
func (p *picking) chooseOpening() {
	o := p.workload.Opening
	if o == nil {
		return
	}
	needed := p.chosen[o.Case]
	for c := range p.chosen {
		needed = needed || c.NeedsOpening
	}
	what := fmt.Sprintf("%d x %s for each virtual user at the start", o.Times, o.Case.Name)
	switch {
	case p.selection.excludes(o.Case):
		p.notes = append(p.notes, what+": it is excluded")
	case !needed:
		p.notes = append(p.notes, what+": no selected case needs it")
	default:
		p.opening = o
		p.keep(o.Case)
	}
}

// check refuses a selection that cannot be sent.
func (p *picking) check() error {
	var limited []string
	weights := 0.0
	for _, c := range p.workload.Cases {
		switch {
		case !p.chosen[c] || c.Weight == 0:
		case c.MinInterval > 0:
			limited = append(limited, fmt.Sprintf("%s (once in %v)", c.Name, c.MinInterval))
		default:
			weights += c.Weight
		}
	}
	switch {
	case weights > 0:
		return nil
	case len(limited) > 0:
		return fmt.Errorf("%s leaves only what a virtual user may not have more often: %s; select another case beside it", p.selection.String(), strings.Join(limited, ", "))
	}
	return fmt.Errorf("%s leaves no case to send", p.selection.String())
}

// copy makes the workload of what was kept.
func (p *picking) copy() *Workload {
	w := *p.workload
	w.Cases, w.Opening = nil, nil
	w.Notes = append(slices.Clone(p.workload.Notes), p.notes...)
	w.Name += "[" + p.selection.String() + "]"
	copies := map[*Case]*Case{}
	for _, c := range p.workload.Cases {
		if !p.kept[c] {
			continue
		}
		one := *c
		if !p.chosen[c] {
			one.Weight = 0
		}
		copies[c] = &one
		w.Cases = append(w.Cases, &one)
	}
	for _, c := range w.Cases {
		c.Fallback = copies[c.Fallback] // nil where that is excluded
	}
	if p.opening != nil {
		w.Opening = &Opening{Case: copies[p.opening.Case], Times: p.opening.Times}
	}
	return &w
}

// fewOf names the first of many.
func fewOf(names []string) string {
	const most = 6
	if len(names) <= most+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
