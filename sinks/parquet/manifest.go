package parquet

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// manifestFormat counts changes that older versions cannot read.
const manifestFormat = 1

// Settings are what is fixed with a dataset's first file. They stand in the
// manifest and in each file.
type Settings struct {
	Profile   ProfileName  `json:"profile"`
	KeyID     string       `json:"key_id,omitempty"` // tells another secret, and nothing of it
	Positions PositionRule `json:"positions,omitempty"`
	Decimals  int          `json:"decimals,omitempty"`
	ZonesID   string       `json:"zones_id,omitempty"` // tells other zones, and nothing of where they are
	VINLevel  bool         `json:"vin_level"`
	Vehicles  string       `json:"vehicles,omitempty"` // what stands in column vin, sorted, with commas; empty when of all
}

func (m *mask) settings(cfg *Config) Settings {
	s := Settings{Profile: m.p.Name, VINLevel: cfg.VINLevel, KeyID: m.keyID(), ZonesID: m.zonesID()}
	tokens := make([]string, 0, len(cfg.Vehicles))
	for _, vin := range cfg.Vehicles {
		tokens = append(tokens, m.vin(vin))
	}
	slices.Sort(tokens)
	s.Vehicles = strings.Join(slices.Compact(tokens), ",")
	if !m.full() {
		s.Positions, s.Decimals = cmp.Or(m.p.Positions, PositionsOmit), m.p.Decimals
	}
	return s
}

// Manifest is the content of _manifest.json.
type Manifest struct {
	Format   int             `json:"format"`
	Settings Settings        `json:"settings"`
	Tables   []ManifestTable `json:"tables"`
}

// ManifestTable is one table of a dataset.
type ManifestTable struct {
	Name    string           `json:"name"`
	Columns []ManifestColumn `json:"columns"` // in the order in which they were added
	Files   []ManifestFile   `json:"files"`   // sorted by path
	// Empty are partitions that were looked at and have no rows, sorted by path.
	Empty []EmptyPartition `json:"empty,omitempty"`
}

// ManifestColumn is a column that at least one file of the table has.
type ManifestColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Unit string `json:"unit,omitempty"`
}

