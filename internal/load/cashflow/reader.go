package cashflow

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxDepth is how deep lists and objects may be nested, as in encoding/json.
	maxDepth = 10_000
	// exactPowers is how many powers of ten from 10^0 on a float64 holds exactly.
	exactPowers = 23
	// exactWhole is the greatest n up to which a float64 holds every whole number.
	exactWhole = 1 << 53
	// exactDigits is how many decimal digits any uint64 can hold.
	exactDigits = 19
)

// reader goes once through a JSON text (RFC 8259), from its front to its end, and
// decodes what is asked for and only checks the rest. It accepts what
// encoding/json accepts, as long as that is valid UTF-8; see
// docs/decisions/0007-reading-answers.md.
//
// Two things can be wrong, and reading goes on after the second: the text is no
// JSON (broken), or it is and says something else than was asked for (wrong).
// After the first, at is the end of the text, where nothing can be read, so that
// no loop over the text needs to look at broken.
type reader struct {
	text []byte
	at   int
	// depth counts the lists and objects around, first is set before the first
	// element of one.
	depth int
	first bool
	// broken and wrong are the first mistakes of their kinds, or nil.
	broken, wrong error
	// unescaped holds the strings that had escapes.
	unescaped []byte
	// powers are those of ten that a float64 holds exactly.
	powers [exactPowers]float64
}

func newReader() *reader {
	r := new(reader)
	r.powers[0] = 1
	for i := 1; i < exactPowers; i++ {
		r.powers[i] = r.powers[i-1] * 10
	}
	return r
}

// start begins a text. What was read of the one before is no longer valid.
func (r *reader) start(text []byte) {
	r.text, r.at, r.depth, r.first = text, 0, 0, false
	r.broken, r.wrong = nil, nil
	r.unescaped = r.unescaped[:0]
}

// end requires that nothing follows and returns the first mistake of each kind.
func (r *reader) end() (broken, wrong error) {
	if r.peek() != 0 || r.at < len(r.text) {
		r.fail("the end")
	}
	return r.broken, r.wrong
}

// fail notes that the text is no JSON and ends the reading.
func (r *reader) fail(wanted string) {
	if r.broken == nil {
		if r.at < len(r.text) {
			r.broken = fmt.Errorf("%s where %s belongs, at byte %d", clip(r.text[r.at:r.at+1]), wanted, r.at)
		} else {
			r.broken = fmt.Errorf("it ends where %s belongs, at byte %d", wanted, len(r.text))
		}
	}
	r.at = len(r.text)
}

// mistake notes that the text says something else than was asked for.
func (r *reader) mistake(err error) {
	if r.wrong == nil {
		r.wrong = err
	}
}

// mismatch reads a value of any kind and notes that another was wanted.
func (r *reader) mismatch(wanted string) {
	r.peek()
	start := r.at
	r.skip()
	if r.broken == nil {
		r.mistake(fmt.Errorf("%s where %s belongs, at byte %d", clip(r.text[start:r.at]), wanted, start))
	}
}

// peek goes to the next byte that is no white space and returns it; 0 at the end.
func (r *reader) peek() byte {
	if r.at < len(r.text) && r.text[r.at] > ' ' {
		return r.text[r.at]
	}
	return r.peekBehindSpace()
}

func (r *reader) peekBehindSpace() byte {
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case ' ', '\n', '\t', '\r':
		default:
			return c
		}
	}
	return 0
}

// begin goes into a list or an object, whose opening bracket is next.
func (r *reader) begin() {
	if r.depth++; r.depth > maxDepth {
		r.fail("no deeper level than " + strconv.Itoa(maxDepth))
		return
	}
	r.at++
	r.first = true
}

// list goes into a list. Null is none; anything else is a mismatch.
func (r *reader) list() bool { return r.composite('[', "a list") }

// object goes into an object. Null is none; anything else is a mismatch.
func (r *reader) object() bool { return r.composite('{', "an object") }

