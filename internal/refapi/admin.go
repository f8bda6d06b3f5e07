package refapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"strings"
)

// adminPath is where faults are switched. What is asked there is in no metric
// of requests, and no fault touches it.
const adminPath = "/admin/"

// administration answers below adminPath, to who knows the token.
func (a *API) administration() http.Handler {
	want := sha256.Sum256([]byte(a.config.AdminToken.Value()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		result, err := answer{}, error(fail(http.StatusUnauthorized, "the admin token is required"))
		// Sums are compared, so that the time tells nothing of the length either.
		if got := sha256.Sum256([]byte(bearer(r))); subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			result, err = a.administer(w, r)
		}
		if err == nil {
			err = write(w, result)
		}
		if err != nil {
			a.writeError(w, r, err)
		}
	})
}

// bearer returns the token of a request, or "".
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// administer does what is asked and answers with the state that came of it.
func (a *API) administer(w http.ResponseWriter, r *http.Request) (answer, error) {
	name, one := strings.CutPrefix(r.URL.Path, adminPath+"faults/")
	allowed := "GET, HEAD, DELETE"
	switch {
	case one:
		allowed = "GET, HEAD, PUT, DELETE"
	case r.URL.Path == adminPath+"version":
		allowed = "GET, HEAD, PUT"
	case r.URL.Path != adminPath+"faults":
		return answer{}, fail(http.StatusNotFound, "no such route; there are /admin/faults, /admin/faults/{name} and /admin/version")
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if !strings.Contains(allowed, method) {
		w.Header().Set("Allow", allowed)
		return answer{}, fail(http.StatusMethodNotAllowed, "the route does not know this method")
	}
	if one {
		return a.administerFault(method, name, r.Body)
	}
	switch {
	case strings.HasSuffix(allowed, "PUT"):
		if method == http.MethodPut {
			return a.changeVersion(r.Body)
		}
		return versionAnswer(a), nil
	case method == http.MethodDelete:
		a.faults.switchAllOff()
	}
	return answer{status: http.StatusOK, body: a.faults.states()}, nil
}

// administerFault switches one fault, or only tells of it.
func (a *API) administerFault(method, name string, body io.Reader) (answer, error) {
	var err error
	switch method {
	case http.MethodPut:
		var parameters []byte
		if parameters, err = readAdminBody(body); err == nil {
			err = a.faults.switchOn(name, parameters)
		}
	case http.MethodDelete:
		err = a.faults.switchOff(name)
	default:
		_, err = a.faults.find(name)
	}
	if err != nil {
		return answer{}, adminFailure(err)
	}
	for _, told := range a.faults.states() {
		if told.Name == name {
			return answer{status: http.StatusOK, body: told}, nil
		}
	}
	return answer{}, errNotFound // cannot be: the name was found above
}

func readAdminBody(body io.Reader) ([]byte, error) {
	const most = 64 << 10
	read, err := io.ReadAll(io.LimitReader(body, most+1))
	switch {
	case err != nil:
		return nil, fail(http.StatusBadRequest, "the body could not be read to its end")
	case len(read) > most:
		return nil, fail(http.StatusRequestEntityTooLarge, "the body is larger than 65536 bytes")
	}
	return read, nil
}

// adminFailure says what the client is told of what is wrong.
func adminFailure(err error) error {
	var unknown *unknownFaultError
	var impossible *impossibleError
	var wrong *parametersError
	switch {
	case errors.As(err, &unknown):
		return fail(http.StatusNotFound, unknown.Error())
	case errors.As(err, &impossible):
		return fail(http.StatusConflict, impossible.Error())
	case errors.As(err, &wrong):
		return &failure{http.StatusBadRequest, wrong.bad}
	case errors.Is(err, errNoJSON):
		return fail(http.StatusBadRequest, err.Error())
	}
	return err
}

// changeVersion reads {"version": "..."}.
func (a *API) changeVersion(body io.Reader) (answer, error) {
	read, err := readAdminBody(body)
	if err != nil {
		return answer{}, err
	}
	given, err := parse(read)
	if err != nil {
		return answer{}, fail(http.StatusBadRequest, err.Error())
	}
	bad := []fieldError{}
	f := fieldsOf(given, []any{"body"}, &bad)
	version := ""
	if v, ok := f.require("version"); ok {
		// It goes into a header.
		if version = v.text; v.kind != text || !printable(version) {
			f.fail("version", "version", "Input should be a text of 1 to 128 printable ASCII characters without spaces")
		}
	}
	if len(bad) > 0 {
		return answer{}, &failure{http.StatusBadRequest, bad}
	}
	a.SetVersion(version)
	return versionAnswer(a), nil
}

func versionAnswer(a *API) answer {
	return answer{status: http.StatusOK, body: map[string]string{"version": a.Version()}}
}
