package compose

import (
	"bytes"
	"context"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/cardata-pipeline/cardata-pipeline/standalone/internal/embedded"
)

// engine runs the services of our own image as processes, in the order and on the
// conditions that the file gives. Names of services become loopback addresses,
// volumes become folders; everything else is as in the file.
type engine struct {
	t        *testing.T
	project  *types.Project
	binaries string
	volumes  string            // folder of the volumes
	instead  map[string]string // what stands in for names of services
	settings map[string]string // variables of a real server, over the file's
	running  map[string]*process
}

// process is one service's process.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	said *buffer
	env  []string
	swap *strings.Replacer
}

// buffer keeps what a process prints.
type buffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// missing says why a service cannot run in this version of the repository: its
// program comes with another change. Compose itself would fail.
func missing(s *types.ServiceConfig) string {
	words := program(s)
	needs := map[string]string{"export": "cmd/export", "cardata setup": "internal/app/setup"}
	for _, name := range []string{words[0], strings.Join(words[:min(2, len(words))], " ")} {
		if path := needs[name]; path != "" && !there(path) {
			return path + " is not in this version"
		}
	}
	return ""
}

// up starts all services of ours.
func (e *engine) up() {
	e.t.Helper()
	for _, name := range e.project.ServiceNames() {
		e.start(name)
	}
}

// start starts a service once, after what it depends on.
func (e *engine) start(name string) {
	e.t.Helper()
	s := e.project.Services[name]
	if !ours(&s) || e.running[name] != nil {
		return
	}
	for _, on := range slices.Sorted(maps.Keys(s.DependsOn)) {
		e.start(on)
		e.await(on, s.DependsOn[on].Condition)
	}
	if why := missing(&s); why != "" {
		e.t.Logf("%s is left out: %s", name, why)
		return
	}
	p := &process{done: make(chan struct{}), said: &buffer{}}
	p.swap, p.env = e.surroundings(&s)
	words := program(&s)
	for i := range words {
		words[i] = p.swap.Replace(words[i])
	}
	p.cmd = exec.Command(filepath.Join(e.binaries, words[0]), words[1:]...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.env, p.said, p.said
	if err := p.cmd.Start(); err != nil {
		e.t.Fatalf("%s: %v", name, err)
	}
	go func() { // ends with the process
		_ = p.cmd.Wait()
		close(p.done)
	}()
	e.running[name] = p
	e.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if e.t.Failed() {
			said := p.said.String()
			e.t.Logf("%s said:\n%s", name, said[max(0, len(said)-4000):])
		}
	})
}

// surroundings gives what is replaced in a service's words, and its environment.
func (e *engine) surroundings(s *types.ServiceConfig) (*strings.Replacer, []string) {
	home := filepath.Join(e.volumes, "none-of-"+s.Name)
	for _, v := range s.Volumes {
		if v.Target == "/var/lib/cardata" {
			home = filepath.Join(e.volumes, v.Source)
		}
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		e.t.Fatal(err)
	}
	pairs := []string{"/var/lib/cardata", home}
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(e.instead))) { // the longer of two first
		pairs = append(pairs, name, e.instead[name])
	}
	swap := strings.NewReplacer(pairs...)
	port := e.free()
	env := map[string]string{"CARDATA_HTTP_ADDR": port, "PATH": os.Getenv("PATH"), "HOME": home}
	for name, value := range s.Environment {
		if value != nil {
			env[name] = swap.Replace(*value)
		}
		if other, ok := e.settings[name]; ok {
			env[name] = other
		}
	}
	if prefix := e.settings["CARDATA_TOPIC_PREFIX"]; prefix != "" {
		env["CARDATA_TOPIC_PREFIX"] = prefix
	}
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return swap, list
}

func (e *engine) free() string {
	e.t.Helper()
	addr, _, err := embedded.FreeAddr(e.t.Context(), "127.0.0.1:0")
	if err != nil {
		e.t.Fatal(err)
	}
	return addr
}

// await waits for a condition of depends_on.
func (e *engine) await(name, condition string) {
	e.t.Helper()
	if e.running[name] == nil {
		return // a server, or left out
	}
	if condition == types.ServiceConditionHealthy {
		e.healthy(name)
		return
	}
	e.ended(name, 0)
}

// ended waits until a service has ended with one of the exit codes.
func (e *engine) ended(name string, codes ...int) {
	e.t.Helper()
	p := e.running[name]
	select {
	case <-p.done:
	case <-time.After(2 * time.Minute):
		e.t.Fatalf("%s has not ended within two minutes", name)
	}
	if code := p.cmd.ProcessState.ExitCode(); !slices.Contains(codes, code) {
		e.t.Fatalf("%s ended with %d, want %v\n%s", name, code, codes, p.said.String())
	}
}

// healthy runs a service's own health check until it passes.
func (e *engine) healthy(name string) {
	e.t.Helper()
	s, p := e.project.Services[name], e.running[name]
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		err := e.check(&s, p)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-p.done:
			e.t.Fatalf("%s has ended: %v\n%s", name, p.cmd.ProcessState, p.said.String())
		case <-deadline:
			e.t.Fatalf("%s is not healthy after two minutes: %v", name, err)
		}
	}
}

// check is one run of the health check. Where this version has no command for it
// yet, an open port must do.
func (e *engine) check(s *types.ServiceConfig, p *process) error {
	ctx, cancel := context.WithTimeout(e.t.Context(), time.Duration(*s.HealthCheck.Timeout)*3) // a busy machine
	defer cancel()
	if !there("internal/app/cli/healthcheck.go") {
		addr := e.instead["simulator:8443"]
		for _, v := range p.env {
			if at, ok := strings.CutPrefix(v, "CARDATA_HTTP_ADDR="); ok && s.Name != "simulator" {
				addr = at
			}
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	words := s.HealthCheck.Test[1:] // after CMD
	args := make([]string, len(words)-1)
	for i := range args {
		args[i] = p.swap.Replace(words[i+1])
	}
	cmd := exec.CommandContext(ctx, filepath.Join(e.binaries, words[0]), args...)
	cmd.Env = p.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return &checkError{string(out), err}
	}
	return nil
}

type checkError struct {
	said string
	err  error
}

func (c *checkError) Error() string { return c.err.Error() + ": " + c.said }

// down ends the processes that last as compose does, and wants exit code 0 within
// the grace period. Those that use Kafka go first.
func (e *engine) down() {
	e.t.Helper()
	for name, p := range e.running {
		s := e.project.Services[name]
		if s.Restart == types.RestartPolicyNo || name == "simulator" {
			continue
		}
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			e.t.Errorf("%s was not there any more: %v", name, err)
			continue
		}
		select {
		case <-p.done:
		case <-time.After(time.Duration(*s.StopGracePeriod)):
			e.t.Errorf("%s has not ended within its grace period of %v", name, *s.StopGracePeriod)
			continue
		}
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			e.t.Errorf("%s ended with %d", name, code)
		}
	}
}
