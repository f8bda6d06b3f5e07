package report

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"soakd/internal/judge"
	"soakd/internal/judge/finding"
	"soakd/internal/judge/window"
)

// longRun is one of a day with all that the page has to bear at once; the text is put
// wherever a target can put one.
func longRun(text string) *Run {
	r := sampleRun()
	r.Windows, r.Elapsed, r.Duration = nil, 24*time.Hour, 24*time.Hour
	const length = 6 * time.Minute // 240 windows are a day
	for k := range MaxWindows {
		if k >= 100 && k < 106 {
			continue // a gap
		}
		w := &window.Window{Start: sampleStart().Add(time.Duration(k) * length), Length: length, Covered: length, Fit: length, Rate: 50}
		wave := 1 + 0.5*math.Sin(float64(k)/20)
		for c := range 40 {
			typical := time.Duration(wave * float64(2+c*c) * float64(time.Millisecond))
			outcomes := map[string]int64{"ok": 430}
			if k%40 < 3 && c%3 == 0 {
				outcomes["server_error"], outcomes["timeout"] = 40, 20
				typical *= 5
			}
			name := fmt.Sprintf("case_%02d%s", c, text)
			w.Cases = append(w.Cases, window.Case{Name: name, Class: "standard", Outcomes: window.Counts(outcomes), Times: times(8, typical)})
		}
		for s := range 1000 {
			w.Signals = append(w.Signals, gauge("soakd_postgres_backends", fmt.Sprintf("state=\"%03d%s\"", s, text), float64(s)*wave))
		}
		if k%60 < 3 {
			w.Unfit, w.Fit, w.Dropped = []string{"late"}, 0, 3
		}
		r.Windows = append(r.Windows, w)
	}
	r.Points = Points(r.Windows)
	r.Cases = nil
	for c := range 40 {
		name := fmt.Sprintf("case_%02d%s", c, text)
		row := sampleTraffic(r.Windows, func(c *window.Case) bool { return c.Name == name })
		row.Name, row.Class = name, "standard"
		r.Cases = append(r.Cases, row)
	}
	for i := range 200 {
		r.Findings = append(r.Findings, judge.Finding{
			ID: fmt.Sprint("l", i), Kind: finding.Errors, Subject: finding.Subject{Case: fmt.Sprintf("case_%02d%s", i%40, text)}, Onset: r.Start.Add(time.Duration(i) * 7 * time.Minute),
			Ended: r.Start.Add(time.Duration(i)*7*time.Minute + 5*time.Minute), Text: "25 % of its requests failed, 0 % before" + text,
		})
	}
	return r
}

