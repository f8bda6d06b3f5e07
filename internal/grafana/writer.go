package grafana

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Note is an annotation to be written. What is put again under the same key takes the
// place of what was there before, in the queue and in Grafana.
type Note struct {
	Annotation

	// Key is a tag that no other annotation has, such as finding:ID; it is among the
	// tags too. By it Grafana is asked what it has.
	Key string
	// Perhaps tells that Grafana may have it already, from before a restart: it is
	// looked up before it is added.
	Perhaps bool
}

// over is the note with what it leaves as it is in the one that it takes the place of.
func (n Note) over(older *Note) Note {
	n.Perhaps = n.Perhaps || older.Perhaps
	if n.Time.IsZero() {
		n.Time = older.Time
	}
	if n.Tags == nil {
		n.Tags = older.Tags
	}
	if n.End.IsZero() {
		n.End = older.End
	}
	return n
}

// Figures are what became of the notes so far.
type Figures struct {
	// Sent counts the notes that were written, Failed the attempts that Grafana refused
	// or did not answer, Dropped the notes that were never written: the queue was full,
	// Grafana refused them for good, or soakd ended first.
	Sent, Failed, Dropped int64
	// Pending are the notes that wait.
	Pending int64
}

// Writer keeps notes and writes them one after the other, the oldest first. Make it
// with [NewWriter]; [Writer.Put] never waits.
type Writer struct {
	client *Client
	log    *slog.Logger
	// more is signalled when there is something to do.
	more chan struct{}

	mu      sync.Mutex
	queue   []Note
	figures Figures
	// ids are those of notes that Grafana has, order their keys, oldest first.
	ids   map[string]int64
	order []string
	// trouble is what was logged last, "" while all is well.
	trouble string
}

const (
	// maxQueue bounds the notes that wait. A Grafana that is away for a day misses the
	// oldest of what came then.
	maxQueue = 1000
	// maxIDs bounds the ids that are remembered; one that is forgotten is looked up.
	maxIDs = 1000
	// The wait after a failed attempt, which doubles from the least to the most.
	leastWait = time.Second
	mostWait  = time.Minute
)

// NewWriter returns a writer that has nothing to do yet.
func NewWriter(client *Client, log *slog.Logger) *Writer {
	return &Writer{client: client, log: log, more: make(chan struct{}, 1), ids: map[string]int64{}}
}

// Put takes a note to be written. When too many wait, the oldest is dropped.
func (w *Writer) Put(n Note) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.put(n)
	select {
	case w.more <- struct{}{}:
	default:
	}
}

func (w *Writer) put(n Note) {
	for i := range w.queue {
		if w.queue[i].Key == n.Key {
			w.queue[i] = n.over(&w.queue[i])
			return
		}
	}
	if len(w.queue) == maxQueue {
		w.queue = append(w.queue[:0], w.queue[1:]...)
		w.figures.Dropped++
	}
	w.queue = append(w.queue, n)
}

// Figures are the counts so far.
func (w *Writer) Figures() Figures {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.figures
	f.Pending = int64(len(w.queue))
	return f
}

// Run writes until ctx ends. What is then left waits for [Writer.Flush].
func (w *Writer) Run(ctx context.Context) {
	wait := leastWait
	for ctx.Err() == nil {
		n, there := w.take()
		if !there {
			select {
			case <-ctx.Done():
				return
			case <-w.more:
			}
			continue
		}
		err := w.write(ctx, &n)
		if err == nil || w.settle(ctx, &n, err) {
			wait = leastWait
			continue
		}
		pause := wait
		if after := afterOf(err); after > 0 {
			pause = after
		}
		// Several soakds do not come back in the same moment.
		timer := time.NewTimer(pause + rand.N(pause/4)) //nolint:gosec // no secret
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		wait = min(2*wait, mostWait)
	}
}

