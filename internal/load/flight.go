package load

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"soakd/internal/load/wire"
)

// flight is one request under way and everything that it needs, kept together so
// that it can be used again: a request then allocates next to nothing.
type flight struct {
	arrival Arrival
	// c is the case that is sent: the arrival's, or its fallback.
	c       *Case
	user    User
	request *Request
	// sent is when the request was handed to the connection.
	sent time.Time
	// again tells that it was sent before, on a connection that had been closed.
	again bool

	own      Request
	scratch  []byte
	pcg      rand.PCG
	rng      *rand.Rand
	wire     wire.Request
	answer   wire.Answer
	response Response
	exchange Exchange
	judged   judgement
	// fail is judged.fail, bound once.
	fail   func(check string, err error)
	result Result
}

func newFlight() *flight {
	f := new(flight)
	f.rng = rand.New(&f.pcg)
	f.fail = f.judged.fail
	return f
}

// keepScratchBytes is the largest request buffer that is kept between requests.
const keepScratchBytes = 64 << 10

// take returns a flight for an arrival, to be given back with [Client.giveBack].
func (c *Client) take(arrival Arrival, user User) *flight {
	f, ok := c.flights.Get().(*flight)
	if !ok {
		f = newFlight()
	}
	f.arrival, f.c, f.user, f.again = arrival, arrival.Case, user, false
	return f
}

// giveBack lets the flight be used again. Nothing of its request, answer and
// result may be used any more.
func (c *Client) giveBack(f *flight) {
	f.forget()
	f.answer.Release()
	if cap(f.scratch) > keepScratchBytes {
		f.scratch = nil
	}
	c.flights.Put(f)
}

// forget gives the request's memo back.
func (f *flight) forget() {
	if f.request == nil {
		return
	}
	if memo, ok := f.request.Memo.(Releaser); ok {
		memo.Release()
	}
	f.request = nil
}

// prepare builds the request of the flight's case with its token, ready for the
// wire. seed seeds the random numbers of the payload.
func (c *Client) prepare(f *flight, mix *Mix) error {
	f.own = Request{}
	mix.seedPayload(&f.pcg, f.arrival.N)
	request, err := f.c.Build(Draw{User: f.user, Rand: f.rng, Request: &f.own, Scratch: &f.scratch})
	if err != nil {
		return fmt.Errorf("case %s: %w", f.c.Name, err)
	}
	f.request = request
	token, err := c.cfg.Token(f.user, request.Credentials)
	if err != nil {
		return fmt.Errorf("case %s: get a token: %w", f.c.Name, err)
	}
	w := &f.wire
	w.Method, w.Path, w.Body, w.ContentType, w.Token, w.UserID = request.Method, request.Path, request.Body, request.ContentType, token, ""
	if request.Credentials == UserToken {
		w.UserID = f.user.ID
	}
	w.Identify()
	if err := w.Check(); err != nil {
		return fmt.Errorf("case %s: %w", f.c.Name, err)
	}
	return nil
}

// judge makes the result of what came of the flight: of an answer when err is
// nil, else of the error.
func (c *Client) judge(f *flight, done time.Time, err error) *Result {
	status, size := 0, 0
	if err == nil || !isUnanswered(err) {
		status, size = f.answer.Status, len(f.answer.Body)
	}
	if err != nil {
		f.judged = judgeError(err)
	} else {
		f.response = Response{Status: status, Header: &f.answer, Body: f.answer.Body, Closing: f.answer.Closing}
		f.exchange = Exchange{User: f.user, Request: f.request, Response: &f.response, Sent: f.sent, Received: done}
		judgeAnswer(f, c.dialer.Path())
	}
	took := done.Sub(f.sent)
	f.result = Result{
		Case: f.c, User: f.user, Outcome: f.judged.outcome, Status: status, Bytes: int64(size), FailedChecks: f.judged.failed,
		Reason: f.judged.reason, TraceID: f.wire.Trace, Done: done, ResponseTime: took, Duration: took,
	}
	return &f.result
}

// isUnanswered reports whether an error says that not even a status came, so that
// the one in the answer is of an earlier exchange.
func isUnanswered(err error) bool {
	var failed *wire.Error
	return errors.As(err, &failed) && failed.Silent
}
