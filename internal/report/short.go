package report

import (
	"time"

	"soakd/internal/load"
)

// What stands in progress lines is the same wherever it is shown.

// Span writes a time with three significant digits, such as 12.3ms.
func Span(d time.Duration) string { return span(d) }

// Clock writes an elapsed time to the second, such as 1m30s.
func Clock(d time.Duration) string { return clock(d) }

// HeldBack says what holds the load back; "" when nothing does.
func HeldBack(t load.Throttle) string { return heldBack(t) }

// HitRatioText writes Redis' hit ratio of the last window in percent, "-" when it is
// not known.
func HitRatioText(s Status) string { return hitRatio(s) }

// PoolText writes the connections of the API's own database pool, in use of its
// maximum; "-" when they are not known.
func PoolText(s Status) string { return pool(s) }
