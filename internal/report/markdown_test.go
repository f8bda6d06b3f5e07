package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"
	nethtml "golang.org/x/net/html"
)

func markdownOf(t *testing.T, r *Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := Markdown(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// rendered is the text as GitHub's flavour makes HTML of it, with raw HTML let through.
func rendered(t *testing.T, text string) *nethtml.Node {
	t.Helper()
	var b bytes.Buffer
	if err := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(html.WithUnsafe())).Convert([]byte(text), &b); err != nil {
		t.Fatal(err)
	}
	root, err := nethtml.Parse(&b)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// elements counts the elements by name, and collects what cells and code say.
func elements(root *nethtml.Node) (counts map[string]int, texts map[string][]string) {
	counts, texts = map[string]int{}, map[string][]string{}
	for n := range root.Descendants() {
		if n.Type != nethtml.ElementNode {
			continue
		}
		counts[n.Data]++
		var text strings.Builder
		for child := range n.Descendants() {
			if child.Type == nethtml.TextNode {
				text.WriteString(child.Data)
			}
		}
		texts[n.Data] = append(texts[n.Data], text.String())
	}
	return counts, texts
}

func TestMarkdownOfEveryRunRenders(t *testing.T) {
	allowed := regexp.MustCompile(`^(html|head|body|h[23]|p|ul|li|table|thead|tbody|tr|t[hd]|details|summary|pre|code|strong)$`)
	for name, r := range sampleRuns(t) {
		text := markdownOf(t, r)
		if len(text) > maxMarkdown || !utf8.ValidString(text) {
			t.Errorf("%s: %d bytes", name, len(text))
		}
		counts, _ := elements(rendered(t, text))
		for element := range counts {
			if !allowed.MatchString(element) {
				t.Errorf("%s: it renders to <%s>", name, element)
			}
		}
		if counts["details"] != strings.Count(text, "\n<details>") || counts["h2"] != 1 {
			t.Errorf("%s: %v", name, counts)
		}
	}
}

func TestMarkdownSaysWhatMatters(t *testing.T) {
	text := markdownOf(t, sampleRun())
	if first, _, _ := strings.Cut(text, "\n"); !strings.HasPrefix(first, "## soakd ❌ failed: ") {
		t.Errorf("first line %q", first)
	}
	counts, texts := elements(rendered(t, text))
	if counts["table"] != 3 || counts["details"] != 4 {
		t.Errorf("%v", counts)
	}
	cells := strings.Join(texts["td"], "\n")
	for _, want := range []string{
		"error_rate<=1%\nrun\n3.5 %\n1 %\n", "p99{class=monte_carlo}<=5s\nworst window\n6.2s\n5s\n", "all\n9000\n", "\nforecast\nerror ratio\n×350 (90 to 1.3e+03)\n",
	} {
		if !strings.Contains(cells, want) {
			t.Errorf("no cells %q in\n%s", want, cells)
		}
	}
	if !strings.HasPrefix(cells, "❌\nerror_rate") || strings.Index(cells, "p95<=300ms") < strings.Index(cells, "p99.9{case=history}") {
		t.Error("what was missed does not come first")
	}
	code := strings.Join(texts["code"], "\n")
	if want := `curl -sS -X POST 'http://api.test:8000/api/v1/forecast' -H "Authorization: Bearer $TOKEN" --data '{"months":12}'`; !strings.Contains(code, want) {
		t.Errorf("no %q in %q", want, code)
	}
	if want := "Notes:\n\n- a note on what this run rests on\n"; !strings.Contains(text, want) {
		t.Errorf("no %q", want)
	}
	if want := "Arrivals: 9025 scheduled = 9000 sent + 0 waiting + 25 dropped."; !strings.Contains(text, want) {
		t.Errorf("no %q", want)
	}
	if passed := markdownOf(t, passedRun()); !strings.HasPrefix(passed, "## soakd ✅ passed") {
		t.Error(passed[:60])
	}
	if unknown := markdownOf(t, unknownRun()); !strings.HasPrefix(unknown, "## soakd ⚠️ not judged") || !strings.Contains(unknown, "interrupted after 40s of 3m0s") {
		t.Error(unknown[:200])
	}
}

// TestHostileTextStaysText: no element, link, mention or cell comes of it.
func TestHostileTextStaysText(t *testing.T) {
	bad := hostileText()
	text := "| a | b |\n|---|---|\n| " + plain(bad, 1000) + " | x |\n"
	counts, texts := elements(rendered(t, text))
	if counts["td"] != 2 || counts["a"]+counts["img"]+counts["script"]+counts["code"]+counts["em"] != 0 {
		t.Errorf("%v", counts)
	}
	if got, want := strings.ReplaceAll(texts["td"][0], "\u200b", ""), oneLine(bad); got != want {
		t.Errorf("it reads\n%q\nand not\n%q", got, want)
	}
	for _, linked := range []string{"@everyone", "#1", "http://"} {
		if strings.Contains(strings.Join(texts["td"], ""), linked) {
			t.Errorf("a reader can make a link of %s", linked)
		}
	}
	p := &page{limit: 10_000}
	p.details(bad, fenced(clean("```\n"+bad+"\n````\n</details><script>")))
	counts, texts = elements(rendered(t, p.text.String()))
	if counts["script"]+counts["img"]+counts["a"] != 0 || counts["details"] != 1 || counts["pre"] != 1 || !strings.Contains(texts["summary"][0], "<script>") {
		t.Errorf("%v %q", counts, p.text.String())
	}
}

func TestPlainReadsAsItWas(t *testing.T) {
	for _, s := range []string{"a_b*c*", "1. x", "- x", "~~x~~", "$x$", "p95{class=a}<=300ms", `c:\x\y`, "&amp;", "&#39;", "a | b", "ä ✓", "www.evil.test", "x@y.test", "<a@b.test>", "[x]: http://y", "!", "+ x", "===", "***"} {
		_, texts := elements(rendered(t, "x "+plain(s, 100)+"\n"))
		if got := strings.TrimSpace(strings.ReplaceAll(strings.Join(texts["p"], ""), "\u200b", "")); got != "x "+s {
			t.Errorf("%q reads %q", s, got)
		}
	}
}

func TestMarkdownSaysWhatItLeavesOut(t *testing.T) {
	text := markdownOf(t, hostileRun())
	for _, want := range []string{"and 187 more in report.json", "and 44 more in report.json"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text[:min(len(text), 3000)])
		}
	}
	for limit := range 200 {
		if got := markdown(hostileRun0(), 300*limit); len(got) > 300*limit {
			t.Fatalf("%d bytes, %d at most", len(got), 300*limit)
		}
	}
}

