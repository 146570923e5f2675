package kafka

import "testing"

func TestMurmur2IsThatOfTheJavaClients(t *testing.T) {
	for key, want := range map[string]int32{ // from the test of Kafka's own Utils class
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, want)
		}
	}
}

func TestPartitionOfIsInRange(t *testing.T) {
	for _, key := range []string{"", "a", "WBY00000000000001", "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"} {
		for _, n := range []int{1, 2, 12, 1000} {
			if p := partitionOf([]byte(key), n); p < 0 || p >= n {
				t.Errorf("partitionOf(%q, %d) = %d", key, n, p)
			}
		}
	}
}