// ManifestFile is one file.
type ManifestFile struct {
	Path    string `json:"path"`
	Rows    int64  `json:"rows"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
	From    string `json:"from,omitempty"` // RFC 3339 UTC, first time in the file
	To      string `json:"to,omitempty"`   // last time in the file
	Touched string `json:"touched,omitempty"`
}

// EmptyPartition is a partition without a file.
type EmptyPartition struct {
	Path    string `json:"path"`
	Touched string `json:"touched"`
}

const rebuildHint = "`export rebuild` makes it anew from the files"

// parseManifest checks what it reads: a person may have edited it.
func parseManifest(b []byte) (*Manifest, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return nil, fmt.Errorf("%w: %w; %s", ErrManifest, err, rebuildHint)
	}
	if version.Format > manifestFormat {
		return nil, fmt.Errorf("%w: its manifest has format %d, this version knows %d", ErrNewer, version.Format, manifestFormat)
	}
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w: %w; %s", ErrManifest, err, rebuildHint)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%w: %w; %s", ErrManifest, err, rebuildHint)
	}
	return &m, nil
}

func (m *Manifest) check() error {
	if m.Format != manifestFormat {
		return fmt.Errorf("format is %d", m.Format)
	}
	for i := range m.Tables {
		t := &m.Tables[i]
		last := ""
		for j := range t.Files {
			f := &t.Files[j]
			p, ok := parsePath(f.Path)
			if !ok || p.table != t.Name || f.Path <= last {
				return fmt.Errorf("table %s: %q is no path of it, or not in order", t.Name, f.Path)
			}
			if f.Rows <= 0 || f.Bytes <= 0 || len(f.SHA256) != 64 {
				return fmt.Errorf("%s: rows, bytes or sha256 are missing", f.Path)
			}
			last = f.Path
		}
		seen := make(map[string]bool)
		for _, c := range t.Columns {
			if seen[c.Name] {
				return fmt.Errorf("table %s has column %s twice", t.Name, c.Name)
			}
			seen[c.Name] = true
		}
	}
	return nil
}

// table gives the table of that name, made when it is missing.
func (m *Manifest) table(name string) *ManifestTable {
	i, found := slices.BinarySearchFunc(m.Tables, name, func(t ManifestTable, n string) int { return cmp.Compare(t.Name, n) })
	if !found {
		m.Tables = slices.Insert(m.Tables, i, ManifestTable{Name: name, Columns: []ManifestColumn{}, Files: []ManifestFile{}})
	}
	return &m.Tables[i]
}

func (t *ManifestTable) file(path string) (int, bool) {
	return slices.BinarySearchFunc(t.Files, path, func(f ManifestFile, p string) int { return cmp.Compare(f.Path, p) })
}

func (t *ManifestTable) empty(path string) (int, bool) {
	return slices.BinarySearchFunc(t.Empty, path, func(f EmptyPartition, p string) int { return cmp.Compare(f.Path, p) })
}

// put makes f the file of its partition.
func (t *ManifestTable) put(f ManifestFile) {
	if i, found := t.empty(f.Path); found {
		t.Empty = slices.Delete(t.Empty, i, i+1)
	}
	i, found := t.file(f.Path)
	if !found {
		t.Files = slices.Insert(t.Files, i, f)
		return
	}
	t.Files[i] = f
}

// clear notes that the partition has no file; touched empty forgets it.
func (t *ManifestTable) clear(path, touched string) {
	if i, found := t.file(path); found {
		t.Files = slices.Delete(t.Files, i, i+1)
	}
	i, found := t.empty(path)
	switch {
	case touched == "" && found:
		t.Empty = slices.Delete(t.Empty, i, i+1)
	case touched == "":
	case found:
		t.Empty[i].Touched = touched
	default:
		t.Empty = slices.Insert(t.Empty, i, EmptyPartition{path, touched})
	}
}

// addColumns notes the columns of a file. A type never changes.
func (t *ManifestTable) addColumns(cols []ManifestColumn) error {
	for _, c := range cols {
		i := slices.IndexFunc(t.Columns, func(k ManifestColumn) bool { return k.Name == c.Name })
		switch {
		case i < 0:
			t.Columns = append(t.Columns, c)
		case t.Columns[i].Type != c.Type:
			return fmt.Errorf("column %s of table %s is %s in some files and %s in others", c.Name, t.Name, t.Columns[i].Type, c.Type)
		}
	}
	return nil
}

// encode gives one line a file, so that a person and a diff can read it.
func (m *Manifest) encode() ([]byte, error) {
	var b bytes.Buffer
	settings, err := json.Marshal(m.Settings)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, "{\"format\":%d,\n\"settings\":%s,\n\"tables\":[", m.Format, settings)
	for i := range m.Tables {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := m.Tables[i].encode(&b); err != nil {
			return nil, err
		}
	}
	b.WriteString("]}\n")
	return b.Bytes(), nil
}

func (t *ManifestTable) encode(b *bytes.Buffer) error {
	name, err := json.Marshal(t.Name)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "\n{\"name\":%s,\"columns\":[", name)
	if err := encodeLines(b, t.Columns); err != nil {
		return err
	}
	b.WriteString("],\n\"files\":[")
	if err := encodeLines(b, t.Files); err != nil {
		return err
	}
	if len(t.Empty) > 0 {
		b.WriteString("],\n\"empty\":[")
		if err := encodeLines(b, t.Empty); err != nil {
			return err
		}
	}
	b.WriteString("]}")
	return nil
}

func encodeLines[T any](b *bytes.Buffer, list []T) error {
	for i := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		line, err := json.Marshal(list[i])
		if err != nil {
			return err
		}
		b.WriteByte('\n')
		b.Write(line)
	}
	return nil
}

// ReadManifest reads the manifest of target without a lock; the error wraps
// fs.ErrNotExist when there is none, ErrManifest or ErrNewer.
func ReadManifest(ctx context.Context, target Files) (*Manifest, error) {
	b, err := readAll(ctx, target, manifestFile)
	if err != nil {
		return nil, err
	}
	return parseManifest(b)
}

func readAll(ctx context.Context, target Files, path string) ([]byte, error) {
	r, err := target.Open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

// publishBytes publishes a small file.
func publishBytes(ctx context.Context, target Files, tempDir, path string, b []byte) error {
	f, err := os.CreateTemp(tempDir, "cardata-*.json")
	if err != nil {
		return fmt.Errorf("make a temporary file: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(b)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(f.Name()), err)
	}
	if err := target.Publish(ctx, path, f.Name()); err != nil {
		return fmt.Errorf("publish %s: %w", path, err)
	}
	return nil
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func formatUS(us int64) string { return time.UnixMicro(us).UTC().Format(time.RFC3339Nano) }
