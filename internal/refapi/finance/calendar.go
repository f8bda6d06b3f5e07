package finance

import "time"

// DueDate is the day months (0 or above) after start, held to the last day of its month
// when start's day does not exist there: one month after 31 January is
// 28 or 29 February.
func DueDate(start time.Time, months int) time.Time {
	year, month, day := start.Date()
	since := int(month-time.January) + months
	year += since / MonthsPerYear
	month = time.January + time.Month(since%MonthsPerYear)
	return time.Date(year, month, min(day, daysIn(year, month)), 0, 0, 0, 0, time.UTC)
}

// daysIn is the number of days of a month (Gregorian calendar).
func daysIn(year int, month time.Month) int {
	switch month {
	case time.April, time.June, time.September, time.November:
		return 30
	case time.February:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}
