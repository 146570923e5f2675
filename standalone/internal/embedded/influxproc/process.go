// Package influxproc runs the embedded InfluxDB as a process of its own, for tests.
// InfluxDB 1.8 reads its index while it writes it, without a lock where the value
// cannot hurt; in the test's own process the race detector fails the test for it.
package influxproc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build builds the program into dir and gives its path.
func Build(dir string) (binary string, err error) {
	binary = filepath.Join(dir, "influxd")
	build := exec.Command("go", "build", "-o", binary, "github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded/influxd") //nolint:noctx,gosec // a test builds its own program, as long as it takes
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build influxd: %w\n%s", err, out)
	}
	return binary, nil
}

// Process is a running InfluxDB.
type Process struct {
	cmd  *exec.Cmd
	life io.Closer // its standard input: it ends with it
	addr string
}

// Start runs binary on a folder and an address, as embedded.StartInflux does.
func Start(binary, dir, addr string, log *os.File) (*Process, error) {
	p := &Process{cmd: exec.Command(binary, dir, addr)} //nolint:noctx,gosec // Close ends it; the program is the one just built
	p.cmd.Stderr = log
	life, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.life = life
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start influxd: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("influxd did not start: %w", err), p.Close())
	}
	p.addr = strings.TrimSpace(line)
	return p, nil
}

// Addr gives host:port.
func (p *Process) Addr() string { return p.addr }

// URL gives the address for clients.
func (p *Process) URL() string { return "http://" + p.addr }

// Close ends it in order and waits.
func (p *Process) Close() error {
	return errors.Join(p.life.Close(), p.cmd.Wait())
}
