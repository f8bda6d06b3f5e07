//go:build linux && !race

package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// socketPair returns a quiet socket and the other end of its connection.
func socketPair(t *testing.T) (*socket, *net.TCPConn) {
	t.Helper()
	accepted := make(chan net.Conn, 1)
	over := make(chan struct{})
	address := serve(t, func(conn net.Conn) {
		accepted <- conn
		<-over
	})
	raw, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = raw.Close()
		close(over)
	})
	s, ok := quiet(raw).(*socket)
	if !ok {
		t.Fatal("a TCP connection is not made quiet")
	}
	return s, (<-accepted).(*net.TCPConn)
}

func TestQuietKeepsWhatIsNoSocket(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close() //nolint:errcheck // a pipe cannot fail
	defer ours.Close()   //nolint:errcheck // likewise
	if quiet(ours) != ours {
		t.Error("a pipe is no socket of the system")
	}
}

func TestSocketReadsAndWrites(t *testing.T) {
	s, other := socketPair(t)
	if n, err := s.Read(nil); n != 0 || err != nil {
		t.Errorf("an empty read gave %d, %v", n, err)
	}
	if n, err := s.Write(nil); n != 0 || err != nil {
		t.Errorf("an empty write gave %d, %v", n, err)
	}
	echoed := make(chan error, 1)
	go func() {
		_, err := io.Copy(other, io.LimitReader(other, 5))
		echoed <- err
	}()
	if n, err := s.Write([]byte("hello")); n != 5 || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	buffer := make([]byte, 16)
	if n, err := io.ReadFull(s, buffer[:5]); err != nil || string(buffer[:n]) != "hello" {
		t.Errorf("read %q, %v", buffer[:n], err)
	}
	if err := <-echoed; err != nil {
		t.Error(err)
	}
}

// What is larger than all buffers goes out in parts, whose order is kept, while
// as much comes in at the same time.
func TestSocketWritesInPartsAndReadsMeanwhile(t *testing.T) {
	s, other := socketPair(t)
	if err := s.Conn.(*net.TCPConn).SetWriteBuffer(1 << 14); err != nil {
		t.Fatal(err)
	}
	sent := make([]byte, 4<<20)
	for i := range sent {
		sent[i] = byte(i * 7 / 3)
	}
	echoed, wrote := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := io.CopyBuffer(struct{ io.Writer }{other}, struct{ io.Reader }{io.LimitReader(other, int64(len(sent)))}, make([]byte, 3000))
		echoed <- err
	}()
	go func() {
		n, err := s.Write(sent)
		if n != len(sent) && err == nil {
			err = io.ErrShortWrite
		}
		wrote <- err
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("what came back differs: %v", err)
	}
	if err := errors.Join(<-wrote, <-echoed); err != nil {
		t.Error(err)
	}
}

func TestSocketWriteTimesOutInPart(t *testing.T) {
	s, _ := socketPair(t)
	large := make([]byte, 64<<20)
	clear(large) // in memory before the time runs
	if err := s.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, err := s.Write(large) // the other end reads nothing
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(large) {
		t.Errorf("wrote %d, %v, want a part and a timeout", n, err)
	}
}

func TestSocketReadsTheEnd(t *testing.T) {
	s, other := socketPair(t)
	if _, err := other.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(s)
	if err != nil || string(got) != "x" {
		t.Errorf("read %q, %v", got, err)
	}
	if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF { //nolint:errorlint // as io.Reader says
		t.Errorf("after the end: %d, %v", n, err)
	}
}

func TestSocketSeesAReset(t *testing.T) {
	s, other := socketPair(t)
	if err := other.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Read(make([]byte, 1))
	var operation *net.OpError
	if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &operation) || operation.Op != "read" {
		t.Errorf("read: %v, want a reset", err)
	}
	n, err := s.Write([]byte("x"))
	if n != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write: %d, %v, want a broken pipe", n, err)
	}
}

