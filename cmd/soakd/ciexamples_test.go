package main

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"soakd/internal/lockedbuffer"
)

// The examples for CI servers are run here, so that they cannot rot: their own steps, with
// the time they take cut short, against the reference API. What is not on this machine
// (docker, apt-get, curl's server, gh) is replaced by a script that leaves behind what the
// real one would.

// example is a folder to run the steps of an example in.
type example struct {
	dir, bin, log string
	environment   map[string]string
	// shorten replaces in the steps what would take minutes or reach out of the folder.
	shorten map[string]string
}

// TestExamplesForCI runs them all against one API.
func TestExamplesForCI(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("the steps of the examples are written for bash")
	}
	b := newBench(t)
	for name, try := range map[string]func(*testing.T, *example){"GitLab": tryGitLab, "GitHub": tryGitHub, "Kubernetes": tryKubernetes} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			try(t, newExample(t, b))
		})
	}
}

func newExample(t *testing.T, b *bench) *example {
	t.Helper()
	built, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	e := &example{dir: t.TempDir(), bin: t.TempDir()}
	e.log = filepath.Join(e.bin, "gh.log")
	copyIt := "cp " + built + ` "$to"` + "\n"
	for name, script := range map[string]string{
		"apt-get": "exit 0\n",
		"curl":    `while [ $# -gt 0 ]; do if [ "$1" = -o ]; then to=$2; fi; shift; done` + "\n" + copyIt,
		"docker":  `case $1 in create) echo 0123abc ;; cp) to=$3; ` + strings.TrimSpace(copyIt) + ` ;; rm) ;; *) exit 1 ;; esac` + "\n",
		"gh":      `echo "$@" >>` + e.log + "\n",
	} {
		if err := os.WriteFile(filepath.Join(e.bin, name), []byte("#!/bin/sh\nset -e\n"+script), 0o700); err != nil { //nolint:gosec // to be run
			t.Fatal(err)
		}
	}
	e.environment = map[string]string{
		"HOME": e.dir, "SOAKD_LISTEN": "127.0.0.1:0", "SOAKD_LAG_LIMIT": "1s", "SOAKD_CPU_LIMIT": "1", // tests run beside this one
		"STAGING_URL": b.services.url(), "JWT_SECRET": b.services.jwtSecret.Value(), "JWT_SECRET_FILE": filepath.Join(e.bin, "jwt_secret"),
	}
	if err := os.WriteFile(e.environment["JWT_SECRET_FILE"], []byte(b.services.jwtSecret.Value()), 0o600); err != nil {
		t.Fatal(err)
	}
	e.shorten = map[string]string{"3m": "5s", "seq 60": "seq 3", "sleep 5": "sleep 0.1", "/usr/local/bin": e.bin}
	return e
}

// run runs one script as a CI server would and returns its exit code and what it wrote.
func (e *example) run(t *testing.T, script string) (code int, output string) {
	t.Helper()
	for _, long := range slices.Sorted(maps.Keys(e.shorten)) {
		script = strings.ReplaceAll(script, long, e.shorten[long])
	}
	cmd := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
	cmd.Dir = e.dir
	for name, value := range e.environment {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, "PATH="+e.environment["PATH"]+e.bin+":"+os.Getenv("PATH"))
	var out lockedbuffer.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// judged asserts that a run took place and left its reports in a folder. Whether a run of
// seconds beside other tests passes says nothing about the examples.
func (e *example) judged(t *testing.T, code int, output, results string) {
	t.Helper()
	if code != exitOK && code != exitFailed && code != exitNotRun || !strings.Contains(output, "soakd") {
		t.Errorf("exit code %d:\n%s", code, output)
	}
	var missing []string
	for _, name := range []string{"report.md", "report.json", "report.html", "junit.xml", "metrics.txt", "metrics.om", "locust_stats.csv"} {
		if info, err := os.Stat(filepath.Join(results, name)); err != nil || info.Size() == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		t.Errorf("no %s; exit code %d:\n%s", strings.Join(missing, ", "), code, output)
	}
}

// decoded reads the documents of a YAML file; keys that the type does not have are errors
// where it is strict.
func decoded[T any](t *testing.T, name string, strict bool) []T {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "ci", name))
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(strict)
	var all []T
	for {
		var one T
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, one)
	}
}

