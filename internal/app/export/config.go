package export

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/env"
	"github.com/cardata-pipeline/cardata-pipeline/internal/tlsfiles"
	"github.com/cardata-pipeline/cardata-pipeline/pipeline"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
)

// Config is read from CARDATA_* environment variables.
type Config struct {
	InfluxURL      string          `split_words:"true" required:"true" desc:"address of InfluxDB 1.8, 2.x or 3.x, http:// or https://"`
	InfluxToken    pipeline.Secret `split_words:"true" secret:"true" desc:"API token; for 1.8 with authentication user:password"`
	InfluxUser     string          `split_words:"true" desc:"user, instead of a token: 1.8, or 2.x with 'influx v1 auth create'"`
	InfluxPassword pipeline.Secret `split_words:"true" secret:"true" desc:"password of CARDATA_INFLUX_USER"`
	InfluxCAFile   string          `split_words:"true" desc:"PEM file of certificate authorities to trust for InfluxDB instead of the system's; read again when it changes"`
	InfluxCertFile string          `split_words:"true" desc:"PEM file of the client certificate for InfluxDB; read again when it changes"`
	InfluxKeyFile  string          `split_words:"true" desc:"PEM file of the client certificate's key"`
	InfluxOrg      string          `split_words:"true" desc:"organisation, for 2.x"`
	InfluxBucket   string          `split_words:"true" default:"cardata" desc:"bucket; for 1.8 the database, or database/retention-policy"`

	ExportTarget     string `split_words:"true" default:"/var/lib/cardata/parquet" desc:"folder of the dataset, or a bucket such as s3://bucket/folder?region=eu-central-1, credentials as AWS tools take them"`
	ExportScratchDir string `split_words:"true" desc:"folder of files that are being made, about the size of one day; empty is the system's"`
	ExportTables     string `split_words:"true" default:"all" desc:"tables to write, comma-separated, or all: readings, wide, positions, charging_sessions, charging_blocks, vehicles, gaps, catalogue"`
	ExportVINLevel   bool   `split_words:"true" default:"false" desc:"a folder for each vehicle below each day; fixed with the first export"`

	ExportProfile   string          `split_words:"true" default:"full" desc:"full, or pseudonymous: tokens for VINs and accounts, no addresses, no free text, no positions unless EXPORT_POSITIONS says so; fixed with the first export"`
	ExportKey       pipeline.Secret `split_words:"true" secret:"true" desc:"secret behind the tokens of profile pseudonymous, at least 16 characters; the same key gives the same tokens"`
	ExportPositions string          `split_words:"true" default:"omit" desc:"positions of profile pseudonymous: omit, or the decimals of degrees to round to, 0 to 3 (3 is about 110 m)"`
	ExportZones     string          `split_words:"true" desc:"homes and works to cut from rounded positions: latitude,longitude,radius in m; several with semicolons; or none"`

	ExportParallel int `split_words:"true" default:"2" desc:"queries at the same time, 1 to 16; each keeps one core of InfluxDB busy, and adds up to 25 MB of memory"`

	ExportEvery time.Duration `split_words:"true" default:"1h" desc:"time between two exports of watch, 1m to 168h"`
	Catalogue   string        `desc:"CSV file of descriptors instead of the built-in catalogue"`
	HTTPAddr    string        `split_words:"true" default:":8080" desc:"address of /metrics, /healthz and /readyz, for watch alone"`
	LogLevel    string        `split_words:"true" default:"info" desc:"debug, info, warn or error"`
}

// Validate reports all faults at once, each with variable, value and what is
// allowed.
func (c *Config) Validate() error {
	var f env.Faults
	f.URL("INFLUX_URL", c.InfluxURL, "http", "https")
	f.NotEmpty("INFLUX_BUCKET", c.InfluxBucket, "a bucket or database")
	influx.CheckLogin(c.InfluxToken, c.InfluxUser, c.InfluxPassword, f.Add)
	tlsfiles.Files{CA: c.InfluxCAFile, Cert: c.InfluxCertFile, Key: c.InfluxKeyFile, Name: "INFLUX"}.Check(f.Add)
	f.NotEmpty("EXPORT_TARGET", c.ExportTarget, "a folder or the address of a bucket")
	if _, err := ParseTables(c.ExportTables); err != nil {
		f.Add("EXPORT_TABLES", c.ExportTables, err.Error())
	}
	if _, err := c.profile(); err != nil {
		f.Add("EXPORT_PROFILE", c.ExportProfile, err.Error())
	}
	env.Between(&f, "EXPORT_PARALLEL", c.ExportParallel, 1, 16)
	env.Between(&f, "EXPORT_EVERY", c.ExportEvery, time.Minute, 168*time.Hour)
	f.File("CATALOGUE", c.Catalogue)
	f.ListenAddr("HTTP_ADDR", c.HTTPAddr)
	f.OneOf("LOG_LEVEL", strings.ToLower(c.LogLevel), "debug", "info", "warn", "error")
	return f.Err()
}

// ParseTables reads a list of tables, separated by commas; "all" and nothing mean
// every table. They come in the order in which they are documented.
func ParseTables(text string) ([]string, error) {
	all := parquet.TableNames()
	var chosen, unknown []string
	for word := range strings.SplitSeq(text, ",") {
		word = strings.ToLower(strings.TrimSpace(word))
		switch {
		case word == "":
		case word == "all":
			chosen = append(chosen, all...)
		case slices.Contains(all, word):
			chosen = append(chosen, word)
		default:
			unknown = append(unknown, word)
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("no table %s; there are %s", strings.Join(unknown, ", "), strings.Join(all, ", "))
	}
	if len(chosen) == 0 {
		return all, nil
	}
	return slices.DeleteFunc(all, func(t string) bool { return !slices.Contains(chosen, t) }), nil
}

// profile reads the four variables that say what the dataset holds.
func (c *Config) profile() (parquet.Profile, error) {
	p := parquet.Profile{Name: parquet.ProfileName(strings.ToLower(c.ExportProfile))}
	if p.Name != parquet.Pseudonymous {
		return p, p.Validate()
	}
	p.Secret = c.ExportKey
	var faults []error
	switch text := strings.ToLower(strings.TrimSpace(c.ExportPositions)); text {
	case "", "omit":
		p.Positions = parquet.PositionsOmit
	default:
		decimals, err := strconv.Atoi(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("CARDATA_EXPORT_POSITIONS=%s: omit, or decimals from 0 to 3", text))
		}
		p.Positions, p.Decimals = parquet.PositionsRound, decimals
		if p.Zones, p.NoZones, err = parseZones(c.ExportZones); err != nil {
			faults = append(faults, err)
		}
	}
	return p, errors.Join(append(faults, p.Validate())...)
}

func parseZones(text string) (zones []parquet.Zone, none bool, err error) {
	if strings.EqualFold(strings.TrimSpace(text), "none") {
		return nil, true, nil
	}
	for part := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		words := strings.Split(part, ",")
		if len(words) != 3 {
			return nil, false, errors.New("CARDATA_EXPORT_ZONES: each zone is latitude,longitude,radius") // not repeated: it is somebody's home
		}
		var v [3]float64
		for i, w := range words {
			if v[i], err = strconv.ParseFloat(strings.TrimSpace(w), 64); err != nil {
				return nil, false, errors.New("CARDATA_EXPORT_ZONES: latitude, longitude and radius are numbers")
			}
		}
		zones = append(zones, parquet.Zone{Latitude: v[0], Longitude: v[1], RadiusM: v[2]})
	}
	return zones, false, nil
}
