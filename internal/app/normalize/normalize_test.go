package normalize_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/normalize"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
)

const (
	topic  = "00000000-0000-4000-8000-000000000001/WBY00000000000001"
	stream = `{"vin":"WBY00000000000001","entityId":"00000000-0000-4000-8000-000000000001","timestamp":"2026-03-14T07:02:11.418Z",` +
		`"data":{"vehicle.vehicle.travelledDistance":{"timestamp":"2026-03-14T07:02:09Z","value":23456,"unit":"km"}}}`
	reading = `{"vin":"WBY00000000000001","descriptor":"vehicle.vehicle.travelledDistance","time":"2026-03-14T07:02:09Z",` +
		`"number":23456,"unit":"km","source":"stream","sent":"2026-03-14T07:02:11.418Z","received":"2026-03-14T07:02:12Z",` +
		`"gcid":"00000000-0000-4000-8000-000000000001"}`
	telematic = `{"telematicData":{"vehicle.isMoving":{"timestamp":null,"unit":null,"value":null},` +
		`"vehicle.body.trunk.isOpen":{"timestamp":"2026-03-14T07:00:14.355Z","unit":null,"value":"CLOSED"}}}`
)

func run(t *testing.T, cfg normalize.Config, in string) string {
	t.Helper()
	if cfg.Kind == "" {
		cfg.Kind = normalize.KindStream
	}
	cfg.Received = time.Date(2026, 3, 14, 7, 2, 12, 0, time.UTC)
	var out bytes.Buffer
	if err := normalize.Run(t.Context(), cfg, strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestOneLineOutPerPayload(t *testing.T) {
	const good, empty = `{"readings":[` + reading + `]}` + "\n", `{"readings":[],"dead_letter":{"reason":"invalid_json","text":"the JSON ends early at byte 0"}}` + "\n"
	tests := map[string]struct {
		cfg      normalize.Config
		in, want string
	}{
		"no input":                          {in: "", want: ""},
		"a line":                            {in: stream + "\n", want: good},
		"a line without its end":            {in: stream, want: good},
		"Windows line ends":                 {in: stream + "\r\n" + stream + "\r\n", want: good + good},
		"empty lines at the end are none":   {in: stream + "\n\n\n", want: good},
		"empty lines alone are none":        {in: "\n\n", want: ""},
		"an empty line between is one":      {in: stream + "\n\n" + stream + "\n", want: good + empty + good},
		"base64":                            {cfg: normalize.Config{Base64: true}, in: base64.StdEncoding.EncodeToString([]byte(stream)), want: good},
		"base64 without padding":            {cfg: normalize.Config{Base64: true}, in: base64.RawStdEncoding.EncodeToString([]byte(stream)) + "\n", want: good},
		"an empty line is an empty payload": {cfg: normalize.Config{Base64: true}, in: "\n", want: empty},
		"identity by the topic":             {cfg: normalize.Config{Topic: topic}, in: stream, want: good},
		"never reported is skipped, REST": {
			cfg: normalize.Config{Kind: normalize.KindTelematic, Topic: topic}, in: telematic,
			want: `{"readings":[{"vin":"WBY00000000000001","descriptor":"vehicle.body.trunk.isOpen","time":"2026-03-14T07:00:14.355Z",` +
				`"bool":false,"raw":"CLOSED","source":"rest","received":"2026-03-14T07:02:12Z","gcid":"00000000-0000-4000-8000-000000000001"}],` +
				`"skipped":["vehicle.isMoving"]}` + "\n",
		},
	}
	for name, tt := range tests {
		if got := run(t, tt.cfg, tt.in); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, tt.want)
		}
	}
}

func TestDeadLetters(t *testing.T) {
	tests := map[string]struct {
		cfg                normalize.Config
		in                 string
		reason, descriptor string
		readings, all      int
	}{
		"broken JSON":                     {in: `{"vin":`, reason: "invalid_json"},
		"not base64":                      {cfg: normalize.Config{Base64: true}, in: "%%%", reason: "invalid_base64"},
		"torn base64":                     {cfg: normalize.Config{Base64: true}, in: "QUJDR", reason: "invalid_base64"},
		"other vehicle than the topic":    {cfg: normalize.Config{Topic: topic}, in: strings.Replace(stream, "000001\"", "000002\"", 1), reason: "vin_mismatch"},
		"telematic without any identity":  {cfg: normalize.Config{Kind: normalize.KindTelematic}, in: telematic, reason: "invalid_vin"},
		"invalid UTF-8":                   {in: strings.Replace(stream, "23456", "\"\xff\"", 1), reason: "invalid_utf8"},
		"one bad value of two":            {in: strings.Replace(stream, `"data":{`, `"data":{"a.b":{"value":1},`, 1), reason: "time_missing", descriptor: "a.b", readings: 1},
		"several":                         {in: strings.Replace(stream, `"data":{`, `"data":{"a.b":{"value":1},"c":2,`, 1), reason: "time_missing", descriptor: "a.b", readings: 1, all: 2},
		"a line longer than 16 MiB":       {in: strings.Repeat("x", normalize.MaxLineBytes+1) + "\n", reason: "line_too_long"},
		"a line of 16 MiB is still taken": {in: strings.Repeat(" ", normalize.MaxLineBytes), reason: "invalid_json"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := run(t, tt.cfg, tt.in+"\n")
			if strings.Count(got, "\n") != 1 {
				t.Fatalf("%d lines, want 1", strings.Count(got, "\n"))
			}
			type letter struct{ Reason, Text, Descriptor string }
			var v struct {
				Readings    []json.RawMessage
				DeadLetter  *letter  `json:"dead_letter"`
				DeadLetters []letter `json:"dead_letters"`
			}
			if err := json.Unmarshal([]byte(got), &v); err != nil {
				t.Fatal(err)
			}
			if v.DeadLetter == nil || v.DeadLetter.Reason != tt.reason || v.DeadLetter.Descriptor != tt.descriptor || v.DeadLetter.Text == "" {
				t.Errorf("dead letter %+v, want %s about %q", v.DeadLetter, tt.reason, tt.descriptor)
			}
			if v.Readings == nil || len(v.Readings) != tt.readings || len(v.DeadLetters) != tt.all {
				t.Errorf("%d readings, %d dead letters listed, want %d and %d", len(v.Readings), len(v.DeadLetters), tt.readings, tt.all)
			}
		})
	}
	t.Run("the lines behind a long one still count", func(t *testing.T) {
		got := run(t, normalize.Config{}, strings.Repeat("x", 2*normalize.MaxLineBytes)+"\n"+stream)
		if strings.Count(got, "\n") != 2 || !strings.HasSuffix(got, `{"readings":[`+reading+"]}\n") {
			t.Errorf("got %.400s", got)
		}
	})
}

