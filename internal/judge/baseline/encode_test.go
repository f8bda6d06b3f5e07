package baseline

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"
	"time"
)

// small is a profile with several rates, a phase, failures and a rare case.
func small(t testing.TB) *Profile {
	t.Helper()
	w := newWorld(5)
	w.failing = only("list", 0.05, 0)
	b := NewBuilder(Config{Samples: 16})
	for i := range 60 {
		w.rate, w.phase = 20+float64(i/20)*10, []string{"", "rising"}[i/30]
		b.Observe(w.minute())
	}
	p := b.Profile()
	if len(p.Cases) != 7 || len(p.Cases[0].Strata) == 0 || len(p.Case("forecast").Strata) != 4 {
		t.Fatalf("%d cases, %d strata", len(p.Cases), len(p.Case("forecast").Strata))
	}
	return p
}

func TestEncodingKeepsEverything(t *testing.T) {
	for _, p := range []*Profile{small(t), newWorld(3).run(), {}, {Version: "v1", From: time.Unix(0, 5).UTC()}} {
		data, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var back Profile
		if err := back.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		again, _ := back.MarshalBinary()
		if !bytes.Equal(again, data) {
			t.Error("what was read is not written as it was")
		}
		if len(p.Cases) == 0 {
			continue
		}
		for i, c := range back.Cases {
			for j, s := range c.Strata {
				if !reflect.DeepEqual(s, p.Cases[i].Strata[j]) {
					t.Errorf("%s, stratum %d: another came back", c.Name, j)
				}
			}
		}
		if !reflect.DeepEqual(Compare(p, p, Limits{Windows: 4}), Compare(&back, &back, Limits{Windows: 4})) {
			t.Error("what was read compares differently")
		}
	}
}

// What was written before profiles said how long their windows are is of minutes.
func TestEncodingOfOldIsRead(t *testing.T) {
	p := small(t)
	data, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	e := encoder{b: []byte("SBP\x01")}
	e.text(p.Version)
	e.time(p.From)
	e.time(p.To)
	e.unsigned(uint64(p.Windows))
	body := data[len(e.b)+1 : len(data)-4] // from the cases on: one byte is the length of the windows
	var back Profile
	if err := back.UnmarshalBinary(sealed(append(e.b, body...))); err != nil {
		t.Fatal(err)
	}
	if back.Window != time.Minute || !reflect.DeepEqual(Compare(p, p, Limits{}), Compare(&back, &back, Limits{})) {
		t.Errorf("windows of %v; or another came back", back.Window)
	}
	if again, _ := back.MarshalBinary(); !bytes.Equal(again, data) {
		t.Error("it is not written as one of today")
	}
	// Ten seconds come back as well, and nothing else does.
	short, _ := newWorld(1).run().MarshalBinary()
	if err := back.UnmarshalBinary(short); err != nil || back.Window != 10*time.Second || back.Covered() != 170*time.Second {
		t.Errorf("%v: %d windows of %v", err, back.Windows, back.Window)
	}
	p.Window = 20 * time.Second
	odd, _ := p.MarshalBinary()
	if err := back.UnmarshalBinary(odd); err == nil || !strings.Contains(err.Error(), "windows of 20s cannot be") {
		t.Error(err)
	}
}

func TestEncodingIsSmall(t *testing.T) {
	data, _ := newWorld(5).profile(300).MarshalBinary()
	if perCase := len(data) / 7; perCase > 4000 {
		t.Errorf("%d bytes a case", perCase)
	}
}

// sealed gives what was changed a right checksum.
func sealed(body []byte) []byte {
	return binary.BigEndian.AppendUint32(body, crc32.ChecksumIEEE(body))
}

func TestEncodingRefuses(t *testing.T) {
	good, _ := small(t).MarshalBinary()
	body := good[:len(good)-4]
	flipped := append([]byte{}, good...)
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":         {nil, "no encoded profile"},
		"something else":  {[]byte("{\"version\": \"v1\"}"), "no encoded profile"},
		"another version": {append([]byte("SBP\x09"), good[4:]...), "encoded in version 9, and versions 1 to 2 are known"},
		"a flipped bit":   {flipped, "checksum"},
		"cut":             {sealed(append([]byte{}, body[:len(body)-9]...)), "damaged"},
		"longer":          {sealed(append(append([]byte{}, body...), 0)), "1 bytes too many"},
	} {
		back := Profile{Version: "before"}
		if err := back.UnmarshalBinary(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if !reflect.DeepEqual(back, Profile{}) {
			t.Errorf("%s left something", name)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, p := range []*Profile{tiny().profile(4), {}} {
		good, _ := p.MarshalBinary()
		f.Add(good[4 : len(good)-4])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var raw, p Profile
		_ = raw.UnmarshalBinary(data)
		if p.UnmarshalBinary(sealed(append([]byte(magic), data...))) != nil {
			return
		}
		again, _ := p.MarshalBinary()
		var back Profile
		if err := back.UnmarshalBinary(again); err != nil {
			t.Fatalf("what was read and written cannot be read: %v", err)
		}
		if len(data) < 1<<11 {
			Compare(&p, &p, Limits{Windows: 1, Requests: 1})
		}
	})
}