func (r *reader) composite(open byte, wanted string) bool {
	switch r.peek() {
	case open:
		r.begin()
		return true
	case 'n':
		r.literal("null")
	default:
		r.mismatch(wanted)
	}
	return false
}

// next goes to the next element of the list or object around, which ends with
// the bracket given; it returns false behind the last one.
func (r *reader) next(end byte) bool {
	switch c := r.peek(); {
	case c == end:
		r.at++
		r.depth--
		r.first = false
		return false
	case r.first && c != 0:
		r.first = false
		return true
	case c == ',' && !r.first:
		r.at++
		return true
	}
	r.first = false
	r.fail("a comma or " + strconv.Quote(string(rune(end))))
	return false
}

// What [reader.field] returns instead of one of the names.
const (
	noField    = -1
	otherField = -2
)

// field goes to the next field of the object around and reads its name and the
// colon. It returns which of names it is, otherField for none of them, and
// noField behind the last. The names have their quotes and the colon, as in
// `"id":`. The likely one is tried first, unless it is no index of names: objects
// mostly have their fields in one order.
func (r *reader) field(names []string, likely int) int {
	at := r.at
	if !r.first && at < len(r.text) && r.text[at] == ',' {
		at++
	} else if !r.first {
		return r.anyField(names)
	}
	if uint(likely) < uint(len(names)) {
		name := names[likely]
		if end := at + len(name); end <= len(r.text) && string(r.text[at:end]) == name {
			r.at, r.first = end, false
			return likely
		}
	}
	return r.anyField(names)
}

// anyField is field without a guess.
func (r *reader) anyField(names []string) int {
	if !r.next('}') {
		return noField
	}
	got := r.name()
	for i, name := range names {
		if len(name) == len(got)+len(`"":`) && name[1:1+len(got)] == string(got) {
			return i
		}
	}
	return otherField
}

// name reads the name of a field and its colon.
func (r *reader) name() []byte {
	if r.peek() != '"' {
		r.fail("the name of a field")
		return nil
	}
	name := r.str()
	if r.peek() != ':' {
		r.fail("a colon")
		return nil
	}
	r.at++
	return name
}

// isNull reads null when it comes next.
func (r *reader) isNull() bool {
	if r.peek() != 'n' {
		return false
	}
	r.literal("null")
	return true
}

func (r *reader) literal(word string) {
	if rest := r.text[r.at:]; len(rest) < len(word) || string(rest[:len(word)]) != word {
		r.fail("a value")
		return
	}
	r.at += len(word)
}

// skip goes behind the next value, whatever it is.
func (r *reader) skip() {
	switch c := r.peek(); {
	case c == '"':
		r.quoted()
	case isNumber(c):
		r.decimal()
	case c == '{':
		for r.begin(); r.next('}'); r.skip() {
			r.name()
		}
	case c == '[':
		for r.begin(); r.next(']'); {
			r.skip()
		}
	case c == 't':
		r.literal("true")
	case c == 'f':
		r.literal("false")
	case c == 'n':
		r.literal("null")
	default:
		r.fail("a value")
	}
}

// isNumber reports whether a number begins with c.
func isNumber(c byte) bool { return c == '-' || c-'0' <= 9 }

// float reads the number that begins here; false when it is beyond a float64.
func (r *reader) float() (float64, bool) {
	value, next := r.quickFloat()
	if next > 0 {
		r.at = next
		return value, true
	}
	return r.anyFloat()
}

