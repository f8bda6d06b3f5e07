package terminal

import (
	"strings"
	"sync"
	"sync/atomic"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"
)

// File is a terminal; [os.File] is one.
type File interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	Close() error
	Fd() uintptr
}

// Screen is the table in a terminal. It takes no input, changes no mode of the
// terminal and hides no cursor: whenever the process ends, even by SIGKILL, the
// terminal is as it was, with the cursor below the table. Signals are none of its
// business, but for the one that tells a new size.
type Screen struct {
	program *tea.Program
	model   *model
	// drawn is closed when something was drawn.
	drawn, done chan struct{}
	err         error
}

// framesPerSecond bounds how often the terminal is written to.
const framesPerSecond = 10

// Open shows the table, empty at first. The environment has TERM. Whoever opens it
// calls Close.
func Open(out File, environment []string, colours bool) *Screen {
	profile := colorprofile.ASCII
	if colours {
		profile = colorprofile.ANSI
	}
	s := &Screen{model: &model{colours: colours}, drawn: make(chan struct{}), done: make(chan struct{})}
	s.program = tea.NewProgram(
		s.model, tea.WithInput(nil), tea.WithOutput(&watchedFile{File: out, written: sync.OnceFunc(func() { close(s.drawn) })}), tea.WithEnvironment(environment), tea.WithoutSignalHandler(),
		tea.WithFPS(framesPerSecond), tea.WithColorProfile(profile),
	)
	go func() {
		defer close(s.done)
		_, s.err = s.program.Run()
	}()
	return s
}

// Show replaces what the table shows.
func (s *Screen) Show(f Frame) { s.program.Send(f) }

// watchedFile tells when it was written to.
type watchedFile struct {
	File
	written func()
}

func (w *watchedFile) Write(p []byte) (int, error) {
	n, err := w.File.Write(p)
	w.written()
	return n, err
}

// spareRows are the rows that the table leaves free. The library scrolls by what it
// writes above before it goes up from the table's last row, which is past the top of
// the screen when that is more than is free.
const spareRows = 1

// Above writes lines of text above the table, where they stay.
func (s *Screen) Above(text string) {
	select {
	case <-s.drawn: // the library takes the whole screen for the table before
	case <-s.done:
		return
	}
	width := max(1, int(s.model.columns.Load())-1)
	for line := range strings.Lines(text) {
		wrapped := ansi.HardwrapWc(Clean(strings.TrimRight(line, "\r\n")), width, true)
		for row := range strings.Lines(wrapped) {
			s.program.Send(tea.Println(strings.TrimSuffix(row, "\n"))()) // spareRows of them
		}
	}
}

// Done is closed when the table has ended, be it by itself because the terminal has
// gone.
func (s *Screen) Done() <-chan struct{} { return s.done }

// Close ends the table and waits for that. With keep its last state stays on the
// screen, else it is removed. The error is why it had ended before.
func (s *Screen) Close(keep bool) error {
	s.program.Send(closing{keep})
	<-s.done
	return s.err
}

// closing ends the table.
type closing struct{ keep bool }

// model is what the terminal library draws.
type model struct {
	frame         Frame
	filled        bool
	columns, rows atomic.Int64
	colours       bool
}

// Init implements tea.Model.
func (m *model) Init() tea.Cmd { return nil }

// Update implements tea.Model.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case Frame:
		m.frame, m.filled = msg, true
	case tea.WindowSizeMsg:
		m.columns.Store(int64(msg.Width))
		m.rows.Store(int64(msg.Height))
	case closing:
		m.filled = m.filled && msg.keep
		return m, tea.Quit
	}
	return m, nil
}

// steadyShape is the shape of which the library says nothing to the terminal, which
// keeps its own: its code is 2*shape+2, and 0 is written by no one.
const steadyShape tea.CursorShape = -1

// View implements tea.Model.
func (m *model) View() tea.View {
	view := tea.View{DisableBracketedPasteMode: true}
	text := ""
	if m.filled {
		text = m.frame.Render(int(m.columns.Load()), int(m.rows.Load())-spareRows, m.colours)
	}
	view.Content = text
	view.Cursor = &tea.Cursor{Position: tea.Position{Y: strings.Count(text, "\n")}, Shape: steadyShape}
	return view
}
