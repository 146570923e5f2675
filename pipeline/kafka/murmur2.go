package kafka

import "encoding/binary"

// partitionOf gives the partition the Java clients choose for a key.
func partitionOf(key []byte, partitions int) int {
	return int(murmur2(key)&0x7fffffff) % partitions
}

// murmur2 is the 32-bit hash of the Java clients, with their seed.
func murmur2(key []byte) uint32 {
	const (
		seed = 0x9747b28c
		mix  = 0x5bd1e995
	)
	h := uint32(seed) ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		k := binary.LittleEndian.Uint32(key) * mix
		k = (k ^ k>>24) * mix
		h = h*mix ^ k
	}
	if len(key) > 0 {
		var tail uint32
		for i, c := range key {
			tail |= uint32(c) << (8 * i)
		}
		h = (h ^ tail) * mix
	}
	h = (h ^ h>>13) * mix
	return h ^ h>>15
}
