package stats

import (
	"math"
	"math/rand/v2"
	"slices"
)

// finiteIndex returns the finite values and where each stood.
func finiteIndex(y []float64) (kept []float64, at []int) {
	for i, v := range y {
		if isFinite(v) {
			kept, at = append(kept, v), append(at, i)
		}
	}
	return kept, at
}

// ChangePoints returns where the mean of a series changes: the first index of each
// new segment, ascending, none when nothing changed. It finds the segments, each of
// at least minSize values, that minimise
//
//	sum of squared deviations from the segments' means / noise^2 + penalty * log(n) * changes
//
// exactly, by PELT (Killick, Fearnhead & Eckley 2012, Optimal detection of
// changepoints with a linear computational cost, JASA 107). A penalty of 2 is
// Schwarz' criterion (SIC), 3 the modified one of Zhang & Siegmund 2007; take more
// where values depend on those before. The noise is estimated robustly: the MAD of
// the first differences / sqrt 2, or from their mean when most differences are the same.
func ChangePoints(y []float64, minSize int, penalty float64) []int {
	kept, at := finiteIndex(y)
	n := len(kept)
	minSize = max(1, minSize)
	noise := differenceNoise(kept)
	if n/2 < minSize || noise == 0 || math.IsNaN(penalty) {
		return nil
	}
	p := pelt{minSize: minSize, penalty: max(0, penalty) * math.Log(float64(n)), sums: make([]float64, n+1), squares: make([]float64, n+1)}
	center := Median(kept)
	for i, v := range kept {
		scaled := (v - center) / noise
		p.sums[i+1], p.squares[i+1] = p.sums[i]+scaled, p.squares[i]+scaled*scaled
	}
	var changes []int
	for _, i := range p.solve(n) {
		changes = append(changes, at[i])
	}
	return changes
}

// differenceNoise estimates the standard deviation of a series around a mean that
// changes now and then; 0 when it is constant. For normal noise of deviation s the
// mean of the absolute differences is 2*s/sqrt(pi).
func differenceNoise(y []float64) float64 {
	if len(y) < 2 {
		return 0
	}
	steps := make([]float64, len(y)-1)
	mean := 0.0
	for i := range steps {
		steps[i] = y[i+1] - y[i]
		mean += math.Abs(steps[i]) / float64(len(steps))
	}
	if !isFinite(mean) {
		return 0
	}
	// What is less than this is rounding.
	if noise := MAD(steps) / math.Sqrt2; noise > 1e-6*mean && isFinite(noise) {
		return noise
	}
	return mean * math.Sqrt(math.Pi) / 2
}

// pelt is one search: prefix sums of the scaled values and of their squares.
type pelt struct {
	minSize       int
	penalty       float64
	sums, squares []float64
}

// cost is the sum of squared deviations of the values from..to-1 from their mean.
func (p *pelt) cost(from, to int) float64 {
	sum := p.sums[to] - p.sums[from]
	return max(0, p.squares[to]-p.squares[from]-sum*sum/float64(to-from))
}

// solve returns the first indices of all segments but the first.
func (p *pelt) solve(n int) []int {
	best, last := make([]float64, n+1), make([]int, n+1)
	best[0] = -p.penalty
	type candidate struct{ start, until int }
	never := math.MaxInt
	candidates := []candidate{{0, never}}
	for end := p.minSize; end <= n; end++ {
		// A segment that ends here may begin where one of at least minSize ended.
		if start := end - p.minSize; start >= p.minSize {
			candidates = append(candidates, candidate{start, never})
		}
		best[end] = math.Inf(1)
		for _, c := range candidates {
			if total := best[c.start] + p.cost(c.start, end) + p.penalty; total < best[end] {
				best[end], last[end] = total, c.start
			}
		}
		// Whoever is not better than a change right here never is again, once a segment
		// that begins here may end: minSize later (Killick 2012, theorem 3.1, with K = 0).
		kept := candidates[:0]
		for _, c := range candidates {
			if c.until == never && best[c.start]+p.cost(c.start, end) >= best[end] {
				c.until = end + p.minSize
			}
			if end+1 < c.until {
				kept = append(kept, c)
			}
		}
		candidates = kept
	}
	var starts []int
	for at := last[n]; at > 0; at = last[at] {
		starts = append(starts, at)
	}
	slices.Reverse(starts)
	return starts
}

