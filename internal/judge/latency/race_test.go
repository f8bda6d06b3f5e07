//go:build race

package latency_test

// slowly tells that the race detector makes everything ten times slower.
const slowly = true
