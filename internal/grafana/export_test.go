package grafana

import "net/http"

// Through makes a client call by another transport.
func (c *Client) Through(t http.RoundTripper) { c.http.Transport = t }
