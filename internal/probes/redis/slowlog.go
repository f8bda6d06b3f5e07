package redis

import goredis "github.com/redis/go-redis/v9"

// maxSlowlog is how many entries of the slow log are read at once: the server's
// default for slowlog-max-len. Redis cuts an entry's arguments to 32 of 128
// bytes.
const maxSlowlog = 128

// slowlog counts the entries that the slow log got. Ids start from 0 when the
// server does and go on after SLOWLOG RESET, so that an empty log does not tell
// where they are.
type slowlog struct {
	// total is how many came since the first poll.
	total int64
	// next is the id that the next entry gets, when known.
	next  int64
	known bool
	// empty tells that the log was empty at the last poll.
	empty bool
}

// wanted is how many entries add needs, the newest first.
func (s *slowlog) wanted() int64 {
	if s.empty && !s.known {
		return maxSlowlog
	}
	return 1
}

// add takes in the newest entries. The newest id tells how many came since the
// last poll, also of those that the log forgot because of slowlog-max-len. Into
// a log that was empty ever since, all that are there came since. What was there
// at the first poll of a server came before.
func (s *slowlog) add(entries []goredis.SlowLog) {
	if len(entries) == 0 {
		s.empty = true
		return
	}
	next := entries[0].ID + 1
	switch {
	case s.known && next >= s.next: // lower: a restart that no run id told of
		s.total += next - s.next
	case s.empty:
		s.total += int64(len(entries))
	}
	s.next, s.known, s.empty = next, true, false
}