func TestBadFlagsAreUsageErrorsAllAtOnce(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.csv")
	if err := os.WriteFile(broken, []byte("descriptor\na\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		cfg  normalize.Config
		want []string
	}{
		"kind":           {normalize.Config{Kind: "mqtt"}, []string{"--kind", "mqtt", "stream", "telematic"}},
		"topic":          {normalize.Config{Kind: "stream", Topic: "WBY00000000000001"}, []string{"--topic", "GCID/VIN"}},
		"topic's GCID":   {normalize.Config{Kind: "stream", Topic: "me/WBY00000000000001"}, []string{"--topic", "GCID"}},
		"topic's VIN":    {normalize.Config{Kind: "stream", Topic: topic + "/x"}, []string{"--topic", "VIN"}},
		"no such file":   {normalize.Config{Kind: "stream", Catalogue: broken + "x"}, []string{"--catalogue"}},
		"catalogue file": {normalize.Config{Kind: "stream", Catalogue: broken}, []string{"--catalogue", "broken.csv:1", "datatype"}},
		"all":            {normalize.Config{Kind: "", Topic: "x", Catalogue: broken}, []string{"--kind", "--topic", "--catalogue"}},
	}
	for name, tt := range tests {
		var out bytes.Buffer
		err := normalize.Run(t.Context(), tt.cfg, strings.NewReader(stream), &out)
		if exit.Code(err) != exit.Usage || out.Len() != 0 {
			t.Errorf("%s: code %d, output %q", name, exit.Code(err), out.String())
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q lacks %q", name, err, want)
			}
		}
	}
}

func TestCatalogueFileReplacesTheEmbeddedOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.csv")
	csv := "descriptor,unit,datatype,streamable,enum_values\nvehicle.vehicle.travelledDistance,,string,true,\n"
	if err := os.WriteFile(path, []byte(csv), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(t, normalize.Config{Catalogue: path}, stream); !strings.Contains(got, `"text":"23456"`) {
		t.Errorf("got %s, want the value as text", got)
	}
}

func TestAnswersBeforeTheInputEndsAndStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- normalize.Run(ctx, normalize.Config{Kind: "stream"}, inR, outW) }()
	if _, err := io.WriteString(inW, stream+"\n"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	if n, err := outR.Read(buf); err != nil || !bytes.HasPrefix(buf[:n], []byte(`{"readings":[{`)) {
		t.Fatalf("read %q, %v", buf[:n], err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run() = %v, want context.Canceled", err)
	}
	inW.Close()
}

func TestReadAndWriteErrorsEndTheRun(t *testing.T) {
	broken := errors.New("broken")
	inR, inW := io.Pipe()
	inW.CloseWithError(broken)
	if err := normalize.Run(t.Context(), normalize.Config{Kind: "stream"}, inR, io.Discard); !errors.Is(err, broken) {
		t.Errorf("read: %v", err)
	}
	outR, outW := io.Pipe()
	outR.CloseWithError(broken)
	if err := normalize.Run(t.Context(), normalize.Config{Kind: "stream"}, strings.NewReader(stream), outW); !errors.Is(err, broken) {
		t.Errorf("write: %v", err)
	}
}

func TestReceivedIsNowWhenNotSet(t *testing.T) {
	var out bytes.Buffer
	before := time.Now().Add(-time.Millisecond)
	if err := normalize.Run(t.Context(), normalize.Config{Kind: "stream"}, strings.NewReader(stream), &out); err != nil {
		t.Fatal(err)
	}
	var v struct {
		Readings []struct{ Received time.Time }
	}
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	if got := v.Readings[0].Received; got.Before(before) || got.After(time.Now()) {
		t.Errorf("received %v", got)
	}
}
