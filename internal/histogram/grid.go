package histogram

import (
	"math"
	"math/bits"
	"time"
)

// The grid is that of Prometheus' native histograms at schema 6
// (https://prometheus.io/docs/specs/native_histograms/#schema): bucket k holds
// the times t with
//
//	2^((k-1)/64) s < t <= 2^(k/64) s
//
// so that the upper bound of a bucket is at most 1.09 % above its lower one.
const (
	// Schema is the schema of the grid: 2^Schema buckets double the time.
	Schema    = 6
	perDouble = 1 << Schema
	// blocks is how many blocks of perDouble buckets cover 1 ns .. 2^63-1 ns.
	blocks = 64
	// firstKey is the key k of the grid's first bucket, which 1 ns falls into.
	firstKey = 7 - 30*perDouble
)

// upper holds the bounds that lie within one doubling, scaled so that no bit is
// lost and none is needed twice: upper[i] = floor(2^((7+i)/64) * 10^9 * 2^33),
// i = 0..63, are all the bounds 2^(k/64) s from 2^63 to 2^64 in units of
// 2^-33 ns * 2^n for the right n. The last entry stands for the bound that is
// above 2^64.
//
//nolint:gochecknoglobals // never changed: a table of constants, which a test compares with their definition
var upper = [perDouble + 1]uint64{
	0x80992abb83a534a2, 0x81ffa7a9549ca6e3, 0x836a0bee9d9d5401, 0x84d8626d3118d396, 0x864ab625376b7b77, 0x87c11235836d16a3,
	0x893b81dbe7ed5966, 0x8aba10758e1ea3cf, 0x8c3cc97f4cf1aadd, 0x8dc3b8960164a7d9, 0x8f4ee976e7c8b4cc, 0x90de67fff600044c,
	0x9272403036b7aa56, 0x940a7e28259fb382, 0x95a72e2a0ca44f7c, 0x97485c9a622adb60, 0x98ee16002855a076, 0x9a9867054d512391,
	0x9c475c770cade96d, 0x9dfb034651c99c68, 0x9fb368881b4a8811, 0xa1709975dfb06757, 0xa332a36df2fd8a6a, 0xa4f993f3ed7b61ca,
	0xa6c578b1139d848c, 0xa8965f74bf065071, 0xaa6c5634c8b04b16, 0xac476b0df43f745f, 0xae27ac445c7dc318, 0xb00d2843e1060dc2,
	0xb1f7eda09520aa93, 0xb3e80b172fd51af7, 0xb5dd8f8d7d341ffd, 0xb7d88a12d0dd9ea0, 0xb9d909e079c5c456, 0xbbdf1e5a373ce5c6,
	0xbdead70eaf3d9b5a, 0xbffc43b7e604a922, 0xc213743bb6f64957, 0xc43078ac4ed47ae7, 0xc6536148a749ff7d, 0xc87c3e7d03cdbec3,
	0xcaab20e36fe24ee5, 0xcce019443eb56ce4, 0xcf1b38968c2339b8, 0xd15c9000bf211c1f, 0xd3a430d90d943190, 0xd5f22ca6019743e0,
	0xd846951f0034440a, 0xdaa17c2cd19555db, 0xdd02f3ea2ab18362, 0xdf6b0ea438793a89, 0xe1d9dedb2c86c2b2, 0xe44f7742cb56e3dd,
	0xe6cbeac2fc0e04aa, 0xe94f4c7859ce1066, 0xebd9afb4c6a18262, 0xee6b280000000000, 0xf103c91834f0f723, 0xf3a3a6f29dd0c333,
	0xf64ad5bc15bce751, 0xf8f969d9b5abf948, 0xfbaf77e97135e555, 0xfe6d14c2b5114024, math.MaxUint64,
}

// below[c] is how many bounds lie below cell c, one of 128 of equal width from
// 2^63 to 2^64. A cell is at most 0.79 % wide, less than a bucket, so at most one
// bound lies within it.
//
//nolint:gochecknoglobals // never changed: a table of constants, which a test compares with their definition
var below = [128]uint8{
	0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 10, 10, 11, 12, 12, 13,
	13, 14, 15, 15, 16, 17, 17, 18, 18, 19, 20, 20, 21, 21, 22, 22, 23, 24, 24, 25,
	25, 26, 26, 27, 27, 28, 28, 29, 29, 30, 31, 31, 32, 32, 33, 33, 34, 34, 35, 35,
	36, 36, 37, 37, 38, 38, 38, 39, 39, 40, 40, 41, 41, 42, 42, 43, 43, 44, 44, 44,
	45, 45, 46, 46, 47, 47, 48, 48, 48, 49, 49, 50, 50, 50, 51, 51, 52, 52, 53, 53,
	53, 54, 54, 55, 55, 55, 56, 56, 57, 57, 57, 58, 58, 58, 59, 59, 60, 60, 60, 61,
	61, 62, 62, 62, 63, 63, 63, 64,
}

// bucketOf returns the number of the bucket, from 0, of a time above 0. It is
// exact: the time is scaled to 2^63 .. 2^64 without losing a bit, and since the
// bounds that are no whole numbers lie above their floor, t <= bound and
// t <= floor(bound) say the same.
func bucketOf(d time.Duration) int {
	zeros := bits.LeadingZeros64(uint64(d))
	scaled := uint64(d) << zeros
	i := below[scaled>>56&127]
	_, above := bits.Sub64(upper[i], scaled, 0)
	return perDouble*(63-zeros) + int(i) + int(above)
}

// middle returns the geometric middle of a bucket. Every time in the bucket is
// within 2^(1/128) - 1 = 0.55 % of it.
func middle(bucket int) time.Duration {
	key := float64(firstKey + bucket)
	return time.Duration(min(math.Round(1e9*math.Exp2((key-0.5)/perDouble)), math.MaxInt64-1023))
}
