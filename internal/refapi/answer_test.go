package refapi

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

func TestMoneyIsWritten(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", math.Copysign(0, -1): "0", -1e-9: "0", 1: "1", -1: "-1", 0.5: "0.5", -0.5: "-0.5", 0.000001: "0.000001",
		-0.0000014: "-0.000001", 0.0000005: "0.000001", 599.5505251527524: "599.550525", 100.1: "100.1", 100.000100: "100.0001",
		999999.9999999: "1000000", 1e12: "1000000000000", -1e12: "-1000000000000", 9007199254.5: "9007199254.5", 1e21: "1e+21",
	} {
		if got := string(appendMoney(nil, x)); got != want {
			t.Errorf("%g is written %s, want %s", x, got, want)
		}
	}
}

// What is written reads back as what money says, which the history keeps.
func TestMoneyReadsBack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		x := (random.Float64() - 0.5) * math.Pow(10, float64(random.IntN(20))-4)
		written := appendMoney(nil, x)
		got, err := strconv.ParseFloat(string(written), 64)
		if err != nil || got != money(x) || !json.Valid(written) || math.Abs(got-x) > 0.5000001e-6+math.Abs(x)*1e-15 {
			t.Fatalf("%v is written %s, %v", x, written, err)
		}
	}
}

func TestNumbersReadBack(t *testing.T) {
	for _, x := range []float64{0, 1, -1, 0.06, 1e-7, 5e-324, 1e21, math.MaxFloat64, 1.0 / 3} {
		written := appendNumber(nil, x)
		if got, err := strconv.ParseFloat(string(written), 64); err != nil || got != x || !json.Valid(written) {
			t.Errorf("%v is written %s, %v", x, written, err)
		}
	}
}

func TestComputedSurvivesTheCache(t *testing.T) {
	irr := -1.0 / 3
	for _, want := range []computed{
		{npv: -1.5, irr: &irr, rest: []byte(`"periods":[]}`)},
		{npv: 1e300, irr: nil, rest: []byte("\"a\n\":1}")},
	} {
		got, err := decodeComputed(want.encode())
		if err != nil || got.npv != want.npv || !bytes.Equal(got.rest, want.rest) || (got.irr == nil) != (want.irr == nil) {
			t.Errorf("got %+v, want %+v, %v", got, want, err)
		}
		if want.irr != nil && *got.irr != irr {
			t.Errorf("irr %v", *got.irr)
		}
	}
}
