package backfill

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/cardata/rest"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// The limits of an archive. A car's archive of years is a few MiB.
const (
	maxArchiveFiles = 10_000
	maxFileBytes    = 64 << 20  // one file, unpacked
	maxArchiveBytes = 512 << 20 // all files, unpacked
	maxRatio        = 250       // unpacked against packed, of files over a MiB
	shipBytes       = 4 << 20   // records handed to Kafka at once
)

// ErrArchive is wrapped by the errors of a ZIP that cannot be imported as a
// whole. Nothing of it was taken then.
var ErrArchive = errors.New("archive cannot be imported")

const remedyArchive = "download the archive anew from the portal (BMW CarData, request archive) and give that file unchanged"

// Archive imports the owner archive that the portal gives (CarData API, section
// "Third parties, repair and maintenance, other regions"): charging history,
// tyre diagnosis, basic data and telematics, found by their content. It makes no
// call, and what it brings has the identities of what REST and stream bring, so
// importing twice, or beside them, doubles nothing.
//
// vin names the car of files that do not tell; "" goes by their names. The names
// in the ZIP are never used as paths. A file that cannot be used is a Skip, and
// the others are imported; the error then carries exit.Partly.
func (b *Backfill) Archive(ctx context.Context, gcid schema.GCID, vin schema.VIN, file string) (Summary, error) {
	r, err := zip.OpenReader(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Summary{}, exit.With(exit.Usage, fmt.Errorf("%w; give the path of the ZIP", err))
	}
	if err != nil {
		return Summary{}, fmt.Errorf("%w: %s is no complete ZIP (%w); %s", ErrArchive, file, err, remedyArchive)
	}
	defer r.Close()
	if err := sound(r.File); err != nil {
		return Summary{}, fmt.Errorf("%w: %w; %s", ErrArchive, err, remedyArchive)
	}
	im := &importer{b: b, vin: vin, fetched: moment(), make: newMaker(gcid, b.cfg.Topics, b.cfg.Catalogue)}
	for i, f := range r.File {
		if f.FileInfo().IsDir() {
			continue
		}
		b.tell(Step{Text: fmt.Sprintf("file %d of %d", i+1, len(r.File)), Calls: i, Planned: len(r.File)})
		if err := im.file(ctx, f); err != nil {
			return im.sum, err
		}
	}
	if im.sum.lacking() {
		return im.sum, exit.With(exit.Partly, errors.New("partly done: see which files were skipped"))
	}
	return im.sum, nil
}

// sound refuses an archive that the portal would never make, before a byte of it
// is unpacked.
func sound(files []*zip.File) error {
	if len(files) > maxArchiveFiles {
		return fmt.Errorf("it holds %d files, at most %d are allowed", len(files), maxArchiveFiles)
	}
	var total uint64
	for _, f := range files {
		if !harmless(f) {
			return fmt.Errorf("the name %q leads out of the archive", f.Name)
		}
		total += f.UncompressedSize64
		if f.UncompressedSize64 > maxFileBytes || total > maxArchiveBytes {
			return fmt.Errorf("it unpacks to more than %d MiB, or one file to more than %d MiB", maxArchiveBytes>>20, maxFileBytes>>20)
		}
		if f.UncompressedSize64 > 1<<20 && f.UncompressedSize64/max(f.CompressedSize64, 1) > maxRatio {
			return fmt.Errorf("%q is packed more than %d to 1, as no real data are", f.Name, maxRatio)
		}
	}
	return nil
}

