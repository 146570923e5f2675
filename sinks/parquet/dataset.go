package parquet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

// Config says what a dataset is like. Profile, VINLevel and Vehicles are fixed with
// its first file.
type Config struct {
	Profile   Profile
	VINLevel  bool              // a folder for each vehicle below each day
	Vehicles  []schema.VIN      // the dataset is of these alone; nil is of all
	Catalogue *schema.Catalogue // types and units; nil is schema.Default
	TempDir   string            // where files are made before they are published; empty is os.TempDir
}

var (
	// ErrSettings means that the dataset was made with another profile or layout.
	ErrSettings = errors.New("the dataset was made with other settings")
	// ErrManifest means that the manifest cannot be understood.
	ErrManifest = errors.New("the manifest of the dataset is damaged")
	// ErrNewer means that a newer version of this program wrote the dataset.
	ErrNewer = errors.New("the dataset was written by a newer version")
	// ErrOrder means that rows came in an order that the files cannot have.
	ErrOrder = errors.New("rows out of order")
	// ErrLost means that the lock was lost: nothing more is published.
	ErrLost = errors.New("the lock of the dataset was lost")
)

// saveEvery partitions the manifest is written: with years of days it has
// megabytes. What was published since stands in the pending file.
const saveEvery = 64

// Dataset is open for writing: it holds the lock of its target. It is for one
// goroutine.
type Dataset struct {
	target   Target
	cfg      Config
	temp     string // own folder in cfg.TempDir
	mask     *mask
	describe *describe
	settings string               // JSON
	spare    map[string][]*column // memory of tables for the next day

	manifest *Manifest
	pending  map[string]bool // paths that may differ from the stored manifest
	doubtful map[string]bool // those whose publishing failed: the target may have either file
	dirty    bool

	unlock func() error
	lost   <-chan struct{}
}

// Open locks target, reads the manifest (no manifest is a new dataset) and puts
// right what an interrupted writer left: days that were published but are not in
// the manifest count as changed. Errors wrap ErrLocked, ErrSettings, ErrManifest
// or ErrNewer where that is the cause.
func Open(ctx context.Context, target Target, cfg Config) (*Dataset, error) {
	if err := cfg.Profile.Validate(); err != nil {
		return nil, err
	}
	if cfg.Catalogue == nil {
		cfg.Catalogue = schema.Default()
	}
	unlock, lost, err := target.Lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock the dataset: %w", err)
	}
	d := newDataset(target, cfg, unlock, lost)
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(err, d.release())
	}
	return d, nil
}

func newDataset(target Target, cfg Config, unlock func() error, lost <-chan struct{}) *Dataset {
	return &Dataset{
		target: target, cfg: cfg, unlock: unlock, lost: lost,
		pending: make(map[string]bool), doubtful: make(map[string]bool), spare: make(map[string][]*column),
	}
}

func (d *Dataset) open(ctx context.Context) error {
	temp, err := os.MkdirTemp(d.cfg.TempDir, "cardata-parquet-")
	if err != nil {
		return fmt.Errorf("make a temporary folder: %w", err)
	}
	d.temp = temp
	d.mask = newMask(&d.cfg.Profile)
	d.describe = &describe{d.cfg.Catalogue, !d.mask.full(), make(map[schema.Descriptor]*descriptor)}
	settings := d.mask.settings(&d.cfg)
	b, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	d.settings = string(b)
	d.manifest, err = ReadManifest(ctx, d.target)
	switch {
	case missing(err):
		if err := d.mustBeNew(ctx); err != nil {
			return err
		}
		d.manifest = &Manifest{Format: manifestFormat, Settings: settings}
		d.dirty = true
	case err != nil:
		return err
	}
	if err := sameSettings(d.manifest.Settings, settings); err != nil {
		return err
	}
	if err := d.knowsColumns(); err != nil {
		return err
	}
	return d.repair(ctx)
}

// mustBeNew refuses to start anew among files whose manifest is gone.
func (d *Dataset) mustBeNew(ctx context.Context) error {
	if _, err := readAll(ctx, d.target, pendingFile); err == nil {
		return nil // the first run was interrupted: repair takes its files in
	}
	found := errors.New("found")
	err := d.target.List(ctx, "", func(path string, _ int64) error {
		if _, ok := parsePath(path); ok {
			return found
		}
		return nil
	})
	if errors.Is(err, found) {
		return fmt.Errorf("%w: there are files but no %s; %s", ErrManifest, manifestFile, rebuildHint)
	}
	return err
}