// parked starts a read that has nothing to read.
func parked(s *socket) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := s.Read(make([]byte, 1))
		ended <- err
	}()
	return ended
}

func TestSocketDeadlineWhileParked(t *testing.T) {
	s, other := socketPair(t)
	ended := parked(s)
	if err := s.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	err := <-ended
	var timeout net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, want a timeout", err)
	}
	// And it can be used on.
	if err := s.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	ended = parked(s)
	if _, err := other.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("after the deadline was taken away: %v", err)
	}
}

func TestSocketCloseWhileParked(t *testing.T) {
	s, _ := socketPair(t)
	ended := parked(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) || kindOf(t, exchangeError(err)) != Reset {
		t.Errorf("got %v, want a closed connection", err)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write after the end: %v", err)
	}
}

func TestSocketCloseWhileWriting(t *testing.T) {
	s, other := socketPair(t)
	ended := make(chan error, 1)
	go func() {
		_, err := s.Write(make([]byte, 64<<20))
		ended <- err
	}()
	if _, err := io.ReadFull(other, make([]byte, 1<<20)); err != nil { // the write is under way
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want a closed connection", err)
	}
}

// What is postponed is written by the read that waits for the answer to it.
func TestSocketWritesWhatWasPostponed(t *testing.T) {
	s, other := socketPair(t)
	answered := make(chan error, 1)
	go func() {
		for range 3 {
			if _, err := io.ReadFull(other, make([]byte, 4)); err != nil {
				answered <- err
				return
			}
			if _, err := other.Write([]byte("pong")); err != nil {
				answered <- err
				return
			}
		}
		answered <- nil
	}()
	for range 3 {
		s.postpone([]byte("ping"))
		buffer := make([]byte, 16)
		n, err := s.Read(buffer)
		if err != nil || string(buffer[:n]) != "pong" || s.unsent || s.first != nil {
			t.Fatalf("read %q, %v; unsent %v, %d bytes left", buffer[:n], err, s.unsent, len(s.first))
		}
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// A send buffer that is full makes the read write the rest before it waits.
func TestSocketPostponedBehindAFullBuffer(t *testing.T) {
	s, other := socketPair(t)
	large := make([]byte, 64<<20)
	if err := s.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	filled, err := s.Write(large)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if err := s.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	const size = 1 << 20
	answered := make(chan error, 1)
	go func() {
		_, err := io.CopyN(io.Discard, other, int64(filled+size))
		if err == nil {
			_, err = other.Write([]byte("pong"))
		}
		answered <- err
	}()
	s.postpone(large[:size])
	buffer := make([]byte, 16)
	if n, err := s.Read(buffer); err != nil || string(buffer[:n]) != "pong" || s.first != nil {
		t.Errorf("read %q, %v", buffer[:n], err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// On a broken connection nothing of it went out, and that is said.
func TestSocketPostponedOnABrokenConnection(t *testing.T) {
	s, other := socketPair(t)
	if err := other.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	s.postpone([]byte("ping"))
	if n, err := s.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.EPIPE) || !s.unsent {
		t.Errorf("%d, %v, unsent %v, want a broken pipe and nothing sent", n, err, s.unsent)
	}
}

// A deadline that has passed before the write keeps what was postponed for the
// next read; one that passes in the wait does not write it again.
func TestSocketPostponedAndTheDeadline(t *testing.T) {
	s, other := socketPair(t)
	s.postpone([]byte("ping"))
	for _, deadline := range []time.Duration{-time.Second, 5 * time.Millisecond, 5 * time.Millisecond} {
		if err := s.SetReadDeadline(time.Now().Add(deadline)); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read %d, %v, want a timeout", n, err)
		}
	}
	// The second wait may have ended before the write, the third has written.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(other); err != nil || string(got) != "ping" {
		t.Errorf("the other end got %q, %v, want it once", got, err)
	}
}
