//go:build race

package load

// raceEnabled tells that the tests run under the race detector.
const raceEnabled = true
