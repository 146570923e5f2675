package parquet

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
)

const outputBuffer = 256 << 10

// output is a local file being written, with its length and hash. Its first error
// stays: arrow drops some of those it gets.
type output struct {
	f    *os.File
	buf  *bufio.Writer
	hash hash.Hash
	n    int64
	err  error
}

func newOutput(dir string) (*output, error) {
	f, err := os.CreateTemp(dir, "part-*.parquet.tmp")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w", err)
	}
	return &output{f: f, buf: bufio.NewWriterSize(f, outputBuffer), hash: sha256.New()}, nil
}

func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.buf.Write(p)
	o.n += int64(n)
	_, _ = o.hash.Write(p[:n])
	if err != nil {
		o.err = fmt.Errorf("write %s: %w", o.f.Name(), err)
	}
	return n, o.err
}

// Tell gives the offset of the next byte.
func (o *output) Tell() int64 { return o.n }

// finish closes the file and keeps it.
func (o *output) finish() error {
	if err := o.buf.Flush(); o.err == nil && err != nil {
		o.err = fmt.Errorf("write %s: %w", o.f.Name(), err)
	}
	if err := o.f.Close(); o.err == nil && err != nil {
		o.err = fmt.Errorf("close %s: %w", o.f.Name(), err)
	}
	return o.err
}

// discard closes and removes the file; it may follow finish.
func (o *output) discard() {
	_ = o.f.Close()
	_ = os.Remove(o.f.Name())
}

func (o *output) sum() string { return hex.EncodeToString(o.hash.Sum(nil)) }
