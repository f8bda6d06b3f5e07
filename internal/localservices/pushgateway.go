package localservices

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Pushgateway is a private Pushgateway for tests: it keeps what is pushed in memory and
// has no authentication, unless its settings name a web.config.file.
type Pushgateway struct{ webService }

// errNoPushgateway says what to do where there is none.
var errNoPushgateway = errors.New("no Pushgateway on this machine: install it, e.g. " +
	"`apt-get install prometheus-pushgateway` (Debian, Ubuntu), or from https://prometheus.io/download/#pushgateway")

// StartPushgateway starts a private Pushgateway and returns when it is ready. There is no
// embedded one: [Embedded] is an error. ctx bounds the start only; call Stop to end the
// server. It runs as the current user.
func StartPushgateway(ctx context.Context, opts Options) (*Pushgateway, error) {
	server, err := startFlagged(ctx, opts, flagged{
		// Debian's package has the longer name.
		kind: "Pushgateway", folder: "pushgateway", names: []string{"prometheus-pushgateway", "pushgateway"}, missing: errNoPushgateway,
		ready: readyPath,
		flags: func(_ *workDir, port int) (map[string]string, error) {
			return map[string]string{"web.listen-address": "127.0.0.1:" + strconv.Itoa(port)}, nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start Pushgateway: %w", err)
	}
	return &Pushgateway{server}, nil
}
