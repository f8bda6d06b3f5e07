package refapi

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A socket that the parent listens on already is served like an address.
func TestListenOnAnInheritedSocket(t *testing.T) {
	s := running(t) // before the socket is there, so that the servers do not inherit it
	parent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// What a child finds: a descriptor that nothing in the process owns.
	file, err := parent.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	descriptor, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	address := parent.Addr().String()
	if err := parent.Close(); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"REFAPI_LISTEN": "fd:" + strconv.Itoa(descriptor), "REFAPI_POSTGRES_URL": s.postgres.URL().Value(), "REFAPI_JWT_SECRET": testKey,
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Main(ctx, func(name string) string { return env[name] }, io.Discard) }()
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Get("http://" + address + "/health")
	if err != nil {
		t.Fatal(err)
	}
	if response.Body.Close() != nil || response.StatusCode != http.StatusOK {
		t.Errorf("answered %s", response.Status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if connection, err := net.Dial("tcp", address); err == nil {
		_ = connection.Close()
		t.Error("the socket still listens after the end")
	}
}

func TestListenNamesWhatIsWrong(t *testing.T) {
	file, err := syscall.Open("/dev/null", syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"fd:": "want fd:N with N from 3 to 65535", "fd:2": "want fd:N", "fd:-3": "want fd:N", "fd:x": "want fd:N",
		"fd:65000": "bad file descriptor", "fd:" + strconv.Itoa(file): "socket operation on non-socket", "nowhere": "missing port in address",
	} {
		listener, err := listen(t.Context(), address)
		if err == nil || !strings.HasPrefix(err.Error(), "listen on "+address+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", address, err, want)
		}
		if listener != nil {
			t.Errorf("%s: got a listener", address)
		}
	}
	if err := syscall.Close(file); err == nil {
		t.Error("the descriptor was left open")
	}
}
