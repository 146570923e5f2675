package backfill

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

var telematics = Range{Kinds: []Kind{KindTelematics}, Again: true}

func ids(list []map[string]any) []string {
	names := make([]string, 0, len(list))
	for _, c := range list {
		names = append(names, c["containerId"].(string))
	}
	return names
}

// TestContainers finds own ones by name and purpose, removes own obsolete ones
// and never touches others'.
func TestContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		one := func(id, name, purpose, state string) map[string]any {
			return map[string]any{"containerId": id, "name": name, "purpose": purpose, "state": state}
		}
		latest := containers(schema.Default())[1]
		w.bmw.containers = []map[string]any{
			one("FOREIGN000001", "home automation", "evcc", "ACTIVE"),
			one("OBSOLETE00001", ContainerLatest, "CarData pipeline, keys 000000000000", "ACTIVE"),
			one("OURS000000001", latest.name, latest.purpose(), "ACTIVE"),
			one("OURS000000002", latest.name, latest.purpose(), "ACTIVE"),
			one("OBSOLETE00002", containerPrefix+"old-idea", "x", "ACTIVE"),
			one("DELETED000001", ContainerREST, "x", "DELETED"),
		}
		w.mustRun(telematics)
		want := []string{"FOREIGN000001", "OURS000000001", "DELETED000001", "CONTAINER0001"}
		if got := ids(w.bmw.containers); !slices.Equal(got, want) {
			t.Errorf("containers %v, want %v", got, want)
		}

		// Deleted elsewhere: made anew within the run.
		w.bmw.containers = slices.DeleteFunc(w.bmw.containers, func(c map[string]any) bool { return c["containerId"] == "CONTAINER0001" })
		<-time.After(2 * time.Hour)
		sum := w.mustRun(telematics)
		if sum.Readings != 2 || !slices.Contains(ids(w.bmw.containers), "CONTAINER0002") {
			t.Errorf("%d readings, containers %v", sum.Readings, ids(w.bmw.containers))
		}

		// The id is kept: no more lists.
		spent := w.bmw.spent()
		w.mustRun(telematics)
		if slices.Contains(w.bmw.calls[spent:], "GET /customers/containers") {
			t.Error("containers were listed again")
		}
	})
}

// TestContainerRefused makes a container smaller where that helps, at few calls.
func TestContainerRefused(t *testing.T) {
	const bad = "vehicle.vehicle.travelledDistance"
	tests := map[string]struct {
		refuse  func(keys []string) *http.Response
		partly  bool
		creates int // at most
	}{
		"too many keys": {func(keys []string) *http.Response {
			if len(keys) > 60 {
				return refuse(http.StatusForbidden, "CU-403", "forbidden")
			}
			return nil
		}, false, 5},
		"unknown key that is named": {func(keys []string) *http.Response {
			if slices.Contains(keys, bad) {
				return refuse(http.StatusBadRequest, "CU-402", "key "+bad+" is unknown")
			}
			return nil
		}, false, 3},
		"unknown key that is not named": {func(keys []string) *http.Response {
			if slices.Contains(keys, bad) {
				return refuse(http.StatusBadRequest, "CU-402", "a key is unknown")
			}
			return nil
		}, false, 7},
		"ten containers": {func([]string) *http.Response {
			return refuse(http.StatusForbidden, "CU-124", "limit")
		}, true, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				creates := 0
				w.bmw.fault = func(r *http.Request) *http.Response {
					if r.Method != http.MethodPost {
						return nil
					}
					creates++
					body, _ := io.ReadAll(r.Body)
					r.Body = io.NopCloser(bytes.NewReader(body))
					var c struct {
						Keys []string `json:"technicalDescriptors"`
					}
					if json.Unmarshal(body, &c) != nil || len(c.Keys) == 0 || len(c.Keys) > maxKeys {
						t.Errorf("body with %d keys", len(c.Keys))
					}
					return tt.refuse(c.Keys)
				}
				sum, err := w.run(telematics)
				if tt.partly != (exit.Code(err) == exit.Partly) || creates > tt.creates {
					t.Errorf("%v after %d creations, skipped %+v", err, creates, sum.Skipped)
				}
				if tt.partly && !strings.Contains(sum.Skipped[0].Remedy, "cardata containers") {
					t.Errorf("remedy %q", sum.Skipped[0].Remedy)
				}
				if !tt.partly && sum.Readings != 2 {
					t.Errorf("%d readings, want 2", sum.Readings)
				}
			})
		})
	}
}

// TestContainerKeys keeps keys out that would be left out, or fail the whole.
func TestContainerKeys(t *testing.T) {
	cat := schema.Default()
	for _, c := range containers(cat) {
		if len(c.keys) == 0 || len(c.keys) > maxKeys {
			t.Errorf("%s has %d keys", c.name, len(c.keys))
		}
		for _, k := range c.keys {
			e, _ := cat.Lookup(k)
			if e.Category == "BASIC_DATA" || k == "vehicle.learningNavigation" || e.Streamable != (c.name == ContainerLatest) {
				t.Errorf("%s holds %s", c.name, k)
			}
		}
	}
}