func sameSettings(have, want Settings) error {
	var diffs []string
	diff := func(what string, have, want any) {
		if have != want {
			diffs = append(diffs, fmt.Sprintf("%s is %v there and %v here", what, have, want))
		}
	}
	diff("profile", have.Profile, want.Profile)
	diff("key of the secret", have.KeyID, want.KeyID)
	diff("rule for positions", have.Positions, want.Positions)
	diff("number of decimals", have.Decimals, want.Decimals)
	diff("set of zones", have.ZonesID, want.ZonesID)
	diff("level vin", have.VINLevel, want.VINLevel)
	diff("choice of vehicles", cmp.Or(have.Vehicles, "all"), cmp.Or(want.Vehicles, "all"))
	if len(diffs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s; use those, or another target", ErrSettings, strings.Join(diffs, ", "))
}

// knowsColumns refuses a dataset with columns that this version would leave out
// of its files: they are only ever added.
func (d *Dataset) knowsColumns() error {
	for i := range d.manifest.Tables {
		have := &d.manifest.Tables[i]
		t, known := TableByName(have.Name)
		if !known {
			return fmt.Errorf("%w: it has a table %q", ErrNewer, have.Name)
		}
		for _, c := range have.Columns {
			typ, ok := parseType(c.Type)
			if !ok {
				return fmt.Errorf("%w: column %s of table %s is of type %q", ErrNewer, c.Name, t.Name, c.Type)
			}
			mine, known := t.Column(c.Name)
			switch {
			case !known && !t.PerDescriptor:
				return fmt.Errorf("%w: table %s has a column %q", ErrNewer, t.Name, c.Name)
			case known && mine.Type != typ:
				return fmt.Errorf("%w: column %s of table %s is %s there and %s here", ErrNewer, c.Name, t.Name, c.Type, mine.Type)
			}
		}
	}
	return nil
}

// Manifest gives what is known of the dataset; it must not be changed.
func (d *Dataset) Manifest() *Manifest { return d.manifest }

// SortVehicles sorts vins into the order that Day.Vehicle must be called in: by
// what stands in column vin.
func (d *Dataset) SortVehicles(vins []schema.VIN) {
	slices.SortFunc(vins, func(a, b schema.VIN) int { return strings.Compare(d.mask.vin(a), d.mask.vin(b)) })
}

// Writes says whether the profile allows the table.
func (d *Dataset) Writes(table string) bool {
	t, known := TableByName(table)
	return known && d.cfg.Profile.Writes(&t)
}

// Touched gives the digest that p was committed with, also when p had no rows;
// empty when p was never committed, or when its file has to be made again. The
// exporter compares it with the digest of today's day marks.
func (d *Dataset) Touched(p Partition) string {
	path := d.place(p.Table, p.Day.String(), d.mask.vin(p.VIN)).path()
	t := d.manifest.table(p.Table)
	if i, found := t.file(path); found {
		return t.Files[i].Touched
	}
	if i, found := t.empty(path); found {
		return t.Empty[i].Touched
	}
	return ""
}

func (d *Dataset) place(table, date, vin string) place {
	p := place{table: table, date: date, level: d.cfg.VINLevel}
	if p.level {
		p.vin = vin
	}
	return p
}

// held says whether the lock is still ours.
func (d *Dataset) held() error {
	select {
	case <-d.lost:
		return ErrLost
	default:
		return nil
	}
}

// Flush writes what the manifest still lacks.
func (d *Dataset) Flush(ctx context.Context) error {
	if !d.dirty {
		return nil
	}
	if err := d.held(); err != nil {
		return err
	}
	b, err := d.manifest.encode()
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	if err := publishBytes(ctx, d.target, d.temp, manifestFile, b); err != nil {
		return err
	}
	d.dirty = false
	if len(d.pending) == 0 {
		return nil
	}
	clear(d.pending)
	if len(d.doubtful) > 0 {
		return d.announce(ctx, slices.Collect(maps.Keys(d.doubtful)))
	}
	if err := d.target.Remove(ctx, pendingFile); err != nil {
		return fmt.Errorf("remove %s: %w", pendingFile, err)
	}
	return nil
}

// Close writes what the manifest still lacks and gives the lock back. It may be
// called twice.
func (d *Dataset) Close(ctx context.Context) error {
	if d.unlock == nil {
		return nil
	}
	return errors.Join(d.Flush(ctx), d.release())
}

func (d *Dataset) release() error {
	if d.temp != "" {
		_ = os.RemoveAll(d.temp)
	}
	unlock := d.unlock
	d.unlock = nil
	if err := unlock(); err != nil {
		return fmt.Errorf("unlock the dataset: %w", err)
	}
	return nil
}
