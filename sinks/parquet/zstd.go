package parquet

import (
	"fmt"
	"io"
	"sync"

	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/klauspost/compress/zstd"
)

// useZstd replaces arrow's zstd codec, which makes an encoder, with a megabyte of
// tables, for every page; table wide has hundreds of columns in every file.
//
//nolint:gochecknoglobals // arrow's table of codecs is itself global; this sets it once
var useZstd = sync.OnceFunc(func() {
	inner, err := compress.GetCodec(compress.Codecs.Zstd)
	if err != nil {
		panic(fmt.Sprintf("BUG: arrow has no zstd: %v", err))
	}
	enc, err := zstd.NewWriter(nil, zstd.WithZeroFrames(true), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		panic(fmt.Sprintf("BUG: zstd options: %v", err))
	}
	compress.RegisterCodec(compress.Codecs.Zstd, &zstdCodec{inner, enc})
})

// zstdCodec keeps its encoder; EncodeAll is safe for concurrent use. The level is
// its own: files of this package have one.
type zstdCodec struct {
	inner compress.Codec
	enc   *zstd.Encoder
}

func (c *zstdCodec) NewReader(r io.Reader) io.ReadCloser  { return c.inner.NewReader(r) }
func (c *zstdCodec) NewWriter(w io.Writer) io.WriteCloser { return c.inner.NewWriter(w) }
func (c *zstdCodec) Decode(dst, src []byte) []byte        { return c.inner.Decode(dst, src) }
func (c *zstdCodec) CompressBound(n int64) int64          { return c.inner.CompressBound(n) }
func (c *zstdCodec) Encode(dst, src []byte) []byte        { return c.enc.EncodeAll(src, dst[:0]) }

func (c *zstdCodec) NewWriterLevel(w io.Writer, level int) (io.WriteCloser, error) {
	return c.inner.NewWriterLevel(w, level)
}

func (c *zstdCodec) EncodeLevel(dst, src []byte, _ int) []byte { return c.Encode(dst, src) }
