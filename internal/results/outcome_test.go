package results

import "testing"

// Neither users nor queries of URLs stand in reports, however they are written.
func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"Get http://joe:secret@api:8000/x?token=abc&k=def: refused": "Get http://api:8000/x?token=&k= refused",
		"http://joe:se@cret@api/x":                                  "http://api/x",
		"http://joe:se/cret@api/x and more":                         "http://api/x and more",
		"http://joe@api/x":                                          "http://api/x",
		"http://api:8000/@scope/x":                                  "http://api:8000/@scope/x",
		"http://api/@scope/x":                                       "http://api/@scope/x",
		"mail joe@example.org":                                      "mail joe@example.org",
	} {
		if got := redact(text); got != want {
			t.Errorf("%q became %q, not %q", text, got, want)
		}
	}
	for url, want := range map[string]string{
		"http://joe:secret@api:8000/x?token=abc": "http://api:8000",
		"http://joe:se@cret@api/x":               "http://api",
		"http://joe:se/cret@api/x":               "",
		"http://[::1]:8000/x":                    "http://[::1]:8000",
		"http://[::1]/x":                         "http://[::1]",
		"https://api":                            "https://api",
	} {
		targets := map[string]bool{}
		rememberTarget(targets, url)
		if got := oneTarget(targets); got != want {
			t.Errorf("the target of %s is %q, not %q", url, got, want)
		}
	}
}
