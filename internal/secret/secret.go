// Package secret keeps passwords, tokens and URLs that hold them out of logs,
// errors and pages: every way of printing a [String] prints a placeholder.
package secret

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// redacted is what every formatting of a non-empty secret prints.
const redacted = "[redacted]"

// maxFileSize bounds a secret file, in bytes; a larger one is surely not a secret.
const maxFileSize = 64 << 10

// String is a secret text. The zero value is "not set". Only [String.Value]
// gives the text itself.
type String struct{ value string }

// New wraps value.
func New(value string) String { return String{value: value} }

// Value returns the text itself. Call it where the secret is used, never where
// it could be printed.
func (s String) Value() string { return s.value }

// IsSet reports whether there is a secret at all.
func (s String) IsSet() bool { return s.value != "" }

// String returns a placeholder, or "" when the secret is not set.
func (s String) String() string {
	if s.value == "" {
		return ""
	}
	return redacted
}

// Format makes every fmt verb print the placeholder.
func (s String) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// GoString returns the placeholder.
func (s String) GoString() string { return s.String() }

// MarshalText writes the placeholder, so that JSON and YAML never hold the secret.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue makes slog print the placeholder.
func (s String) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Decode sets the secret from an environment variable (envconfig.Decoder).
func (s *String) Decode(value string) error {
	s.value = value
	return nil
}

// ErrBoth is returned by [Resolve] when a secret is given twice.
var ErrBoth = errors.New("give the value or the file, not both")

// Resolve returns value, or the content of the file named path without its
// last line end when path is set. It is an error to give both, and an error
// when the file cannot be read, is empty or is larger than 64 KiB.
func Resolve(value String, path string) (String, error) {
	switch {
	case path == "":
		return value, nil
	case value.IsSet():
		return String{}, ErrBoth
	default:
		return ReadFile(path)
	}
}

// ReadFile returns the content of the file named path without its last line
// end. It fails when the file cannot be read, is empty or is larger than 64 KiB.
func ReadFile(path string) (String, error) {
	file, err := os.Open(path)
	if err != nil {
		return String{}, fmt.Errorf("read secret: %w", err)
	}
	defer file.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return String{}, fmt.Errorf("read secret: %w", err)
	}
	if len(data) > maxFileSize {
		return String{}, fmt.Errorf("read secret: %s is larger than %d bytes", path, maxFileSize)
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return String{}, fmt.Errorf("read secret: %s is empty", path)
	}
	return String{value: text}, nil
}
