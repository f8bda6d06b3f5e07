package cashflow

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// content is a JSON document that an answer must contain: what was sent, to be
// held against what comes back while that is read. Fields that were not sent may
// be there too.
type content struct {
	// own reads what was sent.
	own *reader
	// nodes are the document's values, each before those that it holds.
	nodes []node
	// got is the answer.
	got []byte
}

// node is one value of a document.
type node struct {
	// kind is the first byte of the value; 0 for a number.
	kind byte
	// fate is what became of it in the answer.
	fate fate
	// name is that of a field; in a list it is nil and index counts.
	name  []byte
	index int
	// parent is the node around, after the one behind the last that it holds.
	parent, after int
	// text is a string's or a word's, value a number's.
	text  []byte
	value float64
	// from and to are where the value is that was found instead.
	from, to int
}

// fate is what became of a value.
type fate uint8

const (
	missing fate = iota
	same
	other
)

// numberKind is the kind of numbers.
const numberKind = 0

// prepare reads what was sent. sent must stay as it is until forget.
func (c *content) prepare(sent []byte) error {
	if c.own == nil {
		c.own = newReader()
	}
	c.nodes = c.nodes[:0]
	c.own.start(sent)
	c.add(nil, 0, 0)
	if broken, wrong := c.own.end(); broken != nil || wrong != nil {
		return fmt.Errorf("make the saved scenario again: %w", errors.Join(broken, wrong))
	}
	return nil
}

// forget lets go of what was read.
func (c *content) forget() {
	clear(c.nodes)
	c.got = nil
	if c.own != nil {
		c.own.start(nil)
	}
}

// add reads the next value of what was sent.
func (c *content) add(name []byte, index, parent int) {
	r, at := c.own, len(c.nodes)
	c.nodes = append(c.nodes, node{kind: r.peek(), name: name, index: index, parent: parent})
	switch kind := r.peek(); {
	case kind == '{':
		for r.begin(); r.next('}'); {
			c.add(r.name(), 0, at)
		}
	case kind == '[':
		r.begin()
		for i := 0; r.next(']'); i++ {
			c.add(nil, i, at)
		}
	case kind == '"':
		c.nodes[at].text = r.str()
	case isNumber(kind):
		c.nodes[at].kind = numberKind
		c.nodes[at].value, _ = r.float()
	default:
		start := r.at
		r.skip()
		c.nodes[at].text = r.text[start:r.at]
	}
	c.nodes[at].after = len(c.nodes)
}

// kept reads a scenario that is read back, and holds it against what was saved.
func (r *reader) kept(c *content) (head scenarioAnswer) {
	c.got = r.text
	if !r.object() {
		return head
	}
	c.nodes[0].fate = same
	for likely := 1; r.next('}'); {
		switch name := r.name(); string(name) {
		case "id":
			head.ID = r.identifier()
		case "user_id":
			head.UserID = r.identifier()
		case "created_at":
			r.instant()
		default:
			if string(name) == "name" && r.peek() != '"' && r.peek() != 'n' {
				r.mismatch("a text")
				continue
			}
			likely = r.compareField(c, 0, name, likely)
		}
	}
	return head
}

// compareField reads the value of a field of the object node, and returns which
// field is likely to be next.
func (r *reader) compareField(c *content, object int, name []byte, likely int) int {
	at := c.find(object, name, likely)
	if at < 0 {
		r.skip()
		return likely
	}
	for i := at; i < c.nodes[at].after; i++ { // of a field that comes twice the last one counts
		c.nodes[i].fate = missing
	}
	r.compare(c, at)
	return c.nodes[at].after
}

// find returns the field called name of the object node, -1 when there is none.
func (c *content) find(object int, name []byte, likely int) int {
	end := c.nodes[object].after
	if likely < end && bytes.Equal(c.nodes[likely].name, name) {
		return likely
	}
	for i := object + 1; i < end; i = c.nodes[i].after {
		if bytes.Equal(c.nodes[i].name, name) {
			return i
		}
	}
	return -1
}

// compare reads a value and holds it against a node.
func (r *reader) compare(c *content, at int) {
	kind := r.peek()
	n := &c.nodes[at]
	n.from, n.fate = r.at, other
	switch {
	case n.kind != kind && (n.kind != numberKind || !isNumber(kind)):
		r.skip()
	case kind == '{':
		n.fate = same
		r.begin()
		for likely := at + 1; r.next('}'); {
			likely = r.compareField(c, at, r.name(), likely)
		}
	case kind == '[':
		r.compareList(c, at)
	case kind == '"':
		n.fate = fateOf(bytes.Equal(r.str(), n.text))
	case isNumber(kind):
		got, inRange := r.float()
		n.fate = fateOf(inRange && math.Abs(got-n.value) <= 1e-12*math.Abs(n.value))
	default:
		r.skip()
		n.fate = fateOf(bytes.Equal(r.text[n.from:r.at], n.text))
	}
	n.to = r.at
}

// compareList holds the items of a list against those of a node.
func (r *reader) compareList(c *content, at int) {
	r.begin()
	item, after := at+1, c.nodes[at].after
	more := false
	for r.next(']') {
		if item >= after {
			more = true
			r.skip()
			continue
		}
		r.compare(c, item)
		item = c.nodes[item].after
	}
	c.nodes[at].fate = fateOf(!more && item == after)
}

func fateOf(equal bool) fate {
	if equal {
		return same
	}
	return other
}

// difference returns an error for the first value that is not in the answer, or
// is another there.
func (c *content) difference() error {
	for i := range c.nodes {
		n := &c.nodes[i]
		switch {
		case n.fate == same:
		case n.fate == missing:
			return fmt.Errorf("%s was saved and is missing", c.path(i))
		case n.kind == '{':
			return fmt.Errorf("%s is no object", c.path(i))
		case n.kind == '[':
			return fmt.Errorf("%s is no list of %d", c.path(i), c.items(i))
		case n.kind == '"':
			return fmt.Errorf("%s was saved as %s and came back as %s", c.path(i), clip(n.text), clip(c.got[n.from:n.to]))
		case n.kind == numberKind:
			return fmt.Errorf("%s was saved as %v and came back as %s", c.path(i), n.value, clip(c.got[n.from:n.to]))
		default:
			return fmt.Errorf("%s was saved as %s and came back as %s", c.path(i), n.text, clip(c.got[n.from:n.to]))
		}
	}
	return nil
}

// items counts the items of the list node.
func (c *content) items(list int) (count int) {
	for i := list + 1; i < c.nodes[list].after; i = c.nodes[i].after {
		count++
	}
	return count
}

// path says where the node is, such as .forecast_params.loans[0].principal.
func (c *content) path(at int) string {
	if at == 0 {
		return ""
	}
	n := &c.nodes[at]
	if n.name == nil {
		return c.path(n.parent) + "[" + strconv.Itoa(n.index) + "]"
	}
	return c.path(n.parent) + "." + string(n.name)
}