func tryGitLab(t *testing.T, e *example) {
	t.Helper()
	file := decoded[struct {
		Stages []string
		Soak   struct {
			Stage, Image, Timeout string
			ResourceGroup         string `yaml:"resource_group"`
			Variables             map[string]string
			Cache                 struct {
				Key, When string
				Paths     []string
			}
			BeforeScript []string `yaml:"before_script"`
			Script       []string
			Retry        struct {
				Max       int
				ExitCodes int `yaml:"exit_codes"`
			}
			Artifacts struct {
				When     string
				ExpireIn string `yaml:"expire_in"`
				ExposeAs string `yaml:"expose_as"`
				Paths    []string
				Reports  struct{ JUnit, Metrics string }
			}
		}
	}](t, "gitlab-ci.yml", true)
	if len(file) != 1 {
		t.Fatalf("%d documents", len(file))
	}
	job := &file[0].Soak
	if !slices.Contains(file[0].Stages, job.Stage) || job.Artifacts.When != "always" || job.Retry.ExitCodes != exitNotRun {
		t.Errorf("the job is %+v", job)
	}
	built, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	sum, err := exec.CommandContext(t.Context(), "sha256sum", built).Output()
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(e.environment, map[string]string{
		"CI_PROJECT_DIR": e.dir, "CI_COMMIT_SHORT_SHA": "0123abcd", "GATE_BINARY_URL": "https://gitlab.example.org/soakd", "GATE_BINARY_SHA256": strings.Fields(string(sum))[0],
		"SOAKD_JWT_SECRET_FILE": e.environment["JWT_SECRET_FILE"],
	})
	for name, value := range job.Variables {
		e.environment[name] = os.Expand(value, func(name string) string { return e.environment[name] })
	}
	code, output := e.run(t, strings.Join(slices.Concat(job.BeforeScript, job.Script), "\n"))
	e.judged(t, code, output, filepath.Join(e.dir, job.Artifacts.Paths[0]))
	for _, path := range []string{job.Artifacts.Reports.JUnit, job.Artifacts.Reports.Metrics, filepath.Join(job.Cache.Paths[0], "history.db")} {
		if _, err := os.Stat(filepath.Join(e.dir, path)); err != nil {
			t.Error(err)
		}
	}
}

// expression matches what GitHub evaluates.
var expression = regexp.MustCompile(`\$\{\{ (.*?) \}\}`)

func tryGitHub(t *testing.T, e *example) {
	t.Helper()
	type step struct {
		Name, Run, Uses string
		Env, With       map[string]string
	}
	file := decoded[struct {
		Jobs map[string]struct {
			Env   map[string]string
			Steps []step
		}
	}](t, "github-actions.yml", false) // actionlint knows the keys
	known := map[string]string{
		"vars.STAGING_URL": e.environment["STAGING_URL"], "vars.SOAKD_IMAGE": "registry.example.org/soakd@sha256:1", "secrets.JWT_SECRET": e.environment["JWT_SECRET"],
		"github.sha": "0123abcd", "github.workspace": e.dir, "github.token": "token", "github.repository": "o/r", "github.event.pull_request.number": "7",
	}
	set := func(values map[string]string) {
		for name, value := range values {
			e.environment[name] = expression.ReplaceAllStringFunc(value, func(text string) string {
				got, ok := known[expression.FindStringSubmatch(text)[1]]
				if !ok {
					t.Errorf("%s: this test does not know %s", name, text)
				}
				return got
			})
		}
	}
	job := file[0].Jobs["soak"]
	set(job.Env)
	summary, path := filepath.Join(e.bin, "summary.md"), filepath.Join(e.bin, "path")
	maps.Copy(e.environment, map[string]string{"RUNNER_TEMP": filepath.Join(e.dir, "temp"), "GITHUB_PATH": path, "GITHUB_STEP_SUMMARY": summary})
	ran := 0
	for _, s := range job.Steps {
		set(s.Env)
		switch {
		case strings.Contains(s.Run, "${{"):
			t.Errorf("%s: an expression in a script lets its value be run: give it by env", s.Name)
		case s.Run == "":
			if s.Uses == "" {
				t.Errorf("%s does nothing", s.Name)
			}
			continue
		}
		ran++
		code, output := e.run(t, s.Run)
		if strings.Contains(s.Run, "soakd run") {
			e.judged(t, code, output, filepath.Join(e.dir, "results"))
		} else if code != 0 {
			t.Errorf("%s: exit code %d:\n%s", s.Name, code, output)
		}
		if added, err := os.ReadFile(path); err == nil {
			e.environment["PATH"] = strings.ReplaceAll(string(added), "\n", ":")
		}
	}
	if ran != 4 {
		t.Errorf("%d steps ran, want 4", ran)
	}
	for _, name := range []string{summary, filepath.Join(e.dir, ".soakd", "history.db")} {
		if info, err := os.Stat(name); err != nil || info.Size() == 0 {
			t.Errorf("nothing in %s: %v", name, err)
		}
	}
	if said, err := os.ReadFile(e.log); err != nil || !strings.Contains(string(said), "pr comment 7 ") {
		t.Errorf("no comment: %q, %v", said, err)
	}
}

