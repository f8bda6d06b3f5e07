package localservices

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// childEnv makes the test binary play a program that uses the package: its
// value is the folder for temporary files.
const childEnv = "LOCALSERVICES_TEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if how := os.Getenv(programEnv); how != "" {
		if err := playProgram(how); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// child starts Postgres and Redis, prints their pids and stops them when its
// standard input ends.
func child(dir string) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	postgres, err := StartPostgres(ctx, Options{Dir: dir, Mode: System})
	if err != nil {
		return err
	}
	defer postgres.Stop() //nolint:errcheck // told by the files left
	redis, err := StartRedis(ctx, Options{Dir: dir, Mode: System})
	if err != nil {
		return err
	}
	defer redis.Stop() //nolint:errcheck // told by the files left
	if err := execSQL(ctx, postgres.URL().Value(), "CREATE TABLE t (n int)"); err != nil {
		return err
	}
	fmt.Printf("uid %d postgres %d redis %d\n", os.Geteuid(), postgres.PID(), redis.PID())
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}

// program is the test binary playing a program that uses the package.
type program struct {
	cmd      *exec.Cmd
	uid      int
	postgres int // pid
	redis    int // pid
	finish   func() error
}

// startProgram runs the program with dir for its temporary files, as a when
// that is not nil, and waits until its servers run.
func startProgram(t *testing.T, dir string, a *account) *program {
	t.Helper()
	binary := filepath.Join(dir, "program")
	copyFile(t, os.Args[0], binary, 0o755) // the test binary itself lies in a private folder
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.credential()}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	p := &program{cmd: cmd, finish: func() error {
		_ = stdin.Close()
		return cmd.Wait()
	}}
	line := make([]byte, 4096)
	n, _ := stdout.Read(line)
	if _, err := fmt.Sscanf(string(line[:n]), "uid %d postgres %d redis %d", &p.uid, &p.postgres, &p.redis); err != nil {
		t.Fatalf("the program printed %q: %v", line[:n], err)
	}
	return p
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, mode); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("waited 30 s in vain: %s", what)
		case <-tick.C:
		}
	}
}

// running reports whether a process exists and is not a zombie.
func running(pid int) bool {
	if syscall.Kill(pid, 0) == syscall.ESRCH {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// processesIn returns the command lines of processes that mention dir.
func processesIn(dir string) []string {
	var found []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(line), dir) && !strings.Contains(string(line), "/program") {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// leftovers returns the temporary folders of the package in dir.
func leftovers(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, dirPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// assertNothingLeft checks that no process and no file of the package is left.
func assertNothingLeft(t *testing.T, dir string) {
	t.Helper()
	if found := leftovers(t, dir); len(found) != 0 {
		t.Errorf("files left: %v", found)
	}
	if found := processesIn(filepath.Join(dir, dirPrefix)); len(found) != 0 {
		t.Errorf("processes left: %v", found)
	}
}

// sharedDir returns a temporary folder that every user may pass through. It
// changes the two folders that testing makes for the test, and no other.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Dir(dir)} {
		if !strings.HasPrefix(path, filepath.Join(os.TempDir(), "Test")) {
			t.Fatalf("%s is not a folder of the test", path)
		}
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ordinaryUser returns an account that is neither root nor the one servers run
// as; it skips the test where the test itself is an ordinary user.
func ordinaryUser(t *testing.T) *account {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: every other test runs as an ordinary user already")
	}
	for _, name := range []string{"nobody", "daemon", "games"} {
		if found, err := user.Lookup(name); err == nil {
			uid, _ := strconv.ParseUint(found.Uid, 10, 32)
			gid, _ := strconv.ParseUint(found.Gid, 10, 32)
			return &account{name: name, uid: uint32(uid), gid: uint32(gid)}
		}
	}
	t.Fatal("no ordinary user to run as")
	return nil
}
