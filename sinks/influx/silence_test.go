package influx_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
)

// mute is a body that says something and then nothing, until it is closed.
type mute struct {
	said io.Reader
	req  *http.Request
}

func (m *mute) Read(p []byte) (int, error) {
	if n, _ := m.said.Read(p); n > 0 {
		return n, nil
	}
	<-m.req.Context().Done()
	return 0, m.req.Context().Err()
}

func (m *mute) Close() error { return nil }

func TestAServerThatFallsSilentEndsTheReadForNow(t *testing.T) {
	for name, said := range map[string]string{"before the answer": "", "in mid-answer": `{"results":[`} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := clientOver(t, roundTrip(func(r *http.Request) (*http.Response, error) {
					if said == "" {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: &mute{strings.NewReader(said), r}}, nil
				}))
				begun := time.Now()
				err := c.ScanReadings(t.Context(), influx.ReadingsQuery{VINs: []schema.VIN{vinA}}, func(*schema.ReadingBlock) error { return nil })
				read, ok := errors.AsType[*influx.ReadError](err)
				if !ok || read.Class != pipeline.Retryable || !strings.Contains(err.Error(), "said nothing for 2m0s") {
					t.Errorf("scan = %v, want that the server said nothing", err)
				}
				if took := time.Since(begun); took != influx.DefaultSilence {
					t.Errorf("it took %v, want %v", took, influx.DefaultSilence)
				}
			})
		})
	}
}
