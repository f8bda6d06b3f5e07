package redis

import "time"

// refusedRetry is after how long a server that refused a command is asked
// again: each refusal counts in its error statistics and its ACL log.
const refusedRetry = 10 * time.Minute

// rights remembers which of the commands that the probe can do without the
// server refused.
type rights struct{ until map[string]time.Time }

// has reports whether the command may be asked for.
func (r *rights) has(command string, now time.Time) bool { return !now.Before(r.until[command]) }

// refuse takes in that the server refused the command.
func (r *rights) refuse(command string, now time.Time) {
	if r.until == nil {
		r.until = map[string]time.Time{}
	}
	r.until[command] = now.Add(refusedRetry)
}
