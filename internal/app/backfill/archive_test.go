package backfill

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

type file struct {
	name, body string
	mode       os.FileMode
}

func writeZIP(t *testing.T, files ...file) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		h.SetMode(f.mode | 0o600)
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return save(t, b.Bytes())
}

func save(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive.zip")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	sessionsFile = `[{"startTime":981000000,"endTime":981003600,"displayedStartSoc":20,"displayedSoc":80,"energyConsumedFromPowerGridKwh":40.5},
		{"startTime":980900000,"endTime":980903600}]`
	tyresFile      = `{"passengerCar":{"mountedTyres":{"label":"Mounted"}},"errors":[]}`
	telematicsFile = `{"` + mileage + `":{"timestamp":"2001-01-31T07:02:09.000Z","unit":"km","value":"51234"}}`
)

// TestArchive imports each file by its content, with the identities of REST.
func TestArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		path := writeZIP(t,
			file{name: "export/" + string(car1) + "/"}, // a folder
			file{name: "export/" + string(car1) + "/Charging-History.json", body: sessionsFile},
			file{name: "export/" + string(car1) + "/tyres.json", body: tyresFile},
			file{name: "export/Telematics_" + string(car2) + ".json", body: telematicsFile},
			file{name: "export/" + string(car1) + "/readme.txt", body: "hello"},
		)
		for range 2 { // safe to repeat
			sum, err := w.backfill().Archive(t.Context(), testGCID, "", path)
			if err != nil || sum.Sessions != 2 || sum.Readings != 1 || sum.Vehicles != 1 || len(sum.Skipped) != 1 || !sum.Skipped[0].Normal {
				t.Fatalf("%+v, %v", sum, err)
			}
			<-time.After(time.Hour)
		}
		if got := w.kafka.of(names.ChargingSessions); len(got) != 2 {
			t.Errorf("sessions %v, want 2 identities", got)
		}
		for _, value := range w.kafka.of(names.Readings) {
			var r schema.Reading
			if err := schema.NewDecoder().Reading(&r, value); err != nil {
				t.Fatal(err)
			}
			if r.VIN != car2 || r.GCID != testGCID || r.Source != schema.SourceArchive || r.Value.Number != 51234 {
				t.Errorf("reading %+v", r)
			}
		}
		if w.bmw.spent() != 0 {
			t.Error("an archive cost a call")
		}
	})
}

// TestArchiveRefused takes nothing of a ZIP that the portal would never make.
func TestArchiveRefused(t *testing.T) {
	good := file{name: string(car1) + ".json", body: sessionsFile}
	whole, err := os.ReadFile(writeZIP(t, good))
	if err != nil {
		t.Fatal(err)
	}
	many := make([]file, maxArchiveFiles+1)
	for i := range many {
		many[i] = file{name: strings.Repeat("a", i%50+1)}
	}
	tests := map[string]string{
		"not a ZIP":            save(t, []byte("<html>log in</html>")),
		"torn ZIP":             save(t, whole[:len(whole)/2]),
		"empty file":           save(t, nil),
		"bomb":                 writeZIP(t, good, file{name: "b.json", body: strings.Repeat("0", 40<<20)}),
		"too large a file":     writeZIP(t, good, file{name: "b.json", body: strings.Repeat("0", maxFileBytes+1)}),
		"too many files":       writeZIP(t, many...),
		"path upwards":         writeZIP(t, good, file{name: "../../etc/cron.d/x", body: tyresFile}),
		"path upwards, hidden": writeZIP(t, good, file{name: "a/../../x", body: tyresFile}),
		"absolute path":        writeZIP(t, good, file{name: "/etc/passwd", body: tyresFile}),
		"path of Windows":      writeZIP(t, good, file{name: `..\..\x`, body: tyresFile}),
		"drive of Windows":     writeZIP(t, good, file{name: `C:x`, body: tyresFile}),
		"symbolic link":        writeZIP(t, good, file{name: "x", body: "/etc/passwd", mode: os.ModeSymlink}),
	}
	for name, path := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				_, err := w.backfill().Archive(t.Context(), testGCID, "", path)
				if !errors.Is(err, ErrArchive) || !strings.Contains(err.Error(), "download the archive anew") || exit.Code(err) != exit.Failed {
					t.Errorf("got %v, want ErrArchive with the remedy", err)
				}
				if len(w.kafka.records) != 0 {
					t.Error("something of it was taken")
				}
			})
		})
	}
}

// TestArchiveFileBroken skips the file, keeps the others and says so.
func TestArchiveFileBroken(t *testing.T) {
	first := file{name: string(car1) + "/a.json", body: tyresFile}
	broken, err := os.ReadFile(writeZIP(t, first, file{name: string(car1) + "/b.json", body: sessionsFile}))
	if err != nil {
		t.Fatal(err)
	}
	broken[bytes.LastIndex(broken, []byte("PK\x03\x04"))+30+len(car1)+len("/b.json")+10] ^= 0xff // within the second file's data
	tests := map[string]struct {
		path, remedy string
	}{
		"damaged data":    {save(t, broken), "download the archive anew"},
		"no car is named": {writeZIP(t, first, file{name: "b.json", body: sessionsFile}), "--vin"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				sum, err := w.backfill().Archive(t.Context(), testGCID, "", tt.path)
				if exit.Code(err) != exit.Partly || len(sum.Skipped) != 1 || !strings.Contains(sum.Skipped[0].Remedy, tt.remedy) || sum.Vehicles != 1 {
					t.Errorf("%+v, %v", sum, err)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		sum, err := w.backfill().Archive(t.Context(), testGCID, car2, writeZIP(t, file{name: "b.json", body: sessionsFile}))
		if err != nil || sum.Sessions != 2 {
			t.Errorf("with the car named: %+v, %v", sum, err)
		}
	})
}

// FuzzRecognise never panics on a file's content.
func FuzzRecognise(f *testing.F) {
	for _, s := range []string{sessionsFile, tyresFile, telematicsFile, "", "[", `{"data":[]}`, `{"telematicData":null}`, `[[]]`, `[null]`} {
		f.Add([]byte(s))
	}
	k := newMaker(testGCID, names, schema.Default())
	f.Fuzz(func(t *testing.T, body []byte) {
		kind := recognise(body)
		if kind == "" {
			return
		}
		im := &importer{fetched: time.Unix(1_000_000_000, 0)}
		for _, e := range im.entries(kind, body) {
			e.VIN = car1
			if m := k.records(e); len(m.records) == 0 && m.letters == 0 && kind == KindSessions {
				t.Errorf("sessions without a record: %q", body)
			}
		}
	})
}
