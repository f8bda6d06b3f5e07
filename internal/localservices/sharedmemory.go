//go:build linux || darwin

package localservices

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// removeSharedMemory removes the small System V segment that a Postgres with
// its data below root made and could not remove because it was killed. Such
// segments outlive every process and are limited in number.
//
// Line 7 of postmaster.pid holds the key and the id of the segment
// (https://www.postgresql.org/docs/current/storage-file-layout.html); the
// file is gone after an orderly end. Ids are given out again, so the segment
// must be unused and made by the very process the file names.
func removeSharedMemory(root string) {
	content, err := os.ReadFile(filepath.Join(root, dataFolder, "postmaster.pid"))
	if err != nil {
		return
	}
	lines := strings.Split(string(content), "\n")
	if len(lines) < 7 {
		return
	}
	pid, errPID := strconv.Atoi(strings.TrimSpace(lines[0]))
	fields := strings.Fields(lines[6])
	if errPID != nil || len(fields) != 2 {
		return
	}
	id, err := strconv.Atoi(fields[1])
	if err != nil {
		return
	}
	var segment unix.SysvShmDesc
	if _, err := unix.SysvShmCtl(id, unix.IPC_STAT, &segment); err != nil {
		return
	}
	if int(segment.Cpid) == pid && segment.Nattch == 0 {
		_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) // nothing to do about a failure
	}
}