// EDivisive returns where the distribution of a series changes, not its mean alone:
// the first index of each new segment, ascending (Matteson & James 2014, A
// nonparametric approach for multiple change point analysis of multivariate data,
// JASA 109). It splits where the energy distance (exponent 1) between both sides is
// greatest, as long as a permutation test within the segments gives p <= alpha, each
// segment keeping at least minSize values (2 or more). alpha is the level of
// significance, 0.05 say, and permutations should be at least 1/alpha - 1 (below, nothing is
// ever significant). The same seed gives the same answer. It takes O(n^2) time a permutation: n up to some
// 500. Values must be exchangeable when nothing changes: autocorrelation makes it
// see changes that are none.
func EDivisive(y []float64, minSize int, alpha float64, permutations int, seed uint64) []int {
	kept, at := finiteIndex(y)
	minSize = max(2, minSize)
	random := rand.New(rand.NewPCG(seed, 0))
	bounds := []int{0, len(kept)}
	best := []split{bestSplit(kept, minSize)}
	for {
		strongest := 0
		for i := range best {
			if best[i].energy > best[strongest].energy {
				strongest = i
			}
		}
		found := best[strongest]
		if found.energy <= 0 || !significant(kept, bounds, found.energy, minSize, alpha, permutations, random) {
			break
		}
		middle := bounds[strongest] + found.at
		left, right := kept[bounds[strongest]:middle], kept[middle:bounds[strongest+1]]
		best[strongest] = bestSplit(left, minSize)
		best = slices.Insert(best, strongest+1, bestSplit(right, minSize))
		bounds = slices.Insert(bounds, strongest+1, middle)
	}
	var changes []int
	for _, i := range bounds[1 : len(bounds)-1] {
		changes = append(changes, at[i])
	}
	return changes
}

// split is the best place to split a segment: at is the first index of its second
// part; the energy is 0 when there is none.
type split struct {
	at     int
	energy float64
}

// bestSplit maximises over tau < kappa the scaled energy distance of the values
// before tau and those from tau to kappa:
//
//	Q = n*m/(n+m) * (2*mean|x-y| - mean|x-x'| - mean|y-y'|)
//
// (Matteson & James 2014, equations 5 to 7). All sums of distances come from one
// table of prefix sums.
func bestSplit(y []float64, minSize int) split {
	if len(y) < 2*minSize {
		return split{}
	}
	d := distances(y)
	var best split
	for tau := minSize; tau <= len(y)-minSize; tau++ {
		n := float64(tau)
		within := d.block(0, tau, 0, tau) / (n * (n - 1))
		for kappa := tau + minSize; kappa <= len(y); kappa++ {
			m := float64(kappa - tau)
			between := 2 * d.block(0, tau, tau, kappa) / (n * m)
			energy := n * m / (n + m) * (between - within - d.block(tau, kappa, tau, kappa)/(m*(m-1)))
			if energy > best.energy {
				best = split{tau, energy}
			}
		}
	}
	return best
}

// prefix holds sums of distances: at i*(n+1)+j those of the first i values to the
// first j.
type prefix struct {
	size int
	sums []float64
}

func distances(y []float64) prefix {
	d := prefix{len(y) + 1, make([]float64, (len(y)+1)*(len(y)+1))}
	for i := range y {
		row := 0.0
		for j := range y {
			row += math.Abs(y[i] - y[j])
			d.sums[(i+1)*d.size+j+1] = d.sums[i*d.size+j+1] + row
		}
	}
	return d
}

// block is the sum of the distances of the values a..b-1 to c..e-1.
func (d *prefix) block(a, b, c, e int) float64 {
	return d.sums[b*d.size+e] - d.sums[a*d.size+e] - d.sums[b*d.size+c] + d.sums[a*d.size+c]
}

// significant tests an energy against those of permutations within the segments. It
// ends as soon as the answer is known.
func significant(y []float64, bounds []int, energy float64, minSize int, alpha float64, permutations int, random *rand.Rand) bool {
	// p = (as strong ones + 1) / (permutations + 1)
	allowed := int(math.Floor(alpha*float64(permutations+1)+1e-9)) - 1
	if allowed < 0 || permutations <= 0 {
		return false
	}
	shuffled := slices.Clone(y)
	stronger := 0
	for range permutations {
		highest := 0.0
		for i := 1; i < len(bounds); i++ {
			part := shuffled[bounds[i-1]:bounds[i]]
			random.Shuffle(len(part), func(a, b int) { part[a], part[b] = part[b], part[a] })
			highest = max(highest, bestSplit(part, minSize).energy)
		}
		if highest >= energy {
			if stronger++; stronger > allowed {
				return false
			}
		}
	}
	return true
}