// Flush writes what waits until ctx ends or Grafana fails, drops the rest and closes
// the client's connections. Call it once [Writer.Run] has returned.
func (w *Writer) Flush(ctx context.Context) {
	defer w.client.Close()
	for {
		n, there := w.take()
		if !there {
			return
		}
		if err := w.write(ctx, &n); err != nil && !w.settle(ctx, &n, err) {
			break
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.figures.Dropped += int64(len(w.queue))
	w.log.Warn("annotations for Grafana were not written before soakd ended; /api/v1/events and the history have them", "dropped", len(w.queue))
	w.queue = nil
}

// take takes the oldest note.
func (w *Writer) take() (Note, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return Note{}, false
	}
	n := w.queue[0]
	w.queue = append(w.queue[:0], w.queue[1:]...)
	return n, true
}

// back puts a note that could not be written back to the front, unless a newer one of
// the same key came meanwhile.
func (w *Writer) back(n Note) {
	for i := range w.queue {
		if w.queue[i].Key == n.Key {
			n = w.queue[i].over(&n)
			w.queue = append(w.queue[:i], w.queue[i+1:]...)
			break
		}
	}
	if len(w.queue) == maxQueue { // it is the oldest
		w.figures.Dropped++
		return
	}
	w.queue = append([]Note{n}, w.queue...)
}

// write brings Grafana up to date with a note.
func (w *Writer) write(ctx context.Context, n *Note) error {
	id := w.id(n.Key)
	if id == 0 && n.Perhaps {
		var err error
		if id, err = w.client.Find(ctx, n.Key); err != nil {
			return err
		}
	}
	if id == 0 && n.Time.IsZero() {
		return nil // it was to be changed, and Grafana never had it
	}
	var err error
	if id != 0 {
		err = w.client.Change(ctx, id, &n.Annotation)
	} else {
		id, err = w.client.Add(ctx, &n.Annotation)
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.figures.Sent++
	w.remember(n.Key, id)
	if w.trouble != "" {
		w.trouble = ""
		w.log.Info("annotations can be written to Grafana again", "waiting", len(w.queue))
	}
	return nil
}

func (w *Writer) id(key string) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ids[key]
}

func (w *Writer) remember(key string, id int64) {
	if w.ids[key] == 0 {
		if len(w.order) == maxIDs {
			delete(w.ids, w.order[0])
			w.order = append(w.order[:0], w.order[1:]...)
		}
		w.order = append(w.order, key)
	}
	w.ids[key] = id
}

// settle decides what becomes of a note that could not be written: it is given up, or
// it waits at the front for the next attempt. It reports whether the writer may go on
// at once.
func (w *Writer) settle(ctx context.Context, n *Note, err error) (goOn bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		// Told to stop in the middle: it may have arrived.
		n.Perhaps = true
		w.back(*n)
		return false
	}
	w.figures.Failed++
	if w.given(n, err) {
		w.figures.Dropped++
		w.log.Warn("an annotation is given up", "annotation", n.Key, "err", err)
		return true
	}
	n.Perhaps = n.Perhaps || uncertain(err)
	w.back(*n)
	if trouble := kindOf(err); trouble != w.trouble {
		w.trouble = trouble
		w.log.Warn("annotations cannot be written to Grafana; soakd goes on, keeps the latest and tries again", "err", err)
	}
	return false
}

// given reports whether a note cannot be written at any time: Grafana will not have
// it, or somebody has removed what was to be changed.
func (w *Writer) given(n *Note, err error) bool {
	var answer *AnswerError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	case http.StatusNotFound:
		return w.ids[n.Key] != 0
	}
	return false
}

// uncertain reports whether Grafana may have taken what failed: no answer came, or
// that of something in between.
func uncertain(err error) bool {
	var answer *AnswerError
	return !errors.As(err, &answer) || answer.Status >= 500
}

// kindOf tells one trouble from another, so that each is logged once.
func kindOf(err error) string {
	var answer *AnswerError
	if errors.As(err, &answer) {
		return http.StatusText(answer.Status)
	}
	return "no answer"
}

// afterOf is how long Grafana asks to be left alone, 0 when it does not.
func afterOf(err error) time.Duration {
	var answer *AnswerError
	if errors.As(err, &answer) {
		return answer.After
	}
	return 0
}
