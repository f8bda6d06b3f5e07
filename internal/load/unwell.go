package load

// Unwell reports whether the outcome says that the target, or the way to it, is
// unwell: it could not be reached, did not answer in time or broke down. Only
// these open a [Circuit], which lowers the load so that the target can recover.
//
// A wrong answer does not count: the target stands and works, less load would
// not make its answers right, and they are what soakd is there to find. Nor do
// 401, 403 and 4xx, which speak of the request. 429 says that the target protects
// itself, and how long to leave it alone; see [RetryPolicy].
//
// A request that failed for want of soakd's own ports or files has the outcome
// Connect or DNS as well; whoever counts leaves out what [SystemError] knows.
func (o Outcome) Unwell() bool {
	switch o {
	case ServerError, Timeout, Connect, Reset, TLS, DNS:
		return true
	}
	return false
}
