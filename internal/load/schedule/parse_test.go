package schedule

import (
	"errors"
	"io"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func openIn(files fstest.MapFS) func(string) (io.ReadCloser, error) {
	return func(path string) (io.ReadCloser, error) { return files.Open(path) }
}

func surroundings() Surroundings {
	files := fstest.MapFS{"rates.csv": {Data: []byte("0,50\n60,100\n")}, "bad.csv": {Data: []byte("0,50\n60,x\n")}}
	return Surroundings{Base: 50 * microsPerArrival, TimeOfDay: 8 * time.Hour, Open: openIn(files)}
}

// Each text gives the shape of the constructor, and prints with all it left out.
func TestParseShape(t *testing.T) {
	const second = microsPerArrival
	replay := func(c Recording) (Shape, error) { return Replay(strings.NewReader("0,50\n60,100\n"), c) }
	build := func(s Shape, err error) Shape { return must(t)(s, err) }
	for text, test := range map[string]struct {
		shape   Shape
		printed string
	}{
		"steady":                       {build(Steady(50 * second)), "steady"},
		"ramp:from=10,to=200,over=10m": {build(Ramp(10*second, 200*second, 10*time.Minute)), "ramp:from=10,to=200,over=10m"},
		"ramp:over=600s,to=0.5,from=0": {build(Ramp(0, second/2, 10*time.Minute)), "ramp:from=0,to=0.5,over=10m"},
		"steps:50@5m,0@1h,200":         {build(Steps([]Step{{50 * second, 5 * time.Minute}, {0, time.Hour}, {200 * second, 0}})), "steps:50@5m,0@1h,200"},
		"steps:7":                      {build(Steps([]Step{{Rate: 7 * second}})), "steps:7"},
		"spike:to=500,every=1h,hold=1m,rise=10s": {
			build(Spike(Spikes{Base: 50 * second, Peak: 500 * second, First: time.Hour, Every: time.Hour, Rise: 10 * time.Second, Hold: time.Minute})),
			"spike:to=500,at=1h,every=1h,hold=1m,rise=10s",
		},
		"spike:to=5,at=90m": {
			build(Spike(Spikes{Base: 50 * second, Peak: 5 * second, First: 90 * time.Minute, Hold: time.Minute})),
			"spike:to=5,at=1h30m,hold=1m,rise=0s",
		},
		"day:min=10,max=100": {
			build(Day(DayCurve{Min: 10 * second, Max: 100 * second, Period: 24 * time.Hour, Peak: 14 * time.Hour, Start: 8 * time.Hour})),
			"day:min=10,max=100,period=24h,peak=14:00",
		},
		"day:min=0,max=1,period=90s,peak=00:00:30": {
			build(Day(DayCurve{Max: second, Period: 90 * time.Second, Peak: 30 * time.Second, Start: 8 * time.Hour})),
			"day:min=0,max=1,period=1m30s,peak=00:00:30",
		},
		"replay:rates.csv": {build(replay(Recording{Name: "rates.csv"})), "replay:rates.csv,interpolate=step,loop=false,scale=1"},
		"replay:rates.csv,interpolate=linear,loop=true,scale=0.1": {
			build(replay(Recording{Name: "rates.csv", Linear: true, Loop: true, Scale: second / 10})),
			"replay:rates.csv,interpolate=linear,loop=true,scale=0.1",
		},
	} {
		got, err := ParseShape(text, surroundings())
		if err != nil || !reflect.DeepEqual(got, test.shape) || got.String() != test.printed {
			t.Errorf("%s: %v, %v, want %s", text, got, err, test.printed)
		}
		if again, err := ParseShape(got.String(), surroundings()); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s prints as %s, which reads back as %v, %v", text, got, again, err)
		}
	}
}

func TestParseShapeErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":           `shape "": no such shape: give steady, ramp:..., steps:..., spike:..., day:... or replay:..., such as ramp:from=10,to=200,over=10m`,
		"Steady":     `shape "Steady": no such shape: give steady, ramp:..., steps:..., spike:..., day:... or replay:..., such as ramp:from=10,to=200,over=10m`,
		"steady:":    `shape "steady:": steady takes nothing behind it: give steady, and the rate as the rate`,
		"steady:100": `shape "steady:100": steady takes nothing behind it: give steady, and the rate as the rate`,
		"ramp:from=10": `shape "ramp:from=10": to is missing: give a decimal number from 0 to 1000000 with at most six decimals, such as to=200
over is missing: give a time of 0 or more, such as over=10m`,
		"ramp:from=-1,to=1e3,over=10,by=5,to=6,over": `shape "ramp:from=-1,to=1e3,over=10,by=5,to=6,over": unknown key "by": give from, to, over
to is given twice: give it once
"over" has no value: give KEY=VALUE with the keys from, to, over
from: "-1" is not a decimal number from 0 to 1000000 with at most six decimals: give one such as from=10
to: "1e3" is not a decimal number from 0 to 1000000 with at most six decimals: give one such as to=200
over: "10" is not a time of 0 or more: give one such as over=10m`,
		"ramp:from=1,to=2,over=0s":    `shape "ramp:from=1,to=2,over=0s": over: 0s is out of range: give more than 0s and up to 8784h, such as 10m`,
		"ramp:from=1,to=2,over=8785h": `shape "ramp:from=1,to=2,over=8785h": over: 8785h0m0s is out of range: give more than 0s and up to 8784h, such as 10m`,
		"ramp:from=0,to=0,over=1s":    `shape "ramp:from=0,to=0,over=1s": every rate is 0: give at least one above 0`,
		"steps:":                      `shape "steps:": step 1: "" is not RATE@TIME: give a rate from 0 to 1000000 and a time above 0, such as 50@5m`,
		"steps:50@5m,x@5m,7@0s,1":     "shape \"steps:50@5m,x@5m,7@0s,1\": step 2: \"x@5m\" is not RATE@TIME: give a rate from 0 to 1000000 and a time above 0, such as 50@5m\nstep 3: \"7@0s\" is not RATE@TIME: give a rate from 0 to 1000000 and a time above 0, such as 50@5m",
		"steps:50@5m,100@5m":          `shape "steps:50@5m,100@5m": step 2: the last step has no end: give the rate alone, such as 100`,
		"steps:50,100":                `shape "steps:50,100": step 1: only the last step may have no time: give one above 0, such as 50@5m`,
		"steps:50@1000000h,1":         `shape "steps:50@1000000h,1": a shape of more than 100 years or with a negative time`,
		"spike:hold=1m":               "shape \"spike:hold=1m\": to is missing: give a decimal number from 0 to 1000000 with at most six decimals, such as to=500\nevery and at are missing: give how often spikes begin, such as every=1h, or when the only one does, such as at=10m",
		"spike:to=5,every=0s":         `shape "spike:to=5,every=0s": every: "0s" is not a time above 0: give one such as every=1h`,
		"spike:to=5,at=1m,hold=0s":    `shape "spike:to=5,at=1m,hold=0s": a spike without a time: give hold or rise above 0, such as hold=1m,rise=10s`,
		"spike:to=5,every=1m,rise=1s": `shape "spike:to=5,every=1m,rise=1s": spikes of 1m2s (rise, hold and fall) every 1m run into each other: give every at least 1m2s`,
		"spike:to=0,every=1m,hold=1m": `shape "spike:to=0,every=1m,hold=1m": every rate of the part that repeats is 0: give at least one above 0`,
		"spike:to=5,at=9000h":         `shape "spike:to=5,at=9000h": at: 9000h0m0s is out of range: give 0s up to 8784h, such as 10m`,
		"day:min=10,max=5":            `shape "day:min=10,max=5": min 10 is above max 5: give the lower rate as min`,
		"day:min=0,max=0":             `shape "day:min=0,max=0": max is 0: give the highest rate of the day, above 0`,
		"day:min=0,max=1,period=59s":  `shape "day:min=0,max=1,period=59s": period: 59s is out of range: give 1m up to 8784h, such as 24h`,
		"day:min=0,max=1,peak=24:00":  `shape "day:min=0,max=1,peak=24:00": peak: "24:00" is not a time of day from 00:00 to 23:59:59: give one such as peak=14:00`,
		"day:min=0,max=1,peak=2pm":    `shape "day:min=0,max=1,peak=2pm": peak: "2pm" is not a time of day from 00:00 to 23:59:59: give one such as peak=14:00`,
		"replay":                      `shape "replay": the file is missing: give its path, which must not contain a comma, such as replay:rates.csv`,
		"replay:f,interpolate=cubic,loop=yes,scale=0": `shape "replay:f,interpolate=cubic,loop=yes,scale=0": interpolate: "cubic" is not step or linear: give one such as interpolate=linear
loop: "yes" is not false or true: give one such as loop=true
scale: "0" is not a number above 0: give one such as scale=1`,
		"replay:none.csv": `shape "replay:none.csv": opening the recording: open none.csv: file does not exist`,
		"replay:bad.csv":  `shape "replay:bad.csv": bad.csv:2:4: "x" is not a rate: give arrivals a second as a decimal number from 0, such as 50 or 0.5, that times the scale 1 is at most 1000000`,
	} {
		_, err := ParseShape(text, surroundings())
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
	if _, err := ParseShape("replay:none.csv", surroundings()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the error of the file is lost: %v", err)
	}
	if _, err := ParseShape("replay:rates.csv", Surroundings{}); err == nil || err.Error() != `shape "replay:rates.csv": files cannot be replayed here: give another shape` {
		t.Errorf("a replay without files: %v", err)
	}
	if _, err := ParseShape(strings.Repeat("x", 20_000), surroundings()); err == nil || err.Error() != "a shape of 20000 bytes: give at most 16384, or a replay of a file" {
		t.Errorf("a long text: %v", err)
	}
}

// closeError is a file whose Close fails.
type closeError struct{ io.Reader }

func (closeError) Close() error { return errors.New("not closed") }

func TestReplayClosesItsFile(t *testing.T) {
	in := Surroundings{Open: func(string) (io.ReadCloser, error) {
		return closeError{strings.NewReader("0,1\n1,2\n")}, nil
	}}
	if _, err := ParseShape("replay:f", in); err == nil || err.Error() != `shape "replay:f": not closed` {
		t.Errorf("an error of Close: %v", err)
	}
}

func FuzzParseShape(f *testing.F) {
	for _, text := range shapeTexts {
		f.Add(text, "0,1\n1,2\n", uint64(1))
	}
	f.Add("replay:f,interpolate=linear,loop=true,scale=0.5", "0,1\n1,2\n", uint64(1))
	f.Fuzz(func(t *testing.T, text, csv string, base uint64) {
		in := Surroundings{Base: Rate(base % (uint64(MaxRate) + 1)), TimeOfDay: time.Duration(base % uint64(24*time.Hour))}
		in.Open = func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(csv)), nil }
		s, err := ParseShape(text, in)
		if err != nil {
			return
		}
		again, err := ParseShape(s.String(), in)
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("%q prints as %q, which reads back as %v, %v", text, s, again, err)
		}
		exact := exactly(s)
		for _, n := range []int64{0, 1, 17, 1_000_003, 1 << 40} {
			if _, ok := s.Due(n); ok {
				checkDue(t, exact, n)
			}
		}
	})
}
