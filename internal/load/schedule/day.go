package schedule

import (
	"errors"
	"fmt"
	"math"
	"time"

	"lukechampine.com/uint128"
)

// dayPoints is how many points of the sine a day curve has. The lines between them
// stay within (pi/1440)^2/2, that is 2.4 millionths, of half the difference between
// the highest and the lowest rate.
const dayPoints = 1440

// DayCurve is a sine from a lowest rate to a highest one and back.
type DayCurve struct {
	Min, Max Rate
	// Period is the time from peak to peak; from a minute to 8784 h.
	Period time.Duration
	// Peak is the time of day of a peak, since midnight; below 24 h.
	Peak time.Duration
	// Start is the time of day at which the shape starts, since midnight; below 24 h.
	Start time.Duration
}

// Day returns a day curve. At the time of day h the rate is
//
//	min + (max-min) * (1 + cos(2*pi*(h-peak)/period)) / 2
//
// at 1440 points of the period, rounded to a millionth, with straight lines between.
func Day(c DayCurve) (Shape, error) {
	if err := c.check(); err != nil {
		return Shape{}, err
	}
	period := uint64(c.Period)
	// 24 h more keep the difference above 0.
	phase := uint64(c.Start-c.Peak+(24*time.Hour/c.Period+1)*c.Period) % period
	point := func(i uint64) (at uint64, rate Rate) {
		at = uint128.From64(period).Mul64(i).Div64(dayPoints).Lo
		weight := (1 + cosine((phase+at)%period, period)) / 2
		return at, c.Min + Rate(float64(float64(c.Max-c.Min)*weight)+0.5)
	}
	cycle := make([]stretch, 0, dayPoints)
	at, rate := point(0)
	for i := uint64(1); i <= dayPoints; i++ {
		nextAt, next := point(i)
		cycle = append(cycle, stretch{rate, next, time.Duration(nextAt - at)})
		at, rate = nextAt, next
	}
	text := fmt.Sprintf("day:min=%s,max=%s,period=%s,peak=%s", c.Min, c.Max, shortDuration(c.Period), clockText(c.Peak))
	return newShape(text, nil, cycle)
}

func (c DayCurve) check() error {
	const day = 24 * time.Hour
	switch {
	case c.Min > c.Max:
		return fmt.Errorf("min %s is above max %s: give the lower rate as min", c.Min, c.Max)
	case c.Max == 0:
		return errors.New("max is 0: give the highest rate of the day, above 0")
	case c.Period < time.Minute || c.Period > maxChange:
		return fmt.Errorf("period: %s is out of range: give 1m up to 8784h, such as 24h", c.Period)
	case c.Peak < 0 || c.Peak >= day || c.Start < 0 || c.Start >= day:
		return errors.New("the peak or the start is not a time of day: give less than 24 h since midnight")
	}
	return nil
}

// clockText prints a time of day as ParseShape reads it.
func clockText(d time.Duration) string {
	text := fmt.Sprintf("%02d:%02d", d/time.Hour, d/time.Minute%60)
	if d%time.Minute != 0 {
		text += fmt.Sprintf(":%02d", d/time.Second%60)
	}
	return text
}

// cosine returns cos(2*pi*x/turn) for x < turn, the same on every machine:
// math.Cos is assembly on one of them, and on others multiplication and addition
// are fused. The conversions in the series forbid that (Go specification, Floating
// point operators). turn must be below 2^60.
func cosine(x, turn uint64) float64 {
	sign := 1.0
	if 2*x > turn {
		x = turn - x
	}
	// In quarters of x: within [0, 2*turn], so that halves and quarters are whole.
	x, turn = 4*x, 4*turn
	if 4*x > turn {
		sign, x = -1, turn/2-x
	}
	if 8*x > turn {
		return sign * sineSeries(2*math.Pi*(float64(turn/4-x)/float64(turn)))
	}
	return sign * cosineSeries(2*math.Pi*(float64(x)/float64(turn)))
}

// cosineSeries is the Taylor series for angles up to pi/4; the first term left out is
// below 10^-18.
func cosineSeries(angle float64) float64 {
	square, sum := float64(angle*angle), 1.0
	for k := 18.0; k > 0; k -= 2 {
		sum = 1 - float64(square*sum)/(k*(k-1))
	}
	return sum
}

// sineSeries is the same for the sine.
func sineSeries(angle float64) float64 {
	square, sum := float64(angle*angle), 1.0
	for k := 19.0; k > 1; k -= 2 {
		sum = 1 - float64(square*sum)/(k*(k-1))
	}
	return float64(angle * sum)
}
