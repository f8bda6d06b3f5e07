package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fasthttp"
)

// Answer is a complete answer, or as much of one as came. It is used again for
// the next exchange: nothing of it may be kept.
type Answer struct {
	// Status is 0 while no status line came.
	Status int
	// Body is the decoded body.
	Body []byte
	// Closing reports whether the target announced to close the connection.
	Closing bool

	plain   fasthttp.ResponseHeader
	headers http.Header // of HTTP/2
	packed  []byte
	memory  *Memory
	held    int64
	// beside is what is held beside the body that is being read: the packed one.
	beside int64
}

// Get returns the value of a header field, "" when it is absent.
func (a *Answer) Get(name string) string {
	if a.headers != nil {
		return a.headers.Get(name)
	}
	return string(a.plain.Peek(name))
}

// Release gives back the memory that the answer holds of the shared budget, and
// buffers that have grown large.
func (a *Answer) Release() {
	if a.held > 0 {
		a.memory.held.Add(-a.held)
		a.held = 0
	}
	if cap(a.Body) > keepBytes {
		a.Body = nil
	}
	if cap(a.packed) > keepBytes {
		a.packed = nil
	}
}

func (a *Answer) reset(memory *Memory) {
	a.Release()
	a.Status, a.Closing, a.memory, a.headers, a.beside = 0, false, memory, nil, 0
	a.Body, a.packed = a.Body[:0], a.packed[:0]
}

const (
	// keepBytes is the largest buffer that is kept between answers, so that one
	// large answer does not stay in memory for weeks.
	keepBytes = 64 << 10
	// freeBytes of an answer are not counted against the shared budget: as many
	// answers as may be in flight hold little together, and counting them all
	// would have every core write to one number for every answer.
	freeBytes = 32 << 10
	// growBytes is the largest step by which a body's buffer runs ahead of what
	// has come: a target that announces much and sends nothing costs no more.
	growBytes = 64 << 10
)

// Memory bounds what all answers that are being read hold together.
type Memory struct {
	// Limit is the budget in bytes; each answer's first 32 KiB are free.
	Limit int64
	held  atomic.Int64
}

// Held returns the bytes that are held at this moment.
func (m *Memory) Held() int64 { return m.held.Load() }

// take counts what an answer holds whose body now has size bytes, packed or not.
func (a *Answer) take(size, limit int64) error {
	if size > limit {
		return ErrTooLarge
	}
	total := size + a.beside
	if more := total - freeBytes - a.held; more > 0 {
		a.held += more
		if a.memory.held.Add(more) > a.memory.Limit {
			return ErrTooLarge
		}
	}
	return nil
}

// readAll appends to buffer what r gives until its end; exactly size bytes when
// size is not negative. The buffer never grows beyond what may come and the one
// byte that shows that more did.
func (a *Answer) readAll(buffer []byte, r io.Reader, size, limit int64) ([]byte, error) {
	if size > limit {
		return buffer, ErrTooLarge
	}
	for size < 0 || int64(len(buffer)) < size {
		room := 512
		if size >= 0 {
			room = int(min(size-int64(len(buffer)), growBytes))
		}
		if cap(buffer)-len(buffer) < room {
			most := limit + 1
			if size >= 0 {
				most = size
			}
			grown := make([]byte, len(buffer), max(min(2*int64(cap(buffer))+int64(room), most), int64(len(buffer)+1)))
			copy(grown, buffer)
			buffer = grown
		}
		free := buffer[len(buffer):cap(buffer)]
		if size >= 0 {
			free = free[:min(int64(len(free)), size-int64(len(buffer)))]
		}
		n, err := r.Read(free)
		buffer = buffer[:len(buffer)+n]
		if err := a.take(int64(len(buffer)), limit); err != nil {
			return buffer, err
		}
		switch {
		case errors.Is(err, io.EOF) && (size < 0 || int64(len(buffer)) == size):
			return buffer, nil
		case errors.Is(err, io.EOF):
			return buffer, io.ErrUnexpectedEOF
		case err != nil:
			return buffer, err
		}
	}
	return buffer, nil
}

// read reads one answer to a request with the given method.
func (a *Answer) read(br *bufio.Reader, method string, limit int64, decoders *sync.Pool) error {
	a.plain.SetNoDefaultContentType(true)
	for {
		if err := a.plain.Read(br); err != nil {
			return err
		}
		if status := a.plain.StatusCode(); status >= 200 || status == http.StatusSwitchingProtocols {
			a.Status = status
			break
		}
	}
	// After 101 the connection speaks something else.
	a.Closing = a.plain.ConnectionClose() || a.Status == http.StatusSwitchingProtocols
	if method == http.MethodHead || a.Status < 200 || a.Status == http.StatusNoContent || a.Status == http.StatusNotModified {
		return nil
	}
	var err error
	if isGzip(a.plain.ContentEncoding()) {
		if a.packed, err = a.readBody(a.packed, br, limit); err != nil {
			return err
		}
		return a.unpack(limit, decoders)
	}
	a.Body, err = a.readBody(a.Body, br, limit)
	return err
}

// isGzip knows a content coding by both of its names (RFC 9110, 8.4.1.3).
func isGzip(coding []byte) bool {
	return len(coding) > 0 && (bytes.EqualFold(coding, []byte("gzip")) || bytes.EqualFold(coding, []byte("x-gzip")))
}

// readBody reads a body in any of its three framings (RFC 9112, 6.3).
func (a *Answer) readBody(buffer []byte, br *bufio.Reader, limit int64) ([]byte, error) {
	switch length := a.plain.ContentLength(); {
	case length >= 0:
		return a.readAll(buffer, br, int64(length), limit)
	case length == -1:
		buffer, err := a.readAll(buffer, httputil.NewChunkedReader(br), -1, limit)
		if err != nil {
			return buffer, err
		}
		return buffer, skipTrailer(br)
	}
	a.Closing = true
	return a.readAll(buffer, br, -1, limit)
}

// trailerLines bounds the trailer fields behind a chunked body.
const trailerLines = 64

// skipTrailer reads the lines behind the last chunk up to the empty one.
func skipTrailer(br *bufio.Reader) error {
	for range trailerLines {
		line, err := br.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("a trailer field of more than %d bytes: %w", headerBytes, ErrTooLarge)
		case err != nil:
			return err
		case len(bytes.TrimRight(line, "\r\n")) == 0:
			return nil
		}
	}
	return fmt.Errorf("more than %d trailer fields: %w", trailerLines, ErrTooLarge)
}

// unpack decodes a body that was sent as gzip. That it cannot be decoded is no
// error of the connection, which has given all of its bytes.
func (a *Answer) unpack(limit int64, decoders *sync.Pool) error {
	if len(a.packed) == 0 {
		return nil
	}
	a.beside = int64(len(a.packed))
	source := bytes.NewReader(a.packed)
	decoder, ok := decoders.Get().(*gzip.Reader)
	var err error
	if ok {
		err = decoder.Reset(source)
	} else {
		decoder, err = gzip.NewReader(source)
	}
	if err != nil {
		return &Error{Kind: Protocol, Err: fmt.Errorf("the body is announced as gzip and is not: %w", err)}
	}
	defer decoders.Put(decoder)
	if a.Body, err = a.readAll(a.Body, decoder, -1, limit); err != nil && !errors.Is(err, ErrTooLarge) {
		return &Error{Kind: Protocol, Err: fmt.Errorf("decode the gzip body: %w", err)}
	}
	return err
}
