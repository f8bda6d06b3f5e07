package blackbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"

	"soakd/internal/probes"
)

const (
	// maxSteps bounds the steps of an entry.
	maxSteps = 20
	// maxLine and maxLines bound what an expected line is looked for in.
	maxLine  = 4 << 10
	maxLines = 200
)

// step is one thing to say or to hear; exactly one field is set.
type step struct {
	// send is what is sent, to the byte.
	send string
	// expect is matched by a line, without its end; those before it are passed by.
	expect *regexp.Regexp
	// expectByte is the one byte of the answer.
	expectByte byte
}

// dialogue speaks a protocol of lines.
type dialogue struct {
	conn  net.Conn
	lines *bufio.Reader
}

func newDialogue(conn net.Conn) *dialogue {
	return &dialogue{conn: conn, lines: bufio.NewReaderSize(conn, maxLine)}
}

// run carries out the steps in their order. Nothing may be left unread before
// TLS starts: it would be taken for a part of it.
func (d *dialogue) run(steps []step) error {
	for i, s := range steps {
		if err := d.step(s); err != nil {
			return fmt.Errorf("step %d of %d: %w", i+1, len(steps), err)
		}
	}
	return nil
}

// quiet fails when the server has said more than it was asked for.
func (d *dialogue) quiet() error {
	if d.lines.Buffered() > 0 {
		return probes.Because(probes.ReasonProtocol, errors.New("the server goes on to speak where TLS must start"))
	}
	return nil
}

func (d *dialogue) step(s step) error {
	switch {
	case s.send != "":
		if _, err := io.WriteString(d.conn, s.send); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		return nil
	case s.expect != nil:
		return d.expect(s.expect)
	}
	got, err := d.lines.ReadByte()
	switch {
	case err != nil:
		return fmt.Errorf("expect: %w", err)
	case got != s.expectByte:
		return probes.Because(probes.ReasonCheck, fmt.Errorf("expect: the answer is byte %#02x, not %#02x", got, s.expectByte))
	}
	return nil
}

// expect reads lines until one matches. Errors do not repeat the lines, which
// may hold anything.
func (d *dialogue) expect(wanted *regexp.Regexp) error {
	for n := range maxLines {
		line, err := d.lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return probes.Because(probes.ReasonProtocol, fmt.Errorf("expect: a line is longer than %d bytes", maxLine))
		}
		// The last line may lack its end.
		if len(line) > 0 && wanted.Match(trimEnd(line)) && (err == nil || errors.Is(err, io.EOF)) {
			return nil
		}
		if len(line) > 0 {
			n++
		}
		switch {
		case errors.Is(err, io.EOF) && n > 0:
			return probes.Because(probes.ReasonCheck, fmt.Errorf("expect: no line matches among %d, and the server has ended the connection", n))
		case err != nil:
			return fmt.Errorf("expect: no line matches among %d: %w", n, err)
		}
	}
	return probes.Because(probes.ReasonCheck, fmt.Errorf("expect: no line matches among the first %d", maxLines))
}

func trimEnd(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}

// starttlsSteps are what each protocol says before TLS starts.
func starttlsSteps() map[string][]step {
	say := func(text string) step { return step{send: text} }
	hear := func(pattern string) step { return step{expect: regexp.MustCompile(pattern)} }
	return map[string][]step{
		// RFC 3207; a last line of several has a space behind its code.
		"smtp": {hear(`^220 `), say("EHLO soakd\r\n"), hear(`^250 `), say("STARTTLS\r\n"), hear(`^220 `)},
		"imap": {hear(`^\* OK`), say("a1 STARTTLS\r\n"), hear(`^a1 OK`)}, // RFC 9051, 6.2.1
		"pop3": {hear(`^\+OK`), say("STLS\r\n"), hear(`^\+OK`)},          // RFC 2595, 4
		"ftp":  {hear(`^220 `), say("AUTH TLS\r\n"), hear(`^234`)},       // RFC 4217
		// SSLRequest of the PostgreSQL protocol: length 8, code 80877103.
		"postgres": {say("\x00\x00\x00\x08\x04\xd2\x16\x2f"), {expectByte: 'S'}},
	}
}

// starttls takes the protocol in which TLS is asked for.
func starttls(into *[]step) option {
	return option{take: func(value string) error {
		known := starttlsSteps()
		*into = known[value]
		if *into == nil {
			return fmt.Errorf("%q is none of %s", value, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		return nil
	}}
}