// quickFloat reads a number of at most 8 digits before and 7 behind the point,
// without a loop over them: how many there are cannot be foreseen by a processor,
// and nearly all of a forecast is such numbers. It returns where the number ends,
// 0 when it is another.
func (r *reader) quickFloat() (value float64, next int) {
	text, at := r.text, r.at
	negative := text[at] == '-'
	if negative {
		at++
	}
	if len(text)-at < 2*8+2 { // both words are in the text, with a byte behind each
		return 0, 0
	}
	whole, digits := digits8(binary.LittleEndian.Uint64(text[at:]))
	if digits == 0 || (digits > 1 && text[at] == '0') {
		return 0, 0
	}
	at += digits
	value = float64(whole)
	if text[at] == '.' {
		fraction, places := digits8(binary.LittleEndian.Uint64(text[at+1:]))
		if places == 0 || places == 8 {
			return 0, 0
		}
		at += 1 + places
		// All are whole numbers below 10^15, and so exact, up to the division: the
		// quotient is the float64 that is next to the decimal number.
		power := r.powers[places]
		value = (value*power + float64(fraction)) / power
	}
	if c := text[at]; c-'0' <= 9 || c|0x20 == 'e' {
		return 0, 0
	}
	if negative {
		value = -value
	}
	return value, at
}

// digits8 returns how many of the 8 bytes of word, from the lowest on, are digits
// up to the first that is not, and their value. It adds up pairs, fours and
// eights of digits (Lemire, "Quickly parsing eight digits", 2018).
func digits8(word uint64) (value uint64, count int) {
	const zeros, overNine, tops = 0x3030303030303030, 0x7676767676767676, 0x8080808080808080
	word ^= zeros
	count = bits.TrailingZeros64(((word+overNine)|word)&tops) / 8
	word <<= 8 * (8 - count) // as many leading zeros as there are other bytes
	word = word*10 + word>>8
	word = (word&0x000000ff000000ff)*(100+1_000_000<<32) + (word>>16&0x000000ff000000ff)*(1+10_000<<32)
	return word >> 32, count
}

// anyFloat is float for all numbers.
func (r *reader) anyFloat() (float64, bool) {
	start := r.at
	mantissa, scale, exact := r.decimal()
	if r.broken != nil {
		return 0, false
	}
	text := r.text[start:r.at]
	if !exact {
		value, err := strconv.ParseFloat(string(text), 64)
		return value, err == nil
	}
	// Both are exact, so that the quotient is the float64 that is next to the
	// decimal number (Clinger, "How to read floating point numbers accurately", 1990).
	value := float64(mantissa)
	if scale > 0 {
		value /= r.powers[scale]
	}
	if text[0] == '-' {
		value = -value
	}
	return value, true
}

// decimal goes behind the number that begins here. It is, but for its sign,
// mantissa/10^scale when both of these are exact as float64, else exact is false.
func (r *reader) decimal() (mantissa uint64, scale int, exact bool) {
	text, at := r.text, r.at
	if text[at] == '-' {
		at++
	}
	whole := at
	for at < len(text) && text[at]-'0' <= 9 {
		mantissa = mantissa*10 + uint64(text[at]-'0')
		at++
	}
	digits := at - whole
	if digits == 0 || (digits > 1 && text[whole] == '0') {
		r.at = at
		r.fail("a number without leading zeros")
		return 0, 0, false
	}
	if at < len(text) && text[at] == '.' {
		fraction := at + 1
		for at++; at < len(text) && text[at]-'0' <= 9; at++ {
			mantissa = mantissa*10 + uint64(text[at]-'0')
		}
		if scale = at - fraction; scale == 0 {
			r.at = at
			r.fail("a digit")
			return 0, 0, false
		}
		digits += scale
	}
	r.at = at
	if at < len(text) && text[at]|0x20 == 'e' {
		r.exponent()
		return 0, 0, false
	}
	return mantissa, scale, digits <= exactDigits && mantissa <= exactWhole
}

// exponent goes behind the exponent that begins here.
func (r *reader) exponent() {
	r.at++
	if r.at < len(r.text) && (r.text[r.at] == '+' || r.text[r.at] == '-') {
		r.at++
	}
	start := r.at
	for r.at < len(r.text) && r.text[r.at]-'0' <= 9 {
		r.at++
	}
	if r.at == start {
		r.fail("a digit")
	}
}

