package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// frameWatch looks at the frames that come over an HTTP/2 connection (RFC 9113,
// 4.1) for what net/http does not tell: how many requests the target takes at the
// same time, and that it is about to leave.
type frameWatch struct {
	net.Conn
	// begun is closed once the target's first settings have come, or will not.
	begun chan struct{}
	once  sync.Once
	// failure is why they will not; it is written before begun is closed.
	failure error
	// limit is how many requests may be under way.
	limit atomic.Int64
	// leaving is set once the target takes no further requests (GOAWAY).
	leaving atomic.Bool

	// The rest is the reader's own. part holds the first have bytes of a frame's
	// header, or of a setting; left is what is to come of the frame's payload.
	part  [frameHeaderBytes]byte
	have  int
	left  int
	frame byte
	ack   bool
	seen  bool
}

const (
	frameHeaderBytes = 9
	settingBytes     = 6
	frameSettings    = 0x4
	frameGoAway      = 0x7
	flagAck          = 0x1
	// settingStreams is SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113, 6.5.2).
	settingStreams = 0x3
	// unlimitedStreams is what net/http takes a target for that names no limit.
	unlimitedStreams = 1000
)

func watchFrames(conn net.Conn) *frameWatch {
	f := &frameWatch{Conn: conn, begun: make(chan struct{})}
	f.limit.Store(unlimitedStreams)
	return f
}

// Read implements [net.Conn].
func (f *frameWatch) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	f.watch(p[:n])
	if err != nil {
		f.begin(fmt.Errorf("before the target's settings came: %w", err))
	}
	return n, err
}

// begin tells what became of the wait for the first settings.
func (f *frameWatch) begin(failure error) {
	f.once.Do(func() {
		f.failure = failure
		close(f.begun)
	})
}

// beginError is why no settings came. It may be called once begun is closed.
func (f *frameWatch) beginError() error { return f.failure }

// watch looks at further bytes.
func (f *frameWatch) watch(b []byte) {
	for len(b) > 0 {
		switch {
		case f.left == 0:
			b = f.fill(b, frameHeaderBytes)
			if f.have == frameHeaderBytes {
				f.have = 0
				f.header()
			}
		case f.frame == frameSettings && !f.ack:
			n := len(b)
			b = f.fill(b, min(settingBytes, f.have+f.left))
			f.left -= n - len(b)
			f.setting()
		default:
			n := min(len(b), f.left)
			b, f.left = b[n:], f.left-n
		}
	}
}

// fill moves bytes of b to part until it holds size, and returns the others.
func (f *frameWatch) fill(b []byte, size int) []byte {
	n := copy(f.part[f.have:size], b)
	f.have += n
	return b[n:]
}

// header acts on a frame's header, which part holds.
func (f *frameWatch) header() {
	f.left = int(f.part[0])<<16 | int(f.part[1])<<8 | int(f.part[2])
	f.frame, f.ack = f.part[3], f.part[4]&flagAck != 0
	first := !f.seen
	f.seen = true
	switch {
	case first && (f.frame != frameSettings || f.ack):
		f.begin(errors.New("the target does not speak HTTP/2: its first words are no settings"))
	case f.frame == frameGoAway:
		f.leaving.Store(true)
	case f.frame == frameSettings && f.left == 0:
		f.begin(nil)
	}
}

// setting acts on a setting, once part holds one, and on the end of the frame.
func (f *frameWatch) setting() {
	if f.have == settingBytes {
		f.have = 0
		if binary.BigEndian.Uint16(f.part[:]) == settingStreams {
			f.limit.Store(int64(binary.BigEndian.Uint32(f.part[2:])))
		}
	}
	if f.left == 0 {
		f.have = 0
		f.begin(nil)
	}
}
