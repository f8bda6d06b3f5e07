package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// job is what a tool has to do in a run.
type job struct {
	// rate is arrivals a second; 0 means as fast as the connections allow.
	rate        float64
	connections int
	duration    time.Duration
	// tick is soakd's low-CPU setting; 0 is off.
	tick time.Duration
	// cashflow lets soakd send its own workload to the reference API.
	cashflow bool
	// capped limits vegeta's workers to the connections; by default it has no limit.
	capped bool
	// discard lets vegeta read answers without keeping them; by default it keeps
	// their bodies, and writes them with its results.
	discard bool
}

// due is how many arrivals a paced job has.
func (j job) due() int { return int(j.rate*j.duration.Seconds() + 0.5) }

// place is where a run takes place.
type place struct {
	// url is the target, key what tokens for the reference API are minted from.
	url, key string
	// body is the file with the request's body, scratch an empty folder.
	body, scratch string
}

// command is what is run.
type command struct{ args, env []string }

// claim is what a tool says about its run.
type claim struct {
	Requests int64 `json:"requests"`
	Errors   int64 `json:"errors"`
	Dropped  int64 `json:"dropped"`
	times
	// SendP50 and so on are soakd's times from the send; its others run from the
	// due time.
	SendP50  float64 `json:"send_p50"`
	SendP99  float64 `json:"send_p99"`
	SendP999 float64 `json:"send_p999"`
	LagP99   float64 `json:"lag_p99"`
}

// fromSend returns the times that compare with what the target took.
func (c claim) fromSend() times {
	if c.SendP50 > 0 {
		return times{P50: c.SendP50, P99: c.SendP99, P999: c.SendP999}
	}
	return c.times
}

// tool is a program that sends.
type tool struct {
	name string
	// find returns the program, or says why there is none.
	find func() (string, error)
	// version are the arguments with which it prints its version; debian is the
	// package that it may have come with.
	version []string
	debian  string
	command func(program string, p place, j job) (command, error)
	// parse reads what the tool saw, from its output or from files in the folder.
	parse func(program string, p place, stdout []byte) (claim, error)
}

// tools lists every tool by its name. bin holds the benchmark's own programs,
// peers the pinned ones.
func tools(bin, peers string) map[string]tool {
	list := []tool{
		{name: "soakd", find: built(bin, "driver"), command: driverCommand, parse: lastJSON},
		{name: "bare fasthttp", find: built(bin, "bare"), command: bareCommand("fasthttp"), parse: lastJSON},
		{name: "bare net/http", find: built(bin, "bare"), command: bareCommand("nethttp"), parse: lastJSON},
		{name: "wrk", find: onPath("wrk", "apt-get install wrk"), version: []string{"-v"}, debian: "wrk", command: wrkCommand, parse: lastJSON},
		{name: "bombardier", find: built(peers, "bombardier"), command: bombardierCommand, parse: parseBombardier},
		{name: "fortio", find: built(peers, "fortio"), command: fortioCommand, parse: parseFortio},
		{name: "vegeta", find: built(peers, "vegeta"), command: vegetaCommand, parse: parseVegeta},
		{name: "k6", find: onPath("k6", "it is not installed by this benchmark"), version: []string{"version"}, command: k6Command, parse: parseK6},
		{name: "Locust FastHttpUser", find: onPath("locust", "apt-get install python3-locust"), version: []string{"-V"}, debian: "python3-locust", command: locustCommand("Fast"), parse: parseLocust},
		{name: "Locust HttpUser", find: onPath("locust", "apt-get install python3-locust"), version: []string{"-V"}, debian: "python3-locust", command: locustCommand("Plain"), parse: parseLocust},
	}
	byName := make(map[string]tool, len(list))
	for _, t := range list {
		byName[t.name] = t
	}
	return byName
}

// built finds a program that `make bench-peers` builds.
func built(folder, name string) func() (string, error) {
	return func() (string, error) {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%s is not built: run `make bench-peers`", path)
		}
		return path, nil
	}
}

// onPath finds an installed program.
func onPath(name, how string) func() (string, error) {
	return func() (string, error) {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("no %s on PATH (%s)", name, how)
		}
		return path, nil
	}
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func driverCommand(program string, p place, j job) (command, error) {
	args := []string{program, "-url", p.url, "-duration", j.duration.String(), "-connections", strconv.Itoa(j.connections)}
	if j.rate > 0 {
		args = append(args, "-rate", decimal(j.rate), "-tick", j.tick.String())
	} else {
		args = append(args, "-users", strconv.Itoa(j.connections))
	}
	if j.cashflow {
		return command{args: append(args, "-workload", "cashflow"), env: []string{"BENCH_JWT_SECRET=" + p.key}}, nil
	}
	return command{args: append(args, "-body", p.body)}, nil
}

