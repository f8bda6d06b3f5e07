package localservices

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

const (
	// embeddedVersion is the release that is downloaded.
	embeddedVersion = embeddedpostgres.V17
	// maxArchive bounds the download, in bytes; the archives have about 30 MB.
	maxArchive = 256 << 20
	// downloadTimeout bounds one download.
	downloadTimeout = 10 * time.Minute
	// headerTimeout bounds the wait for the repository's answer.
	headerTimeout = 30 * time.Second
)

// embeddedPostgres downloads PostgreSQL, unless it is in the cache already,
// and unpacks it into dir for the user it will run as.
//
// The library behind it downloads and unpacks the archive as the first part
// of starting a server. It starts that server itself, though: never as root,
// not tied to its parent, and without a context. So only that first part of
// it is used, and what it unpacked is run like installed binaries.
func embeddedPostgres(ctx context.Context, dir *workDir, runAs *account, opts Options) (postgresBinaries, error) {
	cache, err := cacheFolder(opts.CacheDir, dir)
	if err != nil {
		return postgresBinaries{}, err
	}
	repository, err := serveRepository(ctx, opts.RepositoryURL, opts.Logger.Info)
	if err != nil {
		return postgresBinaries{}, err
	}
	root := dir.join("postgresql")
	err = unpack(repository, cache, root, dir)
	if err = errors.Join(err, repository.close()); err != nil {
		return postgresBinaries{}, fmt.Errorf("download and unpack it: %w", err)
	}
	if err := runAs.own(root); err != nil {
		return postgresBinaries{}, err
	}
	bin, ok := postgresFolder(filepath.Join(root, "bin"))
	if !ok {
		return postgresBinaries{}, errors.New("the archive holds no bin/postgres and bin/initdb")
	}
	version, err := programVersion(ctx, filepath.Join(bin, "postgres"), "--version")
	if err != nil {
		return postgresBinaries{}, err
	}
	return postgresBinaries{
		bin: bin, kind: "embedded PostgreSQL " + version + " from " + repository.name, statements: hasStatements(ctx, bin),
	}, nil
}

// cacheFolder returns the folder that keeps archives between runs, or one in
// dir where the user has no such folder.
func cacheFolder(chosen string, dir *workDir) (string, error) {
	if chosen == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return dir.join("cache"), nil //nolint:nilerr // no home: download each time
		}
		chosen = filepath.Join(user, "soakd")
	}
	if err := os.MkdirAll(chosen, 0o755); err != nil { //nolint:gosec // public archives
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	return chosen, nil
}

// unpackMutex keeps the library's own log file apart from that of another unpack.
var unpackMutex sync.Mutex //nolint:gochecknoglobals // guards what the library does to the whole process

// unpack lets the library fetch the archive into cache and unpack it into root.
//
// It is stopped before it would run initdb: it first clears its data folder,
// and os.RemoveAll refuses a path that ends in a dot. The error that names
// this path is the sign that the archive has been unpacked completely.
func unpack(repository *repository, cache, root string, dir *workDir) error {
	unpackMutex.Lock()
	defer unpackMutex.Unlock()
	before := libraryLogs()
	stopHere := dir.join("unpacked") + "/."
	library := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(embeddedVersion).
		Port(0). // any: it only checks that the port is free
		CachePath(cache).
		RuntimePath(dir.join("runtime")).
		BinariesPath(root).
		DataPath(stopHere).
		BinaryRepositoryURL(repository.url).
		Logger(io.Discard))
	err := start(library)
	removeNew(before)
	switch {
	case repository.failure() != nil:
		return repository.failure()
	case err == nil:
		return errors.Join(errors.New("the library started a server"), library.Stop())
	case strings.Contains(err.Error(), stopHere):
		return nil
	default:
		return err
	}
}

// start calls the library, which panics where it cannot remove a file.
func start(library *embeddedpostgres.EmbeddedPostgres) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("unpack: %v", reason)
		}
	}()
	return library.Start()
}

