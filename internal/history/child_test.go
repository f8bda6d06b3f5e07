package history_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"soakd/internal/history"
)

// What the children of the tests do.
const (
	childAppends = "append"
	childFills   = "fill"
	// batchWindows is how many windows, and findings, are in each of their batches.
	batchWindows = 7
)

// childBatch is the batch of a number.
func childBatch(run string, n int) history.Batch {
	b := history.Batch{Run: run, At: at, Windows: minutes(at.Add(time.Duration(n*batchWindows)*time.Minute), batchWindows)}
	for i := range b.Windows {
		b.Windows[i].Data = []byte(strings.Repeat(fmt.Sprintf("batch %d window %d;", n, i), 50))
		b.Findings = append(b.Findings, history.Finding{ID: fmt.Sprintf("%d/%d", n, i), Kind: "leak", Onset: at, Found: at})
	}
	b.States = []history.State{{Key: "batches", Updated: at.Add(time.Duration(n)), Data: []byte(strconv.Itoa(n))}}
	return b
}

// playChild is what the test binary does in the place of soakd.
func playChild(how, place string) error {
	location, err := history.Locate(place, os.Getenv)
	if err != nil {
		return err
	}
	ctx := context.Background()
	s, err := history.Open(ctx, history.Config{Location: location, Schema: os.Getenv(schemaEnv)})
	if err != nil {
		return err
	}
	run, err := s.BeginRun(ctx, history.Run{Series: series, Started: at})
	if err != nil {
		return err
	}
	fmt.Println("run", run)
	if how == childFills {
		return fill(ctx, s, run)
	}
	for n := 0; ; n++ {
		if err := s.Append(ctx, childBatch(run, n)); err != nil {
			return err
		}
		fmt.Println("stored", n)
	}
}

// fill appends until the files of this process may not grow any more, makes room,
// and goes on.
func fill(ctx context.Context, s *history.Store, run string) error {
	signal.Ignore(syscall.SIGXFSZ) // so that the write fails, as on a full disk
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	limited := before
	limited.Cur = 512 << 10
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limited); err != nil {
		return err
	}
	n := 0
	for ; ; n++ {
		batch := childBatch(run, n)
		for i := range batch.Windows {
			batch.Windows[i].Data = noise(4096, uint64(n*batchWindows+i))
		}
		err := s.Append(ctx, batch)
		if err == nil {
			continue
		}
		if n < 5 {
			return fmt.Errorf("already the batch %d failed: %w", n, err)
		}
		fmt.Println("full", err)
		break
	}
	if err := s.Append(ctx, childBatch(run, n)); err == nil {
		return errors.New("a second batch was stored on a full disk")
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	if err := s.Append(ctx, childBatch(run, n)); err != nil {
		return fmt.Errorf("there is room again: %w", err)
	}
	fmt.Println("stored", n)
	return s.Close()
}

// child starts the test binary in the place of soakd.
func child(t *testing.T, how, place, schema string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self, place)
	command.Env = append(os.Environ(), childEnv+"="+how, schemaEnv+"="+schema)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return command, bufio.NewScanner(output)
}

// A soakd that is killed in the middle of storing has lost nothing that was
// acknowledged, and stored nothing by halves; the next one goes on in the same
// history.
func TestKilledWhileStoring(t *testing.T) {
	both(t, func(t *testing.T, p place) {
		where := p.cfg.Location.String()
		if !strings.HasPrefix(where, "/") {
			where = postgres(t).URL().Value()
		}
		for kill := range 6 {
			command, output := child(t, childAppends, where, p.cfg.Schema)
			run, stored := "", -1
			for output.Scan() {
				word, value, _ := strings.Cut(output.Text(), " ")
				switch word {
				case "run":
					run = value
				case "stored":
					stored++
				default:
					t.Fatal(output.Text())
				}
				if stored == 3+5*kill {
					// Somewhere in the next batch, another place each time.
					time.AfterFunc(time.Duration(kill)*300*time.Microsecond, func() { _ = command.Process.Kill() })
				}
			}
			_ = command.Wait() // killed
			wholeBatches(t, p.open(t), run, stored)
		}
	})
}

// wholeBatches checks that the batches up to last are there, and that the one after
// is there as a whole or not at all.
func wholeBatches(t *testing.T, s *history.Store, run string, last int) {
	t.Helper()
	windows := collect(t, s, history.WindowQuery{Run: run, Level: time.Minute})
	findings, err := s.Findings(t.Context(), history.Query{Run: run})
	if err != nil {
		t.Fatal(err)
	}
	batches := len(windows) / batchWindows
	if len(windows)%batchWindows != 0 || len(findings) != len(windows) || batches < last+1 {
		t.Errorf("%d batches were acknowledged, and there are %d windows and %d findings, %d in each batch", last+1, len(windows), len(findings), batchWindows)
	}
	for i, w := range windows {
		if want := childBatch(run, i/batchWindows).Windows[i%batchWindows]; !bytes.Equal(w.Data, want.Data) || !w.Start.Equal(want.Start) {
			t.Errorf("window %d is %v %.30q", i, w.Start, w.Data)
		}
	}
	if state, err := s.State(t.Context(), series, "batches"); err != nil || (string(state.Data) < strconv.Itoa(batches-1) && len(state.Data) == len(strconv.Itoa(batches-1))) {
		t.Errorf("the state is of batch %s and there are %d batches, %v", state.Data, batches, err)
	}
}

func TestFullDisk(t *testing.T) {
	p := sqlitePlace(t)
	command, output := child(t, childFills, p.cfg.Location.String(), "")
	var lines []string
	for output.Scan() {
		lines = append(lines, output.Text())
	}
	if err := command.Wait(); err != nil || len(lines) != 3 {
		t.Fatalf("%v: %v", lines, err)
	}
	if !strings.Contains(lines[1], "full") || !strings.Contains(lines[1], p.cfg.Location.String()) {
		t.Errorf("the error is %q", lines[1])
	}
	_, run, _ := strings.Cut(lines[0], " ")
	_, last, _ := strings.Cut(lines[2], " ")
	n, err := strconv.Atoi(last)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(collect(t, p.open(t), history.WindowQuery{Run: run, Level: time.Minute})); got != (n+1)*batchWindows {
		t.Errorf("%d windows are there, want %d: those before, and those after there was room again", got, (n+1)*batchWindows)
	}
}
