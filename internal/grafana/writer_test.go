package grafana_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"soakd/internal/grafana"
	"soakd/internal/lockedbuffer"
	"soakd/internal/secret"
)

// bubble is a transport without sockets, so that the clock of a test can stand still
// while nothing happens. A call that its context ends has no answer.
type bubble struct{ grafana *pretended }

// RoundTrip implements [http.RoundTripper].
func (b bubble) RoundTrip(r *http.Request) (*http.Response, error) { return b.grafana.roundTrip(r) }

// story is a writer at work beside a pretended Grafana, in the time of a bubble.
type story struct {
	*pretended
	writer *grafana.Writer
	log    *lockedbuffer.Buffer
	stop   func()
}

func tell(t *testing.T, script func(t *testing.T, s *story)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &story{pretended: &pretended{t: t}, log: &lockedbuffer.Buffer{}}
		client, err := grafana.NewClient(grafana.ClientConfig{URL: "http://grafana:3000", Token: secret.New(token)})
		if err != nil {
			t.Fatal(err)
		}
		client.Through(bubble{s.pretended})
		s.writer = grafana.NewWriter(client, slog.New(slog.NewTextHandler(s.log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		work.Go(func() { s.writer.Run(ctx) })
		s.stop = func() { cancel(); work.Wait() }
		defer s.stop()
		script(t, s)
		if strings.Contains(s.log.String(), token) {
			t.Errorf("the token is in the log:\n%s", s.log)
		}
	})
}

func note(key string) grafana.Note {
	return grafana.Note{Key: key, Annotation: grafana.Annotation{Time: onset, Tags: []string{"soakd", key}, Text: "text of " + key}}
}

// want compares what Grafana has and the figures.
func (s *story) want(figures grafana.Figures, keys ...string) {
	s.t.Helper()
	all, calls := s.has()
	var got []string
	for _, one := range all {
		got = append(got, one.Tags[len(one.Tags)-1])
	}
	if strings.Join(got, " ") != strings.Join(keys, " ") || s.writer.Figures() != figures {
		s.t.Errorf("Grafana has %v, figures %+v, want %v, %+v; calls %v\n%s", got, s.writer.Figures(), keys, figures, calls, s.log)
	}
}

// logged counts the lines of the log with a text.
func (s *story) logged(text string) int { return strings.Count(s.log.String(), text) }

// A finding is one annotation, from its start to its end.
func TestANoteIsBroughtUpToDate(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.writer.Put(note("finding:a"))
		s.writer.Put(note("event:b"))
		synctest.Wait()
		ended := note("finding:a")
		ended.End, ended.Text = onset.Add(time.Hour), "over"
		s.writer.Put(ended)
		synctest.Wait()
		s.want(grafana.Figures{Sent: 3}, "finding:a", "event:b")
		if all, _ := s.has(); all[0].Text != "over" || all[0].TimeEnd-all[0].Time != time.Hour.Milliseconds() {
			t.Errorf("%+v", all[0])
		}
	})
}

// A Grafana that is away at the start gets everything when it comes, once, in order,
// and the log says each only once.
func TestGrafanaComesBack(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.answers(always(http.StatusServiceUnavailable))
		for i := range 3 {
			s.writer.Put(note(fmt.Sprint("event:", i)))
		}
		renamed := note("event:0")
		renamed.Text = "newer"
		time.Sleep(10 * time.Minute)
		s.writer.Put(renamed)
		failed := s.writer.Figures().Failed
		// 1, 2, 4, 8, 16, 32 s and then each minute, with up to a quarter more.
		if failed < 12 || failed > 17 || s.writer.Figures().Pending != 3 {
			t.Errorf("%+v", s.writer.Figures())
		}
		s.answers(nil)
		time.Sleep(2 * time.Minute)
		s.want(grafana.Figures{Sent: 3, Failed: failed}, "event:0", "event:1", "event:2")
		if all, _ := s.has(); all[0].Text != "newer" {
			t.Errorf("%+v", all[0])
		}
		if s.logged("cannot be written to Grafana") != 1 || s.logged("can be written to Grafana again") != 1 {
			t.Errorf("%s", s.log)
		}
	})
}

// What Grafana took although no answer came is not added a second time.
func TestAnAnswerThatIsLostMakesNoDouble(t *testing.T) {
	tell(t, func(_ *testing.T, s *story) {
		s.lose = 2
		s.writer.Put(note("event:a"))
		time.Sleep(time.Minute)
		s.want(grafana.Figures{Sent: 1, Failed: 1}, "event:a")
	})
	tell(t, func(t *testing.T, s *story) {
		slow := true
		s.answers(func(_ http.ResponseWriter, r *http.Request) bool {
			first := slow
			if slow = false; first { // it takes it, and then is too slow to say so
				s.mu.Lock()
				s.add(httptest.NewRecorder(), r)
				s.mu.Unlock()
				time.Sleep(time.Minute)
			}
			return first
		})
		s.writer.Put(note("event:a"))
		time.Sleep(3 * time.Minute)
		s.want(grafana.Figures{Sent: 1, Failed: s.writer.Figures().Failed}, "event:a")
		if s.writer.Figures().Failed == 0 || s.logged("Client.Timeout")+s.logged("deadline exceeded") == 0 {
			t.Errorf("it was not slow: %s", s.log)
		}
	})
}

