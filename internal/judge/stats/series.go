package stats

import "math"

// Autocorrelation returns the correlation of a series with itself lag values
// later, the estimator that divides by n (Box & Jenkins 1976, equation 2.1.15): -1..1.
// A value that is not finite is a gap: pairs with it are left out. It is 0 for a
// constant series, for a negative lag, and for one without pairs; 1 for lag 0.
func Autocorrelation(y []float64, lag int) float64 {
	if lag < 0 || lag >= len(y) {
		return 0
	}
	mean, n := 0.0, 0
	for _, v := range y {
		if isFinite(v) {
			n++
			mean += (v - mean) / float64(n)
		}
	}
	variance, covariance := 0.0, 0.0
	for i, v := range y {
		if !isFinite(v) {
			continue
		}
		variance += (v - mean) * (v - mean)
		if i+lag < len(y) && isFinite(y[i+lag]) {
			covariance += (v - mean) * (y[i+lag] - mean)
		}
	}
	if variance == 0 || !isFinite(variance) || !isFinite(covariance) {
		return 0
	}
	return min(max(covariance/variance, -1), 1)
}

// EffectiveSize returns how many independent values a series is worth:
//
//	n / (1 + 2 * sum of r(i))
//
// (Bayley & Hammersley 1946, without the factor 1 - i/n, which is the careful side),
// over the first lags in a row whose autocorrelation r(i) is significantly positive
// (above 1.645/sqrt(n)): later ones are mostly noise. It is between 1 and n, the
// number of finite values, and 0 when there is none. Short series cannot show their
// autocorrelation: with ten values r has to be above 0.52.
func EffectiveSize(y []float64) float64 {
	n := 0.0
	for _, v := range y {
		if isFinite(v) {
			n++
		}
	}
	if n < 2 {
		return n
	}
	limit := normalQuantile(0.90) / math.Sqrt(n)
	sum := 0.0
	for lag := 1; lag < len(y); lag++ {
		r := Autocorrelation(y, lag)
		if r <= limit {
			break
		}
		sum += r
	}
	return min(max(n/(1+2*sum), 1), n)
}
