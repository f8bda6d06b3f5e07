package localservices

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// versionNumber matches the first version number in the output of --version.
var versionNumber = regexp.MustCompile(`\d+(\.\d+)*`)

// programVersion asks a program for its version, such as "15.18".
func programVersion(ctx context.Context, path string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = baseEnv("/")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w", path, strings.Join(args, " "), err)
	}
	version := versionNumber.FindString(string(out))
	if version == "" {
		return "", fmt.Errorf("run %s %s: no version in its output", path, strings.Join(args, " "))
	}
	return version, nil
}

// searchPath returns the folders of PATH and then the given ones; patterns are
// expanded, the highest version first.
func searchPath(override []string, patterns ...string) []string {
	if override != nil {
		return override
	}
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.IsAbs(dir) { // exec.LookPath, too, refuses what the current folder holds
			dirs = append(dirs, dir)
		}
	}
	for _, pattern := range patterns {
		found, _ := filepath.Glob(pattern) // only a malformed pattern is an error
		slices.SortStableFunc(found, func(a, b string) int { return folderVersion(b) - folderVersion(a) })
		dirs = append(dirs, found...)
	}
	return dirs
}

// folderVersion returns the last number in a path such as
// /usr/lib/postgresql/15/bin, or 0.
func folderVersion(path string) int {
	numbers := regexp.MustCompile(`\d+`).FindAllString(path, -1)
	if len(numbers) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(numbers[len(numbers)-1])
	return n
}

// isExecutable reports whether path is a file that somebody may execute.
func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// findProgram returns the first program with one of the names.
func findProgram(dirs []string, names ...string) (string, bool) {
	for _, name := range names {
		for _, dir := range dirs {
			if path := filepath.Join(dir, name); isExecutable(path) {
				return path, true
			}
		}
	}
	return "", false
}