// hostileRun0 is a smaller one, to be written often.
func hostileRun0() *Run {
	r := sampleRun()
	r.Target = hostileText()
	return r
}

func TestSummaryIsAppended(t *testing.T) {
	if err := Summary(func(string) string { return "" }, sampleRun()); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "summary.md")
	env := func(name string) string {
		if name != "GITHUB_STEP_SUMMARY" {
			t.Errorf("it asks for %s", name)
		}
		return file
	}
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Summary(env, sampleRun()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(data), "before\n## soakd ❌ failed") {
		t.Errorf("%.80q %v", data, err)
	}
	for _, size := range []int{maxSummary - 30_000, maxSummary - 3000, maxSummary - 5, maxSummary, maxSummary + 10} {
		if err := os.WriteFile(file, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		err := Summary(env, hostileRun())
		info, statErr := os.Stat(file)
		if statErr != nil || info.Size() > int64(max(maxSummary, size)) || info.Size() < int64(size) {
			t.Errorf("%d bytes became %d", size, info.Size())
		}
		if full := size > maxSummary-100; full != (err != nil) {
			t.Errorf("after %d bytes: %v", size, err)
		}
		if err != nil && !strings.Contains(fmt.Sprint(err), "1 MiB") {
			t.Error(err)
		}
	}
}
