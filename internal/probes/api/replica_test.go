package api

import "time"

// pollTime is the time of one poll of the tests.
const pollTime = 5 * time.Second
