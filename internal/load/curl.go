package load

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"soakd/internal/load/wire"
)

// maxCurlBody bounds the body in a command, in bytes as it stands there. A larger one
// is left out; Linux allows 128 KiB for one argument (MAX_ARG_STRLEN, execve(2)).
const maxCurlBody = 64 << 10

// curl returns the command that sends the flight's request again, for bash, zsh and
// ksh: with all headers, to the same place by the same way. In the place of secrets
// it has variables: $TOKEN for the user's token, $EXPIRED_TOKEN and $FORGED_TOKEN for
// tokens that are meant to be refused, $PROXY_USER for name:password of the proxy.
//
// The options are those of https://curl.se/docs/manpage.html.
func (c *Client) curl(f *flight) string {
	r := &f.wire
	before, data, remark := curlBody(r)
	parts := []string{before + "curl -sS -i --max-time " + strconv.FormatFloat(f.c.Timeout.Seconds(), 'f', -1, 64)}
	parts = append(parts, curlMethod(r.Method, data != "")...)
	parts = append(parts, c.curlTarget(r.Path)...)
	parts = append(parts, c.curlWay()...)
	parts = append(parts, c.curlHeaders(r, f.request.Credentials, data != "")...)
	if data != "" {
		parts = append(parts, data)
	}
	if remark != "" {
		parts = append(parts, remark)
	}
	return strings.Join(parts, " ")
}

// curlMethod says the method where curl would take another: without a body it is GET,
// with one POST.
func curlMethod(method string, data bool) []string {
	switch {
	case method == http.MethodHead && !data:
		return []string{"--head"}
	case method == http.MethodGet && !data, method == http.MethodPost && data:
		return nil
	}
	return []string{"-X " + method}
}

// curlTarget says the URL. Where the certificate is for another name than the host's,
// it is that name in the URL, and where to connect is said beside it.
func (c *Client) curlTarget(path string) []string {
	host := c.target.Host
	var extra []string
	if name := c.serverName(); name != "" {
		port := c.target.Port()
		host = name
		if port != "" {
			host = net.JoinHostPort(name, port)
		} else {
			port = "443"
		}
		if c.cfg.Socket == "" {
			extra = append(extra, "--connect-to "+shellQuote(name+":"+port+":"+net.JoinHostPort(c.target.Hostname(), port)))
		}
		extra = append(extra, "-H "+shellQuote("Host: "+c.target.Host))
	}
	whole := c.target.Scheme + "://" + host + strings.TrimRight(c.target.EscapedPath(), "/") + path
	if strings.ContainsAny(whole, "[]{}") {
		extra = append(extra, "--globoff")
	}
	if strings.Contains(whole, "/.") {
		extra = append(extra, "--path-as-is")
	}
	return append([]string{shellQuote(whole)}, extra...)
}

// serverName is the name that the target's certificate must be for, "" where that is
// the host's.
func (c *Client) serverName() string {
	if c.target.Scheme != "https" || c.cfg.TLS == nil || c.cfg.TLS.ServerName == c.target.Hostname() {
		return ""
	}
	return c.cfg.TLS.ServerName
}

// curlWay says how the target is reached.
func (c *Client) curlWay() []string {
	var parts []string
	add := func(when bool, option, value string) {
		if when {
			parts = append(parts, option+" "+shellQuote(value))
		}
	}
	switch {
	case c.cfg.HTTPVersion == wire.HTTP1:
		parts = append(parts, "--http1.1")
	case c.cfg.HTTPVersion == wire.HTTP2 && c.target.Scheme == "http":
		parts = append(parts, "--http2-prior-knowledge")
	case c.cfg.HTTPVersion == wire.HTTP2:
		parts = append(parts, "--http2")
	}
	add(c.cfg.Socket != "", "--unix-socket", c.cfg.Socket)
	if c.proxy != nil {
		add(true, "--proxy", curlProxy(c.proxy))
		if c.proxy.User != nil {
			parts = append(parts, `--proxy-user "$PROXY_USER"`)
		}
		if c.proxy.Scheme == "http" && c.target.Scheme == "http" {
			parts = append(parts, "-H 'Proxy-Connection:'") // which curl would send, and no standard knows
		}
	}
	if c.target.Scheme == "https" {
		add(c.cfg.CAFile != "", "--cacert", c.cfg.CAFile)
		add(c.cfg.CertFile != "", "--cert", c.cfg.CertFile)
		add(c.cfg.KeyFile != "", "--key", c.cfg.KeyFile)
		if c.cfg.TLS != nil && c.cfg.TLS.InsecureSkipVerify {
			parts = append(parts, "--insecure")
		}
	}
	return parts
}

