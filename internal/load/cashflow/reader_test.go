package cashflow

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"soakd/internal/load"
)

// anything reads a value of any kind, as encoding/json does into an any.
func (r *reader) anything() any {
	switch c := r.peek(); {
	case c == '{':
		fields := map[string]any{}
		for r.begin(); r.next('}'); {
			name := string(r.name())
			fields[name] = r.anything()
		}
		return fields
	case c == '[':
		items := []any{}
		for r.begin(); r.next(']'); {
			items = append(items, r.anything())
		}
		return items
	case c == '"':
		return string(r.str())
	case isNumber(c):
		value, inRange := r.float()
		if !inRange {
			return "out of range"
		}
		return value
	default:
		start := r.at
		r.skip()
		return map[string]any{"true": true, "false": false}[string(r.text[start:r.at])]
	}
}

// readAnything reads a whole text, or returns an error that it is none.
func readAnything(text []byte) (any, error) {
	r := newReader()
	r.start(text)
	value := r.anything()
	broken, _ := r.end()
	return value, broken
}

// skipped reports whether a text is JSON, without any decoding.
func skipped(text []byte) error {
	r := newReader()
	r.start(text)
	r.skip()
	broken, _ := r.end()
	return broken
}

// plainly is what encoding/json makes of a text, with numbers as float64.
func plainly(t testing.TB, text []byte) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber() // else a number beyond a float64 would end it
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return floats(value)
}

func floats(value any) any {
	switch value := value.(type) {
	case json.Number:
		f, err := strconv.ParseFloat(value.String(), 64)
		if err != nil {
			return "out of range"
		}
		return f
	case []any:
		for i := range value {
			value[i] = floats(value[i])
		}
	case map[string]any:
		for name := range value {
			value[name] = floats(value[name])
		}
	}
	return value
}

// texts are JSON and what is nearly so.
func texts() []string {
	return []string{
		`{}`, `[]`, ` [ ] `, "\t{\n\"a\" :\r1 , \"b\":[true,false , null]}", `""`, `"a"`, `0`, `-0`, `1.5e3`, `null`, `true`,
		``, ` `, `{`, `[`, `"`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `[1,]`, `[,1]`, `[1 2]`, `{"a" 1}`, `{"a":1 "b":2}`,
		`{,}`, `{1:2}`, `{a:1}`, `[}`, `{]`, `[1}`, `]`, `}`, `,`, `:`, `1 2`, `{}{}`, `[]x`, "[]\x00", "\x00", `nul`, `nulls`, `tru`, `True`, `falsee`,
		`01`, `-`, `-01`, `00`, `1.`, `.5`, `-.5`, `1.e1`, `1e`, `1e+`, `1E-`, `1e5.`, `+1`, `0x1`, `1_0`, `Infinity`, `NaN`, `-Infinity`,
		`1e400`, `-1e400`, `1e-400`, `[1e999999999999]`, `123456789012345678901234567890`, `0.1`, `9007199254740993`, `4.9e-324`,
		`"\"\\\/\b\f\n\r\t"`, `"\u0041\u00e9\u20AC\uD83D\uDE00"`, `"\ud83d"`, `"\ud83dx"`, `"\ud83d\u0041"`, `"\ude00\ud83d"`, `"\ud83d\ud83d\ude00"`,
		`"\x41"`, `"\u12"`, `"\u12g4"`, `"\'"`, `"\`, `"\u`, `"\"`, "\"\n\"", "\"\t\"", "\"\x00\"", "\"\x1f\"", "\"\x7f\"",
		"\"caf\u00e9 \u91d1\u5229 \U0001F3E0\"", "\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xc0\x80\"", "\xef\xbb\xbf{}",
		`{"a":1,"a":{"b":2},"a":[3]}`, `{"\u0061":1,"a\/b":"\u0000"}`, `{"":""}`, `'a'`, `[1,2,3.25,-4e-2,"x",{"y":[[]]}]`,
		`[12345678.1234567,123456789.12345678,0.00000001,00.1,12345678901234567890]`, `["12345678","1234567\"","123456\\"]`,
	}
}

