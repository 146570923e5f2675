package journal

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"time"
)

const (
	segmentMagic       = "cdjrnl01"
	segmentHeaderBytes = 40
	recordHeaderBytes  = 24

	flagControl = 1 << 24
	lengthMask  = 1<<24 - 1

	readBytes = 256 << 10 // one file read, unless a record is larger
)

// Record is one record as it was appended.
type Record struct {
	Number  uint64
	Control bool
	At      time.Time // UTC, as given to Append
	Data    []byte    // valid until the next call on the same Reader, or until Scan's function returns
}

func checksum(seed uint32, b []byte) uint32 {
	return crc32.Update(seed, crc32.MakeTable(crc32.Castagnoli), b)
}

// segmentSeed is the start of every checksum in the segment with that first number.
func segmentSeed(first uint64) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], first)
	return checksum(0, b[:])
}

// appendSegmentHeader appends the header of a segment whose first record has
// number first, and before which prev was the last number written (0 for none).
func appendSegmentHeader(dst []byte, first, prev uint64, created time.Time) []byte {
	start := len(dst)
	dst = append(dst, segmentMagic...)
	dst = binary.LittleEndian.AppendUint64(dst, first)
	dst = binary.LittleEndian.AppendUint64(dst, prev)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(created.UnixNano()))
	dst = binary.LittleEndian.AppendUint32(dst, checksum(0, dst[start:]))
	return append(dst, 0, 0, 0, 0)
}

// parseSegmentHeader gives the last number before the segment, and whether the
// header is whole and of this segment.
func parseSegmentHeader(b []byte, first uint64) (prev uint64, ok bool) {
	if len(b) < segmentHeaderBytes || string(b[:8]) != segmentMagic {
		return 0, false
	}
	if binary.LittleEndian.Uint32(b[32:]) != checksum(0, b[:32]) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[8:]) == first
}

// appendRecord appends a record without its checksum; seal fills that in once
// the segment is known.
func appendRecord(dst []byte, number uint64, control bool, at time.Time, size int, parts [][]byte) []byte {
	word := uint32(size)
	if control {
		word |= flagControl
	}
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, word)
	dst = binary.LittleEndian.AppendUint64(dst, number)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(at.UnixNano()))
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

// seal writes the checksums of a group of whole records built by appendRecord.
func seal(group []byte, seed uint32) {
	for len(group) > 0 {
		size := recordHeaderBytes + int(binary.LittleEndian.Uint32(group[4:])&lengthMask)
		binary.LittleEndian.PutUint32(group, checksum(seed, group[4:size]))
		group = group[size:]
	}
}

// outcome is what a decoder found at its position.
type outcome int

const (
	decoded outcome = iota
	ended           // at the end it was given
	damaged         // no whole record here
)

// decoder reads the records of one segment up to a known end. It owns a window
// of the file and never reads past end. It is the one place that trusts no byte.
type decoder struct {
	src  io.ReaderAt
	end  int64 // offset up to which the file may be read
	base int64 // offset in the file of buf[0]
	buf  []byte
	pos  int // of the next record, in buf
	seed uint32
	want uint64 // number that the next record must have
	cut  bool   // the file is shorter than end said
}

// reset starts at the first record of a segment. The window is kept.
func (d *decoder) reset(src io.ReaderAt, first uint64, end int64) {
	*d = decoder{src: src, end: end, base: segmentHeaderBytes, buf: d.buf[:0], seed: segmentSeed(first), want: first}
}

// offset is the position in the file.
func (d *decoder) offset() int64 { return d.base + int64(d.pos) }

// have makes at least n bytes from the position on available. It answers false
// when the end comes before.
func (d *decoder) have(n int) (bool, error) {
	if len(d.buf)-d.pos >= n {
		return true, nil
	}
	if d.offset()+int64(n) > d.end {
		return false, nil
	}
	rest := copy(d.buf[:cap(d.buf)], d.buf[d.pos:])
	d.base += int64(d.pos)
	d.pos = 0
	if size := max(n, readBytes); cap(d.buf) < size {
		grown := make([]byte, size)
		copy(grown, d.buf[:rest])
		d.buf = grown
	}
	room := min(int64(cap(d.buf)), d.end-d.base)
	d.buf = d.buf[:room]
	got, err := d.src.ReadAt(d.buf[rest:], d.base+int64(rest))
	d.buf = d.buf[:rest+got]
	if err == io.EOF { // the file is shorter than was known: what is missing is damage
		d.end = d.base + int64(len(d.buf))
		d.cut = true
		err = nil
	}
	return len(d.buf) >= n, err
}

// next decodes the record at the position into rec.
func (d *decoder) next(rec *Record) (outcome, error) {
	if d.offset() >= d.end {
		return ended, nil
	}
	size, ok, err := d.whole()
	if err != nil || !ok || binary.LittleEndian.Uint64(d.buf[d.pos+8:]) != d.want {
		return damaged, err
	}
	b := d.buf[d.pos : d.pos+size]
	rec.Number = d.want
	rec.Control = binary.LittleEndian.Uint32(b[4:])&flagControl != 0
	rec.At = time.Unix(0, int64(binary.LittleEndian.Uint64(b[16:]))).UTC()
	rec.Data = b[recordHeaderBytes:size:size]
	d.pos += size
	d.want++
	return decoded, nil
}

// whole says whether the bytes at the position are a record with a true
// checksum, and how long it is.
func (d *decoder) whole() (size int, ok bool, err error) {
	if ok, err = d.have(recordHeaderBytes); !ok || err != nil {
		return 0, false, err
	}
	word := binary.LittleEndian.Uint32(d.buf[d.pos+4:])
	size = recordHeaderBytes + int(word&lengthMask)
	if word&^(lengthMask|flagControl) != 0 || size > recordHeaderBytes+MaxRecordBytes {
		return 0, false, nil
	}
	if ok, err = d.have(size); !ok || err != nil {
		return 0, false, err
	}
	b := d.buf[d.pos : d.pos+size]
	return size, binary.LittleEndian.Uint32(b) == checksum(d.seed, b[4:]), nil
}

// resync moves to the next whole record with a number over want and at most
// last, and wants that one. Without any it moves to the end and answers false.
func (d *decoder) resync(last uint64) (bool, error) {
	low := d.want + 1
	for {
		d.pos++
		ok, err := d.have(recordHeaderBytes)
		if err != nil {
			return false, err
		}
		if !ok {
			d.pos = 0
			d.buf = d.buf[:0]
			d.base = d.end
			return false, nil
		}
		number := binary.LittleEndian.Uint64(d.buf[d.pos+8:])
		if number < low || number > last {
			continue
		}
		if _, ok, err = d.whole(); err != nil {
			return false, err
		} else if ok {
			d.want = number
			return true, nil
		}
	}
}
