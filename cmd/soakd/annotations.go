package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"log/slog"
	"slices"
	"strings"
	"time"

	"soakd/internal/grafana"
	"soakd/internal/judge"
)

// annotator makes annotations for Grafana of what happened: one for each finding, from
// its onset to its end, and one for each other event.
type annotator struct {
	writer *grafana.Writer
	// first and last are the tags of all annotations before and behind their own.
	first, last []string
	// link is where soakd's page is.
	link string
	// next is behind the number of the last event that was taken, and restored up to
	// that of the last of before the start: Grafana may have those.
	taken, restored int64
	// since is from when on events of before the start are taken.
	since time.Time
}

// annotationsBack is how far back events of before a restart are looked at: those of a
// run that ended while Grafana was away are written by the next.
const annotationsBack = 24 * time.Hour

// newAnnotator returns what writes to the Grafana that is set; nil when none is. link is
// where soakd's page is, restored the number of the last event of before the start.
func newAnnotator(cfg *config, link string, restored int64, start time.Time, log *slog.Logger) (*annotator, error) {
	client, err := cfg.grafanaClient()
	if err != nil || client == nil {
		return nil, err
	}
	if cfg.ExternalURL != "" {
		link = cfg.ExternalURL
	}
	return &annotator{
		writer: grafana.NewWriter(client, log), link: link, restored: restored, since: start.Add(-annotationsBack),
		first: []string{"soakd", grafana.Tag("target", cfg.runInfo().Target)},
		last:  append([]string{grafana.Tag("instance", cfg.userPrefix())}, cfg.GrafanaTags...),
	}, nil
}

// run takes what happens until ctx ends; the writer writes it beside.
func (a *annotator) run(ctx context.Context, j *judgement) {
	for {
		a.take(j)
		select {
		case <-ctx.Done():
			return
		case <-j.news:
		}
	}
}

// finish writes what is left, in at most [lastTimeout].
func (a *annotator) finish(ctx context.Context, j *judgement) {
	a.take(j)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTimeout)
	defer cancel()
	a.writer.Flush(ctx)
}

// take hands what is new to the writer.
func (a *annotator) take(j *judgement) {
	events := j.Events(a.taken)
	if len(events) == 0 {
		return
	}
	findings := map[string]*judge.Finding{}
	for _, f := range j.Findings() {
		findings[f.ID] = &f
	}
	for i := range events {
		e := &events[i]
		a.taken = e.Seq
		before := e.Seq <= a.restored
		if before && e.At.Before(a.since) {
			continue
		}
		note := a.event(e)
		if e.Finding != "" {
			note = a.finding(e, findings[e.Finding])
			// One of before the start may be renamed or end now.
			before = before || a.restored > 0
		}
		note.Perhaps = before
		a.writer.Put(note)
	}
}

// tags are those of an annotation: its own between those of all.
func (a *annotator) tags(own ...string) []string {
	return grafana.Tags(slices.Concat(a.first, own, a.last)...)
}

// event is the note of an event that is not about a finding.
func (a *annotator) event(e *judge.Event) grafana.Note {
	key := eventKey(e)
	own := []string{grafana.Tag("kind", string(e.Kind)), key}
	if e.Version != "" {
		own = append(own, grafana.Tag("version", e.Version))
	}
	text := fmt.Sprintf("<b>%s</b> %s", strings.ReplaceAll(string(e.Kind), "_", " "), grafana.Escaped(e.Text))
	return grafana.Note{Key: key, Annotation: grafana.Annotation{Time: e.At, End: e.Until, Tags: a.tags(own...), Text: text + a.footer("")}}
}

// eventKey names an event for good. Its number does not: after a crash it is given again.
func eventKey(e *judge.Event) string {
	hash := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", e.At.UnixMilli(), e.Kind, e.Text))
	return "event:" + hex.EncodeToString(hash[:6])
}

// finding is the note of a finding, as far as it is known now. f is nil when it is not
// there any more: it was part of another, or meant, or long ago.
func (a *annotator) finding(e *judge.Event, f *judge.Finding) grafana.Note {
	note := grafana.Note{Key: grafana.Tag("finding", e.Finding)}
	if f == nil {
		note.Text = grafana.Escaped(e.Text) + a.footer(e.Finding)
		if e.Kind == judge.FindingOpened {
			note.Time, note.Tags = e.At, a.tags(note.Key)
		} else {
			note.End = e.At
		}
		return note
	}
	note.Time, note.End = f.Onset, f.Ended
	note.Tags = a.tags(grafana.Tag("kind", "finding"), note.Key, grafana.Tag("finding_kind", string(f.Kind)))
	lines := []string{fmt.Sprintf("<b>%s</b> %s", strings.ReplaceAll(string(f.Kind), "_", " "), grafana.Escaped(f.Subject.String())), grafana.Escaped(f.Text)}
	for i := range f.Nearby[:min(len(f.Nearby), maxNearbyLines)] {
		lines = append(lines, "near its start: "+grafana.Escaped(nearby(&f.Nearby[i])))
	}
	for i := range f.Hints[:min(len(f.Hints), maxHintLines)] {
		lines = append(lines, "moved with it: "+grafana.Escaped(f.Hints[i].Text))
	}
	note.Text = strings.Join(lines, "<br>") + a.footer(f.ID)
	return note
}

// The bounds of what a window beside the pointer can show.
const (
	maxNearbyLines = 5
	maxHintLines   = 3
)

// nearby says an event near the start of a finding.
func nearby(e *judge.Event) string {
	if e.Kind == judge.Drill {
		return "drill: " + e.Text
	}
	return e.Text
}

// footer names the finding and links to soakd's page.
func (a *annotator) footer(finding string) string {
	link := `<a href="` + html.EscapeString(a.link) + `">soakd</a>`
	if finding == "" {
		return "<br>" + link
	}
	return "<br>finding " + grafana.Escaped(finding) + " · " + link
}
