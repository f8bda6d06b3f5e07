// Package baseline compares what a version of the target is like with what another
// one was like: per case, like with like, with an interval for every ratio. It
// claims nothing that the data does not show: neither that something got worse nor that it
// is the same.
package baseline

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"soakd/internal/histogram"
	"soakd/internal/judge/window"
)

// Profile is what a version of the target was like while it was watched. It is not
// changed once it was handed out.
type Profile struct {
	// Version is the target's, "" when it is not known, [window.Mixed] when there were several.
	Version string
	// From..To is the time it is about, in which Windows windows were taken in.
	From, To time.Time
	Windows  int
	// Window is the length of its windows: [window.Short] for short runs, else
	// [window.Minute], which longer ones count as too; 0 when there are none.
	Window time.Duration
	// Cases are sorted by name.
	Cases []CaseProfile
}

// CaseProfile is what one case was like.
type CaseProfile struct {
	Name, Class string
	// Invalid marks deliberately invalid input.
	Invalid bool
	// Strata are sorted by phase and band.
	Strata []Stratum
}

// Stratum is what a case was like at one rate and phase: only like is compared with like.
type Stratum struct {
	// Band is the rate band, see [BandOf]; Phase is that of the windows, "" for steady.
	Band  int
	Phase string
	// Windows is how many were taken in; Outcomes and Times are the sums over them.
	Windows  int
	Outcomes []window.Count
	Times    *histogram.Histogram
	// Figures are samples of the logarithm of quantiles in seconds, in the order of
	// time, by [figures]: of the windows that have enough requests, or of as many
	// in a row as have enough together.
	figures [numFigures]samples
	// failures are the failed requests of each window.
	failures samples
}

// A figure is a quantile that is followed.
const (
	median = iota
	p95
	p99
	numFigures
)

// The names of the signals of a [Row].
const (
	MedianTime = "median_response_time"
	P95Time    = "p95_response_time"
	P99Time    = "p99_response_time"
	ErrorRatio = "error_ratio"
)

// figure describes a figure.
type figure struct {
	signal, text string
	quantile     float64
	// requests is how many make a value: enough for three beyond the quantile.
	requests uint64
	// short is the same for windows of [window.Short]: of a median fewer are enough,
	// since a short run has many such windows and what is rare few requests.
	short uint64
}

// least is how many requests make a value in windows of that length.
func (f figure) least(length time.Duration) uint64 {
	if length == window.Short {
		return f.short
	}
	return f.requests
}

func figures() [numFigures]figure {
	return [numFigures]figure{
		median: {MedianTime, "median response time", 0.5, 20, 5},
		p95:    {P95Time, "p95 response time", 0.95, 60, 60},
		p99:    {P99Time, "p99 response time", 0.99, 300, 300},
	}
}

// bandWidth is the width of a rate band in the logarithm of the rate: bands are
// 10 % wide, and one is compared with its neighbours too where it is not well
// known, which is about +-15 %. Where a service is half busy its times rise as fast as the
// rate, so a wider band would be a difference of its own.
const bandWidth = 0.1

// BandOf returns the band of a rate in arrivals a second: band k lies around
// exp(k*0.1), and -1000 is that of no rate at all.
func BandOf(rate float64) int {
	if !(rate > 1e-9) {
		return noRate
	}
	return int(math.Round(math.Log(min(rate, 1e12)) / bandWidth))
}

const noRate = -1000

// bandText writes a band as a person reads it.
func bandText(band int, phase string) string {
	text := "no rate"
	if band != noRate {
		middle := math.Exp(float64(band) * bandWidth)
		text = fmt.Sprintf("%.3g..%.3g/s", middle*math.Exp(-bandWidth/2), middle*math.Exp(bandWidth/2))
	}
	if phase != "" {
		text += " " + phase
	}
	return text
}

// Covered is how long its windows are together.
func (p *Profile) Covered() time.Duration { return time.Duration(p.Windows) * p.Window }

// Case returns the case of that name, nil when it had no requests.
func (p *Profile) Case(name string) *CaseProfile {
	i, found := slices.BinarySearchFunc(p.Cases, name, func(c CaseProfile, name string) int { return cmp.Compare(c.Name, name) })
	if !found {
		return nil
	}
	return &p.Cases[i]
}

// stratum returns the stratum of that band and phase, nil when there is none.
func (c *CaseProfile) stratum(band int, phase string) *Stratum {
	for i := range c.Strata {
		if s := &c.Strata[i]; s.Band == band && s.Phase == phase {
			return s
		}
	}
	return nil
}

// requests counts the requests and the failed ones among them.
func (s *Stratum) requests() (all, failed int64) {
	for _, o := range s.Outcomes {
		all += o.N
		if o.Name != window.OK {
			failed += o.N
		}
	}
	return all, failed
}
