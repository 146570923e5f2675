package dataset

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cardata-pipeline/cardata-pipeline/internal/app/export"
	"github.com/cardata-pipeline/cardata-pipeline/internal/exit"
	"github.com/cardata-pipeline/cardata-pipeline/schema"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/influx"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet"
	"github.com/cardata-pipeline/cardata-pipeline/sinks/parquet/dir"
)

// reference exports the world in peace and gives the hashes.
func (w *world) reference() map[string]string {
	w.t.Helper()
	root := filepath.Join(w.t.TempDir(), "reference")
	w.run(w.exporter(func(c *export.Config) { c.ExportTarget = root }), export.Selection{})
	return files(w.t, root)
}

// frail forwards to InfluxDB and cuts each connection after so many bytes of
// answers; a limit below 0 cuts none.
type frail struct {
	addr  string
	limit atomic.Int64
	cuts  atomic.Int64
}

func newFrail(t *testing.T) *frail {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f := &frail{addr: l.Addr().String()}
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(conn)
		}
	}()
	return f
}

func (f *frail) serve(conn net.Conn) {
	defer conn.Close()
	back, err := net.Dial("tcp", strings.TrimPrefix(store.URL, "http://"))
	if err != nil {
		return
	}
	defer back.Close()
	go func() { _, _ = io.Copy(back, conn) }()
	limit := f.limit.Load()
	if limit < 0 {
		_, _ = io.Copy(conn, back)
		return
	}
	if n, _ := io.CopyN(conn, back, limit); n == limit {
		f.cuts.Add(1)
	}
}

func TestInfluxDBAwayInMidRun(t *testing.T) {
	w := newWorld(t)
	w.fill()
	want := w.reference()
	f := newFrail(t)
	over := func(c *export.Config) { c.InfluxURL = "http://" + f.addr }
	f.limit.Store(20_000) // the marks pass, a day's readings do not
	e := w.exporter(over)
	e.SetRetry(2, time.Millisecond)
	_, err := e.Run(t.Context(), export.Selection{})
	if err == nil || f.cuts.Load() == 0 {
		t.Fatalf("run = %v after %d cuts, want an error", err, f.cuts.Load())
	}
	if _, ok := errors.AsType[*influx.ReadError](err); !ok {
		t.Errorf("error %v does not say that reading failed", err)
	}
	if root := w.root; len(files(t, root)) > 0 {
		target, err := dir.New(root)
		if err != nil {
			t.Fatal(err)
		}
		if found, err := parquet.Verify(t.Context(), target, nil); len(found) > 0 && err == nil {
			t.Errorf("what is there is not whole: %v", found)
		}
	}
	f.limit.Store(-1)
	w.run(e, export.Selection{})
	if !maps.Equal(files(t, w.root), want) {
		t.Error("the second run did not complete it")
	}
}

func TestAShortOutageIsSatOut(t *testing.T) {
	w := newWorld(t)
	w.fill()
	want := w.reference()
	f := newFrail(t)
	f.limit.Store(20_000)
	e := w.exporter(func(c *export.Config) { c.InfluxURL = "http://" + f.addr })
	e.SetRetry(50, 20*time.Millisecond)
	go func() { // ends when the outage does
		for f.cuts.Load() < 3 {
			select {
			case <-time.After(time.Millisecond):
			case <-t.Context().Done():
				return
			}
		}
		f.limit.Store(-1)
	}()
	w.run(e, export.Selection{})
	if !maps.Equal(files(t, w.root), want) {
		t.Error("the dataset is not that of a run in peace")
	}
}

// command runs export as a process.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CARDATA_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(append(cmd.Env, environment(w.database)...), "CARDATA_EXPORT_TARGET="+w.root)
	return cmd
}