func harmless(f *zip.File) bool {
	name := strings.TrimSuffix(f.Name, "/")
	mode := f.Mode()
	return !strings.Contains(name, `\`) && !strings.Contains(name, ":") && fs.ValidPath(name) && (mode.IsDir() || mode.IsRegular())
}

// importer takes the files of one archive.
type importer struct {
	b       *Backfill
	vin     schema.VIN
	fetched time.Time
	make    *maker
	sum     Summary
	total   int64
}

func (im *importer) file(ctx context.Context, f *zip.File) error {
	skip := func(reason, remedy string, normal bool) {
		im.sum.Skipped = append(im.sum.Skipped, Skip{File: f.Name, Reason: reason, Remedy: remedy, Normal: normal})
		im.b.Stats.Skips.Add(1)
	}
	body, err := im.read(f)
	if err != nil {
		skip("it cannot be unpacked: "+err.Error(), remedyArchive, false)
		return nil //nolint:nilerr // the skip says it, and the other files are good
	}
	body = bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\xef\xbb\xbf"))
	kind := recognise(body)
	if kind == "" {
		skip("its content is none of charging history, tyre diagnosis, basic data or telematics", "", true)
		return nil
	}
	entries := im.entries(kind, body)
	vin := im.car(f.Name, body)
	if vin == "" {
		skip("it does not say which car it is of", "name the car with --vin", false)
		return nil
	}
	for _, e := range entries {
		e.VIN = vin
		if err := im.deliver(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// read unpacks a file, whatever size it claims to have.
func (im *importer) read(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	limit := min(maxFileBytes, maxArchiveBytes-im.total)
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	im.total += int64(len(body))
	if err == nil && int64(len(body)) > limit {
		err = errors.New("it is larger than it says")
	}
	return body, err
}

// recognise tells the kind of a file by its content; "" is none that is known.
func recognise(body []byte) Kind {
	if len(body) == 0 {
		return ""
	}
	if body[0] == '[' {
		var list []map[string]json.RawMessage
		if json.Unmarshal(body, &list) != nil || len(list) == 0 {
			return ""
		}
		if has(list[0], "startTime") {
			return KindSessions
		}
		return ""
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(body, &object) != nil {
		return ""
	}
	switch {
	case has(object, "passengerCar"):
		return KindTyres
	case has(object, "telematicData"):
		return KindTelematics
	case has(object, "driveTrain"), has(object, "modelName"), has(object, "constructionDate"):
		return KindBasic
	case has(object, "data") && recognise(object["data"]) == KindSessions:
		return KindSessions
	}
	for name := range object { // a map of descriptors
		if strings.HasPrefix(name, "vehicle.") {
			return KindTelematics
		}
	}
	return ""
}

func has(object map[string]json.RawMessage, name string) bool {
	_, ok := object[name]
	return ok
}

// entries gives the answers that a file stands for.
func (im *importer) entries(kind Kind, body []byte) []*entry {
	one := func(body []byte) *entry {
		return &entry{Kind: kind, Source: schema.SourceArchive, Fetched: im.fetched, Body: body}
	}
	if kind != KindTelematics {
		return []*entry{one(body)}
	}
	bodies, err := rest.DecodeTelematics(body)
	if err != nil {
		return []*entry{one(body)} // it becomes a dead letter with the reason
	}
	entries := make([]*entry, len(bodies))
	for i := range bodies {
		entries[i] = one(bodies[i])
	}
	return entries
}

// car finds whose file it is: the caller's word, the content, the name.
func (im *importer) car(name string, body []byte) schema.VIN {
	if im.vin != "" {
		return im.vin
	}
	var object struct {
		VIN string `json:"vin"`
	}
	if json.Unmarshal(body, &object) == nil {
		if vin, err := schema.ParseVIN(object.VIN); err == nil {
			return vin
		}
	}
	for dir := name; dir != "." && dir != "/"; dir = path.Dir(dir) {
		for _, word := range strings.FieldsFunc(path.Base(dir), notVIN) {
			if vin, err := schema.ParseVIN(word); err == nil {
				return vin
			}
		}
	}
	return ""
}

func notVIN(r rune) bool { return ('A' > r || r > 'Z') && ('0' > r || r > '9') }

// deliver makes an answer durable, in steps that no file makes too large.
func (im *importer) deliver(ctx context.Context, e *entry) error {
	m := im.make.records(e)
	for rest := m.records; len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && (n == 0 || size+len(rest[n].Value) <= shipBytes) {
			size += len(rest[n].Value)
			n++
		}
		if err := im.b.ship(ctx, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	w := worker{b: im.b}
	w.count(&m)
	im.sum.add(&w.sum)
	return nil
}
