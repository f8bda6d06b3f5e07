package load

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestVersions(t *testing.T) {
	var v Versions
	take := func(want ...string) {
		t.Helper()
		if got := v.Take(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	take()
	v.Note([]byte("v1"))
	v.Note([]byte("v1"))
	take("v1")
	take()
	v.Note([]byte("v1"))
	take("v1")
	for _, version := range []string{"v1", "v2", "v1", "v2"} { // a rolling deployment
		v.Note([]byte(version))
	}
	take("v1", "v2")
	v.Note([]byte("v2"))
	v.Note([]byte("v3")) // the version before answered too
	take("v2", "v3")
	v.Note([]byte("v2"))
	take("v2")
	for _, no := range []string{"", "a b", "\x1b[31m", strings.Repeat("x", 65), "é"} {
		v.Note([]byte(no))
	}
	take()
	for i := range 20 {
		v.Note([]byte{'a' + byte(i)})
	}
	if got := v.Take(); len(got) > maxVersions {
		t.Errorf("%d versions are kept", len(got))
	}
}

func TestVersionsTogether(t *testing.T) {
	var v Versions
	var all sync.WaitGroup
	for _, version := range []string{"v1", "v2", "v3"} {
		all.Go(func() {
			for range 1000 {
				v.Note([]byte(version))
			}
		})
	}
	all.Wait()
	if got := v.Take(); !slices.Equal(got, []string{"v1", "v2", "v3"}) {
		t.Errorf("got %q", got)
	}
}
