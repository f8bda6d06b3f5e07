//go:build linux

package main

import "testing"

func TestRequestLength(t *testing.T) {
	const post = "POST /a HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: 5\r\n\r\nhello"
	for text, want := range map[string]int{
		"":                                  0,
		"GET / HTTP/1.1\r\nHost: x\r\n":     0,
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n": 27,
		post:                                len(post),
		post[:len(post)-1]:                  0,
		post + post:                         len(post),
	} {
		if got := requestLength([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestAnswer(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2048\r\n\r\n"
	if text := string(answerBytes()); len(text) != len(head)+2048 || text[:len(head)] != head {
		t.Errorf("%d bytes: %.100q", len(text), text)
	}
}
