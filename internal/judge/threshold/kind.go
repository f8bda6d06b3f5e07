package threshold

// OfTime reports whether the figure is a response time, and not a count, a rate or a
// share.
func (t *Threshold) OfTime() bool { return t.figure.unit == seconds }
