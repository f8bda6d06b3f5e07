package probes

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"soakd/internal/secret"
)

func TestBriefHidesSecretsInEveryForm(t *testing.T) {
	const password = "p@ss/w:rd 100%"
	for _, text := range []string{
		"auth failed for " + password,
		"parse postgres://u:" + url.QueryEscape(password) + "@h/db",
		"parse postgres://" + url.UserPassword("u", password).String() + "@h/db",
		"parse /" + url.PathEscape(password),
	} {
		got := Brief(errors.New(text), secret.New(password)).Error()
		if strings.Contains(got, "ss/w") || strings.Contains(got, "ss%2Fw") || !strings.Contains(got, "[redacted]") {
			t.Errorf("%q became %q", text, got)
		}
	}
	if got := Brief(errors.New("a b"), secret.New(""), secret.New("b")).Error(); got != "a b" {
		t.Errorf("unset and tiny secrets changed the text to %q", got)
	}
}

func TestBriefBoundsTheText(t *testing.T) {
	got := Brief(errors.New("a\n\tb\x00c\xff" + strings.Repeat("ü", 1000))).Error()
	if len(got) > maxErrorText || !utf8.ValidString(got) || !strings.HasPrefix(got, "a b c?ü") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if Brief(nil) != nil {
		t.Error("no error became one")
	}
}

func TestBriefKeepsIsButNotAs(t *testing.T) {
	inner := &url.Error{Op: "Get", URL: "http://u:p@h", Err: context.DeadlineExceeded}
	err := Brief(fmt.Errorf("poll: %w", inner))
	var urlErr *url.Error
	if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &urlErr) {
		t.Errorf("Is %v, As %v", errors.Is(err, context.DeadlineExceeded), errors.As(err, &urlErr))
	}
}
