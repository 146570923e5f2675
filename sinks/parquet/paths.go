package parquet

import (
	"strings"

	"github.com/cardata-pipeline/cardata-pipeline/schema"
)

const (
	partFile     = "part-0.parquet"
	manifestFile = "_manifest.json"
	pendingFile  = "_pending.json"
	// hiveNull is what readers of Hive partitions take for null.
	hiveNull = "__HIVE_DEFAULT_PARTITION__"
)

// Partition is one table's share of one UTC day, and of one vehicle with the
// level vin.
type Partition struct {
	Table string
	Day   Date       // zero for a table without partitions
	VIN   schema.VIN // empty without the level vin
}

// place is a partition as it is written: with the token for the VIN.
type place struct {
	table string
	date  string // empty without partitions
	vin   string
	level bool // a folder for each vehicle
}

// path gives the one file that the partition may have.
func (p place) path() string {
	var b strings.Builder
	b.WriteString(p.table)
	if p.date != "" {
		b.WriteString("/date=")
		b.WriteString(p.date)
		if p.level {
			b.WriteString("/vin=")
			if p.vin == "" {
				b.WriteString(hiveNull)
			}
			b.WriteString(p.vin)
		}
	}
	b.WriteByte('/')
	b.WriteString(partFile)
	return b.String()
}

func folderOf(path string) string { return path[:max(strings.LastIndexByte(path, '/'), 0)] }

// parsePath reads a path back; false when no partition has it.
func parsePath(path string) (place, bool) {
	parts := strings.Split(path, "/")
	if len(parts) < 2 || len(parts) > 4 || parts[len(parts)-1] != partFile {
		return place{}, false
	}
	p := place{table: parts[0]}
	if len(parts) > 2 {
		date, ok := strings.CutPrefix(parts[1], "date=")
		if d, err := ParseDate(date); !ok || err != nil || d.String() != date {
			return place{}, false
		}
		p.date = date
	}
	if len(parts) > 3 {
		vin, ok := strings.CutPrefix(parts[2], "vin=")
		if !ok || vin == "" {
			return place{}, false
		}
		p.level = true
		if vin != hiveNull {
			p.vin = vin
		}
	}
	return p, true
}

// isParquet says whether a reader would take the object for data: names that
// begin with a dot or an underscore are hidden from all of them.
func isParquet(path string) bool {
	name := path[strings.LastIndexByte(path, '/')+1:]
	return strings.HasSuffix(name, ".parquet") && name[0] != '.' && name[0] != '_'
}

// leftover says whether the object stands beside a partition's file.
func leftover(path string) bool {
	_, ok := parsePath(joinPath(folderOf(path), partFile))
	return ok && path != joinPath(folderOf(path), partFile)
}

func joinPath(folder, name string) string {
	if folder == "" {
		return name
	}
	return folder + "/" + name
}
