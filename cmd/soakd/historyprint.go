package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"soakd/internal/history"
)

// heardOf is for how long a run that has not ended counts as one that goes on: it
// stores something each minute.
const heardOf = 3 * time.Minute

// shortID is how much of a run's id is printed in tables: its time to the
// millisecond, and enough of the rest to tell shards that began together.
const shortID = 18

// stamp is how times are printed, in UTC.
const stamp = "2006-01-02 15:04:05"

func (h *historian) encode(value any) error {
	encoder := json.NewEncoder(h.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// table prints rows under a header.
func (h *historian) table(header string, rows [][]string) {
	writer := tabwriter.NewWriter(h.stdout, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{strings.Split(header, "|")}, rows...) {
		for i := range row {
			row[i] = printable(row[i])
		}
		_, _ = io.WriteString(writer, strings.Join(row, "\t")+"\n") // as printf
	}
	_ = writer.Flush() // as printf
}

// printable keeps what a target said of itself from moving the cursor, and a cell
// on its line.
func printable(cell string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, cell)
}

func (h *historian) list(ctx context.Context, _ []string) error {
	runs, err := h.store.Runs(ctx, history.RunFilter{Target: h.target, Workload: h.workload, Limit: h.limit})
	if err != nil {
		return err
	}
	if h.json {
		return h.encode(append([]history.Run{}, runs...))
	}
	rows := make([][]string, len(runs))
	for i := range runs {
		run := &runs[i]
		rows[i] = []string{
			run.ID[:shortID], run.Started.Format(stamp), lasted(run), h.state(run), cmp.Or(versions(run), "-"), run.Target, run.Instance, run.Workload,
		}
	}
	h.table("run|started (UTC)|lasted|verdict|version|target|instance|workload", rows)
	return nil
}

// lasted is how long a run was heard of.
func lasted(run *history.Run) string { return run.Seen.Sub(run.Started).Round(time.Second).String() }

// state is the verdict of a run, and whether it has ended.
func (h *historian) state(run *history.Run) string {
	verdict := cmp.Or(run.Verdict, "none")
	switch {
	case !run.Ended.IsZero():
		return verdict
	case h.now().Sub(run.Seen) < heardOf:
		return verdict + " (goes on)"
	}
	return verdict + " (cut off)"
}

// maxVersions bounds how many versions are printed in a table.
const maxVersions = 3

func versions(run *history.Run) string {
	var names []string
	for _, v := range run.Versions {
		names = append(names, v.Name)
	}
	if len(names) > maxVersions {
		names = append([]string{"..."}, names[len(names)-maxVersions:]...)
	}
	return strings.Join(names, ", ")
}

// shownRun is what `show --json` prints.
type shownRun struct {
	Run      history.Run       `json:"run"`
	Findings []history.Finding `json:"findings"`
	Events   []history.Event   `json:"events"`
}

// findRun returns the run that is meant, of the target and workload of the flags.
func (h *historian) findRun(ctx context.Context, word string) (history.Run, error) {
	return h.store.FindRun(ctx, word, history.RunFilter{Target: h.target, Workload: h.workload})
}

func (h *historian) show(ctx context.Context, words []string) error {
	run, err := h.findRun(ctx, words[0])
	if err != nil {
		return err
	}
	shown := shownRun{Run: run, Findings: []history.Finding{}, Events: []history.Event{}}
	found, err := h.store.Findings(ctx, history.Query{Run: run.ID})
	if err != nil {
		return err
	}
	events, err := h.store.Events(ctx, history.Query{Run: run.ID, Limit: h.limit})
	if err != nil {
		return err
	}
	shown.Findings, shown.Events = append(shown.Findings, found...), append(shown.Events, events...)
	if h.json {
		return h.encode(shown)
	}
	h.table("run|"+run.ID, [][]string{
		{"target", run.Target},
		{"instance", run.Instance},
		{"workload", run.Workload},
		{"soakd", cmp.Or(run.SoakdVersion, "-")},
		{"started", run.Started.Format(stamp) + " UTC"},
		{"lasted", lasted(&run)},
		{"verdict", h.state(&run)},
		{"version", cmp.Or(versions(&run), "not known")},
		{"settings", cmp.Or(string(run.Settings), "-")},
		{"summary", cmp.Or(string(run.Summary), "-")},
	})
	h.showFindings(found)
	h.showEvents(events)
	return nil
}

func (h *historian) showFindings(found []history.Finding) {
	if len(found) == 0 {
		h.printf("\nnothing was found\n")
		return
	}
	rows := make([][]string, len(found))
	for i, f := range found {
		ended := "open"
		if !f.Ended.IsZero() {
			ended = f.Ended.Format(stamp)
		}
		rows[i] = []string{f.Kind, f.Subject, f.Onset.Format(stamp), f.Found.Format(stamp), ended, sentence(f.Document)}
	}
	h.printf("\n")
	h.table("finding|of|began (UTC)|found|ended|what", rows)
}

// sentence is the text of a document for people, when it has one.
func sentence(document json.RawMessage) string {
	var said struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(document, &said) != nil {
		return ""
	}
	return said.Text
}

func (h *historian) showEvents(events []history.Event) {
	if len(events) == 0 {
		return
	}
	rows := make([][]string, len(events))
	for i, e := range events {
		rows[i] = []string{e.At.Format(stamp), e.Kind, e.Text}
	}
	h.printf("\n")
	h.table("event (UTC)|kind|what", rows)
	if h.limit > 0 && len(events) == h.limit {
		h.printf("these are the latest %d; --limit 0 shows all\n", h.limit)
	}
}

// listedBaseline is what `baseline list --json` prints.
type listedBaseline struct {
	Name     string    `json:"name"`
	Target   string    `json:"target"`
	Workload string    `json:"workload"`
	Run      string    `json:"run"`
	Version  string    `json:"version,omitempty"`
	Created  time.Time `json:"created"`
	Pinned   bool      `json:"pinned"`
}

func (h *historian) baselineList(ctx context.Context, _ []string) error {
	baselines, err := h.store.Baselines(ctx, h.target)
	if err != nil {
		return err
	}
	listed := []listedBaseline{}
	var rows [][]string
	for _, b := range baselines {
		if h.workload != "" && b.Workload != h.workload {
			continue
		}
		listed = append(listed, listedBaseline{b.Name, b.Target, b.Workload, b.Run, b.Version, b.Created, b.Pinned})
		kept := "until the retention"
		if b.Pinned {
			kept = "for good"
		}
		rows = append(rows, []string{b.Name, b.Created.Format(stamp), cmp.Or(b.Version, "-"), b.Run[:min(shortID, len(b.Run))], kept, b.Target, b.Workload})
	}
	if h.json {
		return h.encode(listed)
	}
	h.table("baseline|created (UTC)|version|run|kept|target|workload", rows)
	return nil
}

// oneBaseline returns the baseline of a name, with its profile. Of several targets'
// or workloads' a person has to say which.
func (h *historian) oneBaseline(ctx context.Context, name string) (history.Baseline, error) {
	baselines, err := h.store.Baselines(ctx, h.target)
	if err != nil {
		return history.Baseline{}, err
	}
	var found []history.Baseline
	for _, b := range baselines {
		if b.Name == name && (h.workload == "" || b.Workload == h.workload) {
			found = append(found, b)
		}
	}
	switch len(found) {
	case 0:
		return history.Baseline{}, fmt.Errorf("baseline %q: %w: `soakd history baseline list` lists them", name, history.ErrNotFound)
	case 1:
		return h.store.Baseline(ctx, found[0].Target, found[0].Workload, name)
	}
	return history.Baseline{}, usageError{fmt.Errorf("there are %d baselines %q, of other targets or workloads: give --target or --workload", len(found), name)}
}

func (h *historian) baselineRemove(ctx context.Context, words []string) error {
	b, err := h.oneBaseline(ctx, words[0])
	if err != nil {
		return err
	}
	if err := h.store.RemoveBaseline(ctx, b.Target, b.Workload, b.Name); err != nil {
		return err
	}
	h.printf("removed the baseline %s of %s\n", b.Name, b.Target)
	return nil
}