func pageOf(t testing.TB, r *Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestHTMLNeedsNothingElse also writes the pages to a folder to be looked at when HTML_SAMPLES names one.
func TestHTMLNeedsNothingElse(t *testing.T) {
	runs := sampleRuns(t)
	runs["long"], runs["long and hostile"] = longRun(""), longRun(strings.Repeat(hostileText(), 4))
	for name, r := range runs {
		text := pageOf(t, r)
		if folder := os.Getenv("HTML_SAMPLES"); folder != "" {
			if err := os.WriteFile(filepath.Join(folder, name+".html"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if len(text) >= MaxHTML {
			t.Errorf("%s: %d bytes, want less than %d", name, len(text), MaxHTML)
		}
		if !strings.Contains(text, `content="default-src 'none'; style-src 'unsafe-inline'"`) {
			t.Errorf("%s: no content security policy", name)
		}
		if !strings.HasSuffix(strings.TrimSpace(text), "</html>") || strings.Contains(text, "ZgotmplZ") || strings.Contains(text, "NaN") {
			t.Errorf("%s: not whole, or a value that is none", name)
		}
		checkPage(t, name, text)
		t.Logf("%s: %d bytes", name, len(text))
	}
}

// checkPage reads a page as a browser does: no script, nothing from elsewhere, every
// reference leads to something, every chart has a title.
func checkPage(t *testing.T, name, text string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	ids, references := map[string]int{}, map[string]bool{}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "script", "img", "link", "iframe", "object", "embed", "base", "form", "image", "use":
			t.Errorf("%s: <%s> in the page", name, n.Data)
		case "svg":
			if attribute(n, "role") == "img" && attribute(n, "aria-labelledby")+attribute(n, "aria-label") == "" {
				t.Errorf("%s: a chart without a title", name)
			}
		case "th":
			if attribute(n, "scope") == "" {
				t.Errorf("%s: a heading of a table without its scope", name)
			}
		}
		for _, a := range n.Attr {
			switch {
			case a.Key == "id":
				ids[a.Val]++
			case a.Key == "href":
				references[a.Val] = true
			case a.Key == "aria-labelledby":
				for _, id := range strings.Fields(a.Val) {
					references["#"+id] = true
				}
			case strings.HasPrefix(a.Key, "on"), a.Key == "src", a.Key == "srcset":
				t.Errorf("%s: %s=%q in <%s>", name, a.Key, a.Val, n.Data)
			}
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%s: the id %q is there %d times", name, id, n)
		}
	}
	for ref := range references {
		if !strings.HasPrefix(ref, "#") || ids[ref[1:]] == 0 {
			t.Errorf("%s: %q leads nowhere in the page", name, ref)
		}
	}
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func TestHTMLSaysWhatARunCameTo(t *testing.T) {
	failed := pageOf(t, sampleRun())
	for _, want := range []string{
		"Failed: http://api.test:8000", "error_rate&lt;=1%", "9025 scheduled = 9000 sent", "25 dropped", "pool exhausted", "×350 (90 to 1300)", "status 500, expected [200]",
		"curl -sS -X POST", "≥", "class=\"hatch\"", "leaks: a run of 3 minutes is too short", "connection refused", "Redis: hit ratio", "near its start", "moved with it", "<li>a note on what this run rests on</li>",
	} {
		if want == "pool exhausted" {
			want = "pool exhausted"
		}
		if !strings.Contains(failed, want) {
			t.Errorf("the page of a run that failed lacks %q", want)
		}
	}
	if foreign := pageOf(t, foreignRun()); !strings.Contains(foreign, "measured by locust 2.12.1") || strings.Contains(foreign, "soakd itself") || strings.Contains(foreign, `id="heatmap"`) {
		t.Error("the page of another tool's run says too little or too much")
	}
	if strings.Contains(pageOf(t, passedRun()), "class=\"hatch\"") {
		t.Error("a run that was fit all the time has hatched windows")
	}
}

func TestHTMLTellsItsErrors(t *testing.T) {
	if err := HTML(failingWriter{}, passedRun()); !errors.Is(err, errFull) {
		t.Errorf("%v, want %v", err, errFull)
	}
}

var errFull = errors.New("no space left")

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errFull }

func TestLinesBreakWhereNothingIsKnown(t *testing.T) {
	start := sampleStart()
	var points []Point
	for _, k := range []int{0, 1, 2, 5, 6, 7} { // two are missing
		points = append(points, Point{Start: start.Add(time.Duration(k) * 10 * time.Second), Length: 10 * time.Second})
	}
	f := newFrame(&Run{Start: start, Elapsed: 80 * time.Second}, points, chartWidth, chartHeight)
	values := []float64{1, 2, 3, 4, math.NaN(), 5}
	d := f.line(points, linear(5), func(i int) float64 { return values[i] })
	if got := strings.Count(d, "M"); got != 3 {
		t.Errorf("%s: %d pieces, want 3", d, got)
	}
	if got := strings.Count(d, "m-1.5 0h3"); got != 2 {
		t.Errorf("%s: %d dots, want 2", d, got)
	}
}

func TestScales(t *testing.T) {
	for _, one := range []struct {
		s    scale
		want []float64
	}{
		{linear(0), []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{linear(50), []float64{0, 10, 20, 30, 40, 50}},
		{linear(51), []float64{0, 20, 40, 60}},
		{logarithmic(0.003, 0.04), []float64{0.002, 0.005, 0.01, 0.02, 0.05}},
		{logarithmic(0.001, 10), []float64{0.001, 0.01, 0.1, 1, 10}},
	} {
		ok := len(one.s.ticks) == len(one.want)
		for i := 0; ok && i < len(one.want); i++ {
			ok = math.Abs(one.s.ticks[i]-one.want[i]) < 1e-9
		}
		if !ok || one.s.share(one.s.low) != 0 || one.s.share(one.s.high) != 1 {
			t.Errorf("%v from %g to %g, want %v", one.s.ticks, one.s.low, one.s.high, one.want)
		}
	}
}

func TestHeatmapPutsTimesWhereTheyBelong(t *testing.T) {
	w := sampleWindow(0, false)
	w.Cases = w.Cases[:1]
	w.Cases[0].Times = times(1, 100*time.Millisecond)
	schema, counts, first, last := heatCounts([]*window.Window{w})
	base := math.Pow(2, math.Pow(2, float64(-schema)))
	if first != last || counts[0][first] != 1 {
		t.Fatalf("buckets %d to %d", first, last)
	}
	if low, high := bucketStart(first, base), bucketStart(first+1, base); low >= 0.1 || high < 0.1 {
		t.Errorf("100 ms lie in %g to %g s", low, high)
	}
}

// TestColoursCanBeRead holds the page's colours of text to WCAG 2.1 (2018), 1.4.3: a
// contrast of at least 4.5 to 1, in both themes.
func TestColoursCanBeRead(t *testing.T) {
	themes := strings.SplitN(htmlText, "prefers-color-scheme: dark", 2)
	if len(themes) != 2 {
		t.Fatal("the page has no dark theme")
	}
	for theme, css := range themes {
		colour := func(name string) float64 {
			_, rest, found := strings.Cut(css, "--"+name+": #")
			digits, _, _ := strings.Cut(rest, ";")
			if !found {
				t.Fatalf("theme %d has no colour %s", theme, name)
			}
			return luminance(t, digits)
		}
		for _, text := range []string{"fg", "dim", "bad", "good", "open", "c1", "c2", "c3", "c4", "c5", "c6"} {
			for _, ground := range []string{"bg", "card"} {
				x, y := colour(text), colour(ground)
				if contrast := (max(x, y) + 0.05) / (min(x, y) + 0.05); contrast < 4.5 {
					t.Errorf("theme %d: %s on %s has a contrast of %.2f", theme, text, ground, contrast)
				}
			}
		}
	}
}

// luminance is the relative luminance of a colour in hexadecimal, by WCAG 2.1.
func luminance(t *testing.T, digits string) float64 {
	t.Helper()
	if len(digits) == 3 {
		digits = strings.Repeat(digits[:1], 2) + strings.Repeat(digits[1:2], 2) + strings.Repeat(digits[2:], 2)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(digits[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			sum += weight * c / 12.92
			continue
		}
		sum += weight * math.Pow((c+0.055)/1.055, 2.4)
	}
	return sum
}

func TestSignalsThatWereNotReadAreGaps(t *testing.T) {
	r := passedRun()
	const name = "soakd_redis_keyspace_hit_ratio"
	for k, w := range r.Windows {
		if k >= 5 && k < 8 {
			w.Signals = slices.DeleteFunc(w.Signals, func(s window.Signal) bool { return s.Name == name })
		}
		if k == 10 {
			w.Signals = append(w.Signals, window.Signal{Name: "soakd_redis_zz"}) // never read
		}
	}
	list := seriesOf(r.Windows, []string{name})
	if len(list) != 1 {
		t.Fatalf("%d series, want 1", len(list))
	}
	for k, v := range list[0].values {
		if unread := k >= 5 && k < 8; math.IsNaN(v) != unread || (!unread && math.Abs(v-0.9) > 1e-9) {
			t.Errorf("window %d: %g", k, v)
		}
	}
	if got := seriesOf(r.Windows, []string{"soakd_redis_zz"}); len(got) != 0 {
		t.Errorf("a signal without values became %v", got)
	}
}
