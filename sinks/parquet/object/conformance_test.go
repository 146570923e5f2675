package object_test

import (
	"testing"

	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet/object"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet/targettest"
)

func TestABucketKeepsTheContractOfTargets(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		t.Helper()
		targettest.Run(t, targettest.Suite{New: func(t *testing.T) func(t *testing.T) parquet.Target {
			t.Helper()
			place := s.bucket(t) + "/folder"
			return func(t *testing.T) parquet.Target { t.Helper(); return s.open(t, place, object.Config{}) }
		}})
	})
}