// The reader takes what encoding/json takes, if it is valid UTF-8, and decodes the same.
func FuzzReader(f *testing.F) {
	for _, text := range texts() {
		f.Add([]byte(text))
		f.Add([]byte(`{"x":[` + text + `,` + text + `]}  `))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want := json.Valid(text) && utf8.Valid(text)
		got, err := readAnything(text)
		if (err == nil) != want {
			t.Fatalf("%q: error %v, valid is %v", text, err, want)
		}
		if err := skipped(text); (err == nil) != want {
			t.Fatalf("%q skipped: error %v, valid is %v", text, err, want)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Fatalf("%q: an error of %d bytes", text, len(err.Error()))
		}
		if plain := any(nil); want {
			if plain = plainly(t, text); !reflect.DeepEqual(got, plain) {
				t.Fatalf("%q is read as %#v, want %#v", text, got, plain)
			}
		}
	})
}

func TestReaderSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1,}`:              `"}" where the name of a field belongs, at byte 7`,
		`[1 2]`:                 `"2" where a comma or "]" belongs, at byte 3`,
		`{"a" 1}`:               `"1" where a colon belongs, at byte 5`,
		`{"a":1`:                `it ends where a comma or "}" belongs, at byte 6`,
		`[1]]`:                  `"]" where the end belongs, at byte 3`,
		`[01]`:                  `"]" where a number without leading zeros belongs, at byte 3`,
		`[1.]`:                  `"]" where a digit belongs, at byte 3`,
		`["a`:                   `it ends where the end of a string belongs, at byte 3`,
		`["\x"]`:                `"\\" where an escape that JSON has belongs, at byte 2`,
		"[\"a\nb\"]":            `"\n" where a character of a string belongs, at byte 3`,
		"[\"\xff\"]":            `"\xff" where valid UTF-8 belongs, at byte 2`,
		`[nul]`:                 `"n" where a value belongs, at byte 1`,
		strings.Repeat(" ", 99): `it ends where a value belongs, at byte 99`,
	} {
		if _, err := readAnything([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

// The deepest that encoding/json takes, and one level more.
func TestReaderDepth(t *testing.T) {
	for levels, valid := range map[int]bool{maxDepth: true, maxDepth + 1: false} {
		for _, brackets := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
			inner := "0"
			text := []byte(strings.Repeat(brackets[0], levels) + inner + strings.Repeat(brackets[1], levels))
			if json.Valid(text) != valid {
				t.Fatalf("encoding/json has another bound than %d", maxDepth)
			}
			if err := skipped(text); (err == nil) != valid {
				t.Errorf("%d levels of %s: %v", levels, brackets[0], err)
			}
		}
	}
}

// numbers are of every length before and behind the point, and of every length of
// text behind them: the reader takes eight bytes at a time where there are as many.
func TestReaderNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	digits := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte(byte('0' + rng.IntN(10)))
		}
		return b.String()
	}
	check := func(number string, behind int) {
		t.Helper()
		text := number + strings.Repeat(" ", behind)
		want, rangeErr := strconv.ParseFloat(number, 64)
		got, err := readAnything([]byte(text))
		switch value, isNumber := got.(float64); {
		case err != nil:
			t.Errorf("%q: %v", text, err)
		case isNumber != (rangeErr == nil), isNumber && math.Float64bits(value) != math.Float64bits(want):
			t.Errorf("%q is read as %v, want %v, %v", text, got, want, rangeErr)
		}
	}
	for whole := 1; whole <= 20; whole++ {
		for places := range 24 {
			for range 40 {
				number := strconv.Itoa(1+rng.IntN(9)) + digits(whole-1)
				if rng.IntN(4) == 0 && whole == 1 {
					number = "0"
				}
				if places > 0 {
					number += "." + digits(places)
				}
				if rng.IntN(3) == 0 {
					number = "-" + number
				}
				if rng.IntN(5) == 0 {
					number += []string{"e0", "E5", "e-7", "e+22", "e-300", "E300"}[rng.IntN(6)]
				}
				check(number, rng.IntN(30))
			}
		}
	}
	for range 20_000 {
		check(strconv.FormatFloat(math.Float64frombits(rng.Uint64()&^(1<<62)), 'g', -1, 64), rng.IntN(20))
	}
}

