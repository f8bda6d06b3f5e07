package results

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"time"

	"soakd/internal/load"
)

// transaction is how JMeter begins the message of a transaction, which is a sum of
// samples that have lines of their own.
const transaction = "Number of samples in transaction"

// jmeterColumns are where JMeter's columns stand
// (https://jmeter.apache.org/usermanual/listeners.html#csvlogformat).
type jmeterColumns struct {
	stamp, elapsed, label, code, message, success, failure, bytes, users, url int
}

// readJMeter reads a JTL file in CSV with a header line. A time is that of the
// beginning of a sample, as JMeter writes it by default (sampleresult.timestamp.start).
func readJMeter(file string, from *bufio.Reader, o Options) (*Result, error) {
	t, err := openTable(file, from, false)
	if err != nil {
		return nil, err
	}
	c := jmeterColumns{
		stamp: t.column("timestamp"), elapsed: t.column("elapsed"), label: t.column("label"), code: t.column("responsecode"), message: t.column("responsemessage"),
		success: t.column("success"), failure: t.column("failuremessage"), bytes: t.column("bytes"), users: t.column("allthreads"), url: t.column("url"),
	}
	if c.stamp < 0 || c.elapsed < 0 || (c.success < 0 && c.code < 0) {
		return nil, wrong(file, 1, "it has no columns timeStamp, elapsed and success: it is no CSV of JMeter's")
	}
	collector := newCollector(file, o.Window)
	users, transactions := 0, 0
	targets := map[string]bool{}
	for {
		more, err := t.next(t.width())
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		if strings.HasPrefix(t.field(c.message), transaction) {
			transactions++
			continue
		}
		s, err := t.jmeterSample(&c)
		if err != nil {
			return nil, err
		}
		if err := collector.add(t.line, &s); err != nil {
			return nil, err
		}
		rememberTarget(targets, t.field(c.url))
		if n, err := strconv.Atoi(t.field(c.users)); err == nil && n < 1e9 {
			users = max(users, n)
		}
	}
	r := collector.finish("jmeter")
	r.Run.Users, r.Run.Target = users, oneTarget(targets)
	r.cutBy(t.cut, file)
	if transactions > 0 {
		r.note("%d lines of transactions are left out: they are sums of samples that have lines of their own", transactions)
		if len(r.Run.Cases) == 0 {
			return nil, wrong(file, 0, "it holds only transactions: untick \"Generate parent sample\" in their controllers, so that each request has a line")
		}
	}
	return r, nil
}

func (t *table) jmeterSample(c *jmeterColumns) (s sample, err error) {
	if strings.EqualFold(t.field(c.stamp), "timeStamp") {
		return s, wrong(t.file, t.line, "a second header line: JMeter has added a second run to the file, and it must hold one")
	}
	begun, err := jmeterTime(t.field(c.stamp))
	if err != nil {
		return s, wrong(t.file, t.line, "timeStamp: %v", err)
	}
	ms, err := t.count(c.elapsed, "elapsed")
	if err != nil {
		return s, err
	}
	took := millis(float64(ms))
	if took < 0 {
		return s, wrong(t.file, t.line, "elapsed: %d ms is no time of a request", ms)
	}
	s = sample{name: clean(t.field(c.label)), end: begun.Add(took), took: took, outcome: okOutcome, bytes: -1}
	if s.name == "" {
		s.name = "request"
	}
	if n, known, err := t.number(c.bytes, "bytes"); err == nil && known && n >= 0 && n < 1<<50 {
		s.bytes = int64(n)
	}
	code := strings.TrimSpace(t.field(c.code))
	status, err := strconv.Atoi(code)
	if err != nil {
		status = 0
	}
	ok := strings.EqualFold(t.field(c.success), "true")
	if c.success < 0 {
		ok = status >= 200 && status < 400
	} else if !ok && !strings.EqualFold(t.field(c.success), "false") {
		return s, wrong(t.file, t.line, "success: %q must be true or false", clean(t.field(c.success)))
	}
	if !ok {
		s.outcome, s.reason = jmeterOutcome(status, code, t.field(c.message), t.field(c.failure))
	}
	return s, nil
}

// jmeterOutcome says how a sample failed: an answer that JMeter did not want though its
// status is right has failed an assertion.
func jmeterOutcome(status int, code, message, failure string) (outcome, reason string) {
	if status >= 200 && status < 400 {
		return string(load.CheckFailed), redact(strings.TrimSpace("assertion: " + failure))
	}
	if status == 0 {
		return failedOutcome(0, strings.TrimSpace(code+" "+message))
	}
	return failedOutcome(status, fmt.Sprintf("%d %s", status, message))
}

// jmeterTimes are the layouts of times in JMeter's files, beside milliseconds since 1970
// (jmeter.save.saveservice.timestamp_format). They name no zone: UTC is taken.
func jmeterTimes() []string {
	return []string{"2006/01/02 15:04:05.999", "2006-01-02 15:04:05.999", "2006-01-02T15:04:05.999", time.RFC3339Nano}
}

func jmeterTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		if ms < 0 || ms > 1e13 {
			return time.Time{}, fmt.Errorf("%d is not milliseconds since 1970", ms)
		}
		return time.UnixMilli(ms), nil
	}
	for _, layout := range jmeterTimes() {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither milliseconds since 1970 nor yyyy/MM/dd HH:mm:ss.SSS", clean(text))
}
