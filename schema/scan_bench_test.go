package schema

import "testing"

func BenchmarkScanner(b *testing.B) {
	payload := []byte(`{"vin":"WBY00000000000001","entityId":"00000000-0000-4000-8000-000000000001","topic":"WBY00000000000001","timestamp":"2026-03-14T07:02:11.418Z","data":{"vehicle.vehicle.travelledDistance":{"timestamp":"2026-03-14T07:02:09Z","value":23456,"unit":"km"}}}`)
	var s scanner
	b.ReportAllocs()
	for b.Loop() {
		s.reset(payload)
		s.value(0)
	}
}
