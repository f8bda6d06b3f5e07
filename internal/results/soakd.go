package results

import (
	"bufio"
)

func readSoakd(file string, from *bufio.Reader, o Options) (*Result, error) {
	return nil, wrong(file, 0, "x")
}
