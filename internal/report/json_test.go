package report

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"soakd/internal/histogram"
	"soakd/internal/judge/threshold"
)

func written(t testing.TB, r *Run) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := JSON(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// publishedSchema is the schema as a validator of JSON Schema takes it.
func publishedSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	if err = c.AddResource(SchemaID, document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func validate(t testing.TB, schema *jsonschema.Schema, data []byte) error {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(document)
}

func TestSchemaIsPublished(t *testing.T) {
	published, err := os.ReadFile(filepath.Join("..", "..", "docs", "schema", "report.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	if string(published) != Schema() {
		t.Error("docs/schema/report.schema.json is not the schema: cp internal/report/report.schema.json docs/schema/")
	}
}

func TestReportsHaveThePublishedForm(t *testing.T) {
	schema := publishedSchema(t)
	for name, r := range sampleRuns(t) {
		if err := validate(t, schema, written(t, r)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemaRefusesOtherForms(t *testing.T) {
	schema := publishedSchema(t)
	for name, spoil := range map[string]func(map[string]any){
		"an unknown field":     func(d map[string]any) { d["surprise"] = 1 },
		"no conclusion":        func(d map[string]any) { delete(d, "conclusion") },
		"another version":      func(d map[string]any) { d["schema"] = "urn:soakd:report:v2" },
		"a result of its own":  func(d map[string]any) { d["conclusion"].(map[string]any)["result"] = "fine" },
		"text for a number":    func(d map[string]any) { d["elapsed_seconds"] = "3m" },
		"a time below 0":       func(d map[string]any) { d["duration_seconds"] = -1 },
		"no moment":            func(d map[string]any) { d["start"] = "yesterday" },
		"a count with a point": func(d map[string]any) { d["all"].(map[string]any)["requests"] = 1.5 },
		"a wrong quantile": func(d map[string]any) {
			d["all"].(map[string]any)["response_time"].(map[string]any)["quantiles_seconds"].(map[string]any)["median"] = 1
		},
	} {
		var d map[string]any
		if err := json.Unmarshal(written(t, passedRun()), &d); err != nil {
			t.Fatal(err)
		}
		spoil(d)
		data, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if validate(t, schema, data) == nil {
			t.Errorf("the schema takes %s", name)
		}
	}
}

// TestSchemaHasEveryField compares the schema with the types, field by field.
func TestSchemaHasEveryField(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal([]byte(Schema()), &root); err != nil {
		t.Fatal(err)
	}
	sameFields(t, "report", reflect.TypeFor[runDocument](), root, root["$defs"].(map[string]any), map[reflect.Type]bool{})
}

func sameFields(t *testing.T, where string, kind reflect.Type, schema, defs map[string]any, seen map[reflect.Type]bool) {
	t.Helper()
	for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice {
		if kind.Kind() == reflect.Slice {
			items, ok := schema["items"].(map[string]any)
			if !ok {
				return // bytes
			}
			schema = items
		}
		kind = kind.Elem()
	}
	if target, ok := schema["$ref"].(string); ok {
		schema = defs[strings.TrimPrefix(target, "#/$defs/")].(map[string]any)
	}
	if kind.Kind() != reflect.Struct || kind == reflect.TypeFor[time.Time]() || seen[kind] {
		return
	}
	seen[kind] = true
	properties, _ := schema["properties"].(map[string]any)
	if schema["additionalProperties"] != false {
		t.Errorf("%s: the schema allows other fields", where)
	}
	var names, required []string
	for field := range kind.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || name == "-" {
			continue
		}
		names = append(names, name)
		if !strings.HasPrefix(options, "omit") {
			required = append(required, name)
		}
		property, ok := properties[name].(map[string]any)
		if !ok {
			t.Errorf("%s.%s is not in the schema", where, name)
			continue
		}
		if text, _ := property["description"].(string); text == "" && property["$ref"] == nil {
			t.Errorf("%s.%s is not described", where, name)
		}
		sameFields(t, where+"."+name, field.Type, property, defs, seen)
	}
	var want []string
	for _, name := range schema["required"].([]any) {
		want = append(want, name.(string))
	}
	slices.Sort(required)
	slices.Sort(want)
	if !slices.Equal(required, want) {
		t.Errorf("%s: always there are %q, required by the schema %q", where, required, want)
	}
	for name := range properties {
		if !slices.Contains(names, name) {
			t.Errorf("%s.%s is in the schema alone", where, name)
		}
	}
}

func TestReportIsReadBack(t *testing.T) {
	for name, r := range sampleRuns(t) {
		if name == "hostile" {
			continue // its text is not valid UTF-8, which JSON cannot hold
		}
		data := written(t, r)
		back, err := ReadJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again := written(t, back); !bytes.Equal(data, again) {
			t.Errorf("%s: written again it is another report:\n%s", name, firstDifference(data, again))
		}
		sameRun(t, name, r, back)
	}
}

func firstDifference(a, b []byte) string {
	x, y := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(x), len(y)) {
		if !bytes.Equal(x[i], y[i]) {
			return string(x[i][:min(len(x[i]), 200)]) + "\n" + string(y[i][:min(len(y[i]), 200)])
		}
	}
	return "one is longer"
}

// sameRun compares what is read back with what was written, as values.
func sameRun(t *testing.T, name string, want, got *Run) {
	t.Helper()
	for what, pair := range map[string][2]any{
		"thresholds": {want.Thresholds, got.Thresholds}, "points": {want.Points, got.Points}, "examples": {want.Examples, got.Examples},
		"verdict": {want.Verdict, got.Verdict}, "comparison": {want.Comparison, got.Comparison}, "elapsed": {want.Elapsed, got.Elapsed}, "start": {want.Start, got.Start},
	} {
		if len(want.Thresholds) == 0 && what == "thresholds" || want.Points == nil && what == "points" {
			continue
		}
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: %s: got %+v, want %+v", name, what, pair[1], pair[0])
		}
	}
	if len(got.Windows) != len(want.Windows) {
		t.Fatalf("%s: %d windows, want %d", name, len(got.Windows), len(want.Windows))
	}
	for i := range want.Windows {
		if !bytes.Equal(want.Windows[i].AppendBinary(nil), got.Windows[i].AppendBinary(nil)) {
			t.Errorf("%s: window %d is another", name, i)
		}
	}
	for i := range want.Cases {
		a, b := &want.Cases[i], &got.Cases[i]
		for _, q := range []float64{0.01, 0.5, 0.873, 0.95, 0.999, 1} {
			if x, ok := a.ResponseTime.Quantile(q); ok {
				if y, _ := b.ResponseTime.Quantile(q); x != y {
					t.Errorf("%s: quantile %g of %s is %v, want %v", name, q, a.Name, y, x)
				}
			}
		}
		if !reflect.DeepEqual(a.Failures, b.Failures) || a.Requests != b.Requests || a.Bytes != b.Bytes || a.ResponseTime.Mean != b.ResponseTime.Mean {
			t.Errorf("%s: case %s: %+v, want %+v", name, a.Name, b, a)
		}
	}
	if (want.Status == nil) != (got.Status == nil) {
		t.Fatalf("%s: status %v, want %v", name, got.Status, want.Status)
	}
	if want.Status != nil && (got.Status.Counts.Scheduled != want.Status.Counts.Scheduled || got.Status.Counts.TotalDropped() != want.Status.Counts.TotalDropped() || len(got.Status.Probes) != len(want.Status.Probes)) {
		t.Errorf("%s: status %+v, want %+v", name, got.Status, want.Status)
	}
}

func TestReadJSONSaysWhatIsWrong(t *testing.T) {
	good := string(written(t, passedRun()))
	for name, one := range map[string]struct{ text, want string }{
		"nothing":       {"", "no JSON document"},
		"rubbish":       {"PK\x03\x04", "no JSON document"},
		"another":       {`{"metrics":{}}`, `schema is ""`},
		"newer":         {strings.Replace(good, "report:v1", "report:v9", 1), `this soakd reads "urn:soakd:report:v1"`},
		"unknown field": {strings.Replace(good, `"tool":`, `"extra":1,"tool":`, 1), `"extra"`},
		"cut":           {good[:len(good)/2], "no JSON document"},
		"two":           {good + good, "no JSON document"},
		"result":        {strings.Replace(good, `"result": "pass"`, `"result": "great"`, 1), `conclusion.result is "great"`},
		"negative":      {strings.Replace(good, `"elapsed_seconds": 181.5`, `"elapsed_seconds": -1`, 1), "elapsed_seconds is -1"},
		"timed":         {strings.Replace(good, `"timed": 9000`, `"timed": 9001`, 1), "its histogram holds 9000"},
		"too large":     {strings.Repeat(" ", maxReport+1), "larger than 64 MiB"},
	} {
		r, err := ReadJSON(strings.NewReader(one.text))
		if err == nil || r != nil || !strings.Contains(err.Error(), one.want) {
			t.Errorf("%s: got %v, want it to say %s", name, err, one.want)
		}
	}
}

func TestQuantileNames(t *testing.T) {
	for _, q := range append(reportedQuantiles(), 0, 0.001, 0.97, 0.123456) {
		got, err := quantileOf(quantileName(q))
		if err != nil || got-q > 1e-9 || q-got > 1e-9 {
			t.Errorf("%g is %s, which is %g, %v", q, quantileName(q), got, err)
		}
	}
	if got := quantileName(0.9999); got != "p99.99" {
		t.Error(got)
	}
	for _, name := range []string{"", "p", "p101", "p-1", "50", "pNaN", "p1e3"} {
		if _, err := quantileOf(name); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestReportOf240WindowsIsReadBack(t *testing.T) {
	r := passedRun()
	r.Windows, r.Points = nil, nil
	for k := range MaxWindows {
		r.Windows = append(r.Windows, sampleWindow(k, k%7 == 0))
	}
	data := written(t, r)
	if len(data) > 4<<20 {
		t.Errorf("%d bytes", len(data))
	}
	back, err := ReadJSON(bytes.NewReader(data))
	if err != nil || len(back.Windows) != MaxWindows {
		t.Fatal(err)
	}
	r.Windows = append(r.Windows, sampleWindow(MaxWindows, false))
	if _, err = ReadJSON(bytes.NewReader(written(t, r))); err == nil || !strings.Contains(err.Error(), "240 at most") {
		t.Errorf("one too many: %v", err)
	}
}

// FuzzReadJSON: whatever is taken is written in the published form and read again.
func FuzzReadJSON(f *testing.F) {
	f.Add(written(f, emptyRun()))
	f.Add(written(f, foreignRun()))
	small := passedRun()
	small.Windows, small.Points = small.Windows[:1], small.Points[:1]
	h := &histogram.Histogram{}
	h.Observe(time.Second)
	small.All.ResponseTime = threshold.FromHistogram(h)
	f.Add(written(f, small))
	f.Add([]byte(`{"schema":"urn:soakd:report:v1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ReadJSON(bytes.NewReader(data))
		if err != nil {
			return
		}
		first := written(t, r)
		back, err := ReadJSON(bytes.NewReader(first))
		if err != nil {
			t.Fatalf("what was read is not read again: %v", err)
		}
		for _, write := range outputs(Options{}) {
			var b bytes.Buffer
			if err := write.write(&b, back); err != nil {
				t.Fatalf("%s: %v", write.name, err)
			}
		}
	})
}
