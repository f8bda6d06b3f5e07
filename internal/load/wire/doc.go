// Package wire carries single requests over connections that it makes: TCP or a
// unix socket, perhaps through a proxy, perhaps with TLS, HTTP/1.1 or HTTP/2.
//
// The load engine decides when a connection is made and which request goes over
// it; this package only knows how. HTTP/1.1 is written and read here directly on
// the connection, with the header parser of valyala/fasthttp: no pool, no
// redirects, no repetition and no goroutine of its own stands between an arrival
// and the socket. HTTP/2, which multiplexes, is net/http's.
package wire
