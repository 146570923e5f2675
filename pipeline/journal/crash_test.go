package journal

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

const childEnv = "JOURNAL_TEST_CHILD" // set: be the child, in the current directory

// TestMain turns the test binary into the child that TestKillLosesNothingWritten kills.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		appendForever(".")
		return
	}
	m.Run()
}

// appendForever prints each number some milliseconds after its append.
func appendForever(dir string) {
	j, err := Open(dir, Config{SegmentBytes: 1 << 20})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	type promise struct {
		number uint64
		due    time.Time
	}
	const lag = 50 * time.Millisecond // for a busy machine; the writer itself needs about two
	promises := make(chan promise, 1<<20)
	go func() {
		for p := range promises {
			<-time.After(time.Until(p.due))
			fmt.Println(p.number)
		}
	}()
	data := make([]byte, 270)
	for i := 0; ; i++ {
		n, err := j.Append(false, time.Now(), binary.LittleEndian.AppendUint64(data[:0], uint64(i)), data[8:])
		if err != nil {
			fmt.Println("error", err)
			return
		}
		if i%50 == 0 {
			promises <- promise{n, time.Now().Add(lag)}
			<-time.After(200 * time.Microsecond)
		}
	}
}

func TestKillLosesNothingWritten(t *testing.T) {
	dir := t.TempDir()
	var highest uint64
	for round := range 3 {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), childEnv+"=1")
		cmd.Dir = dir
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		var promised uint64
		enough := time.Now().Add(400 * time.Millisecond)
		for lines.Scan() && (time.Now().Before(enough) || promised == 0) {
			promised, err = strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				t.Fatalf("child says %q", lines.Text())
			}
		}
		_ = cmd.Process.Kill()
		for lines.Scan() { // what it still promised before it died
			if n, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil {
				promised = n
			}
		}
		_ = cmd.Wait()

		j := mustOpen(t, dir, Config{})
		recs, lost := readAll(t, j, 1)
		if lost != nil {
			t.Fatalf("round %d: damage %v", round, lost)
		}
		last := recs[len(recs)-1]
		if last.Number < promised {
			t.Errorf("round %d: last survivor %d, want at least %d", round, last.Number, promised)
		}
		if j.Clean() {
			t.Errorf("round %d: clean after a kill", round)
		}
		if d := time.Since(j.LastAt()); d > time.Minute {
			t.Errorf("round %d: last at %v ago", round, d)
		}
		for i := 1; i < len(recs); i++ {
			if recs[i].Number <= recs[i-1].Number {
				t.Fatalf("round %d: %d follows %d", round, recs[i].Number, recs[i-1].Number)
			}
		}
		n, err := j.Append(true, time.Now(), []byte("restarted"))
		if err != nil || n <= last.Number || n <= highest {
			t.Errorf("round %d: next number %d, %v, want over %d and %d", round, n, err, last.Number, highest)
		}
		highest = n
		mustClose(t, j)
	}
}

// copyDir copies a journal as a power loss at this moment would leave it: of each
// file only so much as keep says.
func copyDir(tb testing.TB, from string, keep func(name string, size int64) int64) string {
	tb.Helper()
	to := tb.TempDir()
	entries, err := os.ReadDir(from)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			tb.Fatal(err)
		}
		b = b[:keep(e.Name(), int64(len(b)))]
		if err := os.WriteFile(filepath.Join(to, e.Name()), b, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return to
}

// openUnsynced is mustOpen on a disk whose syncs cost nothing, for tests that open often.
func openUnsynced(tb testing.TB, dir string, cfg Config) *Journal {
	tb.Helper()
	d := realDisk()
	d.sync = func(*os.File) error { return nil }
	d.syncDir = func(string) error { return nil }
	j, err := open(dir, cfg, d)
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	tb.Cleanup(func() { _ = j.Close() })
	return j
}

func all(_ string, size int64) int64 { return size }

// onlySegment gives the path and size of the single segment.
func onlySegment(tb testing.TB, dir string) (string, int64) {
	tb.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	if len(names) != 1 {
		tb.Fatalf("segments %v, want one", names)
	}
	info, err := os.Stat(names[0])
	if err != nil {
		tb.Fatal(err)
	}
	return names[0], info.Size()
}

// crashed gives a directory of an unclean stop with n records in one segment.
func crashed(tb testing.TB, n int) string {
	tb.Helper()
	j := mustOpen(tb, tb.TempDir(), Config{})
	mustAppend(tb, j, n, numbered)
	mustFlush(tb, j)
	return copyDir(tb, j.dir, all)
}

func TestTornTailIsCutAtEveryByteOfTheLastRecord(t *testing.T) {
	dir := crashed(t, 5)
	_, size := onlySegment(t, dir)
	whole := size - recordHeaderBytes - int64(len(numbered(4)))
	for end := whole; end < size; end++ {
		torn := copyDir(t, dir, func(name string, size int64) int64 {
			if filepath.Ext(name) == ".seg" {
				return end
			}
			return size
		})
		j := openUnsynced(t, torn, Config{})
		if recs, lost := readAll(t, j, 1); len(recs) != 4 || lost != nil {
			t.Fatalf("cut at %d: %d records, lost %v, want 4", end, len(recs), lost)
		}
		if n := j.Stats().RepairedBytes.Load(); n != end-whole {
			t.Errorf("cut at %d: %d bytes repaired, want %d", end, n, end-whole)
		}
		if !j.LastAt().Equal(epoch.Add(3 * time.Second)) {
			t.Errorf("cut at %d: last at %v", end, j.LastAt())
		}
		if n := mustAppend(t, j, 1, numbered); n <= 5 {
			t.Errorf("cut at %d: number %d given again", end, n)
		}
		mustFlush(t, j)
		if recs, lost := readAll(t, j, 1); len(recs) != 5 || lost != nil {
			t.Errorf("cut at %d: after an append %d records, lost %v, want 5", end, len(recs), lost)
		}
		mustClose(t, j)
	}
}

