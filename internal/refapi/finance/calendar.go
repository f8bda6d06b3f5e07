package finance

import "time"

// DueDate is the day months after start, held to the last day of its month
// when start's day does not exist there: one month after 31 January is
// 28 or 29 February.
func DueDate(start time.Time, months int) time.Time {
	year, month, day := start.Date()
	first := time.Date(year, month+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(day, last)-1)
}
