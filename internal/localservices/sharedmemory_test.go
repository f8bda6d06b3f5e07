//go:build linux || darwin

package localservices

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// sharedMemoryID returns the id of the server's shared memory segment.
func sharedMemoryID(t *testing.T, server *Postgres) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(server.dir.path, dataFolder, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(strings.Split(string(content), "\n")[6])
	id, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	if !sharedMemoryExists(t, id) {
		t.Fatalf("segment %d of a running server does not exist", id)
	}
	return id
}

func sharedMemoryExists(t *testing.T, id int) bool {
	t.Helper()
	var segment unix.SysvShmDesc
	_, err := unix.SysvShmCtl(id, unix.IPC_STAT, &segment)
	return err == nil
}