// libraryLogs returns the log files that this process holds open in the
// library's manner. It never removes them itself. Known on Linux only.
func libraryLogs() map[string]bool {
	logs := map[string]bool{}
	prefix := filepath.Join(os.TempDir(), "embedded_postgres_log")
	descriptors, _ := filepath.Glob("/proc/self/fd/*")
	for _, descriptor := range descriptors {
		if target, err := os.Readlink(descriptor); err == nil && strings.HasPrefix(target, prefix) {
			logs[target] = true
		}
	}
	return logs
}

// removeNew removes the library's log files that are not in before.
func removeNew(before map[string]bool) {
	for path := range libraryLogs() {
		if !before[path] {
			_ = os.Remove(path) // an empty file; nothing depends on it
		}
	}
}

// repository is a Maven repository as the library sees it: on the loopback
// interface, handing every request on to the real one. The library asks
// without a context, a time limit or a size limit and drops the reason of a
// failure; here all of these are put right.
type repository struct {
	name   string // the real address, without a password
	url    string
	ctx    context.Context //nolint:containedctx // the requests' own contexts are the library's
	target *url.URL
	client *http.Client
	log    func(string, ...any)
	server *http.Server
	served chan struct{}

	mu  sync.Mutex
	err error
}

// serveRepository starts to serve the repository at address until close.
func serveRepository(ctx context.Context, address string, log func(string, ...any)) (*repository, error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("repository URL: not a URL")
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // does not block
	if err != nil {
		return nil, fmt.Errorf("listen for the download: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = headerTimeout
	r := &repository{
		name: target.Redacted(), url: "http://" + listener.Addr().String(), ctx: ctx, target: target, log: log,
		client: &http.Client{Transport: transport}, served: make(chan struct{}),
	}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: headerTimeout}
	r.server.SetKeepAlivesEnabled(false)
	go func() {
		defer close(r.served)
		_ = r.server.Serve(listener) // always ends with ErrServerClosed
	}()
	return r, nil
}

// close ends the server and its connections.
func (r *repository) close() error {
	err := r.server.Close()
	<-r.served
	r.client.CloseIdleConnections()
	return err
}

// failure returns the first reason why a file could not be had.
func (r *repository) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *repository) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

// ServeHTTP hands a request on to the real repository.
func (r *repository) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	address := r.target.JoinPath(request.URL.Path)
	r.log("downloading", "url", address.Redacted())
	ctx, cancel := context.WithTimeout(r.ctx, downloadTimeout)
	defer cancel()
	if err := r.fetch(ctx, w, address); err != nil {
		r.fail(fmt.Errorf("get %s: %w", address.Redacted(), err))
		panic(http.ErrAbortHandler) // the library must not take a part for the whole
	}
}

// fetch writes the file at address to w.
func (r *repository) fetch(ctx context.Context, w http.ResponseWriter, address *url.URL) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return err
	}
	response, err := r.client.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // it repeats the method and the URL
			err = wrapped.Err
		}
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the repository answered %s", response.Status)
	}
	body := http.MaxBytesReader(nil, response.Body, maxArchive)
	if strings.HasSuffix(address.Path, ".sha256") {
		return copyChecksum(w, body)
	}
	if response.ContentLength >= 0 {
		w.Header().Set("Content-Length", fmt.Sprint(response.ContentLength))
	}
	_, err = io.Copy(w, body)
	return err
}

// copyChecksum writes the hexadecimal checksum alone. The library compares the
// whole file, but some repositories add a line end or the file's name.
func copyChecksum(w io.Writer, body io.Reader) error {
	content, err := io.ReadAll(io.LimitReader(body, 1<<10))
	if err != nil {
		return err
	}
	fields := strings.Fields(string(content))
	if len(fields) == 0 || len(fields[0]) != 64 {
		return errors.New("not a SHA-256 checksum")
	}
	_, err = io.WriteString(w, strings.ToLower(fields[0]))
	return err
}
