package refapi

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"
)

// Faults are defects that can be switched on to see whether they are noticed.
// They touch valid forecasts only, so that health, the other operations and
// the refusal of invalid input stay as they are. The zero value is no fault.
//
// This is the one seam for faults: [API.suffer] is called once a forecast,
// after validation and before cache and calculation.
type Faults struct {
	Latency    time.Duration // added to each forecast; below 0 counts as 0
	ErrorRatio float64       // share of forecasts answered with 500, 0..1
}

// SetFaults replaces the faults, from the next request on. It may be called at any time.
func (a *API) SetFaults(f Faults) { a.faults.Store(&f) }

// suffer waits and fails as the faults say. A calculation thread is not held meanwhile.
func (a *API) suffer(ctx context.Context) error {
	f := a.faults.Load()
	if f.Latency > 0 {
		timer := time.NewTimer(f.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if f.ErrorRatio > 0 && rand.Float64() < f.ErrorRatio { //nolint:gosec // not a secret
		return fail(http.StatusInternalServerError, "internal error")
	}
	return nil
}