func TestKilledAtAnyPointTheDatasetStaysReadable(t *testing.T) {
	w := newWorld(t)
	w.fill()
	want := w.reference()
	target, err := dir.New(w.root)
	if err != nil {
		t.Fatal(err)
	}
	// The kills come ever later, so that one of them meets each step.
	killed := 0
	for delay := 5 * time.Millisecond; delay < 20*time.Second; delay += max(delay/6, 5*time.Millisecond) {
		cmd := w.command("run")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(delay, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		stop.Stop()
		if err == nil {
			break
		}
		killed++
		if _, err := os.Stat(filepath.Join(w.root, "_manifest.json")); os.IsNotExist(err) {
			continue
		}
		found, err := parquet.Verify(t.Context(), target, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if f.Kind == parquet.FindingMissing || f.Kind == parquet.FindingFooter {
				t.Errorf("killed after %v: %s", delay, f)
			}
		}
	}
	if out, err := w.command("run").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := files(t, w.root); !maps.Equal(got, want) {
		t.Errorf("after %d kills the dataset differs: %d files, want %d", killed, len(got), len(want))
	}
	if out, err := w.command("verify").CombinedOutput(); err != nil || !strings.Contains(string(out), "all as it should be") {
		t.Errorf("verify: %v\n%s", err, out)
	}
	t.Logf("killed %d times", killed)
}

func TestAFullDiskKeepsWhatIsThere(t *testing.T) {
	small := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=96k"); err != nil {
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(small, 0) })
	w := newWorld(t)
	w.fill()
	w.root = filepath.Join(small, "parquet")
	e := w.exporter(func(c *export.Config) { c.ExportScratchDir = t.TempDir() })
	_, err := e.Run(t.Context(), export.Selection{})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("run = %v, want that the disk is full", err)
	}
	target, err := dir.New(w.root)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := parquet.Verify(t.Context(), target, nil); err == nil {
		for _, f := range found {
			if f.Kind == parquet.FindingContent || f.Kind == parquet.FindingFooter {
				t.Errorf("what is there is broken: %s", f)
			}
		}
	}
	want := w.reference()
	if err := syscall.Mount("tmpfs", small, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	w.run(e, export.Selection{})
	if !maps.Equal(files(t, w.root), want) {
		t.Error("with room again, the second run did not complete it")
	}
}

// said runs export as a process and gives its exit code and what it said.
func (w *world) said(args ...string) (int, string) {
	w.t.Helper()
	out, err := w.command(args...).CombinedOutput()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return failed.ExitCode(), string(out)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return exit.Done, string(out)
}

func TestWrongUsageIsToldAndWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.fill()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"range reversed":      {[]string{"run", "--from", "2026-06-03", "--to", "2026-06-01"}, "ends before it begins"},
		"range in the future": {[]string{"run", "--from", "2999-01-01"}, "in the future"},
		"not a day":           {[]string{"run", "--from", "yesterday"}, "want a day such as"},
		"unknown table":       {[]string{"run", "--tables", "reading"}, "no table reading; there are readings"},
		"not a VIN":           {[]string{"run", "--vin", "x"}, "--vin"},
		"an unknown vehicle":  {[]string{"run", "--vin", "WBY99999999999999"}, "WBY99999999999999"},
		"unknown profile":     {[]string{"run", "--profile", "secret"}, "full"},
		"profile without key": {[]string{"run", "--profile", "pseudonymous"}, "secret"},
		"prune without range": {[]string{"run", "--prune"}, "needs a range"},
		"unexpected argument": {[]string{"run", "now"}, "unexpected argument"},
		"verify of nothing":   {[]string{"verify"}, "no dataset"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, said := w.said(c.args...); code != exit.Usage || !strings.Contains(said, c.want) {
				t.Errorf("exit code %d, %q, want %d and %q", code, said, exit.Usage, c.want)
			}
		})
	}
	if found, _ := filepath.Glob(filepath.Join(w.root, "*", "*")); len(found) > 0 {
		t.Errorf("files %v were written", found)
	}
}

func TestUnknownVehicleIsToldBeforeAnythingIsWritten(t *testing.T) {
	w := newWorld(t)
	w.fill()
	e := w.exporter(func(c *export.Config) { c.ExportVINLevel = true })
	_, err := e.Run(t.Context(), export.Selection{VINs: []schema.VIN{"WBY99999999999999"}})
	if exit.Code(err) != exit.Usage || !strings.Contains(err.Error(), "WBY99999999999999") {
		t.Errorf("run = %v (exit code %d)", err, exit.Code(err))
	}
}

func TestTargetThatCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	w.fill()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.root = filepath.Join(file, "parquet")
	if code, said := w.said("run"); code == exit.Done || !strings.Contains(said, file) {
		t.Errorf("exit code %d, %q, want a failure that names %s", code, said, file)
	}
}

func TestADamagedManifestIsToldAndMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.run(w.exporter(), export.Selection{})
	want := files(t, w.root)
	manifest := filepath.Join(w.root, "_manifest.json")
	b, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, b[:len(b)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if code, said := w.said("run"); code != exit.NeedsPerson || !strings.Contains(said, "export rebuild") {
		t.Errorf("exit code %d, %q, want the remedy", code, said)
	}
	if code, said := w.said("rebuild"); code != exit.Done {
		t.Errorf("rebuild: exit code %d, %q", code, said)
	}
	if code, said := w.said("run"); code != exit.Done {
		t.Errorf("run: exit code %d, %q", code, said)
	}
	if !maps.Equal(files(t, w.root), want) {
		t.Error("the dataset is not what it was")
	}
}

func TestVerifyFindsWhatSomebodyChanged(t *testing.T) {
	w := newWorld(t)
	w.fill()
	e := w.exporter()
	w.run(e, export.Selection{})
	path := filepath.Join(w.root, "readings", "date=2026-06-01", "part-0.parquet")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(w.root, "gaps", "date=2026-06-02", "part-0.parquet")); err != nil {
		t.Fatal(err)
	}
	// A point that nothing marked: somebody wrote past the sink.
	if err := w.unmarked(number(carA, soc, day(1).Add(13*time.Minute+13*time.Second), 5)); err != nil {
		t.Fatal(err)
	}
	r, err := e.Verify(t.Context(), false)
	if exit.Code(err) != exit.Failed {
		t.Errorf("verify = %v", err)
	}
	all := strings.Join(r.Findings, "\n")
	for _, want := range []string{"readings/date=2026-06-01/part-0.parquet", "gaps/date=2026-06-02/part-0.parquet: missing", "readings of 2026-06-02"} {
		if !strings.Contains(all, want) {
			t.Errorf("findings lack %q:\n%s", want, all)
		}
	}
}

// unmarked stores a reading and puts the day's mark back.
func (w *world) unmarked(r schema.Reading) error {
	ctx := w.t.Context()
	before, err := w.db.Days(ctx, influx.TableReadings, day(1), day(2))
	if err != nil {
		return err
	}
	w.store(r)
	return w.db.TouchDays(ctx, before)
}

func TestASecondExportIsKeptOut(t *testing.T) {
	w := newWorld(t)
	w.fill()
	target, err := dir.New(w.root)
	if err != nil {
		t.Fatal(err)
	}
	unlock, _, err := target.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.exporter().Run(t.Context(), export.Selection{})
	if !errors.Is(err, parquet.ErrLocked) {
		t.Errorf("run = %v, want that another one is at work", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
	w.run(w.exporter(), export.Selection{})
}

func TestWatchKeepsTheDatasetUpToDate(t *testing.T) {
	w := newWorld(t)
	w.fill()
	e := w.exporter(func(c *export.Config) { c.ExportEvery, c.HTTPAddr = 50*time.Millisecond, "127.0.0.1:0" })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Watch(ctx, nil) }()
	holds := func(what float64) bool {
		if _, err := os.Stat(filepath.Join(w.root, "readings", "date=2026-06-01", "part-0.parquet")); err != nil {
			return false
		}
		for _, r := range rows(t, w.root, "readings") {
			if r["number"] == what {
				return true
			}
		}
		return false
	}
	eventually(t, "first export", func() bool { return holds(2) })
	w.store(number(carA, mileage, day(0).Add(9*time.Hour+time.Second), 4711))
	eventually(t, "late reading", func() bool { return holds(4711) })
	stop()
	if err := <-done; err != nil {
		t.Errorf("watch = %v", err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(2 * time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s: not within two minutes", what)
		}
	}
}
