package refapi

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"soakd/internal/lockedbuffer"
)

// asProgram has the test binary be the API; any text.
const asProgram = "REFAPI_TEST_AS_PROGRAM"

// program is a main of the API.
func program() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := Main(ctx, os.Getenv, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// startProgram runs the API as a process of its own, on a socket that it inherits.
func startProgram(t *testing.T, more ...string) (c *client, logs *lockedbuffer.Buffer, pid int) {
	t.Helper()
	s := running(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	logs = new(lockedbuffer.Buffer)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), asProgram+"=1", "REFAPI_LISTEN=fd:3", "REFAPI_POSTGRES_URL="+s.postgres.URL().Value(),
		"REFAPI_REDIS_URL="+s.redis.URL().Value(), "REFAPI_JWT_SECRET="+testKey, "REFAPI_ADMIN_TOKEN="+adminToken), more...)
	cmd.ExtraFiles, cmd.Stderr, cmd.Stdout = []*os.File{socket}, logs, logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := socket.Close(); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the process ended: %v\n%s", err, logs.String())
		}
	})
	return &client{
		t: t, url: "http://" + address, user: "user-" + uuid.NewString(),
		http: &http.Client{Transport: transport, Timeout: 30 * time.Second},
	}, logs, cmd.Process.Pid
}

// started is when the process that answers began, in seconds; 0 when none does now.
func (c *client) started() float64 {
	patient := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answered, err := patient.Get(c.url + "/metrics")
	if err != nil {
		return 0
	}
	defer answered.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(answered.Body)
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "\nprocess_start_time_seconds ")
	line, _, _ := strings.Cut(rest, "\n")
	start, err := strconv.ParseFloat(line, 64)
	if err != nil {
		return 0
	}
	return start
}

// noMoreRestarts switches the fault off, in whichever process.
func (c *client) noMoreRestarts() {
	c.t.Helper()
	eventually(c.t, "the restarts are over", func() bool {
		answered, err := c.http.Do(c.request("DELETE", adminPath+"faults/restart", "", func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+adminToken)
		}))
		return err == nil && answered.Body.Close() == nil && answered.StatusCode == http.StatusOK && c.started() > 0
	})
}

func TestRestart(t *testing.T) {
	const cpu = "process_cpu_seconds_total"
	c, logs, pid := startProgram(t, "REFAPI_FAULT_LATENCY=2ms", "REFAPI_VERSION=v1")
	c.admin("PUT", adminPath+"version", `{"version":"v2"}`, nil).is(200)
	c.on("goroutine_leak", `{"per_second":20,"for":"1h"}`)
	c.forecast(body(t))
	first := c.started()
	if elapsed := time.Since(time.UnixMilli(int64(first * 1e3))); elapsed < 0 || elapsed > time.Minute {
		t.Errorf("started %v ago", elapsed)
	}
	// What hangs is lost in a crash.
	c.on("hang", `{"route":"scenarios"}`)
	lost := make(chan error, 1)
	hung := c.request("GET", listPath, "", nil)
	go func() {
		answered, err := c.http.Do(hung)
		if err == nil {
			err = answered.Body.Close()
			t.Errorf("a request that hung was answered with %s", answered.Status)
		}
		lost <- err
	}()
	eventually(t, "a request hangs", func() bool { return c.metric("http_requests_in_flight") == 1 })
	before := c.metric(cpu)
	c.on("restart", `{"every":"300ms"}`)
	if err := <-lost; err == nil {
		t.Error("a request survived a crash")
	}
	second := first
	eventually(t, "it serves again", func() bool { second = c.started(); return second > first })
	eventually(t, "it restarts again", func() bool { return c.started() > second })
	c.noMoreRestarts()
	if got := c.metric(`app_info{version="v2"}`); got != 1 {
		t.Errorf("the version is not carried on: %v", got)
	}
	if used := c.metric(cpu); used > before && used > 5 {
		t.Errorf("%v s of CPU time, %v before the restart", used, before)
	}
	if got := c.metric(`http_requests_total{code="200",method="POST",route="/api/v1/cashflow/forecast"}`); got != -1 {
		t.Errorf("%v requests are counted from before", got)
	}
	var told []state
	c.admin("GET", adminPath+"faults", "", nil).is(200).into(&told)
	for _, one := range told {
		carried := one.Name == "goroutine_leak" || one.Name == "hang" || one.Name == "slow_endpoint"
		if one.On != carried {
			t.Errorf("%s after the restarts: %+v", one.Name, one)
		}
		if one.Name == "goroutine_leak" && (one.Until == nil || time.Until(*one.Until) > time.Hour || one.Parameters["per_second"] != 20.0) {
			t.Errorf("carried on: %+v", one)
		}
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("process %d is gone: %v", pid, err)
	}
	if t.Failed() {
		t.Log(logs.String())
	}
}

// A graceful restart answers what is running.
func TestGracefulRestart(t *testing.T) {
	c, logs, _ := startProgram(t)
	first := c.started()
	c.on("slow_endpoint", `{"route":"scenarios","factor":1,"add":"1s"}`)
	c.on("restart", `{"every":"500ms","graceful":true}`)
	c.get(listPath).is(200) // which is running when the restart comes
	eventually(t, "it has restarted", func() bool { return c.started() > first })
	c.noMoreRestarts()
	if t.Failed() {
		t.Log(logs.String())
	}
}
