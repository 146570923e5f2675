package env

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Faults gathers what is wrong with a configuration, so that an operator sees
// all of it at once. Names are given without the prefix.
type Faults struct{ list []error }

// Add notes that a variable's value is not allowed.
func (f *Faults) Add(name string, value any, allowed string) {
	if s, ok := value.(string); ok {
		value = strconv.Quote(s)
	}
	f.list = append(f.list, fmt.Errorf("%s_%s=%v: %s", Prefix, name, value, allowed))
}

// Err joins all faults; nil when there are none.
func (f *Faults) Err() error { return errors.Join(f.list...) }

// Between wants low ≤ value ≤ high; it serves numbers and durations.
func Between[T cmp.Ordered](f *Faults, name string, value, low, high T) {
	if value < low || value > high {
		f.Add(name, value, fmt.Sprintf("must be %v to %v", low, high))
	}
}

// OneOf wants one of the words.
func (f *Faults) OneOf(name, value string, words ...string) {
	if !slices.Contains(words, value) {
		f.Add(name, value, "must be one of "+strings.Join(words, ", "))
	}
}

// NotEmpty wants some text.
func (f *Faults) NotEmpty(name, value, what string) {
	if value == "" {
		f.Add(name, value, "must name "+what)
	}
}

// HostPort wants host:port with a port from 1 to 65535.
func (f *Faults) HostPort(name, value string) {
	host, port, err := net.SplitHostPort(value)
	number, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || host == "" || number == 0 {
		f.Add(name, value, "must be host:port with a port from 1 to 65535")
	}
}

// ListenAddr wants [host]:port with a port from 0 (any free one) to 65535.
func (f *Faults) ListenAddr(name, value string) {
	_, port, err := net.SplitHostPort(value)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		f.Add(name, value, "must be host:port or :port with a port from 0 to 65535")
	}
}

// URL wants an absolute address of one of the schemes.
func (f *Faults) URL(name, value string, schemes ...string) {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
		f.Add(name, value, "must be an address that begins with "+strings.Join(schemes, ":// or ")+"://")
	}
}

// File wants a file that can be read; empty is allowed.
func (f *Faults) File(name, value string) {
	if value == "" {
		return
	}
	file, err := os.Open(value)
	if err != nil {
		f.Add(name, value, "must be a file that can be read: "+err.Error())
		return
	}
	_ = file.Close()
}
