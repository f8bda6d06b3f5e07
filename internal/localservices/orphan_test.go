package localservices

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOrdinaryUser runs everything as a user who is not root.
func TestOrdinaryUser(t *testing.T) {
	a := ordinaryUser(t)
	dir := sharedDir(t)
	if err := os.Chown(dir, int(a.uid), int(a.gid)); err != nil {
		t.Fatal(err)
	}
	p := startProgram(t, dir, a)
	if p.uid != int(a.uid) {
		t.Errorf("the program ran as %d, want %d", p.uid, a.uid)
	}
	if !running(p.postgres) || !running(p.redis) {
		t.Error("the servers do not run")
	}
	if err := p.finish(); err != nil {
		t.Error(err)
	}
	assertNothingLeft(t, dir)
}

// TestInterruptDoesNotReachTheServers: a terminal sends Ctrl-C to the whole
// process group; the program orders the shutdown.
func TestInterruptDoesNotReachTheServers(t *testing.T) {
	dir := sharedDir(t)
	p := startProgram(t, dir, nil)
	own, err := syscall.Getpgid(p.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for name, pid := range map[string]int{"Postgres": p.postgres, "Redis": p.redis} {
		if group, err := syscall.Getpgid(pid); err != nil || group == own {
			t.Errorf("%s is in the program's process group (%v)", name, err)
		}
	}
	if err := p.finish(); err != nil {
		t.Error(err)
	}
	assertNothingLeft(t, dir)
}

// TestKilledProgramLeavesNothing: after SIGKILL of the program the kernel ends
// the servers, and the next start removes their files.
func TestKilledProgramLeavesNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can tie a child to its parent")
	}
	dir := sharedDir(t)
	p := startProgram(t, dir, nil)
	if !running(p.postgres) || !running(p.redis) {
		t.Fatal("the servers do not run")
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.finish(); err == nil {
		t.Error("the program was not killed")
	}
	eventually(t, "no process is left", func() bool {
		return !running(p.postgres) && !running(p.redis) && len(processesIn(filepath.Join(dir, dirPrefix))) == 0
	})
	if found := leftovers(t, dir); len(found) != 2 {
		t.Fatalf("folders left by the killed program: %v, want 2 for the next start to remove", found)
	}
	var logged bytes.Buffer
	server := startTestRedis(t, Options{Dir: dir, Mode: System, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	if found := leftovers(t, dir); len(found) != 1 || found[0] != server.dir.path {
		t.Errorf("folders after the next start: %v, want only its own", found)
	}
	if n := strings.Count(logged.String(), "earlier run that was killed"); n != 2 {
		t.Errorf("%d lines about leftovers in the log, want 2:\n%s", n, &logged)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	assertNothingLeft(t, dir)
}

// TestSweepTellsLivingFromDead checks what counts as left behind.
func TestSweepTellsLivingFromDead(t *testing.T) {
	dir := sharedDir(t)
	logger := slog.New(slog.DiscardHandler)
	living, err := newWorkDir(dir, "living", nil, logger)
	if err != nil {
		t.Fatal(err)
	}
	folder := func(name string, age time.Duration, marked bool) string {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if marked { // with the pid of a living process, which must not matter
			if err := os.WriteFile(filepath.Join(path, ownerFile), []byte("1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dead := folder(dirPrefix+"dead", 0, true)
	old := folder(dirPrefix+"old", time.Hour, false)
	beingMade := folder(dirPrefix+"being-made", 0, false)
	others := folder("somebody-elses", time.Hour, true)
	link := filepath.Join(dir, dirPrefix+"link")
	if err := os.Symlink(others, link); err != nil {
		t.Fatal(err)
	}
	sweep(dir, logger)
	for path, want := range map[string]bool{
		living.path: true, dead: false, old: false, beingMade: true, others: true, link: true,
	} {
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("%s exists: %v, want %v", filepath.Base(path), err == nil, want)
		}
	}
	if err := living.remove(); err != nil {
		t.Error(err)
	}
}

// TestUnreachableFolderIsNamed: as root the server's user must be able to
// reach its data.
func TestUnreachableFolderIsNamed(t *testing.T) {
	ordinaryUser(t)
	private := filepath.Join(sharedDir(t), "private")
	if err := os.MkdirAll(filepath.Join(private, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := StartPostgres(t.Context(), Options{Dir: filepath.Join(private, "below"), Mode: System})
	if err == nil || !strings.Contains(err.Error(), "may not enter "+filepath.Join(private, "below")) {
		t.Errorf("got %v, want the folder that cannot be entered", err)
	}
	t.Setenv("TMPDIR", private)
	server := startTestPostgres(t, Options{Mode: System})
	if strings.HasPrefix(server.dir.path, private) {
		t.Errorf("the data is in %s", server.dir.path)
	}
}

func TestRingKeepsTheEnd(t *testing.T) {
	r := new(ring)
	for range 3 {
		_, _ = r.Write(bytes.Repeat([]byte("a"), ringSize-1))
	}
	_, _ = r.Write([]byte("\nlast but one\nlast\n"))
	if got, want := r.lastLines(2), "last but one\nlast"; got != want {
		t.Errorf("last lines %q, want %q", got, want)
	}
	if len(r.kept) != ringSize {
		t.Errorf("%d bytes kept, want %d", len(r.kept), ringSize)
	}
	_, _ = r.Write(append(bytes.Repeat([]byte("b"), 2*ringSize), "\nend"...))
	if got := r.lastLines(1); got != "end" || len(r.kept) != ringSize {
		t.Errorf("after a long write: %q and %d bytes", got, len(r.kept))
	}
}
