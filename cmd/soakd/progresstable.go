package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"soakd/internal/report"
	"soakd/internal/terminal"
)

// The times of the table.
const (
	// tableEvery is the time between two looks at the run.
	tableEvery = time.Second
	// tableWindow is the longest time that its figures are about.
	tableWindow = 2 * time.Second
)

// tableProgress shows a table that is redrawn in place, and lines while soakd is in
// the background of its terminal.
type tableProgress struct {
	lineProgress
	out     terminalFile
	colours bool
	// aside is where the log goes, nil when that is not the same terminal.
	aside *terminal.Aside
	log   *slog.Logger
}

// terminalFile is standard output as a terminal.
type terminalFile struct{ output }

func (t terminalFile) Fd() uintptr                { return t.file.Fd() }
func (t terminalFile) Read(p []byte) (int, error) { return t.file.Read(p) }
func (t terminalFile) Close() error               { return nil }

// hasSize tells a terminal from all other files and devices.
func (t terminalFile) hasSize() bool {
	_, err := unix.IoctlGetWinsize(int(t.file.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// foreground tells whether soakd may draw: it is in the foreground of its terminal, or
// there is no such thing (in a container, say).
func (t terminalFile) foreground() bool {
	group, err := unix.IoctlGetInt(int(t.file.Fd()), unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// follow shows the table until ctx ends.
func (p *tableProgress) follow(ctx context.Context, r course) {
	if p.interval == 0 {
		return
	}
	for ctx.Err() == nil {
		if !p.out.foreground() {
			p.lines(ctx, r)
			continue
		}
		if err := p.table(ctx, r); err != nil {
			p.log.Warn("the table ended, lines follow", "err", err)
			p.lineProgress.follow(ctx, r)
		}
	}
}

// lines shows lines until ctx ends or soakd is in the foreground.
func (p *tableProgress) lines(ctx context.Context, r course) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	last := time.Now()
	each(ctx, min(tableEvery, p.interval), func(now time.Time) {
		if p.out.foreground() {
			stop()
			return
		}
		if now.Sub(last) >= p.interval {
			last = now
			p.print(report.ProgressLine(r.window(now)))
		}
	})
}

// table shows the table until ctx ends, soakd is in the background or has come back
// from having been stopped: the shell has then written below it. The error is why it
// ended by itself.
func (p *tableProgress) table(ctx context.Context, r course) error {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	p.hold()
	screen := terminal.Open(p.out, os.Environ(), p.colours)
	keep := p.show(ctx, r, screen, continued)
	err := screen.Close(keep)
	p.release()
	return err
}

// show feeds the table until it is to end, and tells whether its last state is to stay
// on the screen.
func (p *tableProgress) show(ctx context.Context, r course, screen *terminal.Screen, continued <-chan os.Signal) (keep bool) {
	every := min(tableEvery, p.interval)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var frame terminal.Frame
	frame.Status, _ = r.window(time.Now())
	last := time.Now()
	show := func() {
		if r.thresholds != nil {
			frame.Thresholds = r.thresholds()
		}
		screen.Show(frame)
	}
	show()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-screen.Done():
			return true
		case <-continued:
			return true
		case <-p.ready():
			screen.Above(p.aside.Take())
		case now := <-ticker.C:
			if !p.out.foreground() {
				return true
			}
			// Some milliseconds early is the ticker's doing.
			if now.Sub(last) < min(tableWindow, p.interval)-every/2 {
				frame.Status = r.status()
			} else {
				status, w := r.window(now)
				frame.Status, last = status, now
				frame.Next(w)
			}
			show()
		}
	}
}

// hold, ready and release keep the log from the table.
func (p *tableProgress) hold() {
	if p.aside != nil {
		p.aside.Hold()
	}
}

func (p *tableProgress) ready() <-chan struct{} {
	if p.aside == nil {
		return nil
	}
	return p.aside.Ready()
}

func (p *tableProgress) release() {
	if p.aside != nil {
		_ = p.aside.Release() // to where the log could not be written either
	}
}

// shown returns what shows a run and its log.
func (c *config) shown(stdout, stderr io.Writer) (progress, *slog.Logger) {
	out, ok := stdout.(output)
	if !ok || !c.tableWanted(out) {
		return c.newProgress(stdout), c.logger(stderr)
	}
	p := &tableProgress{
		lineProgress: lineProgress{w: stdout, interval: c.interval()}, out: terminalFile{out}, colours: coloursWanted(os.Getenv),
	}
	if sameTerminal(out.file, stderr) {
		p.aside = terminal.NewAside(stderr)
		stderr = p.aside
	}
	p.log = c.logger(stderr)
	return p, p.log
}

// tableWanted tells whether a run is shown as a table. One that was asked for in so
// many words cannot be had where nothing can be drawn.
func (s *progressSettings) tableWanted(out output) bool {
	if s.LogFormat == "json" || s.interval() == 0 || !canDraw(os.Getenv) || !(terminalFile{out}).hasSize() {
		return false
	}
	switch s.Progress {
	case progressTable:
		return true
	case progressAuto:
		return !s.Headless && !inCI(os.LookupEnv)
	}
	return false
}

// canDraw tells whether the terminal can move its cursor.
func canDraw(getenv func(string) string) bool {
	term := getenv("TERM")
	return term != "" && term != "dumb"
}

// coloursWanted tells whether there may be colours: see https://no-color.org and
// https://bixense.com/clicolors.
func coloursWanted(getenv func(string) string) bool {
	return getenv("NO_COLOR") == "" && getenv("CLICOLOR") != "0"
}

// sameTerminal tells whether a writer is the same terminal as a file.
func sameTerminal(file *os.File, w io.Writer) bool {
	other, ok := w.(*os.File)
	if !ok {
		return false
	}
	a, errA := file.Stat()
	b, errB := other.Stat()
	return errA == nil && errB == nil && os.SameFile(a, b)
}
