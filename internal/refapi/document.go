package refapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxDepth is the deepest nesting of arrays and objects that is read.
const maxDepth = 64

// value is one JSON value: what the text says and where it lies.
type value struct {
	kind    kind
	truth   bool             // of a boolean
	text    string           // of a string, or the digits of a number
	items   []value          // of an array
	members map[string]value // of an object
	raw     []byte           // the bytes it was read from
}

type kind int

const (
	null kind = iota
	boolean
	number
	text
	array
	object
)

// parse reads body as one JSON value. Unlike encoding/json it refuses duplicate
// keys, deep nesting, invalid UTF-8 and halves of surrogate pairs, none of which
// mean the same to every reader. Its errors are fit to be shown to the client.
func parse(body []byte) (value, error) {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return value{}, errors.New("the body is empty")
	case !utf8.Valid(body):
		return value{}, errors.New("the body is not valid UTF-8")
	}
	p := parser{body: body, decoder: json.NewDecoder(bytes.NewReader(body))}
	p.decoder.UseNumber()
	v, err := p.value(0)
	if err != nil {
		return value{}, err
	}
	if _, err := p.decoder.Token(); !errors.Is(err, io.EOF) {
		return value{}, errors.New("there is something after the JSON value")
	}
	if halfSurrogate(body) {
		return value{}, errors.New("a string holds half of a surrogate pair")
	}
	return v, nil
}

type parser struct {
	body    []byte
	decoder *json.Decoder
}

// token reads the next token and hides the decoder's own words, which quote the input.
func (p *parser) token() (json.Token, error) {
	token, err := p.decoder.Token()
	switch {
	case err == nil:
		return token, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("the JSON ends too early")
	}
	return nil, fmt.Errorf("the body is not JSON (at byte %d)", p.decoder.InputOffset())
}

func (p *parser) value(depth int) (value, error) {
	start := p.decoder.InputOffset()
	token, err := p.token()
	if err != nil {
		return value{}, err
	}
	var v value
	switch token := token.(type) {
	case bool:
		v = value{kind: boolean, truth: token}
	case json.Number:
		v = value{kind: number, text: token.String()}
	case string:
		v = value{kind: text, text: token}
	case json.Delim:
		if depth == maxDepth {
			return value{}, fmt.Errorf("the JSON is nested deeper than %d", maxDepth)
		}
		if v, err = p.composite(token, depth+1); err != nil {
			return value{}, err
		}
	}
	// Between two values lie white space and at most one comma or colon.
	v.raw = bytes.TrimLeft(p.body[start:p.decoder.InputOffset()], " \t\r\n,:")
	return v, nil
}

func (p *parser) composite(open json.Delim, depth int) (value, error) {
	v := value{kind: array}
	if open == '{' {
		v = value{kind: object, members: make(map[string]value)}
	}
	for p.decoder.More() {
		if err := p.element(&v, depth); err != nil {
			return value{}, err
		}
	}
	_, err := p.token() // the closing bracket
	return v, err
}

func (p *parser) element(parent *value, depth int) error {
	if parent.kind == array {
		item, err := p.value(depth)
		parent.items = append(parent.items, item)
		return err
	}
	token, err := p.token()
	if err != nil {
		return err
	}
	name, _ := token.(string) // the decoder makes sure of it
	if _, twice := parent.members[name]; twice {
		return errors.New("an object holds the same key twice")
	}
	parent.members[name], err = p.value(depth)
	return err
}

// halfSurrogate reports whether valid JSON holds an escape \ud800..\udfff that
// is not one of a pair. The decoder would silently put U+FFFD in its place.
func halfSurrogate(body []byte) bool {
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		i++
		if body[i] != 'u' {
			continue
		}
		unit := hex4(body[i+1:])
		i += 4
		switch {
		case unit < 0xd800 || unit > 0xdfff:
		case unit >= 0xdc00 || i+6 >= len(body) || body[i+1] != '\\' || body[i+2] != 'u':
			return true
		default:
			if low := hex4(body[i+3:]); low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 6
		}
	}
	return false
}

// hex4 reads the first four hexadecimal digits of b.
func hex4(b []byte) int {
	n := 0
	for _, c := range b[:4] {
		switch {
		case c <= '9':
			n = n<<4 | int(c-'0')
		default:
			n = n<<4 | int(c|0x20-'a'+10)
		}
	}
	return n
}
