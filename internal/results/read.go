package results

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Format is what a file holds.
type Format string

// The formats.
const (
	LocustCSV  Format = "locust"
	K6CSV      Format = "k6-csv"
	K6JSON     Format = "k6-json"
	K6Summary  Format = "k6-summary"
	VegetaCSV  Format = "vegeta-csv"
	VegetaJSON Format = "vegeta-json"
	VegetaGob  Format = "vegeta-gob"
	JMeterCSV  Format = "jmeter-csv"
	Soakd      Format = "soakd"
)

// Formats lists the formats that [Options] takes.
func Formats() []Format {
	return []Format{LocustCSV, K6CSV, K6JSON, K6Summary, VegetaCSV, VegetaJSON, VegetaGob, JMeterCSV, Soakd}
}

// maxPeek is how much of a file is looked at to tell what it is, in bytes.
const maxPeek = 64 << 10

// File reads a file of results, also a compressed one (gzip). One of Locust's files
// stands for all with its prefix.
func File(path string, o Options) (*Result, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return nil, wrong(path, 0, "it is a folder: give a file in it, or Locust's files with --csv PREFIX")
	}
	return Read(path, file, o)
}

// Read reads results from a stream; name says in errors what it is. Results of Locust are
// several files and are read from where name is the path of one.
func Read(name string, from io.Reader, o Options) (*Result, error) {
	if o.Format != "" && !slices.Contains(Formats(), o.Format) {
		return nil, wrong(name, 0, "the format %q is not known: use one of %v", o.Format, Formats())
	}
	stream, err := plain(name, from)
	if err != nil {
		return nil, err
	}
	start, err := stream.Peek(maxPeek)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, readError(name, err)
	}
	if len(bytes.TrimSpace(start)) == 0 {
		return nil, wrong(name, 0, "it is empty")
	}
	format := o.Format
	if format == "" {
		if format = formatOf(start); format == "" {
			return nil, wrong(name, 0, "it is not known what this is: give --format, one of %v%s", Formats(), hint(start))
		}
	}
	return readAs(format, name, stream, o)
}

// plain undoes the compression of a stream.
func plain(name string, from io.Reader) (*bufio.Reader, error) {
	stream := bufio.NewReaderSize(from, maxPeek)
	if magic, _ := stream.Peek(2); string(magic) != "\x1f\x8b" {
		return stream, nil
	}
	unpacked, err := gzip.NewReader(stream)
	if err != nil {
		return nil, wrong(name, 0, "it is no gzip file: %v", err)
	}
	return bufio.NewReaderSize(unpacked, maxPeek), nil
}

func readAs(format Format, name string, stream *bufio.Reader, o Options) (*Result, error) {
	switch format {
	case LocustCSV:
		return locustBy(name)
	case K6CSV:
		return readK6CSV(name, stream, o)
	case K6JSON:
		return readK6JSON(name, stream, o)
	case K6Summary:
		return readK6Summary(name, stream)
	case VegetaCSV:
		return readVegetaCSV(name, stream, o)
	case VegetaJSON:
		return readVegetaJSON(name, stream, o)
	case VegetaGob:
		return readVegetaGob(name, stream, o)
	case JMeterCSV:
		return readJMeter(name, stream, o)
	case Soakd:
		return readSoakd(name, stream, o)
	}
	return nil, wrong(name, 0, "the format %q is not known", format)
}

// locustBy reads the files of the prefix that the path of one of them has.
func locustBy(path string) (*Result, error) {
	for _, suffix := range []string{historyFile, statsFile, failuresFile, exceptionsFile, requestsFile, distributionFile} {
		if prefix, found := strings.CutSuffix(path, suffix); found {
			return Locust(prefix)
		}
	}
	return nil, wrong(path, 0, "a file of Locust's is named PREFIX%s: give --csv PREFIX", statsFile)
}

// vegetaLine is the beginning of a line of vegeta's CSV: nanoseconds, status, latency, bytes.
var vegetaLine = regexp.MustCompile(`^\d{18,19},\d{1,5},\d+,\d+,\d+,`)

// formatOf tells by the beginning of a file what it holds, "" where that is not known.
func formatOf(start []byte) Format {
	start = bytes.TrimPrefix(start, []byte("\xef\xbb\xbf"))
	text := strings.TrimLeft(string(start), " \t\r\n")
	line, _, _ := strings.Cut(text, "\n")
	switch {
	case strings.HasPrefix(text, "{"):
		return jsonFormat(text, line)
	case strings.HasPrefix(line, "metric_name,"):
		return K6CSV
	case vegetaLine.MatchString(line):
		return VegetaCSV
	case strings.Contains(text, "Timestamp") && strings.Contains(text, "Latency") && strings.Contains(text, "BytesOut"):
		return VegetaGob
	}
	header := strings.ToLower(strings.ReplaceAll(line, `"`, ""))
	has := func(words ...string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(header, w) })
	}
	switch {
	case has("timestamp", "elapsed", "label"), has("timestamp", "elapsed", "success"):
		return JMeterCSV
	case has("name", "request count"), has("name", "# requests"), has("name", "error", "occur"), has("count", "message", "traceback"):
		return LocustCSV
	}
	return ""
}

// jsonFormat tells JSON apart.
func jsonFormat(text, line string) Format {
	has := func(in string, words ...string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(in, `"`+w+`"`) })
	}
	switch {
	case has(line, "latency", "timestamp", "code"):
		return VegetaJSON
	case has(line, "metric", "type", "data"):
		return K6JSON
	case has(text, "schema") && strings.Contains(text[:min(len(text), 1024)], "soakd"):
		return Soakd
	case has(text, "metrics"), has(text, "root_group"):
		return K6Summary
	}
	return ""
}

// headless is the beginning of a line of JMeter's without a header: milliseconds, elapsed.
var headless = regexp.MustCompile(`^\d{13},\d+,`)

// hint says what a file may be that is not known.
func hint(start []byte) string {
	switch {
	case headless.Match(start):
		return "; a file of JMeter's must have a header line (-Jjmeter.save.saveservice.print_field_names=true)"
	case bytes.HasPrefix(bytes.TrimSpace(start), []byte("<?xml")):
		return "; of JMeter's files only CSV is read (-Jjmeter.save.saveservice.output_format=csv)"
	}
	return ""
}

// lines reads a stream of lines of bounded length.
type lines struct {
	file string
	from *bufio.Reader
	long []byte
	line int
	// cut tells that the last line has no end.
	cut bool
}

// next returns the next line that is not empty, without its end; nil at the end. It is good until
// the next call.
func (l *lines) next() ([]byte, error) {
	for {
		text, err := l.read()
		if err != nil || text == nil {
			return nil, err
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return text, nil
		}
	}
}

func (l *lines) read() ([]byte, error) {
	l.line++
	l.long = l.long[:0]
	for {
		part, err := l.from.ReadSlice('\n')
		switch {
		case err == nil && len(l.long) == 0:
			return part, nil
		case err == nil:
			l.long = append(l.long, part...)
			return l.long, nil
		case errors.Is(err, bufio.ErrBufferFull):
			if l.long = append(l.long, part...); len(l.long) > maxRecord {
				return nil, wrong(l.file, l.line, "%v", errTooLong)
			}
		case errors.Is(err, io.EOF):
			l.long = append(l.long, part...)
			if len(l.long) == 0 {
				return nil, nil
			}
			l.cut = true
			return l.long, nil
		default:
			return nil, readError(l.file, err)
		}
	}
}
