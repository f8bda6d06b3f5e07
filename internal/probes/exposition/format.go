package exposition

import (
	"fmt"
	"io"
	"mime"

	"github.com/prometheus/common/model"
)

// format is one of the formats that Read understands.
type format struct {
	scheme model.EscapingScheme
	read   func(io.Reader, wanted, *Page) error
}

// Accept is the value of the Accept header. Text 0.0.4 comes first: all have it,
// and names differ least between libraries in it. Names of other characters are
// asked for with underscores, as tables of names have them.
func Accept() string {
	return "text/plain;version=0.0.4;q=0.9" +
		",application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.7" +
		",application/openmetrics-text;version=0.0.1;q=0.6" +
		",text/plain;version=1.0.0;escaping=underscores;q=0.5" +
		",application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=underscores;q=0.4" +
		",*/*;q=0.1"
}

// formatOf tells the format from the Content-Type header. Without one the page
// is taken for text, which all exporters without a header send.
func formatOf(contentType string) (format, error) {
	if contentType == "" {
		return format{scheme: model.NoEscaping, read: readText}, nil
	}
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return format{}, fmt.Errorf("answered %.60q, not Prometheus text: the content type cannot be read", contentType)
	}
	found := format{scheme: schemeOf(parameters["escaping"])}
	switch version := parameters["version"]; {
	case media == "text/plain":
		found.read = readText
	case media == "application/openmetrics-text" && (version == "" || version == "1.0.0" || version == "0.0.1"):
		found.read = readOpenMetrics
	case media == "application/openmetrics-text":
		return format{}, fmt.Errorf("answered OpenMetrics %.20q; 1.0.0 and 0.0.1 are understood", version)
	case isDelimited(media, parameters):
		found.read = readProtobuf
	default:
		return format{}, fmt.Errorf("answered %.60s, not Prometheus text, OpenMetrics or delimited Prometheus protobuf", contentType)
	}
	return found, nil
}

func isDelimited(media string, parameters map[string]string) bool {
	return media == "application/vnd.google.protobuf" &&
		parameters["proto"] == "io.prometheus.client.MetricFamily" && parameters["encoding"] == "delimited"
}

// schemeOf is the escaping that the page says it has; an unknown one is none.
func schemeOf(text string) model.EscapingScheme {
	scheme, err := model.ToEscapingScheme(text)
	if err != nil {
		return model.NoEscaping
	}
	return scheme
}
