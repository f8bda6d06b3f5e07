package dashboards

import (
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"soakd/internal/probes/blackbox"
)

// The alerts must tell the generic probes from the others, and know all of them.
func TestGenericProbesAreThoseOfBlackbox(t *testing.T) {
	var patterns []string
	for _, kind := range blackbox.Kinds() {
		patterns = append(patterns, kind.Name+"/.*")
	}
	if want := strings.Join(patterns, "|"); genericProbes != want {
		t.Errorf("the generic probes are %q, want %q", genericProbes, want)
	}
}

// surroundings are what the demo of the test has besides what every demo brings:
// something for each kind of probe to watch.
type surroundings struct {
	web    *httptest.Server
	names  net.PacketConn
	folder string
	// ill lets the web answer with 500.
	ill     atomic.Bool
	done    chan struct{}
	running sync.WaitGroup
}

func startSurroundings(t *testing.T) *surroundings {
	t.Helper()
	s := &surroundings{folder: t.TempDir(), done: make(chan struct{})}
	var jobs atomic.Int64
	s.web = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.ill.Load() {
			http.Error(w, "ill", http.StatusInternalServerError)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/api/annotations") { // as Grafana
			_, _ = io.WriteString(w, map[string]string{http.MethodGet: "[]", http.MethodPost: `{"id": 1}`, http.MethodPatch: "{}"}[r.Method])
			return
		}
		if r.URL.Path == "/metrics" {
			fmt.Fprintf(w, "queue_depth 3\njobs_total %d\n", jobs.Add(1))
			return
		}
		_, _ = io.WriteString(w, "well\n")
	}))
	s.web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // probes of certificates go away after the handshake
	s.web.StartTLS()
	var err error
	if s.names, err = (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.web.Certificate().Raw})))
	for name, content := range groupFiles() {
		s.write(t, name, content)
	}
	s.writeProcessor(t, 1)
	s.running.Go(s.answer)
	s.running.Go(func() { s.work(t) })
	return s
}

func (s *surroundings) stop() {
	close(s.done)
	_ = s.names.Close()
	s.running.Wait()
	s.web.Close()
}

// write writes a file at once, so that nobody reads a part of it.
func (s *surroundings) write(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(s.folder, name)
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Error(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Error(err)
	}
}

// env are the settings that point a demo at the surroundings.
func (s *surroundings) env() []string {
	address, ca := s.web.Listener.Addr().String(), " ca="+filepath.Join(s.folder, "ca.pem")
	settings := []string{
		"SOAKD_ENDPOINT_PROBES=shop=https://" + address + "/" + ca,
		"SOAKD_TCP_PROBES=shop=" + address + " tls=true" + ca,
		"SOAKD_DNS_PROBES=shop=shop.example server=" + s.names.LocalAddr().String(),
		"SOAKD_CERTIFICATE_PROBES=shop=" + address + ca,
		"SOAKD_EXPORTER_PROBES=queue=https://" + address + "/metrics" + ca,
		"SOAKD_EXPORTER_SERIES=depth=queue:queue_depth;jobs=queue:jobs_total",
		"SOAKD_GRAFANA_URL=https://" + address, "SOAKD_GRAFANA_TOKEN=stand", "SOAKD_GRAFANA_CA_FILE=" + filepath.Join(s.folder, "ca.pem"),
	}
	if readsProcesses() {
		settings = append(settings, "SOAKD_API_PID_FILE="+s.pidFile(), "SOAKD_API_CGROUP="+s.folder)
	}
	return settings
}

// readsProcesses reports whether soakd reads processes and control groups here.
func readsProcesses() bool { return runtime.GOOS == "linux" }

// pidFile is where the number of the process belongs in which the API runs.
func (s *surroundings) pidFile() string { return filepath.Join(s.folder, "api.pid") }

// answer answers every question with one address.
func (s *surroundings) answer() {
	packet := make([]byte, 512)
	for {
		n, from, err := s.names.ReadFrom(packet)
		if err != nil {
			return
		}
		var message dnsmessage.Message
		if message.Unpack(packet[:n]) != nil || len(message.Questions) != 1 {
			continue
		}
		name := message.Questions[0].Name
		reply := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: message.ID, Response: true},
			Questions: message.Questions,
			Answers: []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 60},
				Body:   &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}},
			}},
		}
		if packed, err := reply.Pack(); err == nil {
			_, _ = s.names.WriteTo(packed, from)
		}
	}
}

// groupFiles are the files of a control group that stay as they are. Only root
// could make a group.
func groupFiles() map[string]string {
	const pressure = "some avg10=0.00 avg60=0.00 avg300=0.00 total=4000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1000\n"
	return map[string]string{
		"cgroup.controllers": "cpu memory io pids\n", "cpu.max": "200000 100000\n", "pids.current": "12\n", "pids.max": "512\n",
		"memory.current": "80000000\n", "memory.max": "256000000\n", "memory.events": "oom 0\noom_kill 0\n",
		"memory.stat":  "anon 60000000\nfile 20000000\nfile_mapped 5000000\ninactive_file 8000000\n",
		"cpu.pressure": pressure, "memory.pressure": pressure, "io.pressure": pressure, "io.stat": "8:0 rbytes=4096 wbytes=8192\n",
	}
}

// writeProcessor writes what the group has used in that many periods of its
// limit, a tenth of which were throttled.
func (s *surroundings) writeProcessor(t *testing.T, periods int) {
	t.Helper()
	s.write(t, "cpu.stat", fmt.Sprintf("usage_usec %d\nnr_periods %d\nnr_throttled %d\nthrottled_usec %d\n", 50_000*periods, periods, periods/10, 2_000*periods))
}

// work lets the group's periods pass.
func (s *surroundings) work(t *testing.T) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for periods := 2; ; periods++ {
		select {
		case <-s.done:
			return
		case <-ticker.C:
			s.writeProcessor(t, periods)
		}
	}
}
