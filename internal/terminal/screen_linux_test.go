package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"soakd/internal/load"
	"soakd/internal/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open returns a new pseudo terminal of 80 by 24, and what reads all that is written
// to it until it is closed; see pty(7).
func open(t *testing.T) (slave *os.File, read func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: 80, Row: 24}); err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(&all, master) }) // until EIO
	return slave, func() string {
		_ = slave.Close()
		reading.Wait()
		_ = master.Close()
		return all.String()
	}
}

func TestScreen(t *testing.T) {
	for _, keep := range []bool{true, false} {
		slave, read := open(t)
		s := Open(slave, []string{"TERM=xterm-256color"}, false)
		f := Frame{Status: report.Status{Target: "http://target" + hostile}}
		s.Show(f)
		var want []string
		for i := range 100 {
			text := fmt.Sprintf("line %d %s\n", i, hostile)
			want = append(want, fmt.Sprintf("line %d ab?cd", i))
			s.Above(text)
			f.Next(load.Window{Length: time.Second, CaseSummary: load.CaseSummary{Finished: int64(i)}})
			s.Show(f)
		}
		if err := s.Close(keep); err != nil {
			t.Fatal(err)
		}
		s.Show(f) // too late, and no harm
		s.Above("too late")
		got := read()
		for _, text := range want {
			_, after, found := strings.Cut(got, text)
			if !found {
				t.Fatalf("%q is missing or out of order", text)
			}
			got = after
		}
		if strings.Contains(got, "too late") || strings.Contains(got, "\x07") || strings.LastIndex(got, "\x1b[?25l") > strings.LastIndex(got, "\x1b[?25h") {
			t.Errorf("the end is %q", got)
		}
	}
}

// A terminal that goes away ends the table, and nobody waits for it.
func TestScreenEndsWithItsTerminal(t *testing.T) {
	slave, read := open(t)
	s := Open(slave, []string{"TERM=xterm"}, true)
	s.Show(Frame{})
	s.Above("here")
	read()
	s.Show(Frame{})
	s.Above("gone")
	if err := s.Close(false); err != nil {
		t.Logf("it ended with: %v", err)
	}
	<-s.Done()
}
