package schema

// ReadingBlock is a run of readings of one vehicle and one descriptor in order
// of time: what a store gives back in one piece. Its key is unique in it. The
// slices have equal length and belong to whoever filled them; how long they stay
// valid is said where a block is handed out.
type ReadingBlock struct {
	VIN        VIN
	Descriptor Descriptor
	Times      []int64 // when the car measured, nanoseconds since 1970 UTC, ascending
	Values     []Value
}

// Len is the number of readings.
func (b *ReadingBlock) Len() int { return len(b.Times) }

// Reset empties b and keeps its memory.
func (b *ReadingBlock) Reset(vin VIN, d Descriptor) {
	clear(b.Values) // drop the texts
	b.VIN, b.Descriptor = vin, d
	b.Times, b.Values = b.Times[:0], b.Values[:0]
}

// Append adds one reading, which must be later than the last.
func (b *ReadingBlock) Append(ns int64, v Value) {
	b.Times = append(b.Times, ns)
	b.Values = append(b.Values, v)
}
