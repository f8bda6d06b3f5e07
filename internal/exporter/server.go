package exporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
)

// Server answers /metrics, /-/healthy, /-/ready, the live page, /api/v1 and, where
// that is enabled, the changes of the load and events that are posted. Nothing else that it serves changes any state.
type Server struct {
	listener  net.Listener
	server    *http.Server
	scheme    string
	webConfig string
	log       *slog.Logger
	ready     atomic.Bool
}

// ServerConfig says where and how to serve.
type ServerConfig struct {
	// Listen is host:port; an empty host means all addresses, port 0 a free one.
	Listen string
	// WebConfigFile is exporter-toolkit's web configuration (TLS, basic
	// authentication); "" means plain HTTP without authentication.
	WebConfigFile string
	Metrics       *Metrics
	// Page serves "/"; it is called for that path alone.
	Page http.Handler
	// Load is what PUT /-/rate, POST /-/pause and POST /-/resume change; nil when
	// they are not enabled, and answer 403.
	Load LoadControl
	// API is what /api/v1 answers from.
	API API
	Log *slog.Logger
}

// NewServer listens. It fails when the address cannot be had or the web
// configuration is wrong.
func NewServer(ctx context.Context, cfg ServerConfig) (*Server, error) {
	if err := CheckWebConfig(cfg.WebConfigFile); err != nil {
		return nil, fmt.Errorf("SOAKD_WEB_CONFIG_FILE %s: %w", cfg.WebConfigFile, err)
	}
	var listen net.ListenConfig
	scheme, err := Scheme(cfg.WebConfigFile)
	if err != nil {
		return nil, err
	}
	listener, err := listen.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("SOAKD_LISTEN %s: %w", cfg.Listen, err)
	}
	s := &Server{listener: listener, scheme: scheme, webConfig: cfg.WebConfigFile, log: cfg.Log}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", cfg.Metrics.Handler())
	mux.Handle("GET /{$}", cfg.Page)
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "soakd is healthy\n") })
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() {
			answer(w, http.StatusServiceUnavailable, "soakd is not ready: it is starting or ending\n")
			return
		}
		answer(w, http.StatusOK, "soakd is ready\n")
	})
	handleLifecycle(mux, cfg.Load)
	if cfg.API.Judgement != nil {
		handleAPI(mux, cfg.API)
	}
	s.server = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the reader has gone: nobody to tell
}

// Handler serves the registry: Prometheus text, OpenMetrics (with exemplars) or
// protobuf (with native histograms), as the scraper asks.
func (m *Metrics) Handler() http.Handler {
	return promhttp.InstrumentMetricHandler(m.registry, promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		ErrorHandling:     promhttp.ContinueOnError,
	}))
}

// Address is where the server listens: host:port.
func (s *Server) Address() string { return s.listener.Addr().String() }

// URL is where a person on this machine finds the server.
func (s *Server) URL() string { return s.scheme + "://" + LocalAddress(s.Address()) }

// CheckWebConfig says what is wrong with a web configuration file; "" means no
// such file.
func CheckWebConfig(webConfigFile string) error {
	if _, err := Scheme(webConfigFile); err != nil {
		return err
	}
	return web.Validate(webConfigFile)
}

// Scheme returns http or https, as the web configuration file says; "" means no
// such file.
func Scheme(webConfigFile string) (string, error) {
	if webConfigFile == "" {
		return "http", nil
	}
	var content struct {
		TLS map[string]any `yaml:"tls_server_config"`
	}
	data, err := os.ReadFile(webConfigFile)
	if err == nil {
		err = yaml.Unmarshal(data, &content)
	}
	if err != nil {
		return "", fmt.Errorf("read the web configuration %s: %w", webConfigFile, err)
	}
	if len(content.TLS) == 0 {
		return "http", nil
	}
	return "https", nil
}

// LocalAddress turns the address of a listener into one that can be connected to
// from this machine: an unspecified host becomes the loopback.
func LocalAddress(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// SetReady says whether /-/ready answers 200.
func (s *Server) SetReady(ready bool) { s.ready.Store(ready) }

// shutdownTime bounds how long answers may still be written once the server ends.
const shutdownTime = 3 * time.Second

// Run serves until ctx ends, then lets the answers under way finish.
func (s *Server) Run(ctx context.Context) error {
	addresses, systemd := []string{s.Address()}, false
	flags := &web.FlagConfig{WebListenAddresses: &addresses, WebSystemdSocket: &systemd, WebConfigFile: &s.webConfig}
	served := make(chan error, 1)
	go func() { served <- web.Serve(s.listener, s.server, flags, quiet(s.log)) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve metrics: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := s.server.Shutdown(stop); err != nil {
		_ = s.server.Close() // a reader that hangs must not keep soakd from ending
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// quiet drops what the web toolkit says on start-up: soakd's banner says it.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(warnings{log.Handler()}) }

type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}