func TestZeroedTailIsCut(t *testing.T) { // as some file systems leave it after a power loss
	dir := crashed(t, 5)
	path, size := onlySegment(t, dir)
	if err := os.Truncate(path, size+4096); err != nil {
		t.Fatal(err)
	}
	j := mustOpen(t, dir, Config{})
	if recs, lost := readAll(t, j, 1); len(recs) != 5 || lost != nil {
		t.Errorf("%d records, lost %v, want 5", len(recs), lost)
	}
	if n := j.Stats().RepairedBytes.Load(); n != 4096 {
		t.Errorf("%d bytes repaired, want 4096", n)
	}
}

// Power is lost again and again: of the active segment only a random part beyond
// the synced end survives, sometimes none of it.
func TestNumbersNeverGoBackOverPowerLosses(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	var highest, committed uint64
	for round := range 25 {
		j := openUnsynced(t, dir, Config{SyncInterval: time.Hour, MaxBytes: 256 << 10, SegmentBytes: 16 << 10})
		if j.Committed() < committed {
			t.Fatalf("round %d: committed %d, was saved as %d", round, j.Committed(), committed)
		}
		if recs, lost := readAll(t, j, j.Committed()+1); lost != nil {
			t.Fatalf("round %d: lost %v in %d records", round, lost, len(recs))
		}
		for range rng.IntN(200) {
			n, err := j.Append(false, epoch, make([]byte, rng.IntN(400)))
			if err != nil {
				t.Fatal(err)
			}
			if n <= highest {
				t.Fatalf("round %d: number %d after %d", round, n, highest)
			}
			highest = n
			if rng.IntN(20) == 0 {
				mustFlush(t, j)
			}
		}
		if rng.IntN(2) == 0 {
			if err := j.Commit(j.Tail()); err != nil {
				t.Fatal(err)
			}
			if err := j.askSave(); err != nil {
				t.Fatal(err)
			}
			committed = j.Committed()
		}
		tail := j.Tail()
		waitWritten(t, j, j.lastGiven())
		j.mu.Lock()
		active := j.activeLocked()
		dir = copyDir(t, j.dir, func(name string, size int64) int64 {
			if active == nil || name != segmentName(active.first) {
				return size
			}
			return active.readable + rng.Int64N(size-active.readable+1)
		})
		j.mu.Unlock()
		mustClose(t, j)

		probe := openUnsynced(t, copyDir(t, dir, all), Config{})
		if probe.Tail() < tail {
			t.Fatalf("round %d: tail %d, was synced up to %d", round, probe.Tail(), tail)
		}
		mustClose(t, probe)
	}
}

func (j *Journal) lastGiven() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lastGivenLocked()
}

func TestPositionPastTheTailIsClampedAndItsNumbersAreNotGivenAgain(t *testing.T) {
	dir := crashed(t, 10)
	if err := realDisk().savePosition(dir, position{committed: 500, ceiling: 400}); err != nil {
		t.Fatal(err)
	}
	j := mustOpen(t, dir, Config{})
	if j.Committed() != 10 || j.Tail() != 10 {
		t.Errorf("committed %d, tail %d, want 10 and 10", j.Committed(), j.Tail())
	}
	if n := mustAppend(t, j, 1, numbered); n != 501 {
		t.Errorf("next number %d, want 501", n)
	}
	mustFlush(t, j)
	if recs, lost := readAll(t, j, j.Committed()+1); len(recs) != 1 || recs[0].Number != 501 || lost != nil {
		t.Errorf("after the jump: %v, lost %v", recs, lost)
	}
}

func TestLostPositionDeliversEverythingAgain(t *testing.T) {
	for name, content := range map[string]string{"missing": "", "garbage": "cardata-journal 1 committed=9 ceiling=9 clean=true crc=00000000\n"} {
		t.Run(name, func(t *testing.T) {
			dir := crashed(t, 10)
			path := filepath.Join(dir, positionName)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if content != "" {
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			j := mustOpen(t, dir, Config{})
			if recs, lost := readAll(t, j, j.Committed()+1); len(recs) != 10 || lost != nil {
				t.Errorf("%d records, lost %v, want 10", len(recs), lost)
			}
			if n := mustAppend(t, j, 1, numbered); n < lostNumbers {
				t.Errorf("next number %d, want far above anything given", n)
			}
			if j.Clean() {
				t.Error("clean without a position")
			}
		})
	}
}

func TestPositionFileAcceptsOnlyWhatItWrote(t *testing.T) {
	p := position{committed: 12, ceiling: 1 << 63, clean: true}
	if got, err := parsePosition(p.String()); err != nil || got != p {
		t.Errorf("parsePosition = %+v, %v", got, err)
	}
	text := []byte(p.String())
	for i := range text {
		b := append([]byte(nil), text...)
		b[i] ^= 1
		if got, err := parsePosition(string(b)); err == nil {
			t.Errorf("flip at %d accepted as %+v", i, got)
		}
		if _, err := parsePosition(string(text[:i])); err == nil {
			t.Errorf("cut at %d accepted", i)
		}
	}
}
