package report

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestWriteMakesEveryFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "results")
	if err := Prepare(dir); err != nil {
		t.Fatal(err)
	}
	if left := names(t, dir); len(left) != 0 {
		t.Errorf("Prepare left %q", left)
	}
	for range 2 { // the second time replaces
		if _, err := Write(dir, sampleRun(), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for _, one := range outputs(Options{}) {
		want = append(want, one.name)
	}
	slices.Sort(want)
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, name := range want {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 || info.Mode().Perm()&0o400 == 0 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
}

func TestWriteLocustMakesItsFolders(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "a", "b", "run1")
	if err := PrepareLocust(prefix); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteLocust(prefix, sampleRun(), Options{}); err != nil {
		t.Fatal(err)
	}
	want := []string{"run1_exceptions.csv", "run1_failures.csv", "run1_stats.csv", "run1_stats_history.csv"}
	if got := names(t, filepath.Dir(prefix)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestOneFileThatFailsLeavesTheOthers also sees that an old result stays and no draft does.
func TestOneFileThatFailsLeavesTheOthers(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "full.txt")
	if err := os.WriteFile(old, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	full := func(w io.Writer, _ *Run) error {
		fmt.Fprint(w, strings.Repeat("x", 1<<16))
		return &fs.PathError{Op: "write", Path: "draft", Err: syscall.ENOSPC}
	}
	well := func(w io.Writer, _ *Run) error { _, err := io.WriteString(w, "well"); return err }
	broken := errors.New("broken")
	written, err := writeAll(dir, []output{{"full.txt", full}, {"broken.txt", func(io.Writer, *Run) error { return broken }}, {"well.txt", well}}, &Run{})
	if !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, broken) || !slices.Equal(written, []string{filepath.Join(dir, "well.txt")}) {
		t.Errorf("got %v, written %q", err, written)
	}
	for _, part := range []string{"write " + old + ": no space left on device: make room", "broken.txt: broken"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "draft") {
		t.Errorf("%q names a file that nobody knows", err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"full.txt", "well.txt"}) {
		t.Errorf("left %q", got)
	}
	if text, _ := os.ReadFile(old); string(text) != "old" {
		t.Errorf("the old result is %q", text)
	}
}

func TestPlacesThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	inFile := filepath.Join(file, "results")
	for name, err := range map[string]error{
		"Prepare": Prepare(inFile), "Write": second(Write(inFile, &Run{}, Options{})), "PrepareLocust": PrepareLocust(filepath.Join(inFile, "p")), "WriteLocust": second(WriteLocust(filepath.Join(inFile, "p"), &Run{}, Options{})),
	} {
		if !errors.Is(err, syscall.ENOTDIR) || !strings.Contains(err.Error(), inFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if os.Geteuid() != 0 { // root may write anywhere
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		if err := Prepare(dir); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), dir) {
			t.Errorf("read-only: %v", err)
		}
	}
}

// TestFullDisk writes to a device that is always full.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full")
	}
	err := Summary(func(string) string { return "/dev/full" }, sampleRun())
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "GITHUB_STEP_SUMMARY /dev/full") {
		t.Errorf("got %v", err)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"a\x00b\x1b[31m": "a\uFFFDb\uFFFD[31m", "a\r\nb\rc": "a\nb\nc", "\xff": "\uFFFD", "x\u202ey": "x\uFFFDy", "ä ✓ 日本": "ä ✓ 日本", "\ufffe": "\uFFFD",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := oneLine(" a\n\n b\t"); got != "a b" {
		t.Errorf("%q", got)
	}
	if got := shorten("äöü", 2); got != "ä…" {
		t.Errorf("%q", got)
	}
}

func second(_ []string, err error) error { return err }
