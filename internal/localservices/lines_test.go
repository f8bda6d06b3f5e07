package localservices

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLinesArePassedOnWholeAndBounded(t *testing.T) {
	var got []string
	w := newLineWriter(func(line string) { got = append(got, line) })
	for _, part := range []string{"on", "e\ntw", "o\r\n\n  \nthree\n", strings.Repeat("x", maxLine-1), "yzz", "z\n", "last, without an end"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("wrote %d of %d: %v", n, len(part), err)
		}
	}
	w.end()
	want := []string{"one", "two", "three", strings.Repeat("x", maxLine-1) + "y", "last, without an end"}
	if !slices.Equal(got, want) {
		t.Errorf("got %d lines: %.60q", len(got), got)
	}
	if cap(w.line) > 2*maxLine {
		t.Errorf("%d bytes are held", cap(w.line))
	}
}

func TestLinesBeyondTheRateAreCounted(t *testing.T) {
	var got []string
	w := newLineWriter(func(line string) { got = append(got, line) })
	now := time.Unix(1000, 0)
	w.now = func() time.Time { return now }
	write := func(n int) {
		for i := range n {
			_, _ = fmt.Fprintf(w, "%d\n", i)
		}
	}
	write(linesPerSecond + 7)
	if len(got) != linesPerSecond {
		t.Errorf("%d lines were passed on in a second, want %d", len(got), linesPerSecond)
	}
	now = now.Add(time.Second)
	write(1)
	if tail := got[linesPerSecond:]; !slices.Equal(tail, []string{"(7 lines left out)", "0"}) {
		t.Errorf("then %q", tail)
	}
	write(linesPerSecond + 1)
	w.end()
	if last := got[len(got)-1]; last != "(2 lines left out)" {
		t.Errorf("at the end %q", last)
	}
}