// Fields are found in any order, with escapes in their names, among others; of one
// that comes twice the last counts.
func TestReaderFields(t *testing.T) {
	names := []string{`"a":`, `"bb":`, `"ccc":`}
	for _, test := range []struct {
		text string
		want map[string]float64
	}{
		{`{"a":1,"bb":2,"ccc":3}`, map[string]float64{"a": 1, "bb": 2, "ccc": 3}},
		{`{"ccc":3,"bb":2,"a":1}`, map[string]float64{"a": 1, "bb": 2, "ccc": 3}},
		{` { "a" : 1 , "bb" : 2 , "ccc" : 3 } `, map[string]float64{"a": 1, "bb": 2, "ccc": 3}},
		{`{"x":[{"a":9}],"a":1,"y":{"bb":9},"bb":2,"z":"\"ccc\":9"}`, map[string]float64{"a": 1, "bb": 2}},
		{`{"a":1,"a":2,"bb":3,"a":4}`, map[string]float64{"a": 4, "bb": 3}},
		{`{"\u0061":1,"b\u0062":2}`, map[string]float64{"a": 1, "bb": 2}},
		{`{"A":1,"b":2,"cccc":3,"":4}`, map[string]float64{}},
		{`{}`, map[string]float64{}},
	} {
		r := newReader()
		r.start([]byte(test.text))
		got := map[string]float64{}
		if !r.object() {
			t.Fatalf("%s is no object", test.text)
		}
		for i := r.field(names, 0); i != noField; i = r.field(names, i+1) {
			if i == otherField {
				r.skip()
				continue
			}
			got[strings.Trim(names[i], `":`)] = r.mustNumber()
		}
		if broken, wrong := r.end(); broken != nil || wrong != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s is read as %v (%v, %v), want %v", test.text, got, broken, wrong, test.want)
		}
	}
}

// Of what comes twice in an answer only the last counts, whole.
func TestTheLastOfTwoCounts(t *testing.T) {
	b := newFullBench(t)
	memo, golden := goldenAnswer()
	for added, want := range map[string][]string{
		`"periods":[{"period":1}],`:                     {"shape"}, // is wrong wherever it comes
		`"periods":[],"loans":[],"summary":{},"id":"",`: nil,
		`"summary":{"npv":5},`:                          nil,
	} {
		x := answered(0, &load.Request{Memo: memo}, 200, []byte(`{`+added+golden[1:]), 0)
		b.expect(t, added+" first", "forecast", x, want...)
	}
	for _, added := range []string{`"periods":[]`, `"loans":null`, `"summary":{"npv":0}`, `"id":""`, `"id":null`} {
		x := answered(0, &load.Request{Memo: memo}, 200, []byte(golden[:len(golden)-1]+`,`+added+`}`), 0)
		b.expect(t, added+" last", "forecast", x, "shape")
	}
}

// An answer that is no JSON is that and nothing else, also when what comes before
// says something else than was asked for.
func TestBrokenComesBeforeWrong(t *testing.T) {
	b := newFullBench(t)
	for _, c := range b.Cases {
		if c.Invalid {
			continue
		}
		saveAs(t, b, 0, "an-id")
		for body, want := range map[string]string{
			`{"id":{},"periods":7,"status":5}`: "shape", `{"id":{},"periods":7,"status":5`: "json",
			`[{"id":{}}] x`: "json", `"text" 01`: "json", `{"id":{},"periods":[{"total":"x"}],"status":[],"a":NaN}`: "json",
		} {
			b.expect(t, c.Name+": "+body, c.Name, answered(0, b.build(t, c.Name, drawOf(0, 1)), c.Statuses[0], []byte(body), 0), want)
		}
	}
}

