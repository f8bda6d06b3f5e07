// Package simulate makes windows as a run of the built-in workload against the
// reference API brings them, in no time: the cases with their weights, the series
// of the probes under their real names, the noise of a real machine, and the
// faults with what they bring about. The bench of the judgement and the tests of
// its parts measure themselves by it.
//
// # The noise
//
// Nothing of it is a fault, and nothing of it may be found:
//   - all response times share a factor that wanders (a first-order autoregression,
//     standard deviation 5 %, time constant 10 min) and grows with the utilisation,
//   - every few hours other work on the machine slows everything by 30 % for 1 to 5 minutes,
//   - each night at 03:00 a backup slows what uses the database by 10 % for 20
//     minutes, with sessions and temporary files of its own,
//   - the garbage collector makes a saw-tooth of the heap and a tail of the times,
//   - resident memory wanders, follows the rate, grows for some hours after a start
//     and less and less, and has the slow tooth of workers that are recycled,
//   - every day or two a new version is deployed, with a restart that loses a
//     request or two and starts with cold caches; it is no better and no worse,
//   - one request in 50 000 fails for reasons nobody will ever know,
//   - soakd itself restarts every few days and knows nothing of 30 seconds, and is
//     not fit to judge for a window or two each day,
//   - tables grow, autovacuum comes and goes, logs are rotated once a week, the page
//     cache fills, Redis fills until its keys expire as fast as new ones come,
//   - with [Config.Day], the rate goes up and down with the day, from 40 % to 160 %.
package simulate
