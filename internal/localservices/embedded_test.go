package localservices

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// archive returns what the real repository holds: a jar (a zip) with one .txz
// of bin, lib and share. It is made of the installed PostgreSQL. Debian's
// binaries find their share folder by the place they lie in, so the folders
// keep their names below a common root and bin is a link.
func archive(t *testing.T) []byte {
	t.Helper()
	found, err := findPostgres(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	config := func(name string) string {
		out, err := exec.Command(filepath.Join(found.bin, "pg_config"), name).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	root := "/usr"
	var tarball bytes.Buffer
	writer := tar.NewWriter(&tarball)
	for _, name := range []string{"postgres", "initdb", "pg_ctl"} {
		addFile(t, writer, root, filepath.Join(found.bin, name))
	}
	for _, name := range []string{"dict_snowball.so", "plpgsql.so", "pg_stat_statements.so"} {
		addFile(t, writer, root, filepath.Join(config("--pkglibdir"), name))
	}
	share := config("--sharedir")
	err = filepath.WalkDir(share, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			addFile(t, writer, root, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	bin, err := filepath.Rel(root, found.bin)
	if err != nil {
		t.Fatal(err)
	}
	header := &tar.Header{Name: "bin", Linkname: bin, Typeflag: tar.TypeSymlink, Mode: 0o777}
	if err := errors.Join(writer.WriteHeader(header), writer.Close()); err != nil {
		t.Fatal(err)
	}
	return jar(t, storedXZ(tarball.Bytes()))
}

// jar wraps an archive as the repository does.
func jar(t *testing.T, content []byte) []byte {
	t.Helper()
	var file bytes.Buffer
	writer := zip.NewWriter(&file)
	entry, err := writer.Create("postgres-linux-x86_64.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := entry.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// addFile adds a file under its name relative to root.
func addFile(t *testing.T, writer *tar.Writer, root, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	name, err := filepath.Rel(root, path)
	if err != nil {
		t.Fatal(err)
	}
	header := &tar.Header{Name: name, Mode: int64(info.Mode().Perm()), Size: int64(len(content)), Typeflag: tar.TypeReg}
	if err := writer.WriteHeader(header); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write(content); err != nil {
		t.Fatal(err)
	}
}

// storedXZ writes content as an xz file without compressing it: one block of
// uncompressed LZMA2 chunks, no check. The format is that of
// https://tukaani.org/xz/xz-file-format.txt.
func storedXZ(content []byte) []byte {
	checked := func(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b)) }
	padded := func(b []byte) []byte { return append(b, make([]byte, (4-len(b)%4)%4)...) }
	flags := []byte{0, 0} // check: none

	var out []byte
	out = append(out, 0xFD, '7', 'z', 'X', 'Z', 0)
	out = append(out, checked(flags)...)
	header := checked([]byte{2, 0, 0x21, 1, 16, 0, 0, 0}) // LZMA2, 1 MiB dictionary; 12 bytes with the check
	blockStart := len(out)
	out = append(out, header...)
	for rest, control := content, byte(1); len(rest) > 0; control = 2 {
		chunk := rest[:min(len(rest), 1<<16)]
		rest = rest[len(chunk):]
		out = append(out, control)
		out = binary.BigEndian.AppendUint16(out, uint16(len(chunk)-1))
		out = append(out, chunk...)
	}
	out = append(out, 0) // end of the chunks
	unpadded := len(out) - blockStart
	out = append(out, make([]byte, (4-unpadded%4)%4)...)
	index := []byte{0, 1}
	index = binary.AppendUvarint(index, uint64(unpadded))
	index = binary.AppendUvarint(index, uint64(len(content)))
	index = checked(padded(index))
	out = append(out, index...)
	footer := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	footer = append(footer, flags...)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(footer))
	return append(append(out, footer...), 'Y', 'Z')
}

// testRepository serves content as the file that is asked for, with its
// checksum, and counts the downloads.
func testRepository(t *testing.T, content []byte, checksum string) (address string, downloads *atomic.Int32) {
	t.Helper()
	downloads = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.HasPrefix(r.URL.Path, "/mirror/io/zonky/test/postgres/embedded-postgres-binaries-"):
			http.NotFound(w, r)
		case strings.HasSuffix(r.URL.Path, ".sha256"):
			_, _ = io.WriteString(w, checksum)
		default:
			downloads.Add(1)
			_, _ = w.Write(content)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/mirror", downloads
}

func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// noBinaries makes Auto find nothing installed.
func noBinaries(t *testing.T) []string { return []string{t.TempDir()} }

func TestEmbeddedPostgres(t *testing.T) {
	dir, cache := sharedDir(t), t.TempDir()
	t.Setenv("TMPDIR", t.TempDir()) // sees what the library leaves there
	content := archive(t)
	address, downloads := testRepository(t, content, strings.ToUpper(checksum(content))+"  postgres.jar\n")
	for range 2 {
		server := startTestPostgres(t, Options{
			Dir: dir, CacheDir: cache, RepositoryURL: address, searchPath: noBinaries(t),
		})
		if got := query(t, server.URL().Value(), "SELECT count(*)::text FROM pg_stat_statements WHERE false"); got != "0" {
			t.Errorf("got %q", got)
		}
		if got := query(t, server.AdminURL().Value(), "SELECT setting FROM pg_config() WHERE name = 'SHAREDIR'"); !strings.HasPrefix(got, dir) {
			t.Errorf("the server reads the share folder %s, want the one in the archive", got)
		}
		if !strings.HasPrefix(server.Kind(), "embedded PostgreSQL ") || !strings.HasSuffix(server.Kind(), address) {
			t.Errorf("Kind() = %q", server.Kind())
		}
		if exe, err := os.Readlink("/proc/" + strconv.Itoa(server.PID()) + "/exe"); err == nil && !strings.HasPrefix(exe, dir) {
			t.Errorf("runs %s, want the unpacked binary", exe)
		}
		if err := server.Stop(); err != nil {
			t.Fatal(err)
		}
		assertNothingLeft(t, dir)
	}
	if n := downloads.Load(); n != 1 {
		t.Errorf("%d downloads for two starts, want 1", n)
	}
	if found, _ := filepath.Glob(filepath.Join(os.TempDir(), "embedded_postgres_log*")); len(found) != 0 {
		t.Errorf("files left: %v", found)
	}
}

func TestEmbeddedPostgresDownloadFails(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	empty := httptest.NewServer(http.NotFoundHandler())
	defer empty.Close()
	broken := []byte("not a zip")
	damaged := jar(t, append(storedXZ([]byte("not a tar")), 1, 2, 3))
	notZip, _ := testRepository(t, broken, checksum(broken))
	wrongSum, _ := testRepository(t, damaged, checksum(broken))
	noSum, _ := testRepository(t, damaged, "")
	notTar, _ := testRepository(t, damaged, checksum(damaged))
	password := strings.Replace(empty.URL, "http://", "http://user:hunter2@", 1)
	for name, c := range map[string]struct{ address, want string }{
		"no server":         {closed.URL, "connection refused"},
		"no such file":      {password, "404 Not Found"},
		"not a zip":         {notZip, "not a valid zip file"},
		"wrong checksum":    {wrongSum, "checksums do not match"},
		"no checksum":       {noSum, "not a SHA-256 checksum"},
		"not a tar archive": {notTar, "extract postgres archive"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := sharedDir(t)
			_, err := StartPostgres(t.Context(), Options{
				Dir: dir, CacheDir: t.TempDir(), RepositoryURL: c.address, searchPath: noBinaries(t),
			})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "apt-get install postgresql") {
				t.Fatalf("got %v, want %q and what to install", err, c.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error tells the password: %v", err)
			}
			assertNothingLeft(t, dir)
		})
	}
}

func TestEmbeddedPostgresDownloadCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel() // the download is under way; it never ends by itself
		<-r.Context().Done()
	}))
	defer server.Close()
	dir := sharedDir(t)
	_, err := StartPostgres(ctx, Options{
		Dir: dir, CacheDir: t.TempDir(), RepositoryURL: server.URL, Mode: Embedded,
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	assertNothingLeft(t, dir)
}
