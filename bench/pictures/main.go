// Command pictures draws the dashboards for docs/: it runs the demo with a few faults
// and a Prometheus beside it, asks Prometheus what the panels ask, draws the answers in
// Grafana's grid with uPlot, and takes pictures with Chromium.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The plotting library, as the npm registry has it.
const (
	library = "uplot@1.6.32"
	archive = "uplot-1.6.32.tgz"
	digest  = "4b8a8191e425658e3ea8c8c1314b0fc679c861ee3a1af2b20c7b16ba50b5133d"
)

type options struct {
	soakd, cache, in, out, doc string
	length                     time.Duration
	width                      int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	flag.StringVar(&o.soakd, "soakd", "bin/soakd", "soakd to run")
	flag.StringVar(&o.cache, "cache", ".cache/pictures", "where the plotting library is kept")
	flag.StringVar(&o.in, "in", "dashboards", "folder with the dashboards")
	flag.StringVar(&o.out, "out", "docs/dashboards", "folder for the pictures")
	flag.StringVar(&o.doc, "doc", "docs/dashboards.md", "document that shows the pictures; empty: none")
	flag.DurationVar(&o.length, "length", 5*time.Minute, "how long the demo runs, at least 1m")
	flag.IntVar(&o.width, "width", 1280, "width of the pictures; 400 is one column, as on a phone")
	flag.Parse()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// missing says what is needed and not there.
func missing() error {
	var errs []error
	for name, get := range map[string]string{"chromium": "apt-get install chromium", "npm": "apt-get install npm", "prometheus": "apt-get install prometheus"} {
		if _, err := exec.LookPath(name); err != nil {
			errs = append(errs, fmt.Errorf("%s is not there: %s", name, get))
		}
	}
	return errors.Join(errs...)
}

func (o *options) run(ctx context.Context) error {
	if err := missing(); err != nil {
		return err
	}
	script, style, err := o.plotting(ctx)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "soakd-pictures-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder) //nolint:errcheck // a temporary folder
	at, end, err := startScene(ctx, o.soakd, folder)
	if err != nil {
		return err
	}
	defer end()
	from := time.Now().Truncate(5 * time.Second)
	if err := at.play(ctx, o.length); err != nil {
		return err
	}
	to := time.Now().Truncate(5 * time.Second)
	step := max(5*time.Second, (to.Sub(from) / 240).Round(time.Second))
	return o.pictures(ctx, &prometheus{url: at.prometheus, from: from, to: to, step: step}, folder, script, style)
}

// pictures draws every dashboard.
func (o *options) pictures(ctx context.Context, p *prometheus, folder, script, style string) error {
	files, err := filepath.Glob(filepath.Join(o.in, "*.json"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil { //nolint:gosec // public documents
		return err
	}
	doc := &strings.Builder{}
	doc.WriteString(docHead)
	note := fmt.Sprintf("%v of the demo, asked of a real Prometheus and drawn with uPlot in Grafana's grid; not a picture of Grafana", p.to.Sub(p.from).Round(time.Second))
	for _, file := range files {
		b, err := readBoard(file)
		if err != nil {
			return err
		}
		drawn, err := p.draw(ctx, b, note)
		if err != nil {
			return err
		}
		text, err := drawn.html(script, style)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		picture, err := o.screenshot(ctx, folder, name, text, o.height(drawn))
		if err != nil {
			return fmt.Errorf("picture of %s: %w", name, err)
		}
		target := filepath.Join(o.out, name+".png")
		if err := os.WriteFile(target, picture, 0o644); err != nil { //nolint:gosec // a public document
			return err
		}
		if err := o.section(doc, b, target); err != nil {
			return err
		}
		fmt.Printf("%s: %d panels, %d KB\n", target, len(drawn.Panels), len(picture)/1000)
	}
	if o.doc == "" {
		return nil
	}
	return os.WriteFile(o.doc, []byte(doc.String()), 0o644) //nolint:gosec // a public document
}

// docHead begins the document.
const docHead = `# Dashboards

Written by ` + "`make pictures`" + `. The pictures are not of Grafana: a program ran the demo with a few faults, asked a real Prometheus what the
panels ask, and drew the answers with uPlot in Grafana's grid. Yellow and orange lines are annotations: drills and findings.
What needs hours of data, such as trends and baselines, has none here.
`

// section shows a dashboard in the document.
func (o *options) section(doc *strings.Builder, b *board, picture string) error {
	if o.doc == "" {
		return nil
	}
	path, err := filepath.Rel(filepath.Dir(o.doc), picture)
	if err != nil {
		return err
	}
	fmt.Fprintf(doc, "\n## %s\n\n%s\n\n![%s](%s)\n\nDrawn from Prometheus' answers, not a picture of Grafana. In Grafana: `/d/%s`.\n", strings.TrimPrefix(b.Title, "soakd / "), b.Description, b.Title, filepath.ToSlash(path), b.UID)
	return nil
}

// rowHeight is that of a row of the grid, in pixels, as in page.html.
const rowHeight = 30

// height is that of a page, in pixels; Chromium draws at most 16384.
func (o *options) height(p *page) int {
	rows, sum := 0, 0
	for i := range p.Panels {
		rows = max(rows, p.Panels[i].Y+p.Panels[i].H)
		sum += p.Panels[i].H
	}
	if o.width < 700 {
		rows = sum
	}
	return min(rows*rowHeight+90, 16000)
}

func (o *options) screenshot(ctx context.Context, folder, name, text string, height int) ([]byte, error) {
	file, shot := filepath.Join(folder, name+".html"), filepath.Join(folder, name+".png")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", //nolint:gosec // own arguments
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+filepath.Join(folder, "chromium-"+name),
		fmt.Sprintf("--window-size=%d,%d", o.width, height), "--hide-scrollbars", "--virtual-time-budget=10000", "--screenshot="+shot, "file://"+file)
	if said, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("chromium: %w: %s", err, said[max(0, len(said)-500):])
	}
	content, err := os.ReadFile(shot)
	if err != nil {
		return nil, err
	}
	return reduced(content)
}

// plotting returns the script and the style sheet of the library, from npm the first time.
func (o *options) plotting(ctx context.Context) (script, style string, err error) {
	file := filepath.Join(o.cache, archive)
	content, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(o.cache, 0o750); err != nil {
			return "", "", err
		}
		if said, err := exec.CommandContext(ctx, "npm", "pack", "--silent", "--pack-destination", o.cache, library).CombinedOutput(); err != nil { //nolint:gosec // own arguments
			return "", "", fmt.Errorf("npm pack %s: %w: %s", library, err, said)
		}
		content, err = os.ReadFile(file)
	}
	if err != nil {
		return "", "", err
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != digest {
		return "", "", fmt.Errorf("%s is not the one that is known: remove it", file)
	}
	return unpack(content)
}

func unpack(content []byte) (script, style string, err error) {
	packed, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return "", "", err
	}
	for files := tar.NewReader(packed); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return script, style, nil
		}
		if err != nil {
			return "", "", err
		}
		if !slices.Contains([]string{"package/dist/uPlot.iife.min.js", "package/dist/uPlot.min.css"}, header.Name) {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(files, 1<<20))
		if err != nil {
			return "", "", err
		}
		if strings.HasSuffix(header.Name, ".js") {
			script = string(text)
		} else {
			style = string(text)
		}
	}
}
