package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a new pseudo terminal; see pty(7).
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := master.SyscallConn() // Fd would make reads block a Close
	if err != nil {
		t.Fatal(err)
	}
	var number uint32
	var failure error
	err = raw.Control(func(fd uintptr) {
		unlock := unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		n, get := unix.IoctlGetUint32(int(fd), unix.TIOCGPTN)
		number, failure = n, errors.Join(unlock, get)
	})
	if err := errors.Join(err, failure); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// A demo whose terminal is closed ends in good order, although it can no longer
// print its table.
func TestDemoEndsWithItsTerminal(t *testing.T) {
	folder, change := temporary(t)
	master, slave := openTerminal(t)
	p := start(t, func(cmd *exec.Cmd) {
		change(cmd)
		cmd.Stdin, cmd.Stdout = slave, slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	}, "demo", "--listen", "127.0.0.1:0", "--progress-interval", "200ms")
	if err := slave.Close(); err != nil {
		t.Fatal(err)
	}
	progress, seen := regexp.MustCompile(`\d+\.\d/s`), []byte{}
	for buffer := make([]byte, 4096); !progress.Match(seen); {
		n, err := master.Read(buffer)
		if err != nil {
			t.Fatalf("%v after %q; log:\n%s", err, seen, p.stderr)
		}
		seen = append(seen, buffer[:n]...)
	}
	services := startedBy(t, p, folder)
	if err := master.Close(); err != nil {
		t.Fatal(err)
	}
	p.end(t)
	services.checkGone(t)
}