// containerYAML and jobYAML are the part of Kubernetes' types that the example uses: a key
// that is misspelt is an error.
type containerYAML struct {
	Name, Image   string
	Command, Args []string
	Env           []struct{ Name, Value string }
	Termination   string `yaml:"terminationMessagePolicy"`
	Resources     struct{ Requests, Limits map[string]string }
	Security      struct {
		Escalation   *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRoot bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities struct{ Drop []string }
	} `yaml:"securityContext"`
	VolumeMounts []struct {
		Name     string
		Path     string `yaml:"mountPath"`
		ReadOnly bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
}

type jobYAML struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct {
		Name   string
		Labels map[string]string
	}
	Spec struct {
		BackoffLimit *int `yaml:"backoffLimit"`
		Deadline     int  `yaml:"activeDeadlineSeconds"`
		TTL          int  `yaml:"ttlSecondsAfterFinished"`
		Template     struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				RestartPolicy string `yaml:"restartPolicy"`
				Token         *bool  `yaml:"automountServiceAccountToken"`
				Links         *bool  `yaml:"enableServiceLinks"`
				Grace         int    `yaml:"terminationGracePeriodSeconds"`
				Security      struct {
					NonRoot bool                  `yaml:"runAsNonRoot"`
					User    int                   `yaml:"runAsUser"`
					Group   int                   `yaml:"runAsGroup"`
					FSGroup int                   `yaml:"fsGroup"`
					Seccomp struct{ Type string } `yaml:"seccompProfile"`
				} `yaml:"securityContext"`
				Init       []containerYAML `yaml:"initContainers"`
				Containers []containerYAML
				Volumes    []struct {
					Name   string
					Secret struct {
						Name string `yaml:"secretName"`
						Mode int    `yaml:"defaultMode"`
					}
					Claim struct {
						Name string `yaml:"claimName"`
					} `yaml:"persistentVolumeClaim"`
					Empty struct {
						Limit string `yaml:"sizeLimit"`
					} `yaml:"emptyDir"`
				}
			}
		}
		// Those of the claim.
		AccessModes []string `yaml:"accessModes"`
		Resources   struct{ Requests map[string]string }
	}
}

// The Job's container is run as far as a machine without a cluster allows: its arguments
// and variables, with its paths and addresses replaced.
func tryKubernetes(t *testing.T, e *example) {
	t.Helper()
	file := decoded[jobYAML](t, "kubernetes-job.yaml", true)
	if len(file) != 2 || file[0].Kind != "Job" || file[1].Kind != "PersistentVolumeClaim" {
		t.Fatalf("the documents are %+v", file)
	}
	spec := &file[0].Spec
	pod := &spec.Template.Spec
	if spec.BackoffLimit == nil || *spec.BackoffLimit != 0 || spec.Deadline < 300 || pod.RestartPolicy != "Never" || !pod.Security.NonRoot || pod.Links == nil || *pod.Links || pod.Token == nil || *pod.Token {
		t.Errorf("the Job is %+v", spec)
	}
	volumes := map[string]bool{}
	for _, volume := range pod.Volumes {
		volumes[volume.Name] = true
		if name := volume.Claim.Name; name != "" && name != file[1].Metadata.Name {
			t.Errorf("there is no claim %s", name)
		}
	}
	results := filepath.Join(e.dir, "results")
	maps.Copy(e.shorten, map[string]string{
		"/run/soakd/jwt_secret": e.environment["JWT_SECRET_FILE"], "/run/soakd/history_url": filepath.Join(e.bin, "history_url"), "/results": results,
		"http://cashflow.staging.svc:8000": e.environment["STAGING_URL"], "http://pushgateway.monitoring.svc:9091": "http://127.0.0.1:1",
	})
	if err := os.WriteFile(filepath.Join(e.bin, "history_url"), []byte(filepath.Join(e.dir, "history.db")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range slices.Concat(pod.Init, pod.Containers) {
		if c.Security.Escalation == nil || *c.Security.Escalation || !c.Security.ReadOnlyRoot || !slices.Equal(c.Security.Capabilities.Drop, []string{"ALL"}) || c.Resources.Limits["memory"] == "" {
			t.Errorf("%s may do more than it needs: %+v", c.Name, c)
		}
		for _, mount := range c.VolumeMounts {
			if !volumes[mount.Name] {
				t.Errorf("%s: there is no volume %s", c.Name, mount.Name)
			}
		}
	}
	soakd := pod.Containers[0]
	script := ""
	for _, variable := range soakd.Env {
		script += "export " + variable.Name + "='" + variable.Value + "'\n"
	}
	built, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	script += built + " '" + strings.Join(soakd.Args, "' '") + "'\n"
	code, output := e.run(t, script)
	e.judged(t, code, output, results)
	if !strings.Contains(output, "could not be pushed; its result stands") {
		t.Errorf("that there is no Pushgateway is not said:\n%s", output)
	}
}