func bareCommand(client string) func(string, place, job) (command, error) {
	return func(program string, p place, j job) (command, error) {
		return command{args: []string{
			program, "-client", client, "-url", p.url + "/bench", "-body", p.body, "-duration", j.duration.String(),
			"-workers", strconv.Itoa(j.connections), "-rate", decimal(j.rate),
		}}, nil
	}
}

func wrkCommand(program string, p place, j job) (command, error) {
	script, err := writeScript(p, "post.lua")
	return command{
		args: []string{program, "-t1", "-c" + strconv.Itoa(j.connections), "-d" + wholeSeconds(j), "-s", script, p.url + "/bench"},
		env:  []string{"BENCH_BODY=" + p.body},
	}, err
}

// wholeSeconds is the duration for tools that know whole seconds only.
func wholeSeconds(j job) string { return strconv.Itoa(int(j.duration.Seconds()+0.5)) + "s" }

func bombardierCommand(program string, p place, j job) (command, error) {
	return command{args: []string{
		program, "-c", strconv.Itoa(j.connections), "-d", j.duration.String(), "-l", "-p", "r", "-o", "json", "-t", "10s",
		"-m", "POST", "-H", "Content-Type: application/json", "-f", p.body, p.url + "/bench",
	}}, nil
}

func fortioCommand(program string, p place, j job) (command, error) {
	args := []string{
		program, "load", "-quiet", "-json", filepath.Join(p.scratch, "fortio.json"), "-c", strconv.Itoa(j.connections), "-t", j.duration.String(),
		"-qps", decimal(j.rate), "-p", "50,95,99,99.9", "-r", "0.00001", "-timeout", "10s", "-allow-initial-errors",
		"-content-type", "application/json", "-payload-file", p.body,
	}
	if j.rate > 0 {
		// Without it all connections send at the same moment.
		args = append(args, "-uniform")
	}
	return command{args: append(args, p.url+"/bench")}, nil
}

func vegetaCommand(program string, p place, j job) (command, error) {
	targets := filepath.Join(p.scratch, "targets")
	text := fmt.Sprintf("POST %s/bench\nContent-Type: application/json\n@%s\n", p.url, p.body)
	if err := os.WriteFile(targets, []byte(text), 0o600); err != nil {
		return command{}, fmt.Errorf("write vegeta's targets: %w", err)
	}
	args := []string{
		program, "attack", "-targets", targets, "-output", filepath.Join(p.scratch, "vegeta.bin"), "-duration", j.duration.String(),
		"-rate", decimal(j.rate), "-timeout", "10s",
	}
	if j.discard {
		args = append(args, "-max-body", "0")
	}
	connections := strconv.Itoa(j.connections)
	if j.capped || j.rate == 0 {
		args = append(args, "-max-workers", connections, "-connections", connections)
	}
	if j.rate == 0 {
		args = append(args, "-workers", connections) // at a rate it adds workers as it needs them
	}
	return command{args: args}, nil
}

func k6Command(program string, p place, j job) (command, error) {
	script, err := writeScript(p, "k6.js")
	env := []string{
		"BENCH_BODY=" + p.body, "BENCH_URL=" + p.url + "/bench", "BENCH_CONNECTIONS=" + strconv.Itoa(j.connections),
		"BENCH_DURATION=" + j.duration.String(), "BENCH_OUT=" + filepath.Join(p.scratch, "k6.json"),
	}
	if j.rate > 0 {
		env = append(env, "BENCH_RATE="+decimal(j.rate))
	}
	return command{args: []string{program, "run", "--quiet", "--no-usage-report", script}, env: env}, err
}

func locustCommand(user string) func(string, place, job) (command, error) {
	return func(program string, p place, j job) (command, error) {
		script, err := writeScript(p, "locustfile.py")
		users := strconv.Itoa(j.connections)
		return command{
			args: []string{
				program, "-f", script, "--headless", "--only-summary", "-u", users, "-r", users, "-t", wholeSeconds(j),
				"--host", p.url, user,
			},
			env: []string{"BENCH_BODY=" + p.body, "BENCH_OUT=" + filepath.Join(p.scratch, "locust.json")},
		}, err
	}
}