// str reads the string that begins here. What it returns is valid until the next start.
func (r *reader) str() []byte {
	content, escaped := r.quoted()
	if !escaped {
		return content
	}
	return r.unescape(content)
}

// quoted goes behind the string that begins here, and returns what is between
// its quotes and whether that has escapes.
func (r *reader) quoted() (content []byte, escaped bool) {
	text, start := r.text, r.at+1
	at := plain(text, start)
	if at < len(text) && text[at] == '"' {
		r.at = at + 1
		return text[start:at], false
	}
	for ; at < len(text); at = plain(text, at) {
		switch c := text[at]; {
		case c == '"':
			r.at = at + 1
			return text[start:at], escaped
		case c == '\\':
			n := escapeLength(text[at:])
			if n == 0 {
				r.at = at
				r.fail("an escape that JSON has")
				return nil, false
			}
			at += n
			escaped = true
		case c < ' ':
			r.at = at
			r.fail("a character of a string")
			return nil, false
		default:
			_, n := utf8.DecodeRune(text[at:])
			if n == 1 {
				r.at = at
				r.fail("valid UTF-8")
				return nil, false
			}
			at += n
		}
	}
	r.at = len(text)
	r.fail("the end of a string")
	return nil, false
}

// plain returns where the first byte at or behind at is that is not just a
// character of a string: a quote, a backslash, a control character or one of
// several bytes of a character. It looks at eight bytes at a time ("Determine if
// a word has a byte less than n", Anderson, Bit Twiddling Hacks): the lowest bit
// that is set is right, which is all that is used.
func plain(text []byte, at int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; at+8 <= len(text); at += 8 {
		word := binary.LittleEndian.Uint64(text[at:])
		quote, backslash := word^ones*'"', word^ones*'\\'
		found := (((quote-ones)&^quote | (backslash-ones)&^backslash | (word-ones*' ')&^word) | word) & tops
		if found != 0 {
			return at + bits.TrailingZeros64(found)/8
		}
	}
	for ; at < len(text); at++ {
		if c := text[at]; c == '"' || c == '\\' || c < ' ' || c >= utf8.RuneSelf {
			break
		}
	}
	return at
}

// escapeLength returns the length of the escape that text begins with, 0 when
// JSON has no such escape.
func escapeLength(text []byte) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(text[2:]); ok {
			return 6
		}
	}
	return 0
}

// hex4 reads four hexadecimal digits.
func hex4(text []byte) (value rune, ok bool) {
	if len(text) < 4 {
		return 0, false
	}
	for _, c := range text[:4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		value = value<<4 | rune(c)
	}
	return value, true
}

// unescape decodes the escapes of a string that is right. Half of a surrogate
// pair becomes U+FFFD, as in encoding/json.
func (r *reader) unescape(content []byte) []byte {
	start, b := len(r.unescaped), r.unescaped
	for at := 0; at < len(content); {
		if content[at] != '\\' {
			b = append(b, content[at])
			at++
			continue
		}
		switch c := content[at+1]; c {
		case 'u':
			char, _ := hex4(content[at+2:])
			at += 6
			if utf16.IsSurrogate(char) {
				char, at = pair(content, at, char)
			}
			b = utf8.AppendRune(b, char)
			continue
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		default:
			b = append(b, c)
		}
		at += 2
	}
	r.unescaped = b
	return b[start:len(b):len(b)]
}

// pair joins a surrogate with the one that is escaped at at, and returns where
// reading goes on. A surrogate that finds no partner is U+FFFD.
func pair(content []byte, at int, high rune) (char rune, next int) {
	if len(content) >= at+6 && content[at] == '\\' && content[at+1] == 'u' {
		low, _ := hex4(content[at+2:])
		if joined := utf16.DecodeRune(high, low); joined != utf8.RuneError {
			return joined, at + 6
		}
	}
	return utf8.RuneError, at
}