// curlProxy says a proxy as soakd uses it: one of SOCKS resolves the target's name.
func curlProxy(u *url.URL) string {
	scheme, port := "http", "80"
	if u.Scheme == "socks5" {
		scheme, port = "socks5h", "1080"
	}
	if u.Port() != "" {
		port = u.Port()
	}
	return scheme + "://" + net.JoinHostPort(u.Hostname(), port)
}

// curlHeaders says all headers that soakd sends, and takes back those that curl would.
func (c *Client) curlHeaders(r *wire.Request, credentials Credentials, data bool) []string {
	parts := []string{"-A " + shellQuote(c.cfg.UserAgent)}
	add := func(when bool, name, value string) {
		if when {
			parts = append(parts, "-H "+shellQuote(name+": "+value))
		}
	}
	add(true, "Accept", "application/json")
	if c.cfg.Compression {
		add(true, "Accept-Encoding", "gzip")
		parts = append(parts, "--compressed")
	}
	add(true, "X-Request-Id", r.RequestID())
	add(true, "Traceparent", r.Traceparent())
	add(r.UserID != "", "X-User-Id", r.UserID)
	add(r.ContentType != "", "Content-Type", r.ContentType)
	if data && r.ContentType == "" {
		parts = append(parts, "-H 'Content-Type:'")
	}
	if len(r.Body) > 1024 { // curl may ask first whether it may send a large body
		parts = append(parts, "-H 'Expect:'")
	}
	if r.Token != "" {
		parts = append(parts, `-H "Authorization: Bearer $`+tokenVariable(credentials)+`"`)
	}
	return parts
}

func tokenVariable(credentials Credentials) string {
	switch credentials {
	case ExpiredToken:
		return "EXPIRED_TOKEN"
	case ForgedToken:
		return "FORGED_TOKEN"
	}
	return "TOKEN"
}

// curlBody says the body: as an argument; through a pipe where it has bytes of 0, which
// no argument can hold; or, when it is large, as a file that the reader has to make, of
// which the remark at the end of the line speaks. The argument is "" when nothing of a
// body is sent, not even that its length is 0.
func curlBody(r *wire.Request) (before, argument, remark string) {
	body := r.Body
	switch {
	case len(body) == 0 && !wire.AnnouncesLength(r.Method):
		return "", "", ""
	case len(body) > maxCurlBody:
		return leftOut(len(body))
	case strings.IndexByte(string(body), 0) < 0:
		argument = "--data-raw " + shellQuote(string(body))
	default:
		before, argument = "printf -- "+printfQuote(body)+" | ", "--data-binary @-"
	}
	if len(before)+len(argument) > maxCurlBody {
		return leftOut(len(body))
	}
	return before, argument, ""
}

func leftOut(size int) (before, argument, remark string) {
	return "", "--data-binary @body", fmt.Sprintf("# the body of %d bytes is left out: it would be in the file body", size)
}

// shellQuote makes one word of the shell of a text without bytes of 0: between single
// quotes where all of it can be printed, else in the form $'...', in which whatever
// cannot be printed, or is no UTF-8, is escaped.
func shellQuote(text string) string {
	if isPrintable(text) {
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return "$'" + escape(text, func(b *strings.Builder, r byte) {
		switch r {
		case '\'', '\\':
			b.WriteByte('\\')
			b.WriteByte(r)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			fmt.Fprintf(b, `\x%02x`, r)
		}
	}) + "'"
}

// printfQuote makes the format of a printf that prints a body.
func printfQuote(body []byte) string {
	return "'" + escape(string(body), func(b *strings.Builder, r byte) {
		switch r {
		case '\'':
			b.WriteString(`'\''`)
		case '\\':
			b.WriteString(`\\`)
		case '%':
			b.WriteString(`%%`)
		default:
			fmt.Fprintf(b, `\%03o`, r)
		}
	}) + "'"
}

// escape lets special write each byte that is special to a quotation or cannot be
// printed, and takes over the others.
func escape(text string, special func(b *strings.Builder, r byte)) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == '\'', r == '\\', r == '%':
			special(&b, text[0])
		case unicode.IsPrint(r) && (r != utf8.RuneError || size > 1):
			b.WriteString(text[:size])
		default:
			for i := range size {
				special(&b, text[i])
			}
		}
		text = text[size:]
	}
	return b.String()
}

// isPrintable reports whether all of a text is UTF-8 that shows as what it is.
func isPrintable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}
