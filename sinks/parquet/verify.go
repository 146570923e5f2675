package parquet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
)

// FindingKind says what Verify found.
type FindingKind string

// The kinds of findings.
const (
	FindingMissing  FindingKind = "missing"   // in the manifest, but not there
	FindingContent  FindingKind = "content"   // other bytes than the manifest says
	FindingFooter   FindingKind = "footer"    // rows, columns or settings are not the manifest's
	FindingStray    FindingKind = "stray"     // there, but not in the manifest
	FindingPending  FindingKind = "pending"   // an export is at work, or was interrupted
	FindingLeftover FindingKind = "left over" // half written by an interrupted export; readers do not see it
)

// Finding is one thing that is not as it should be.
type Finding struct {
	Kind FindingKind
	Path string
	Text string
}

// String says it in a line.
func (f Finding) String() string {
	if f.Text == "" {
		return fmt.Sprintf("%s: %s", f.Path, f.Kind)
	}
	return fmt.Sprintf("%s: %s: %s", f.Path, f.Kind, f.Text)
}

// Verify reads every file of the dataset and holds it against the manifest. It
// takes no lock; what an export does meanwhile shows as findings. seen is called
// after each file that is as it should be, and may be nil. The error is about
// what could not be read; it wraps fs.ErrNotExist when there is no manifest,
// ErrManifest or ErrNewer.
func Verify(ctx context.Context, target Target, seen func(f ManifestFile)) ([]Finding, error) {
	m, err := ReadManifest(ctx, target)
	if err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp("", "cardata-verify-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }()
	v := verifier{target: target, temp: temp, m: m, listed: make(map[string]bool)}
	for i := range m.Tables {
		for j := range m.Tables[i].Files {
			ok, err := v.file(ctx, &m.Tables[i], &m.Tables[i].Files[j])
			if err != nil {
				return v.found, err
			}
			if ok && seen != nil {
				seen(m.Tables[i].Files[j])
			}
		}
	}
	return v.found, v.strays(ctx)
}

type verifier struct {
	target Target
	temp   string
	m      *Manifest
	listed map[string]bool // paths of the manifest
	found  []Finding
}

func (v *verifier) add(k FindingKind, path, text string) {
	v.found = append(v.found, Finding{k, path, text})
}

func (v *verifier) file(ctx context.Context, t *ManifestTable, f *ManifestFile) (ok bool, err error) {
	v.listed[f.Path] = true
	before := len(v.found)
	ft, err := readFooter(ctx, v.target, v.temp, f.Path)
	switch {
	case missing(err):
		v.add(FindingMissing, f.Path, "")
		return false, nil
	case err != nil && !errors.Is(err, errFooter):
		return false, err
	}
	switch {
	case ft.bytes != f.Bytes:
		v.add(FindingContent, f.Path, fmt.Sprintf("%d bytes where the manifest has %d", ft.bytes, f.Bytes))
	case ft.sha256 != f.SHA256:
		v.add(FindingContent, f.Path, "its SHA-256 is not the manifest's")
	}
	if err != nil {
		v.add(FindingFooter, f.Path, err.Error())
		return false, nil
	}
	v.footer(t, f, &ft)
	return len(v.found) == before, nil
}

func (v *verifier) footer(t *ManifestTable, f *ManifestFile, ft *footer) {
	if ft.rows != f.Rows {
		v.add(FindingFooter, f.Path, fmt.Sprintf("%d rows where the manifest has %d", ft.rows, f.Rows))
	}
	if ft.table != t.Name {
		v.add(FindingFooter, f.Path, fmt.Sprintf("is of table %q", ft.table))
	}
	if ft.from != f.From || ft.to != f.To {
		v.add(FindingFooter, f.Path, fmt.Sprintf("times from %s to %s where the manifest has %s to %s", ft.from, ft.to, f.From, f.To))
	}
	if err := sameSettings(ft.settings, v.m.Settings); err != nil {
		v.add(FindingFooter, f.Path, err.Error())
	}
	for _, c := range ft.columns {
		i := slices.IndexFunc(t.Columns, func(m ManifestColumn) bool { return m.Name == c.Name })
		if i < 0 || t.Columns[i].Type != c.Type {
			v.add(FindingFooter, f.Path, fmt.Sprintf("column %s of type %s is not in the manifest", c.Name, c.Type))
		}
	}
}

// strays finds what the manifest does not name. Files of others, such as a
// README or a lock, are nobody's matter, but those that a reader would take for
// data are.
func (v *verifier) strays(ctx context.Context) error {
	err := v.target.List(ctx, "", func(path string, _ int64) error {
		_, part := parsePath(path)
		switch {
		case path == pendingFile:
			v.add(FindingPending, path, "the next export puts it right")
		case v.listed[path]:
		case part || isParquet(path):
			v.add(FindingStray, path, "a reader takes it for data")
		case leftover(path):
			v.add(FindingLeftover, path, "")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list the dataset: %w", err)
	}
	return nil
}
