package normalize

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
)

var errLineTooLong = errors.New("line too long")

// line is one line without its end, or why there is none. After any error but
// errLineTooLong no further line comes.
type line struct {
	data []byte
	err  error
}

// readLines sends the lines of in, then closes lines. It ends with the input or,
// once ctx is done, at its next line.
func readLines(ctx context.Context, in io.Reader, lines chan<- line) {
	defer close(lines)
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		l := readLine(r)
		select {
		case lines <- l:
		case <-ctx.Done():
			return
		}
		if l.err != nil && !errors.Is(l.err, errLineTooLong) {
			return
		}
	}
}

// readLine reads one line. Of one that is too long nothing is kept, but it is
// read to its end.
func readLine(r *bufio.Reader) line {
	var data []byte
	tooLong := false
	for {
		part, err := r.ReadSlice('\n')
		// One more for the line's own end.
		if tooLong = tooLong || len(data)+len(part) > MaxLineBytes+1; tooLong {
			data = nil
		} else {
			data = append(data, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return line{err: err}
		case err != nil && len(data) == 0 && !tooLong:
			return line{err: io.EOF}
		case tooLong:
			return line{err: errLineTooLong}
		}
		return line{data: bytes.TrimSuffix(bytes.TrimSuffix(data, []byte{'\n'}), []byte{'\r'})}
	}
}