// After a restart of soakd what Grafana has already is changed and not added again.
func TestNoDoubleAfterARestart(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.all, s.last = []kept{{ID: 7, Time: 1, Tags: []string{"soakd", "finding:a"}, Text: "old"}}, 7
		before, missed, gone := note("finding:a"), note("event:b"), note("finding:c")
		before.Perhaps, missed.Perhaps, gone.Perhaps = true, true, true
		gone.Time = time.Time{} // only its end is known
		s.writer.Put(before)
		s.writer.Put(missed)
		s.writer.Put(gone)
		synctest.Wait()
		s.want(grafana.Figures{Sent: 2}, "finding:a", "event:b")
		if all, _ := s.has(); all[0].Text != "text of finding:a" || all[0].ID != 7 {
			t.Errorf("%+v", all)
		}
	})
}

// Wrong settings are told once each, with what would be right, and mended without a
// restart.
func TestWrongSettingsAreToldOnce(t *testing.T) {
	for status, said := range map[int]string{
		http.StatusUnauthorized: "the token is not known or has expired", http.StatusForbidden: "role Editor",
		http.StatusNotFound: "must be Grafana's own address", http.StatusMovedPermanently: "which is not followed",
	} {
		tell(t, func(_ *testing.T, s *story) {
			s.answers(always(status, "Location", "http://elsewhere.example/"))
			s.writer.Put(note("event:a"))
			time.Sleep(time.Hour)
			if s.logged(said) != 1 || s.logged("level=WARN") != 1 {
				s.t.Errorf("%d: %s", status, s.log)
			}
			s.answers(nil)
			time.Sleep(2 * time.Minute)
			s.want(grafana.Figures{Sent: 1, Failed: s.writer.Figures().Failed}, "event:a")
		})
	}
}

// Grafana is left alone for as long as it asks.
func TestRetryAfter(t *testing.T) {
	for after, want := range map[string]time.Duration{
		"120": 2 * time.Minute, "999999": 10 * time.Minute, "-5": time.Second, "soon": time.Second,
		"Sat, 01 Jan 2000 00:03:00 GMT": 3 * time.Minute, // the time of a bubble begins with that year
	} {
		tell(t, func(t *testing.T, s *story) {
			began := time.Now()
			s.answers(always(http.StatusTooManyRequests, "Retry-After", after))
			s.writer.Put(note("event:a"))
			synctest.Wait()
			var back time.Duration
			s.answers(func(http.ResponseWriter, *http.Request) bool { back = time.Since(began); return false })
			time.Sleep(15 * time.Minute)
			synctest.Wait()
			if back < want || back > want+want/4 {
				t.Errorf("%s: tried again after %v", after, back)
			}
			s.want(grafana.Figures{Sent: 1, Failed: 1}, "event:a")
		})
	}
}

// The queue is bounded: the oldest go, and are counted.
func TestTheOldestAreDropped(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.answers(always(http.StatusBadGateway))
		for i := range 1500 {
			s.writer.Put(note(fmt.Sprint("event:", i)))
		}
		synctest.Wait()
		if f := s.writer.Figures(); f.Pending != 1000 || f.Dropped != 500 {
			t.Errorf("%+v", f)
		}
		s.answers(nil)
		time.Sleep(2 * time.Minute)
		all, _ := s.has()
		if f := s.writer.Figures(); len(all) != 1000 || f.Sent != 1000 || f.Pending != 0 || all[0].Text != "text of event:500" {
			t.Errorf("%d kept, %+v", len(all), f)
		}
	})
}

// One that Grafana will never take does not hold up the others.
func TestOneThatIsRefusedIsGivenUp(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		bad := note("event:bad")
		bad.Text = ""
		s.writer.Put(bad)
		s.writer.Put(note("event:good"))
		synctest.Wait()
		s.want(grafana.Figures{Sent: 1, Failed: 1, Dropped: 1}, "event:good")
		// Somebody removed it: it stays so.
		s.mu.Lock()
		s.all = nil
		s.mu.Unlock()
		s.writer.Put(note("event:good"))
		synctest.Wait()
		s.want(grafana.Figures{Sent: 1, Failed: 2, Dropped: 2})
		if s.logged("is given up") != 2 {
			t.Errorf("%s", s.log)
		}
	})
}

// At the end what waits is written in the time that is left.
func TestFlush(t *testing.T) {
	tell(t, func(_ *testing.T, s *story) {
		s.answers(always(http.StatusServiceUnavailable))
		s.writer.Put(note("event:a"))
		s.writer.Put(note("event:b"))
		synctest.Wait()
		s.stop()
		s.answers(nil)
		s.writer.Put(note("event:c"))
		s.writer.Flush(s.t.Context())
		s.want(grafana.Figures{Sent: 3, Failed: 1}, "event:a", "event:b", "event:c")
	})
	tell(t, func(t *testing.T, s *story) {
		s.stop()
		s.answers(func(http.ResponseWriter, *http.Request) bool { time.Sleep(time.Hour); return false })
		s.writer.Put(note("event:a"))
		s.writer.Put(note("event:b"))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		s.writer.Flush(ctx)
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
		if f := s.writer.Figures(); f.Dropped != 2 || f.Sent != 0 || s.logged("dropped=2") != 1 {
			t.Errorf("%+v\n%s", f, s.log)
		}
		time.Sleep(2 * time.Hour) // until the pretended Grafana wakes
	})
}
