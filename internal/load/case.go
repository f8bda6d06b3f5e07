package load

import (
	"errors"
	"math/rand/v2"
	"time"
)

// Class groups cases that share limits and objectives. It is a label value.
type Class string

// Outcome is what became of a request that was sent. It is a label value.
type Outcome string

// The outcomes. One request has exactly one: where several would fit, the
// first of this list that fits wins, apart from OK, which is what remains.
const (
	// OK: the expected status, and every check passed.
	OK Outcome = "ok"
	// LeakedInternals: an error answer shows a stack trace, SQL text or a path.
	LeakedInternals Outcome = "leaked_internals"
	// RateLimited: status 429.
	RateLimited Outcome = "rate_limited"
	// ServerError: status 5xx, to valid or to invalid input.
	ServerError Outcome = "server_error"
	// AcceptedInvalid: status 2xx to invalid input.
	AcceptedInvalid Outcome = "accepted_invalid"
	// Unauthorized: status 401 or 403 to a request with good credentials.
	Unauthorized Outcome = "unauthorized"
	// RejectedValid: any other status than the expected ones, to valid input.
	RejectedValid Outcome = "rejected_valid"
	// CheckFailed: the status fits, the answer is wrong.
	CheckFailed Outcome = "check_failed"
	// Timeout: no complete answer within the case's time limit.
	Timeout Outcome = "timeout"
	// Connect: no connection could be made.
	Connect Outcome = "connect"
	// Reset: the connection broke before the answer was complete.
	Reset Outcome = "reset"
	// TLS: the handshake failed.
	TLS Outcome = "tls"
	// DNS: the target's name could not be resolved.
	DNS Outcome = "dns"
)

// Outcomes lists every outcome.
func Outcomes() []Outcome {
	return []Outcome{
		OK, RejectedValid, AcceptedInvalid, ServerError, LeakedInternals, CheckFailed,
		Timeout, Connect, Reset, TLS, DNS, RateLimited, Unauthorized,
	}
}

// Credentials says how a request identifies itself.
type Credentials int

// The credentials. Expired and Forged need a token source that can mint.
const (
	// UserToken: the virtual user's own good token.
	UserToken Credentials = iota
	// NoToken: no Authorization header.
	NoToken
	// ExpiredToken: rightly signed, expired an hour ago.
	ExpiredToken
	// ForgedToken: good claims, signed with another key.
	ForgedToken
)

// User is the identity of one virtual user.
type User struct {
	// Index is 0..users-1.
	Index int
	// ID is the user's id at the target (the token's subject), sent as X-User-ID;
	// "" when it is not known.
	ID string
}

// Draw is what a case builds its request from. The same seed, arrival number
// and user give the same request as far as it does not hold what the target
// answered earlier (such as scenario ids).
type Draw struct {
	User User
	// Rand is seeded from the run's seed and the arrival number, and belongs to
	// this one call.
	Rand *rand.Rand
	// Request is an empty request that Build may fill and return, to save making
	// one; nil when there is none. Use [Draw.NewRequest].
	Request *Request
	// Scratch is a buffer that Build may write the body into, from its start, and
	// that is its own until the exchange is over; nil when there is none. Use
	// [Draw.Buffer] and [Draw.Keep].
	Scratch *[]byte
}

// NewRequest returns the draw's empty request, or a new one.
func (d *Draw) NewRequest() *Request {
	if d.Request != nil {
		return d.Request
	}
	return new(Request)
}

// Buffer returns an empty buffer with room for at least size bytes to append a
// body to. Hand what came of it to [Draw.Keep].
func (d *Draw) Buffer(size int) []byte {
	if d.Scratch != nil && cap(*d.Scratch) >= size {
		return (*d.Scratch)[:0]
	}
	return make([]byte, 0, size)
}

// Keep lets the next draw write over body, once this exchange is over.
func (d *Draw) Keep(body []byte) {
	if d.Scratch != nil && cap(body) > cap(*d.Scratch) {
		*d.Scratch = body
	}
}

// Releaser is a [Request.Memo] that can be used again. Release is called once,
// when nothing of the request is needed any more: after Verify, or when the
// request came to nothing.
type Releaser interface{ Release() }

// ErrNoState is returned by Case.Build when the virtual user does not yet have
// what the case needs (no scenario saved yet). The arrival is then made with
// Case.Fallback and counted as substituted.
var ErrNoState = errors.New("the virtual user has no state for this case yet")

// Request is one request to send.
type Request struct {
	Method string
	// Path starts with a slash and may have a query; it is appended to the
	// target's URL.
	Path string
	// Body is sent as it is; nil means no body at all. It must not be changed
	// after Build returned it.
	Body []byte
	// ContentType is the Content-Type header, sent when not empty.
	ContentType string
	Credentials Credentials
	// Memo is whatever the case's Verify needs to know about what was sent.
	Memo any
}

// Header gives the value of a header field by its name, in any case; "" when it
// is absent. [net/http.Header] is one.
type Header interface{ Get(name string) string }

// Response is a complete answer. Body is only valid during Verify.
type Response struct {
	Status int
	Header Header
	Body   []byte
	// Closing reports whether the target announced to close the connection.
	Closing bool
}

// Exchange is a request together with its answer.
type Exchange struct {
	User     User
	Request  *Request
	Response *Response
	// Sent and Received are when the request was sent and the answer was complete.
	Sent, Received time.Time
}

// Case is one kind of request: how to build it, what answer is right.
type Case struct {
	// Name is unique and bounded: it is a label value ([a-z0-9_]+).
	Name  string
	Class Class
	// Method is the HTTP method of all its requests; "" when there are several.
	Method string
	// Weight is the case's share of the mix relative to the sum of all weights;
	// >= 0, and 0 means never drawn (but usable as a fallback or opening).
	Weight float64
	// Timeout bounds a request from the send to the end of its body; > 0.
	Timeout time.Duration
	// MinInterval is the least time between two arrivals of this case for one
	// virtual user, in schedule time; 0 means no limit.
	MinInterval time.Duration
	// Statuses are the right answers; at least one.
	Statuses []int
	// Invalid marks deliberately invalid input: a 2xx is then AcceptedInvalid
	// unless it is among Statuses.
	Invalid bool
	// ReadOnly tells that the request changes nothing at the target.
	ReadOnly bool
	// Tags are what the case can be selected by beside its name and class
	// ([a-z0-9_]+); see [Workload.Select].
	Tags []string
	// NeedsOpening tells that the case asks for what the workload's opening made.
	NeedsOpening bool
	// Build makes the request. It must be safe for concurrent use.
	Build func(Draw) (*Request, error)
	// Checks names every check that Verify may report; bounded, a label value.
	Checks []string
	// Verify reports each thing that is wrong with an answer whose status is
	// right, by one of the names in Checks. Nil means that the status is all.
	// It must be safe for concurrent use and must not keep the body.
	Verify func(x *Exchange, fail func(check string, err error))
	// Fallback is sent instead when Build returns ErrNoState; nil means that
	// the arrival is dropped.
	Fallback *Case
}

// Opening is what every virtual user does first: Times arrivals of Case.
type Opening struct {
	Case  *Case
	Times int
}

// Workload is a set of cases for one API.
type Workload struct {
	Name  string
	Cases []*Case
	// Opening may be nil.
	Opening *Opening
	// Notes say what was left out and why, for the log and for `soakd check`.
	Notes []string
	// Versions gathers the target's versions where its answers give one; may be nil.
	Versions *Versions
}
