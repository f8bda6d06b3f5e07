package terminal

import (
	"fmt"
	"strings"
	"testing"
)

func TestAsideHoldsTheLog(t *testing.T) {
	var direct strings.Builder
	a := NewAside(&direct)
	write := func(text string) {
		if n, err := a.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	write("before\n")
	a.Hold()
	write("one\n")
	write("two\n")
	if direct.String() != "before\n" {
		t.Errorf("%q was written through the table", direct.String())
	}
	<-a.Ready()
	if got := a.Take(); got != "one\ntwo\n" {
		t.Errorf("took %q", got)
	}
	write("three\n")
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	write("after\n")
	if got := direct.String(); got != "before\nthree\nafter\n" {
		t.Errorf("the log is %q", got)
	}
}

// A terminal that stands still costs no more memory than so much, and nothing is
// missing silently.
func TestAsideIsBounded(t *testing.T) {
	var direct strings.Builder
	a := NewAside(&direct)
	a.Hold()
	for i := range maxHeld + 7 {
		fmt.Fprintf(a, "line %d\n", i)
	}
	text := a.Take()
	if !strings.HasPrefix(text, "7 lines of the log are missing here") || strings.Count(text, "\n") != maxHeld+1 || !strings.Contains(text, "\nline 7\n") {
		t.Errorf("%.200q", text)
	}
}