func TestMismatchSaysWhereAndWhat(t *testing.T) {
	long := `"` + strings.Repeat("x", 500) + `"`
	for text, want := range map[string]string{
		`{"npv":"12"}`:            `"\"12\"" where a number belongs, at byte 7`,
		`{"npv":1e999}`:           `the number "1e999" at byte 7 is out of range`,
		`{"npv":` + long + `}`:    `"\"` + strings.Repeat("x", 59) + `"... where a number belongs, at byte 7`,
		`{"npv":{"a":[1]},"a":1}`: `"{\"a\":[1]}" where a number belongs, at byte 7`,
		`[1]`:                     `"[1]" where an object belongs, at byte 0`,
	} {
		r := newReader()
		r.start([]byte(text))
		var got summaryAnswer
		r.summary(&got)
		if broken, wrong := r.end(); broken != nil || wrong == nil || wrong.Error() != want {
			t.Errorf("%.60s: %v, %v, want %s", text, broken, wrong, want)
		}
	}
}

// The quick way to read a time says the same as time.Parse, or nothing.
func FuzzInstant(f *testing.F) {
	for _, text := range []string{
		"2026-03-01T15:04:05Z", "2026-03-01T15:04:05.123456789Z", "2026-03-01T15:04:05.5+00:00", "2026-03-01T15:04:05",
		"2026-02-29T00:00:00Z", "2024-02-29T23:59:59Z", "2026-04-31T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-00T00:00:00Z",
		"2026-03-01T24:00:00Z", "2026-03-01T15:60:00Z", "2026-03-01T15:04:60Z", "2026-03-01 15:04:05Z", "2026-03-01T15:04:05+02:00",
		"2026-03-01T15:04:05.1234567890Z", "2026-03-01T15:04:05.Z", "2026-03-01T15:04:05,5Z", "2026-03-01t15:04:05z", "0001-01-01T00:00:00Z",
		"9999-12-31T23:59:59.999999999Z", "2026-03-01T15:04:05-00:00", "2026-03-01", "", "2026-03-01T15:04:05ZZ", "20x6-03-01T15:04:05Z",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quick, ok := quickTime([]byte(text))
		if !ok {
			return
		}
		if slow, ok := anyTime(text); !ok || !slow.Equal(quick) {
			t.Errorf("%q is read as %v, want %v (%v)", text, quick, slow, ok)
		}
	})
}

// The usual forms are read the quick way: Go's, Pydantic's and Python's.
func TestInstant(t *testing.T) {
	at := time.Date(2026, 12, 31, 15, 4, 5, 123_456_000, time.UTC)
	for _, text := range []string{"2026-12-31T15:04:05.123456Z", "2026-12-31T15:04:05.123456+00:00", "2026-12-31T15:04:05.123456"} {
		if got, ok := quickTime([]byte(text)); !ok || !got.Equal(at) {
			t.Errorf("%s is read as %v, %v", text, got, ok)
		}
	}
	for text, want := range map[string]time.Time{
		`"2026-12-31T17:04:05.123456+02:00"`: at, `"2026-12-31 15:04:05.123456Z"`: at, `null`: {},
		`"\u0032026-12-31T15:04:05.123456Z"`: at,
	} {
		r := newReader()
		r.start([]byte(text))
		if got := r.instant(); !got.Equal(want) || r.broken != nil || r.wrong != nil {
			t.Errorf("%s is read as %v, %v, %v", text, got, r.broken, r.wrong)
		}
	}
	for text, want := range map[string]string{
		`"2026-02-30T00:00:00Z"`: `"2026-02-30T00:00:00Z" at byte 0 is not a time (RFC 3339)`,
		`5`:                      `"5" where a time belongs, at byte 0`,
	} {
		r := newReader()
		r.start([]byte(text))
		if r.instant(); fmt.Sprint(r.wrong) != want {
			t.Errorf("%s: %v, want %s", text, r.wrong, want)
		}
	}
}
