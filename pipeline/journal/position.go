package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	positionName = "position"

	// reserveNumbers is how far ahead of their use numbers are reserved: at full
	// speed some seconds, so that the writer hardly ever waits for a reservation.
	reserveNumbers = 1 << 20

	keepInterval = time.Second // how far the saved position may lag
)

// position is the content of the position file.
type position struct {
	committed uint64
	ceiling   uint64 // no number above it was ever given to a file
	clean     bool   // closed in order
}

// errNoPosition says that the position file is missing or damaged.
var errNoPosition = errors.New("no whole position file")

func (p position) String() string {
	body := fmt.Sprintf("cardata-journal 1 committed=%d ceiling=%d clean=%t", p.committed, p.ceiling, p.clean)
	return fmt.Sprintf("%s crc=%08x\n", body, checksum(0, []byte(body)))
}

// parsePosition accepts only what String writes.
func parsePosition(text string) (position, error) {
	var p position
	var crc uint32
	_, err := fmt.Sscanf(text, "cardata-journal 1 committed=%d ceiling=%d clean=%t crc=%x\n", &p.committed, &p.ceiling, &p.clean, &crc)
	if err != nil || p.String() != text {
		return position{}, errNoPosition
	}
	return p, nil
}

// loadPosition answers errNoPosition for a missing or damaged file.
func loadPosition(dir string) (position, error) {
	b, err := os.ReadFile(filepath.Join(dir, positionName))
	if errors.Is(err, fs.ErrNotExist) {
		return position{}, errNoPosition
	}
	if err != nil {
		return position{}, fmt.Errorf("read journal position: %w", err)
	}
	return parsePosition(string(b))
}

// savePosition replaces the position file in one step.
func (d disk) savePosition(dir string, p position) error {
	path := filepath.Join(dir, positionName)
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("save journal position: %w", err)
	}
	_, err = d.writeAt(f, []byte(p.String()), 0)
	if err == nil {
		err = d.sync(f)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err == nil {
		err = d.syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("save journal position: %w", err)
	}
	return nil
}

// keep saves the position, at the latest each keepInterval and whenever the writer
// asks, and deletes what retention lets go. It ends when Close says so.
func (j *Journal) keep() {
	tick := time.NewTicker(keepInterval)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-j.stopKeep:
			return
		case reply := <-j.save:
			reply <- j.saveNow()
			continue
		case <-tick.C:
		}
		err := j.saveIfLate()
		if err != nil && !failing {
			j.log.Warn("journal position not saved", "err", err)
		} else if err == nil && failing {
			j.log.Info("journal position saved again")
		}
		failing = err != nil
		j.deleteExpired(time.Now())
	}
}

// saveIfLate saves when the position moved or the reserved numbers run low.
func (j *Journal) saveIfLate() error {
	j.mu.Lock()
	late := j.lateCommits || j.saved.ceiling < j.next+reserveNumbers/2
	j.mu.Unlock()
	if !late {
		return nil
	}
	return j.saveNow()
}

// saveNow saves the position and reserves the numbers ahead. The keeper alone calls it.
func (j *Journal) saveNow() error {
	j.mu.Lock()
	p := position{committed: j.committed, ceiling: j.next + reserveNumbers}
	j.lateCommits = false
	j.mu.Unlock()
	err := j.disk.savePosition(j.dir, p)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.lateCommits = true
		j.stats.PositionErrors.Add(1)
		return err
	}
	j.saved = p
	return nil
}

// askSave has the keeper save the position and waits for it. The writer calls it.
func (j *Journal) askSave() error {
	reply := make(chan error, 1)
	j.save <- reply
	return <-reply
}
